"""A model -> a folder that plain transformers loads, with no remote code."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from clinical_modernbert import atomic
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.export.analysis_part import read_analysis, with_analysis
from clinical_modernbert.export.card import CARD, describe
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.task_encoder import FIGURES
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.task_folder import TASK_ARCHITECTURES, architecture, load_task_model, save_task_model
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer


def export_hf(
    model: Path,
    output: Path,
    *,
    overwrite: bool = False,
    check: Sequence[str] | None = None,
    report: Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write `model` as a Hugging Face folder: weights checked tensor by tensor, config in both spellings, tokenizer, card.

    A fine-tuned model keeps its head. With texts to `check` on, the folder also says how near its int8 form stays to it, and `Encoder`
    loads that form. With a `report` of `cmbert analyze` on these weights the card repeats what it found.

    Raises:
        ConfigError: `output` exists and `overwrite` is false, a fine-tuned model is to be checked, or `report` is of other weights.
        CheckpointError: `model` is incomplete or damaged, or its int8 form strays too far on the texts of `check`.
    """
    hf.refuse_existing(output, overwrite)
    if is_fine_tuned(model) and check is not None:
        raise ConfigError(f"{model} is fine-tuned, and no check of int8 covers its head. Leave out --check.")
    analysis = read_analysis(report, hf.weights_sha256(model)) if report else None
    with atomic.new_folder(output) as aside:
        if is_fine_tuned(model):
            _write_fine_tuned(model, aside)
        else:
            loaded = hf.load(model)
            hf.save(loaded, aside)
            atomic.write_text(aside / CARD, card_of(model, loaded.config))
        if analysis is not None:
            atomic.write_text(aside / CARD, with_analysis(card_of(model, hf.load_config(model)), analysis))
        Tokenizer.load(model).save(aside, hf.load_config(model).max_position_embeddings)
        if check is not None:
            Encoder.from_pretrained(aside, device="cpu").quantize(check, progress=progress)
    return output


def is_fine_tuned(model: Path) -> bool:
    """Whether a folder tags or classifies."""
    return architecture(model) in TASK_ARCHITECTURES


def card_of(model: Path, config: ModernBertConfig) -> str:
    """The card of a folder, or one that says that nothing is known of its training."""
    path = model / CARD
    return path.read_text(encoding="utf-8") if path.exists() else describe(config, run=None)


def _write_fine_tuned(model: Path, folder: Path) -> None:
    loaded, labels = load_task_model(model)
    save_task_model(loaded, folder, architecture(model), labels, hf.read_json(model / "config.json").get("problem_type"))
    for name in (CARD, FIGURES):
        if (model / name).exists():
            shutil.copyfile(model / name, folder / name)
