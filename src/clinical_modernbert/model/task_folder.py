"""Folders of fine-tuned models, under Hugging Face's names: read strictly and written whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.model import hf
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.task_model import TaskModel

TASK_ARCHITECTURES = ("ModernBertForTokenClassification", "ModernBertForSequenceClassification")
"""What `load_task_model` reads: a decision at each token, or one of a text."""
_CONFIG = "config.json"


def architecture(folder: Path) -> str:
    """The first of `config.json`'s `architectures`, empty where it names none."""
    named = hf.read_json(folder / _CONFIG).get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def load_task_model(folder: Path, *, device: torch.device | str = "cpu", attention: str = "auto") -> tuple[TaskModel, tuple[str, ...]]:
    """Read a ModernBertForTokenClassification or ...ForSequenceClassification and the names of its outputs; every tensor is accounted for.

    Raises:
        ConfigError: `config.json` describes another model.
        CheckpointError: see `hf.load_report`.
    """
    described = hf.read_json(folder / _CONFIG)
    names = described.get("id2label")
    if architecture(folder) not in TASK_ARCHITECTURES or not isinstance(names, Mapping):
        raise ConfigError(f"{folder} is no {' or '.join(TASK_ARCHITECTURES)} with id2label. Give a folder of cmbert finetune.")
    if architecture(folder) == TASK_ARCHITECTURES[1] and described.get("classifier_pooling", "cls") != "mean":
        raise ConfigError(f"{folder}: classifier_pooling is not mean, and others are not supported. Fine-tune it with cmbert finetune.")
    try:
        labels = tuple(str(names[str(number)]) for number in range(len(names)))
    except KeyError:
        raise ConfigError(f"{folder / _CONFIG}: id2label does not count from 0. Correct the file.") from None
    with torch.device("meta"):
        model = TaskModel(ModernBertForMaskedLM(hf.load_config(folder), attention), len(labels), 0.0)
    own = {_task_name(name): name for name in model.state_dict() if _task_name(name)}
    hf.check_tensors(
        folder, {name: tuple(model.state_dict()[mine].shape) for name, mine in own.items()}, {}, " or ".join(TASK_ARCHITECTURES)
    )
    tensors = {own[name]: tensor.float() for name, tensor in hf.read_tensors(folder, device).items()}
    unused = {name: torch.zeros(value.shape, device=device) for name, value in model.state_dict().items() if name not in tensors}
    model.load_state_dict(tensors | unused, strict=True, assign=True)
    return model.eval(), labels


def save_task_model(model: TaskModel, folder: Path, architecture: str, labels: Sequence[str], problem_type: str | None) -> None:
    """Write a fine-tuned ModernBERT as `architecture`, one of `TASK_ARCHITECTURES`, under Hugging Face's names.

    `problem_type` is Hugging Face's, of a sequence classifier. The masked-language decoder is left out.
    """
    encoder = model.encoder
    assert isinstance(encoder, ModernBertForMaskedLM)
    tensors = {_task_name(name): tensor for name, tensor in model.state_dict().items() if _task_name(name)}
    further = {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "classifier_pooling": "mean",
        **({"problem_type": problem_type} if problem_type else {}),
    }
    hf.save_tensors(encoder.config, tensors, folder, architecture=architecture, further=further)


def _task_name(name: str) -> str:
    """Hugging Face's name of a `TaskModel`'s tensor; empty for one that its folder does not have."""
    return "" if name.startswith("encoder.decoder.") else name.removeprefix("encoder.")
