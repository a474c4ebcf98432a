"""The training loop: rows -> loss -> step, with validation and checkpoints on the way."""

import logging
import math
import time
from dataclasses import replace

import torch

from clinical_modernbert.batching import Cursor
from clinical_modernbert.errors import TrainingError
from clinical_modernbert.pretraining.alignment import AlignmentPhase
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.masked import MaskedPhase, Taken
from clinical_modernbert.pretraining.metrics import MetricsWriter
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.schedule import learning_rate_share
from clinical_modernbert.pretraining.settings import AlignmentSettings, PhaseSettings
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.progress import Progress

logger = logging.getLogger(__name__)


def train(run: Training, show: Progress) -> None:
    """Move `run` to the end of its recipe.

    Raises:
        TrainingError: a loss or gradient that is not finite, before it reaches the weights.
    """
    try:
        with MetricsWriter(run.folder, run.state.metrics_lines, run.state.step) as metrics:
            for number in range(run.state.phase, len(run.recipe.stages)):
                if number != run.state.phase:
                    run.state = replace(run.state, phase=number, phase_tokens=0, cursor=Cursor(), pair_cursor=Cursor())
                _train_phase(run, number, metrics, show)
    except KeyboardInterrupt:
        logger.warning("interrupted at step %d; --resume goes on from the newest checkpoint", run.state.step)
        raise


def _train_phase(run: Training, number: int, metrics: MetricsWriter, show: Progress) -> None:
    phase = run.recipe.stages[number]
    if run.state.phase_tokens >= phase.tokens:
        return
    work = AlignmentPhase(run, number) if isinstance(phase, AlignmentSettings) else MaskedPhase(run, number)
    if run.state.phase_tokens == 0:
        _tell_counts(run, work, metrics)
        _validate(run, work, metrics)
        work.begin()
    _set_hyperparameters(run, phase)
    title = f"Training {phase.name} ({number + 1}/{len(run.recipe.stages)})"
    with show(title, total=phase.tokens, unit="tokens") as advance:
        advance(run.state.phase_tokens)
        while run.state.phase_tokens < phase.tokens:
            before = run.state
            values = _step(run, phase, work)
            metrics.write(run.state.step, run.state.tokens, phase.name, values)
            advance(run.state.tokens - before.tokens)
            ended = run.state.phase_tokens >= phase.tokens
            if ended or _crossed(before, run.state, run.recipe.validation.every_tokens):
                _validate(run, work, metrics)
            if ended or _crossed(before, run.state, run.recipe.checkpoint.every_tokens):
                run.state = replace(run.state, metrics_lines=metrics.sync())
                run.save()


def _step(run: Training, phase: PhaseSettings, work: MaskedPhase) -> dict[str, float]:
    began = time.perf_counter()
    done = run.state
    taken = work.step(done, done.phase_tokens / phase.tokens)
    middle = done.phase_tokens + min(taken.num_tokens, phase.tokens - done.phase_tokens) / 2
    learning_rate = phase.optimizer.peak_lr * learning_rate_share(phase.schedule, middle, phase.tokens)
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate
    limit = phase.optimizer.max_grad_norm or math.inf
    grad_norm = float(torch.nn.utils.clip_grad_norm_(run.model.parameters(), limit))
    losses = {name: value for name, value in taken.figures.items() if name.endswith("loss")} | {"gradient norm": grad_norm}
    if not all(math.isfinite(value) for value in losses.values()):
        raise TrainingError(_not_finite(run, taken, losses))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    count = taken.num_tokens
    run.state = replace(taken.state, step=done.step + 1, tokens=done.tokens + count, phase_tokens=done.phase_tokens + count)
    rate = count / (time.perf_counter() - began)
    return {**taken.figures, "grad_norm": grad_norm, "learning_rate": learning_rate, "tokens_per_second": rate}


def _tell_counts(run: Training, work: MaskedPhase, metrics: MetricsWriter) -> None:
    """Say what an epoch of this phase consists of, and what is cut or left out."""
    name, counts = run.recipe.stages[run.state.phase].name, work.counts()
    logger.info("phase %s, an epoch: %s", name, ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in counts.items()))
    metrics.write(run.state.step, run.state.tokens, name, counts)


def _set_hyperparameters(run: Training, phase: PhaseSettings) -> None:
    """Give the optimizer the phase's settings; its averages go on where the kind is the same as before."""
    fresh = make_optimizer(run.model, phase.optimizer)
    if type(fresh) is not type(run.optimizer):
        run.optimizer = fresh
    for group, wanted in zip(run.optimizer.param_groups, fresh.param_groups, strict=True):
        group.update({key: value for key, value in wanted.items() if key != "params"})


def _validate(run: Training, work: MaskedPhase, metrics: MetricsWriter) -> None:
    metrics.write(run.state.step, run.state.tokens, run.recipe.stages[run.state.phase].name, work.validate())


def _crossed(before: RunState, after: RunState, every: int) -> bool:
    return before.tokens // every != after.tokens // every


def _not_finite(run: Training, taken: Taken, losses: dict[str, float]) -> str:
    named = [*taken.concepts[:5], *(run.train_store.document_ids[document] for document in taken.documents[:5])]
    stage = run.state.phase
    setting = f"phases.{stage}" if stage < len(run.recipe.phases) else "alignment"
    return (
        f"{', '.join(f'{name} {value}' for name, value in losses.items())} at step {run.state.step + 1} "
        f"({len(taken.documents)} documents, {len(taken.concepts)} pairs, among them {', '.join(named)}); "
        f"the weights were not touched. Look at these documents, or start a new --output with --init {run.folder}/checkpoints/latest/model "
        f"and a lower --set {setting}.optimizer.peak_lr."
    )
