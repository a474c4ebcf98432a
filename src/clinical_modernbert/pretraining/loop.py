"""The training loop: rows -> loss -> step, with validation and checkpoints on the way."""

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from clinical_modernbert.batching import Cursor, Loader, PackedBatch, TokenStore
from clinical_modernbert.errors import TrainingError
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining import checkpoint
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.metrics import MetricsWriter
from clinical_modernbert.pretraining.objective import Scores, masked_loss, summarise
from clinical_modernbert.pretraining.optimizer import make_optimizer
from clinical_modernbert.pretraining.schedule import learning_rate_share
from clinical_modernbert.pretraining.settings import PhaseSettings, RunSettings
from clinical_modernbert.pretraining.validation import Validator
from clinical_modernbert.progress import Progress
from clinical_modernbert.tokenization import Tokenizer

logger = logging.getLogger(__name__)


@dataclass
class Training:
    """A run in memory: what `train` moves forward."""

    recipe: RunSettings
    folder: Path
    tokenizer: Tokenizer
    train_store: TokenStore
    validation_store: TokenStore
    model: ModernBertForMaskedLM
    optimizer: torch.optim.Optimizer
    device: torch.device
    state: RunState

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        checkpoint.save(
            self.folder / "checkpoints",
            self.state,
            self.train_store.fingerprint,
            self.model,
            self.optimizer,
            self.tokenizer,
            self.recipe.checkpoint.keep_last,
        )


def train(run: Training, show: Progress) -> None:
    """Move `run` to the end of its recipe.

    Raises:
        TrainingError: a loss or gradient that is not finite, before it reaches the weights.
    """
    try:
        with MetricsWriter(run.folder, run.state.metrics_lines, run.state.step) as metrics:
            for number in range(run.state.phase, len(run.recipe.phases)):
                if number != run.state.phase:
                    run.state = replace(run.state, phase=number, phase_tokens=0, cursor=Cursor())
                _train_phase(run, number, metrics, show)
    except KeyboardInterrupt:
        logger.warning("interrupted at step %d; --resume goes on from the newest checkpoint", run.state.step)
        raise


def _train_phase(run: Training, number: int, metrics: MetricsWriter, show: Progress) -> None:
    phase = run.recipe.phases[number]
    if run.state.phase_tokens >= phase.tokens:
        return
    loader = make_loader(run, number)
    validator = Validator(run.validation_store, run.tokenizer, phase, run.recipe.validation, run.recipe.seed)
    _set_hyperparameters(run, phase)
    if run.state.phase_tokens == 0:
        _tell_samples(run, loader, metrics)
        _validate(run, validator, metrics)
    title = f"Training {phase.name} ({number + 1}/{len(run.recipe.phases)})"
    with show(title, total=phase.tokens, unit="tokens") as advance:
        advance(run.state.phase_tokens)
        while run.state.phase_tokens < phase.tokens:
            before = run.state
            values = _step(run, phase, loader)
            metrics.write(run.state.step, run.state.tokens, phase.name, values)
            advance(run.state.tokens - before.tokens)
            ended = run.state.phase_tokens >= phase.tokens
            if ended or _crossed(before, run.state, run.recipe.validation.every_tokens):
                _validate(run, validator, metrics)
            if ended or _crossed(before, run.state, run.recipe.checkpoint.every_tokens):
                run.state = replace(run.state, metrics_lines=metrics.sync())
                run.save()


def make_loader(run: Training, number: int) -> Loader:
    """The rows of phase `number`."""
    phase = run.recipe.phases[number]
    return Loader(
        run.train_store,
        run.tokenizer,
        max_tokens=phase.max_tokens,
        masking=phase.masking,
        seed=run.recipe.seed,
        phase=number,
        mixture=phase.mixture,
    )


def _step(run: Training, phase: PhaseSettings, loader: Loader) -> dict[str, float]:
    began = time.perf_counter()
    done = run.state
    rows, cursor = loader.take(done.cursor, phase.rows_per_step)
    size = phase.rows_per_micro_batch
    share = done.phase_tokens / phase.tokens
    batches = [loader.batch(rows[i : i + size], share) for i in range(0, len(rows), size)]
    num_tokens = sum(batch.num_tokens for batch in batches)
    middle = done.phase_tokens + min(num_tokens, phase.tokens - done.phase_tokens) / 2
    learning_rate = phase.optimizer.peak_lr * learning_rate_share(phase.schedule, middle, phase.tokens)
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate
    scores = accumulate(run.model, batches, run.device)
    limit = phase.optimizer.max_grad_norm or math.inf
    grad_norm = float(torch.nn.utils.clip_grad_norm_(run.model.parameters(), limit))
    labels = np.concatenate([batch.labels for batch in batches])
    figures = summarise(scores.losses, scores.ranks, int(run.tokenizer.num_bytes[labels].sum()))
    if not (math.isfinite(figures["loss"]) and math.isfinite(grad_norm)):
        raise TrainingError(_not_finite(run, batches, figures["loss"], grad_norm))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.state = replace(
        done, step=done.step + 1, tokens=done.tokens + num_tokens, phase_tokens=done.phase_tokens + num_tokens, cursor=cursor
    )
    return {
        **figures,
        "grad_norm": grad_norm,
        "learning_rate": learning_rate,
        "mlm_probability": loader.masking.probability(share),
        "padding_share": 1 - num_tokens / (len(rows) * phase.max_tokens),
        "epoch": cursor.epoch,
        "tokens_per_second": num_tokens / (time.perf_counter() - began),
    }


def accumulate(model: ModernBertForMaskedLM, batches: list[PackedBatch], device: torch.device) -> Scores:
    """Add the gradient of the mean loss over all masked positions of `batches`, one batch in memory at a time."""
    num_masked = max(sum(len(batch.labels) for batch in batches), 1)
    scores = []
    for batch in batches:
        loss, score = masked_loss(model, batch, device)
        (loss / num_masked).backward()  # type: ignore[no-untyped-call]
        scores.append(score)
    return Scores(np.concatenate([score.losses for score in scores]), np.concatenate([score.ranks for score in scores]))


def _tell_samples(run: Training, loader: Loader, metrics: MetricsWriter) -> None:
    """Say what an epoch of this phase consists of, and what was cut or left out."""
    name, samples = run.recipe.phases[run.state.phase].name, loader.samples
    logger.info(
        "phase %s: %s samples an epoch; %s documents longer than a row cut (%s pieces not at a line end), %s left out by the mixture",
        *(name, f"{len(samples):,}", f"{samples.split_documents:,}", f"{samples.hard_cuts:,}", f"{samples.left_out:,}"),
    )
    counts = {"samples": len(samples), "split_documents": samples.split_documents, "hard_cuts": samples.hard_cuts}
    metrics.write(run.state.step, run.state.tokens, name, {**counts, "left_out": samples.left_out})


def _set_hyperparameters(run: Training, phase: PhaseSettings) -> None:
    """Give the optimizer the phase's settings; its averages go on where the kind is the same as before."""
    fresh = make_optimizer(run.model, phase.optimizer)
    if type(fresh) is not type(run.optimizer):
        run.optimizer = fresh
    for group, wanted in zip(run.optimizer.param_groups, fresh.param_groups, strict=True):
        group.update({key: value for key, value in wanted.items() if key != "params"})


def _validate(run: Training, validator: Validator, metrics: MetricsWriter) -> None:
    figures = validator.measure(run.model, run.device)
    metrics.write(run.state.step, run.state.tokens, run.recipe.phases[run.state.phase].name, figures)


def _crossed(before: RunState, after: RunState, every: int) -> bool:
    return before.tokens // every != after.tokens // every


def _not_finite(run: Training, batches: list[PackedBatch], loss: float, grad_norm: float) -> str:
    documents = sorted({int(document) for batch in batches for document in batch.documents})
    named = ", ".join(run.train_store.document_ids[document] for document in documents[:5])
    return (
        f"loss {loss}, gradient norm {grad_norm} at step {run.state.step + 1} ({len(documents)} documents, among them {named}); "
        f"the weights were not touched. Look at these documents, or start a new --output with --init {run.folder}/checkpoints/latest/model "
        f"and a lower --set phases.{run.state.phase}.optimizer.peak_lr."
    )
