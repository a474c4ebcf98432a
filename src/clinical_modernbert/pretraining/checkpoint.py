"""Training state <-> `checkpoints/step_00001000/{model,trainer}`: whole or not at all, safetensors and JSON only."""

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clinical_modernbert import atomic
from clinical_modernbert.batching import Cursor
from clinical_modernbert.errors import CheckpointError
from clinical_modernbert.model import hf
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.tokenization import Tokenizer

FORMAT_VERSION = 1
LATEST = "latest"


@dataclass(frozen=True)
class Progress:
    """How far a run is: `tokens` in all, `phase_tokens` of phase number `phase`, lines of metrics, and where its next row stands."""

    step: int = 0
    tokens: int = 0
    phase: int = 0
    phase_tokens: int = 0
    metrics_lines: int = 0
    cursor: Cursor = field(default_factory=Cursor)


def save(
    folder: Path,
    progress: Progress,
    data: str,
    model: ModernBertForMaskedLM,
    optimizer: torch.optim.Optimizer,
    tokenizer: Tokenizer,
    keep_last: int,
) -> Path:
    """Write the checkpoint of `progress`, point `latest` at it, and remove all but the `keep_last` newest.

    `data` is the fingerprint of the token store that the cursor points into.
    """
    path = folder / f"step_{progress.step:08d}"
    with atomic.new_folder(path) as aside:
        hf.save(model, aside / "model")
        tokenizer.save(aside / "model", model.config.max_position_embeddings)
        (aside / "trainer").mkdir()
        tensors = {"rng": torch.get_rng_state(), **_flatten(model, optimizer)}
        save_file(tensors, aside / "trainer" / "tensors.safetensors")
        atomic.write_json(aside / "trainer" / "state.json", {"format_version": FORMAT_VERSION, "data": data, **asdict(progress)})
    atomic.replace_link(folder / LATEST, path.name)
    for old in sorted(folder.glob("step_*"))[:-keep_last]:
        shutil.rmtree(old)
    return path


def load(path: Path, data: str, model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer) -> None:
    """Put the weights, optimizer state and random state of a checkpoint into `model` and `optimizer`.

    Raises:
        CheckpointError: it is damaged, or the run's data are no longer those of fingerprint `data`.
    """
    if read_state(path)["data"] != data:
        raise CheckpointError(f"the corpus or the tokenizer changed since this checkpoint ({path}). Restore it, or start a new --output.")
    model.load_state_dict(hf.load(path / "model").state_dict())
    try:
        tensors = load_file(path / "trainer" / "tensors.safetensors")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"damaged checkpoint ({path}: {type(error).__name__}). Delete that folder and resume again.") from None
    torch.set_rng_state(tensors.pop("rng"))
    names = _names(model)
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        prefix = f"optimizer.{names[parameter]}."
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        optimizer.state[parameter] = {key: value.to(parameter.device) if key != "step" else value for key, value in state.items()}


def read_progress(path: Path) -> Progress:
    """How far the run was at this checkpoint."""
    state = read_state(path)
    values = {item.name: state[item.name] for item in fields(Progress)}
    return Progress(**values | {"cursor": Cursor(**state["cursor"])})


def read_state(path: Path) -> dict[str, Any]:
    """The plain part of a checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    try:
        state: dict[str, Any] = json.loads((path / "trainer" / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CheckpointError(f"no readable checkpoint ({path}). Delete that folder and resume again.") from None
    if state.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"checkpoint format {state.get('format_version')} ({path}), this version reads {FORMAT_VERSION}.")
    return state


def _names(model: ModernBertForMaskedLM) -> dict[torch.Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _flatten(model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names = _names(model)
    return {
        f"optimizer.{names[parameter]}.{key}": value.contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
