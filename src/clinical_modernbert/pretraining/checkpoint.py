"""Training state <-> `checkpoints/step_00001000/{model,trainer}`: whole or not at all, safetensors and JSON only."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
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
from clinical_modernbert.pretraining.ranks import Ranks, like, whole
from clinical_modernbert.tokenization import Tokenizer

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
LATEST = "latest"
_STATE = "trainer/state.json"
_GENERATOR = "rng"
"""A tensor that the first checkpoints held: the state of torch's generator."""
_ALWAYS = ("step", "tokens", "phase", "phase_tokens", "metrics_lines", "cursor")
"""What the state of every checkpoint has had from the first."""
_KINDS: tuple[set[str], ...] = (set(), {"step", "exp_avg", "exp_avg_sq"}, {"momentum_buffer"})
"""What an optimizer may keep of a parameter: nothing if it never had a gradient, averages, Muon's momentum."""
_REMEDY = "Delete that folder and resume again: the one before it is used."


@dataclass(frozen=True)
class RunState:
    """How far a run is: `tokens` in all, `phase_tokens` of phase number `phase`, lines of metrics, where its next row and pairs stand.

    `source_tokens` are those of text taken from each source so far; `recent_losses` those of the last steps of the phase;
    `skipped_steps` those whose loss was a spike. Of a private run, `secret` is what its chance comes from, hexadecimal digits that are
    never to be published, and `private_steps` are its `accounting.NoisySteps` so far.
    """

    step: int = 0
    tokens: int = 0
    phase: int = 0
    phase_tokens: int = 0
    metrics_lines: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    pair_cursor: Cursor = field(default_factory=Cursor)
    source_tokens: list[int] = field(default_factory=list)
    recent_losses: list[float] = field(default_factory=list)
    skipped_steps: int = 0
    secret: str = ""
    private_steps: list[list[float]] = field(default_factory=list)


def save(
    folder: Path,
    state: RunState,
    data: str,
    model: ModernBertForMaskedLM,
    optimizer: torch.optim.Optimizer,
    tokenizer: Tokenizer,
    keep_last: int,
    ranks: Ranks,
) -> None:
    """Write the checkpoint of `state`, point `latest` at it, and remove all but the `keep_last` newest.

    `data` is the fingerprint of the token store that the cursor points into. All processes call it, the first one writes.
    """
    weights = _on_first(model.state_dict(), ranks)
    averages = _on_first(_flatten(model, optimizer), ranks)
    if ranks.is_first:
        path = folder / f"step_{state.step:08d}"
        with atomic.new_folder(path) as aside:
            hf.save_tensors(model.config, weights, aside / "model")
            tokenizer.save(aside / "model", model.config.max_position_embeddings)
            (aside / "trainer").mkdir()
            save_file(averages, aside / "trainer" / "tensors.safetensors")
            files = {str(file.relative_to(aside)): atomic.sha256(file) for file in sorted(aside.rglob("*")) if file.is_file()}
            about = {"format_version": FORMAT_VERSION, "data": data, "files": files, **asdict(state)}
            atomic.write_json(aside / _STATE, {**about, "digest": _digest(about)})
        atomic.replace_link(folder / LATEST, path.name)
        steps = _steps(folder)
        beyond = steps[steps.index(path) + 1 :]  # damaged ones, which this run went back from
        for old in (*steps[: max(0, steps.index(path) + 1 - keep_last)], *beyond):
            shutil.rmtree(old)
    ranks.wait()


def newest(folder: Path) -> Path | None:
    """The checkpoint to resume from: what `latest` points at if it is whole, else the last one that is; None where there never was one.

    Each that is damaged is named in the log.

    Raises:
        CheckpointError: all are damaged.
    """
    latest = folder / LATEST
    first = [latest.resolve()] if latest.exists() else []
    candidates = list(dict.fromkeys([*first, *reversed(_steps(folder))]))
    for path in candidates:
        wrong = _damage(path)
        if wrong is None:
            return path
        logger.warning("damaged checkpoint (%s: %s): the one before it is used", path, wrong)
    if candidates:
        raise CheckpointError(f"every checkpoint is damaged ({folder}). Start anew with --overwrite.")
    return None


def load(path: Path, data: str, model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer) -> None:
    """Put the weights and the optimizer state of a checkpoint into `model` and `optimizer`, cut into parts where those are.

    Raises:
        CheckpointError: it is damaged, or the run's data are no longer those of fingerprint `data`.
    """
    if _read(path)["data"] != data:
        raise CheckpointError(f"the corpus or the tokenizer changed since this checkpoint ({path}). Restore it, or start a new --output.")
    try:
        weights = hf.load(path / "model").state_dict()
        tensors = load_file(path / "trainer" / "tensors.safetensors")
        tensors.pop(_GENERATOR, None)
        _restore(model, optimizer, tensors)
    except (OSError, SafetensorError, KeyError, ClinicalModernBertError) as error:
        raise CheckpointError(f"damaged checkpoint ({path}: {type(error).__name__}). {_REMEDY}") from None
    model.load_state_dict({name: like(weights[name], tensor) for name, tensor in model.state_dict().items()})


def read_state(path: Path) -> RunState:
    """How far the run was at this checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    state = _read(path)
    try:
        known: dict[str, Any] = {item.name: state[item.name] for item in fields(RunState) if item.name in state or item.name in _ALWAYS}
        known |= {name: Cursor(**known[name]) for name in ("cursor", "pair_cursor") if name in known}
        return RunState(**known)
    except (KeyError, TypeError):
        raise CheckpointError(f"damaged checkpoint ({path}). {_REMEDY}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
        if state["format_version"] == FORMAT_VERSION:
            return dict(state)
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"damaged checkpoint ({path}). {_REMEDY}") from None
    raise CheckpointError(
        f"checkpoint format {state['format_version']} ({path}), this version reads {FORMAT_VERSION}. Use the version that wrote it."
    )


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint; its hashes, which the first ones did not have, tell a single flipped bit."""
    try:
        about = _read(path)
    except CheckpointError:
        return "no readable state"
    if about.pop("digest", None) != _digest(about) and "files" in about:
        return f"{_STATE} is changed"
    files = about.get("files", {})
    changed = [name for name, wanted in files.items() if not (path / name).is_file() or atomic.sha256(path / name) != wanted]
    return f"{changed[0]} is missing or changed" if changed else None


def _digest(about: Mapping[str, Any]) -> str:
    return sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _on_first(tensors: Mapping[str, torch.Tensor], ranks: Ranks) -> dict[str, torch.Tensor]:
    """The tensors put together in the first process's memory; nothing in that of the others, who take part."""
    found = {}
    for name, tensor in tensors.items():
        complete = whole(tensor)
        if ranks.is_first:
            found[name] = complete.cpu().contiguous()
    return found


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*"))


def _restore(model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give every parameter its averages; raises KeyError where some are missing."""
    names = _names(model)
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, kind = key.removeprefix("optimizer.").rsplit(".", 1)
        found.setdefault(name, {})[kind] = tensor
    state = {}
    for i, parameter in enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]):
        own = found.pop(names[parameter], {})
        if set(own) not in _KINDS:
            raise KeyError(names[parameter])
        if own:
            state[i] = {kind: like(tensor, parameter) if tensor.ndim else tensor for kind, tensor in own.items()}
    if found:
        raise KeyError(next(iter(found)))
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(model: ModernBertForMaskedLM) -> dict[torch.Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _flatten(model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names = _names(model)
    return {f"optimizer.{names[parameter]}.{key}": value for parameter, state in optimizer.state.items() for key, value in state.items()}
