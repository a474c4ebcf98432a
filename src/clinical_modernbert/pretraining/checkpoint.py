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
from clinical_modernbert.errors import CheckpointError, ClinicalModernBertError
from clinical_modernbert.model import hf
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.tokenization import Tokenizer

FORMAT_VERSION = 1
LATEST = "latest"
_REMEDY = "Delete that folder and resume again: the one before it is used."


@dataclass(frozen=True)
class RunState:
    """How far a run is: `tokens` in all, `phase_tokens` of phase number `phase`, lines of metrics, where its next row and pairs stand."""

    step: int = 0
    tokens: int = 0
    phase: int = 0
    phase_tokens: int = 0
    metrics_lines: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    pair_cursor: Cursor = field(default_factory=Cursor)


def save(
    folder: Path,
    state: RunState,
    data: str,
    model: ModernBertForMaskedLM,
    optimizer: torch.optim.Optimizer,
    tokenizer: Tokenizer,
    keep_last: int,
) -> Path:
    """Write the checkpoint of `state`, point `latest` at it, and remove all but the `keep_last` newest.

    `data` is the fingerprint of the token store that the cursor points into.
    """
    path = folder / f"step_{state.step:08d}"
    with atomic.new_folder(path) as aside:
        hf.save(model, aside / "model")
        tokenizer.save(aside / "model", model.config.max_position_embeddings)
        (aside / "trainer").mkdir()
        tensors = {"rng": torch.get_rng_state(), **_flatten(model, optimizer)}
        save_file(tensors, aside / "trainer" / "tensors.safetensors")
        atomic.write_json(aside / "trainer" / "state.json", {"format_version": FORMAT_VERSION, "data": data, **asdict(state)})
    atomic.replace_link(folder / LATEST, path.name)
    others = [other for other in _steps(folder) if other != path]
    for old in others[: len(others) - (keep_last - 1)]:
        shutil.rmtree(old)
    return path


def newest(folder: Path) -> Path | None:
    """The checkpoint to resume from: what `latest` points at, else the last one that can be read; None where there is none."""
    latest = folder / LATEST
    candidates = [latest.resolve()] if latest.exists() else []
    for path in [*candidates, *reversed(_steps(folder))]:
        if (path / "trainer" / "state.json").is_file():
            return path
    return None


def load(path: Path, data: str, model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer) -> None:
    """Put the weights, optimizer state and random state of a checkpoint into `model` and `optimizer`.

    Raises:
        CheckpointError: it is damaged, or the run's data are no longer those of fingerprint `data`.
    """
    if _read(path)["data"] != data:
        raise CheckpointError(f"the corpus or the tokenizer changed since this checkpoint ({path}). Restore it, or start a new --output.")
    try:
        weights = hf.load(path / "model").state_dict()
        tensors = load_file(path / "trainer" / "tensors.safetensors")
        torch.set_rng_state(tensors.pop("rng"))
        _restore(model, optimizer, tensors)
    except (OSError, SafetensorError, KeyError, ClinicalModernBertError) as error:
        raise CheckpointError(f"damaged checkpoint ({path}: {type(error).__name__}). {_REMEDY}") from None
    model.load_state_dict(weights)


def read_state(path: Path) -> RunState:
    """How far the run was at this checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    state = _read(path)
    try:
        state.setdefault("pair_cursor", {})  # runs from before there was alignment
        values = {item.name: state[item.name] for item in fields(RunState)}
        cursors = {name: Cursor(**state[name]) for name in ("cursor", "pair_cursor")}
        return RunState(**values | cursors)
    except (KeyError, TypeError):
        raise CheckpointError(f"damaged checkpoint ({path}). {_REMEDY}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / "trainer" / "state.json").read_text(encoding="utf-8"))
        if state["format_version"] == FORMAT_VERSION:
            return dict(state)
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"damaged checkpoint ({path}). {_REMEDY}") from None
    raise CheckpointError(
        f"checkpoint format {state['format_version']} ({path}), this version reads {FORMAT_VERSION}. Use the version that wrote it."
    )


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*"))


def _restore(model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give every parameter its averages; raises KeyError where some are missing."""
    names = _names(model)
    kinds = {key.rsplit(".", 1)[1] for key in tensors}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {i: {kind: tensors[f"optimizer.{names[parameter]}.{kind}"] for kind in kinds} for i, parameter in enumerate(parameters)}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(model: ModernBertForMaskedLM) -> dict[torch.Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _flatten(model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names = _names(model)
    return {
        f"optimizer.{names[parameter]}.{key}": value.contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
