"""A model -> a folder that plain transformers loads, with no remote code."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from clinical_modernbert import atomic
from clinical_modernbert.export.card import CARD, describe
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer


def export_hf(
    model: Path, output: Path, *, overwrite: bool = False, check: Sequence[str] | None = None, progress: Progress = silent
) -> Path:
    """Write `model` as a Hugging Face folder: weights checked tensor by tensor, config in both spellings, tokenizer, card.

    With texts to `check` on, the folder also says how near its int8 form stays to it, and `Encoder` loads that form.

    Raises:
        ConfigError: `output` exists and `overwrite` is false.
        CheckpointError: `model` is incomplete or damaged, or its int8 form strays too far on the texts of `check`.
    """
    hf.refuse_existing(output, overwrite)
    loaded = hf.load(model)
    with atomic.new_folder(output) as aside:
        hf.save(loaded, aside)
        Tokenizer.load(model).save(aside, loaded.config.max_position_embeddings)
        if (model / CARD).exists():
            shutil.copyfile(model / CARD, aside / CARD)
        else:
            atomic.write_text(aside / CARD, describe(loaded.config, run=None))
        if check is not None:
            Encoder.from_pretrained(aside, device="cpu").quantize(check, progress=progress)
    return output
