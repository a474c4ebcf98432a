"""A model -> a folder that sentence-transformers, text-embeddings-inference and vLLM load for vectors."""

from pathlib import Path
from typing import get_args

from clinical_modernbert import atomic
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.export.card import CARD
from clinical_modernbert.export.hf import card_of, is_fine_tuned
from clinical_modernbert.inference import Pooling
from clinical_modernbert.model import hf
from clinical_modernbert.tokenization import Tokenizer

_PREFIX = "model."
_BOOLEANS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_USE = """
## Use
```python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("this-folder").encode(notes)
```
Texts longer than the context are cut there.
"""


def export_sentence_transformers(
    model: Path, output: Path, *, pooling: Pooling = "mean", normalize: bool = False, overwrite: bool = False
) -> Path:
    """Write the encoder of `model` without a head, its tensors named as a bare `ModernBertModel`'s, and how states become a vector.

    `normalize` gives vectors of length 1. What is longer than the context is cut by those who load the folder; `Encoder` reads it whole.

    Raises:
        ConfigError: `output` exists and `overwrite` is false, another `pooling`, or a fine-tuned model.
        CheckpointError: `model` is incomplete or damaged.
    """
    hf.refuse_existing(output, overwrite)
    if pooling not in get_args(Pooling):
        raise ConfigError(f"pooling {pooling!r} is none of {', '.join(get_args(Pooling))}.")
    if is_fine_tuned(model):
        raise ConfigError(f"{model} is fine-tuned to tag or classify. Export the model that it was made from.")
    loaded = hf.load(model)
    config, limit = loaded.config, loaded.config.max_position_embeddings
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in loaded.state_dict().items() if name.startswith(_PREFIX)}
    with atomic.new_folder(output) as aside:
        hf.save_tensors(config, tensors, aside, architecture="ModernBertModel")
        Tokenizer.load(model).save(aside, limit)
        atomic.write_text(aside / CARD, _for_vectors(card_of(model, config)))
        atomic.write_json(aside / "modules.json", _modules(normalize))
        atomic.write_json(aside / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})
        atomic.write_json(aside / "1_Pooling" / "config.json", _pooling(config.hidden_size, pooling))
    return output


def _modules(normalize: bool) -> list[dict[str, str | int]]:
    """The steps from text to vector, under the class paths that all versions know."""
    steps = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] if normalize else [])]
    return [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"} for n, (kind, path) in enumerate(steps)
    ]


def _pooling(width: int, pooling: Pooling) -> dict[str, str | int | bool]:
    """Both spellings: sentence-transformers 6 reads `pooling_mode`, earlier ones and text-embeddings-inference the booleans."""
    booleans = {name: mode == pooling for name, mode in _BOOLEANS.items()}
    return {"word_embedding_dimension": width, "embedding_dimension": width, **booleans, "pooling_mode": pooling}


def _for_vectors(card: str) -> str:
    """The card of a folder that gives vectors and fills no masks: its tags, and how it is used."""
    about, _, rest = card.partition("\n## Use\n")
    _, title, limits = rest.partition("\n## Limits\n")
    tags = {
        "library_name: transformers": "library_name: sentence-transformers",
        "pipeline_tag: fill-mask": "pipeline_tag: sentence-similarity",
    }
    for old, new in tags.items():
        about = about.replace(old, new, 1)
    return about + _USE + title + limits
