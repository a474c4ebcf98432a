"""A phase of masked language modelling: what one of its steps does, and what is asked of the held-out split."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from clinical_modernbert.batching import Loader, PackedBatch
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.objective import Scores, masked_loss, summarise
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.pretraining.validation import Validator


@dataclass(frozen=True)
class Taken:
    """What a step took: `state` has its cursors moved on, the gradients stand in the model; the rest is what to report."""

    state: RunState
    num_tokens: int
    figures: dict[str, float]
    documents: list[int]
    concepts: list[str] = field(default_factory=list)


class MaskedPhase:
    """Phase `number` of a run: rows of text, some of their tokens hidden."""

    _weight = 1.0

    def __init__(self, run: Training, number: int) -> None:
        phase = run.recipe.stages[number]
        self._run, self._phase = run, phase
        self.loader = make_loader(run, number)
        self._validator = Validator(run.validation_store, run.tokenizer, phase, run.recipe.validation, run.recipe.seed)

    def begin(self) -> None:
        """What is done to the run before the first step of the phase."""

    def counts(self) -> dict[str, float]:
        """What an epoch consists of, what is cut in it, and what is left out."""
        samples = self.loader.samples
        cut = {"split_documents": samples.split_documents, "hard_cuts": samples.hard_cuts}
        return {"samples": len(samples), **cut, "left_out": samples.left_out}

    def step(self, state: RunState, progress: float) -> Taken:
        """Add the gradients of the next rows' loss; `progress` (0 to 1) is how far the phase is."""
        phase, run = self._phase, self._run
        rows, cursor = self.loader.take(state.cursor, phase.rows_per_step)
        size = phase.rows_per_micro_batch
        batches = [self.loader.batch(rows[i : i + size], progress) for i in range(0, len(rows), size)]
        scores = accumulate(run.model, batches, run.device, self._weight)
        labels = np.concatenate([batch.labels for batch in batches])
        num_tokens = sum(batch.num_tokens for batch in batches)
        figures = {
            **summarise(scores.losses, scores.ranks, int(run.tokenizer.num_bytes[labels].sum())),
            "mlm_probability": self.loader.masking.probability(progress),
            "padding_share": 1 - num_tokens / (len(rows) * phase.max_tokens),
            "epoch": cursor.epoch,
        }
        documents = sorted({int(document) for batch in batches for document in batch.documents})
        return Taken(replace(state, cursor=cursor), num_tokens, figures, documents)

    def validate(self) -> dict[str, float]:
        """Figures of the held-out split."""
        return self._validator.measure(self._run.model, self._run.device)


def make_loader(run: Training, number: int) -> Loader:
    """The rows of phase `number`."""
    phase = run.recipe.stages[number]
    return Loader(
        run.train_store,
        run.tokenizer,
        max_tokens=phase.max_tokens,
        masking=phase.masking,
        seed=run.recipe.seed,
        phase=number,
        mixture=phase.mixture,
    )


def accumulate(model: ModernBertForMaskedLM, batches: list[PackedBatch], device: torch.device, weight: float = 1.0) -> Scores:
    """Add the gradient of `weight` times the mean loss over all masked positions of `batches`, one batch in memory at a time."""
    num_masked = max(sum(len(batch.labels) for batch in batches), 1)
    scores = []
    for batch in batches:
        loss, score = masked_loss(model, batch, device)
        (loss * (weight / num_masked)).backward()  # type: ignore[no-untyped-call]
        scores.append(score)
    return Scores(np.concatenate([score.losses for score in scores]), np.concatenate([score.ranks for score in scores]))
