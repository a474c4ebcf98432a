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
from clinical_modernbert.pretraining.metrics import MetricsWriter, NoMetrics
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.plan import training_flops
from clinical_modernbert.pretraining.private import PrivatePhase
from clinical_modernbert.pretraining.ranks import whole
from clinical_modernbert.pretraining.safety import SPIKE_WINDOW, Request, is_spike, sigterm_request
from clinical_modernbert.pretraining.schedule import learning_rate_share
from clinical_modernbert.pretraining.settings import AlignmentSettings, PhaseSettings
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.progress import Progress, silent

logger = logging.getLogger(__name__)


def train(run: Training, show: Progress) -> None:
    """Move `run` to the end of its recipe, or to the step at which SIGTERM came: both leave a checkpoint.

    Raises:
        TrainingError: a loss or gradient that is not finite, before it reaches the weights.
    """
    try:
        with _metrics(run) as metrics, sigterm_request() as request:
            for number in range(run.state.phase, len(run.recipe.stages)):
                if number != run.state.phase:
                    run.state = replace(run.state, phase=number, phase_tokens=0, cursor=Cursor(), pair_cursor=Cursor(), recent_losses=[])
                if not _train_phase(run, number, metrics, show if run.ranks.is_first else silent, request):
                    logger.warning("ended by SIGTERM at step %d; --resume goes on from there", run.state.step)
                    return
    except KeyboardInterrupt:
        logger.warning("interrupted at step %d; --resume goes on from the newest checkpoint", run.state.step)
        raise


def _metrics(run: Training) -> MetricsWriter | NoMetrics:
    return MetricsWriter(run.folder, run.state.metrics_lines, run.state.step) if run.ranks.is_first else NoMetrics()


def _train_phase(run: Training, number: int, metrics: MetricsWriter | NoMetrics, show: Progress, request: Request) -> bool:
    """Whether the phase came to its end."""
    phase = run.recipe.stages[number]
    if run.state.phase_tokens >= phase.tokens:
        return True
    work = _work(run, number)
    if run.state.phase_tokens == 0:
        _tell_counts(run, work, metrics)
        _validate(run, work, metrics)
        work.begin()
    _set_hyperparameters(run, phase)
    run.model.train()
    title = f"Training {phase.name} ({number + 1}/{len(run.recipe.stages)})"
    with show(title, total=phase.tokens, unit="tokens", before=run.state.phase_tokens) as advance:
        while run.state.phase_tokens < phase.tokens:
            before = run.state
            values = _step(run, phase, work)
            metrics.write(run.state.step, run.state.tokens, phase.name, values)
            advance(run.state.tokens - before.tokens)
            ended = run.state.phase_tokens >= phase.tokens
            stopped = any(run.ranks.sum([request.made]))
            if ended or _crossed(before, run.state, run.recipe.validation.every_tokens):
                _validate(run, work, metrics)
            if ended or stopped or _crossed(before, run.state, run.recipe.checkpoint.every_tokens):
                run.state = replace(run.state, metrics_lines=metrics.sync())
                run.save()
            if stopped and not (ended and number == len(run.recipe.stages) - 1):
                return False
    return True


def _work(run: Training, number: int) -> MaskedPhase:
    if run.recipe.private.enabled:
        return PrivatePhase(run, number)
    return AlignmentPhase(run, number) if isinstance(run.recipe.stages[number], AlignmentSettings) else MaskedPhase(run, number)


def _step(run: Training, phase: PhaseSettings, work: MaskedPhase) -> dict[str, float]:
    began = time.perf_counter()
    done = run.state
    taken = work.step(done)
    count = taken.counted_tokens
    middle = done.phase_tokens + min(count, phase.tokens - done.phase_tokens) / 2
    learning_rate = phase.optimizer.peak_lr * learning_rate_share(phase.schedule, middle, phase.tokens)
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate
    run.ranks.sum_gradients(run.model)
    limit = phase.optimizer.max_grad_norm or math.inf
    grad_norm = float(whole(torch.nn.utils.clip_grad_norm_(run.model.parameters(), limit)))
    losses = {name: value for name, value in taken.figures.items() if name.endswith("loss")} | {"gradient norm": grad_norm}
    if not all(math.isfinite(value) for value in losses.values()):
        raise TrainingError(_not_finite(run, taken, losses))
    skipped = any(run.ranks.sum([run.ranks.is_first and is_spike(done.recent_losses, taken.loss, run.recipe.spike_sigmas)]))
    if skipped and run.ranks.is_first:
        logger.warning("step %d was skipped: its loss of %.3f is a spike (%s)", done.step + 1, taken.loss, _named(run, taken))
    if not skipped:
        run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.state = replace(
        taken.state,
        step=done.step + 1,
        tokens=done.tokens + count,
        phase_tokens=done.phase_tokens + count,
        recent_losses=[*done.recent_losses, taken.loss][-SPIKE_WINDOW:],
        skipped_steps=done.skipped_steps + skipped,
    )
    seconds = time.perf_counter() - began
    masked_share = taken.num_masked / max(taken.num_tokens, 1)
    rate = training_flops(run.model.config, taken.lengths, masked_share) / seconds / run.ranks.world
    return {
        **taken.figures,
        "grad_norm": grad_norm,
        "learning_rate": learning_rate,
        "skipped_steps": run.state.skipped_steps,
        "tokens_per_second": taken.num_tokens / seconds,
        "share_of_matrix_rate": rate / run.matrix_rate,
    }


def _tell_counts(run: Training, work: MaskedPhase, metrics: MetricsWriter | NoMetrics) -> None:
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


def _validate(run: Training, work: MaskedPhase, metrics: MetricsWriter | NoMetrics) -> None:
    names = run.train_store.source_names
    epochs = zip(names, run.state.source_tokens or [0] * len(names), run.train_store.source_tokens, strict=True)
    counted = {f"epochs/{name}": seen / there for name, seen, there in epochs if there}
    metrics.write(run.state.step, run.state.tokens, run.recipe.stages[run.state.phase].name, work.validate() | counted)


def _crossed(before: RunState, after: RunState, every: int) -> bool:
    return before.tokens // every != after.tokens // every


def _named(run: Training, taken: Taken) -> str:
    """Some of what a step took, by ids alone."""
    names = [*taken.concepts[:5], *(run.train_store.document_ids[document] for document in taken.documents[:5])]
    return f"{len(taken.documents)} documents, {len(taken.concepts)} pairs, among them {', '.join(names)}"


def _not_finite(run: Training, taken: Taken, losses: dict[str, float]) -> str:
    stage = run.state.phase
    setting = f"phases.{stage}" if stage < len(run.recipe.phases) else "alignment"
    return (
        f"{', '.join(f'{name} {value}' for name, value in losses.items())} at step {run.state.step + 1} "
        f"({_named(run, taken)}); "
        f"the weights were not touched. Look at these documents, or start a new --output with --init {run.folder}/checkpoints/latest/model "
        f"and a lower --set {setting}.optimizer.peak_lr."
    )
