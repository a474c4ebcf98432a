"""In: a recipe and a tokenizer. Out: the model that a run starts from, and where each of its tensors came from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clinical_modernbert import settings
from clinical_modernbert.errors import CheckpointError, ConfigError
from clinical_modernbert.model import hf, tiling
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining import checkpoint
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.tokenization import Tokenizer

FORMAT_VERSION = 1
VOCABULARY_MULTIPLE = 64
"""Matrix products are fastest when their sides are multiples of this."""


_SETTINGS = (
    *("max_position_embeddings", "local_attention", "global_rope_theta", "local_rope_theta", "norm_eps"),
    *("embedding_dropout", "attention_dropout", "mlp_dropout"),
)
"""Fields that change what a model computes without changing a tensor's shape."""


@dataclass(frozen=True)
class StartTensor:
    """One tensor of a model at step 0, and how it was made."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    origin: str


@dataclass(frozen=True)
class Start:
    """A model at step 0; `folders` are those that its weights were read from, `how` says what was done with them."""

    model: ModernBertForMaskedLM
    tensors: tuple[StartTensor, ...]
    folders: tuple[Path, ...]
    how: str

    def describe(self) -> str:
        """One line for the log."""
        return f"all {len(self.tensors)} tensors of the model {self.how}"

    @property
    def access(self) -> str | None:
        """Of the text that the weights were trained on; None where there are none to start from."""
        return stricter(access_of(folder) for folder in self.folders)

    def to_json(self) -> dict[str, Any]:
        """What `start.json` holds."""
        return {
            "format_version": FORMAT_VERSION,
            "summary": self.describe(),
            "folders": [str(folder.resolve()) for folder in self.folders],
            "access": self.access,
            "tensors": [asdict(tensor) for tensor in self.tensors],
        }


def start_model(recipe: RunSettings, tokenizer: Tokenizer) -> Start:
    """The model of `recipe` at step 0: drawn from its seed, read from a folder, the mean of several, or tiled from a smaller one.

    Raises:
        ConfigError: the phases, the tokenizer, or the models to start from do not fit each other.
        CheckpointError: a folder to start from holds no complete model.
    """
    torch.manual_seed(recipe.seed)
    positions = planned_config(recipe).max_position_embeddings
    longest = max(stage.max_tokens for stage in recipe.stages)
    if longest > positions:
        raise ConfigError(f"rows of {longest} tokens, but the model has {positions} positions. Lower max_tokens of the phases.")
    return _load(recipe, tokenizer) if recipe.init else _draw(recipe, tokenizer)


def model_folder(path: Path) -> Path:
    """The model folder that `path` is or holds: `path` itself, a checkpoint's, or that of a run's newest checkpoint.

    Raises:
        CheckpointError: it is none of these.
    """
    for folder in (path, path / "model", path / "checkpoints" / checkpoint.LATEST / "model"):
        if (folder / "config.json").is_file():
            return folder
    raise CheckpointError(
        f"no model ({path} has neither config.json nor model/ nor checkpoints/{checkpoint.LATEST}/model/). "
        "Give a ModernBERT folder, a checkpoint or a run."
    )


def tokenizer_folder(recipe: RunSettings) -> Path | None:
    """The folder that the recipe takes its tokenizer from; None where it trains one.

    Raises:
        CheckpointError: see `model_folder`.
    """
    return model_folder(recipe.init[0]) if recipe.tokenizer.from_init else recipe.tokenizer.path


def model_config(shape: ModernBertConfig, tokenizer: Tokenizer) -> ModernBertConfig:
    """`shape` with the vocabulary and special ids of `tokenizer`."""
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    return replace(
        shape,
        vocab_size=_padded(len(tokenizer)),
        pad_token_id=tokenizer.pad_id,
        cls_token_id=cls_id,
        bos_token_id=cls_id,
        sep_token_id=sep_id,
        eos_token_id=sep_id,
    )


def planned_config(recipe: RunSettings) -> ModernBertConfig:
    """The shape that a run of `recipe` will have, told before its tokenizer is trained; special ids are not known yet.

    Raises:
        ConfigError, CheckpointError: see `start_model`.
    """
    if recipe.init:
        return _grown(recipe, hf.load_config(model_folder(recipe.init[0])))
    assert recipe.model is not None
    size = recipe.tokenizer.train or len(Tokenizer.load(recipe.tokenizer.path or Path()))
    return replace(recipe.model, vocab_size=_padded(size), pad_token_id=0, cls_token_id=0, bos_token_id=0, sep_token_id=0, eos_token_id=0)


def require_fit(config: ModernBertConfig, tokenizer: Tokenizer) -> None:
    """Raise ConfigError where the ids of `tokenizer` cannot be those of a model of shape `config`."""
    ours = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
    if config.vocab_size < len(tokenizer) or (config.pad_token_id, config.cls_token_id, config.sep_token_id) != ours:
        raise ConfigError(
            "the tokenizer's ids are not those of the model to start from. Use the model's own tokenizer (tokenizer={from_init: true}), "
            "or give it a new vocabulary with `cmbert tokenizer transfer`."
        )


def assemble(config: ModernBertConfig, tensors: Mapping[str, Tensor]) -> ModernBertForMaskedLM:
    """A model of these values, in evaluation mode.

    They are copied: where a tensor lies within a file decides how it is aligned in memory, and that the last bits of what comes of it.
    """
    with torch.device("meta"):
        model = ModernBertForMaskedLM(config)
    model.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, strict=True, assign=True)
    return model.eval()


def stricter(known: Iterable[str | None]) -> str | None:
    """`credentialed` as soon as one text or model is, `unknown` where one says nothing; None of none."""
    words = set(known)
    return next((word for word in ("credentialed", "unknown", "open") if word in words), None)


def access_of(folder: Path) -> str:
    """What a model's run, the report of its new vocabulary or its card says of its training text."""
    records = [folder / "transfer.json", *(parent / "environment.json" for parent in folder.resolve().parents[2:3])]
    for record in records:
        if record.is_file():
            said = hf.read_json(record)
            return str(said.get("access") or said.get("corpus", {}).get("access") or "unknown")
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return "credentialed" if "**Credentialed.**" in text else "open" if "\nOpen: all training text is public" in text else "unknown"


def _draw(recipe: RunSettings, tokenizer: Tokenizer) -> Start:
    assert recipe.model is not None
    model = ModernBertForMaskedLM(model_config(recipe.model, tokenizer))
    initialize(model, recipe.seed)
    how = f"drawn from seed {recipe.seed}"
    return _start(model, dict.fromkeys(model.state_dict(), how), (), how)


def _load(recipe: RunSettings, tokenizer: Tokenizer) -> Start:
    folders = tuple(model_folder(path) for path in recipe.init)
    small = _common_config(folders)
    require_fit(small, tokenizer)
    _require_one_vocabulary(folders, tokenizer)
    large = _grown(recipe, small)
    sources = tiling.sources(small, large)
    weights = _mean(folders)
    tensors = weights if large == small else tiling.tile(weights, small, large)
    same = {name for name, source in sources.items() if name == source and tensors[name].shape == weights[name].shape}
    untouched = f"copied from {folders[0]}" if len(folders) == 1 else f"mean of {len(folders)}"
    origins = {
        name: untouched if name in same else f"tiled from {source} {list(weights[source].shape)}" for name, source in sources.items()
    }
    names = ", ".join(str(folder) for folder in folders)
    whence = names if len(folders) == 1 else f"the mean of {names}"
    done = f"loaded from {whence}"
    if len(same) < len(sources):
        done = f"tiled from {whence} ({small.num_hidden_layers} layers of {small.hidden_size})"
    changed = [
        f"{name} {getattr(small, name)} -> {getattr(large, name)}" for name in _SETTINGS if getattr(small, name) != getattr(large, name)
    ]
    if changed:
        done += f" with other settings than there ({', '.join(changed)})"
    left_over = len(weights) - len(set(sources.values()))
    return _start(assemble(large, tensors), origins, folders, f"{done}, {left_over or 'none'} left over")


def _start(model: ModernBertForMaskedLM, origins: Mapping[str, str], folders: tuple[Path, ...], how: str) -> Start:
    tensors = tuple(
        StartTensor(name, tuple(value.shape), str(value.dtype).removeprefix("torch."), origins[name])
        for name, value in model.state_dict().items()
    )
    return Start(model, tensors, folders, how)


def _grown(recipe: RunSettings, start: ModernBertConfig) -> ModernBertConfig:
    """The shape that the recipe asks for, with the vocabulary of the model that it starts from."""
    if recipe.model is None:
        return start
    names = ("vocab_size", "pad_token_id", "cls_token_id", "bos_token_id", "sep_token_id", "eos_token_id")
    return replace(recipe.model, **{name: getattr(start, name) for name in names})


def _mean(folders: Sequence[Path]) -> dict[str, Tensor]:
    """The tensors of one model, or the mean of several, summed in float64."""
    if len(folders) == 1:
        return dict(hf.load(folders[0]).state_dict())
    sums: dict[str, Tensor] = {}
    for folder in folders:
        for name, tensor in hf.load(folder).state_dict().items():
            sums[name] = sums[name].add_(tensor) if name in sums else tensor.double()
    return {name: (total / len(folders)).float() for name, total in sums.items()}


def _common_config(folders: Sequence[Path]) -> ModernBertConfig:
    first = hf.load_config(folders[0])
    for folder in folders[1:]:
        other = hf.load_config(folder)
        for name in settings.changes(asdict(first), asdict(other)):
            values = f"{folder} has {name}={getattr(other, name)}, {folders[0]} has {getattr(first, name)}"
            raise ConfigError(f"{values}. A mean takes models of one configuration.")
    return first


def _require_one_vocabulary(folders: Sequence[Path], tokenizer: Tokenizer) -> None:
    for folder in folders:
        if (folder / "tokenizer.json").is_file() and Tokenizer.load(folder).pieces != tokenizer.pieces:
            raise ConfigError(
                f"{folder} has another vocabulary than the run. Set tokenizer={{from_init: true}}, or give the model a new one with "
                "`cmbert tokenizer transfer`."
            )


def _padded(vocab_size: int) -> int:
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
