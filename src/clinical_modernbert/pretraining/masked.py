"""A phase of masked language modelling: what one of its steps does, and what is asked of the held-out split."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from clinical_modernbert.batching import CodeEntries, Cursor, Loader, PackedBatch
from clinical_modernbert.batching.loader import Row
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.pretraining.chance import set_chance
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.objective import TALLIED, Scores, masked_loss, summarise, tally
from clinical_modernbert.pretraining.training import Training
from clinical_modernbert.pretraining.validation import Validator
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What a step took: `state` has its cursors moved on, the gradients stand in the model; the rest is what to report.

    `loss` is what was differentiated; `lengths` are the tokens of every document, special ones included; `num_masked` were to be told.
    `counted` is what the step counts for where that may not depend on the text.
    """

    state: RunState
    loss: float
    lengths: np.ndarray
    num_masked: float
    figures: dict[str, float]
    documents: list[int]
    concepts: list[str] = field(default_factory=list)
    counted: int | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens of the step, over all processes."""
        return int(self.lengths.sum())

    @property
    def counted_tokens(self) -> int:
        """Tokens by which the step moves the run on."""
        return self.num_tokens if self.counted is None else self.counted


@dataclass(frozen=True)
class _Prepared:
    """The rows of a step, and how to get this process's micro-batches: its own, and those that only keep it in step with the others."""

    rows: list[Row]
    cursor: Cursor
    samples: np.ndarray
    own: list[tuple[int, Callable[[], PackedBatch]]]
    spare: list[Callable[[], PackedBatch]]


class MaskedPhase:
    """Phase `number` of a run: rows of text, some of their tokens hidden."""

    _weight = 1.0
    _reads_ahead = True

    def __init__(self, run: Training, number: int) -> None:
        phase = run.recipe.stages[number]
        self._run, self._phase = run, phase
        self.loader = make_loader(run, number, self._seed())
        self._validator = Validator(run.validation_store, run.tokenizer, phase, run.recipe.validation, run.recipe.seed)
        idle = -(phase.rows_per_step // phase.rows_per_micro_batch) % run.ranks.world
        if idle and run.ranks.is_first:
            logger.warning(
                "phase %s: %d of %d processes have nothing to do at the end of a step; see docs/scaling.md",
                phase.name,
                idle,
                run.ranks.world,
            )
        threads = run.recipe.loader_threads if self._reads_ahead else 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rows") if threads else None
        self._next: tuple[Cursor, int, _Prepared] | None = None

    def begin(self) -> None:
        """What is done to the run before the first step of the phase."""

    def counts(self) -> dict[str, float]:
        """What an epoch consists of, what is cut in it, and what is left out."""
        samples = self.loader.samples
        cut = {"split_documents": samples.split_documents, "hard_cuts": samples.hard_cuts}
        return {"samples": len(samples), **cut, "left_out": samples.left_out}

    def step(self, state: RunState) -> Taken:
        """Add this process's part of the gradients of the next rows' loss."""
        run, prepared = self._run, self._take(state)
        lengths = self.loader.lengths[prepared.samples]
        if self._pool is not None:
            tokens = state.phase_tokens + int(lengths.sum())
            self._next = prepared.cursor, tokens, self._prepare(prepared.cursor, tokens)
        batches = [(part, make()) for part, make in prepared.own]
        (num_masked,) = run.ranks.sum([sum(len(batch.labels) for _, batch in batches)])
        sums = np.zeros((1, TALLIED))
        for part, batch in batches:
            set_chance(run.recipe.seed, state.step, part)
            scores = accumulate(run.model, [batch], run.device, self._weight, num_masked)
            sums += tally(scores, run.tokenizer.num_bytes[batch.labels])
        for make in prepared.spare:
            accumulate(run.model, [make()], run.device, 0.0)
        figures = summarise(run.ranks.sum(sums[0].tolist()))
        loss = self._weight * figures["loss"]
        figures |= {
            "mlm_probability": self.loader.masking.probability(state.phase_tokens / self._phase.tokens),
            "rows": len(prepared.rows),
            "padding_share": 1 - int(lengths.sum()) / (len(prepared.rows) * self._phase.max_tokens),
            "epoch": prepared.cursor.epoch,
        }
        after = replace(state, cursor=prepared.cursor, source_tokens=self._seen(state, prepared.samples))
        documents = self.loader.samples.document[prepared.samples]
        return Taken(after, loss, lengths, num_masked, figures, sorted(set(documents.tolist())))

    def validate(self) -> dict[str, float]:
        """Figures of the held-out split."""
        return self._validator.measure(self._run.model, self._run.ranks)

    def _seed(self) -> int:
        """What the order of rows and their masks are a function of."""
        return self._run.recipe.seed

    def _seen(self, state: RunState, samples: np.ndarray) -> list[int]:
        """Tokens of text taken from each source so far, with those of `samples`."""
        store = self._run.train_store
        sources, lengths = store.sources[self.loader.samples.document[samples]], self.loader.lengths[samples]
        seen = np.bincount(sources, lengths - SPECIAL_TOKENS_PER_SEQUENCE, len(store.source_names)).astype(int).tolist()
        before = state.source_tokens or [0] * len(seen)
        return [old + new for old, new in zip(before, seen, strict=True)]

    def _take(self, state: RunState) -> _Prepared:
        if self._next is not None and self._next[:2] == (state.cursor, state.phase_tokens):
            return self._next[2]
        return self._prepare(state.cursor, state.phase_tokens)

    def _prepare(self, cursor: Cursor, phase_tokens: int) -> _Prepared:
        phase, ranks = self._phase, self._run.ranks
        rows, cursor = self.loader.take(cursor, phase.rows_at(phase_tokens))
        size = phase.rows_per_micro_batch
        parts = list(enumerate(rows[i : i + size] for i in range(0, len(rows), size)))
        own = [(part, self._maker(some, phase_tokens)) for part, some in parts[ranks.rank :: ranks.world]]
        missing = -(-len(parts) // ranks.world) - len(own) if ranks.shards else 0
        spare = [self._maker(rows[:1], phase_tokens)] * missing
        return _Prepared(rows, cursor, np.concatenate([row.samples for row in rows]), own, spare)

    def _maker(self, rows: Sequence[Row], phase_tokens: int) -> Callable[[], PackedBatch]:
        make = partial(self.loader.batch, rows, phase_tokens / self._phase.tokens)
        return self._pool.submit(make).result if self._pool is not None else make


def make_loader(run: Training, number: int, seed: int | None = None) -> Loader:
    """The rows of phase `number`, by chance from `seed`, or from that of the recipe."""
    phase = run.recipe.stages[number]
    entries = CodeEntries.open(run.corpus, "train", run.tokenizer, run.train_store) if phase.masking.code_aware else None
    return Loader(
        run.train_store,
        run.tokenizer,
        max_tokens=phase.max_tokens,
        masking=phase.masking,
        seed=run.recipe.seed if seed is None else seed,
        phase=number,
        mixture=phase.mixture,
        temperature=phase.source_temperature,
        entries=entries,
    )


def accumulate(
    model: ModernBertForMaskedLM, batches: list[PackedBatch], device: torch.device, weight: float = 1.0, num_masked: float | None = None
) -> Scores:
    """Add the gradient of `weight` times the mean loss over all masked positions of `batches`, one batch in memory at a time.

    `num_masked` is the number that the sum is divided by, where other positions than those of `batches` belong to the mean.
    """
    count = max(sum(len(batch.labels) for batch in batches) if num_masked is None else num_masked, 1)
    scores = []
    for batch in batches:
        loss, score = masked_loss(model, batch, device)
        (loss * (weight / count)).backward()  # type: ignore[no-untyped-call]
        scores.append(score)
    return Scores(np.concatenate([score.losses for score in scores]), np.concatenate([score.ranks for score in scores]))
