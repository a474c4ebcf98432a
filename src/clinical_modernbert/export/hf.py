"""A model -> a folder that plain transformers loads, with no remote code."""

import shutil
from pathlib import Path

from clinical_modernbert import atomic
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.export.card import CARD, describe
from clinical_modernbert.model import hf
from clinical_modernbert.tokenization import Tokenizer


def export_hf(model: Path, output: Path, *, overwrite: bool = False) -> Path:
    """Write `model` as a Hugging Face folder: weights checked tensor by tensor, config in both spellings, tokenizer, card.

    Raises:
        ConfigError: `output` exists and `overwrite` is false.
        CheckpointError: `model` is incomplete or damaged.
    """
    if output.exists() and not (overwrite and (output / "config.json").exists()):
        remedy = "Choose another --output" + ("" if overwrite else ", or pass --overwrite to replace a model")
        raise ConfigError(f"{output} exists. {remedy}.")
    loaded = hf.load(model)
    with atomic.new_folder(output) as aside:
        hf.save(loaded, aside)
        Tokenizer.load(model).save(aside, loaded.config.max_position_embeddings)
        if (model / CARD).exists():
            shutil.copyfile(model / CARD, aside / CARD)
        else:
            atomic.write_text(aside / CARD, describe(loaded.config, run=None))
    return output
