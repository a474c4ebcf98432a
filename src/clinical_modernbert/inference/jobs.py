"""What one text asks of the model, apart from the model's run: its sequences, what is kept of their states, the answer from what was kept.

So texts of several callers and of several verbs can share one packed row, which `serving` does; `run` is for those of one caller.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from clinical_modernbert.inference.sequences import Ints, Piece, States
from clinical_modernbert.progress import Progress, silent

Floats = npt.NDArray[np.float32]
Kept = npt.NDArray[np.floating]
Answer = TypeVar("Answer")

BATCH_TOKENS = 8192
"""Tokens that go through the model at once: what bounds memory."""


@dataclass(frozen=True)
class Job(Generic[Answer]):
    """`keep` makes of each piece's states (tokens, hidden) what `answer` needs of it; `answer` gets these in the order of the pieces."""

    pieces: Sequence[Piece]
    keep: Callable[[Piece, Floats], Kept]
    answer: Callable[[list[Kept]], Answer]

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return sum(len(piece.ids) for piece in self.pieces)


def at_places(pieces: Sequence[Piece]) -> Job[Floats]:
    """The states at all places: (places, hidden)."""
    return Job(pieces, lambda piece, states: states[piece.places], np.concatenate)


def mean(pieces: Sequence[Piece], dtype: type[np.floating]) -> Job[Floats]:
    """The mean of the states that are used, summed in `dtype`: (hidden,)."""
    count = sum(piece.num_used for piece in pieces)
    return Job(
        pieces,
        lambda piece, states: states[piece.used].sum(0, dtype=dtype),
        lambda kept: (np.sum(kept, axis=0) / count).astype(np.float32),
    )


def run(states: States, jobs: Sequence[Job[Answer]], batch_tokens: int = BATCH_TOKENS, progress: Progress = silent) -> list[Answer]:
    """The answers of all jobs, in their order; what was kept of one is let go with its last piece."""
    flat = [(number, piece) for number, job in enumerate(jobs) for piece in job.pieces]
    kept: list[list[Kept]] = [[] for _ in jobs]
    answers: dict[int, Answer] = {}
    with progress("Encoding", total=sum(job.num_tokens for job in jobs), unit="tokens") as advance:
        for batch in batches([len(piece.ids) for _, piece in flat], batch_tokens):
            for place, hidden in zip(batch, states([flat[place][1].ids for place in batch]), strict=True):
                number, piece = flat[place]
                kept[number].append(jobs[number].keep(piece, hidden))
                if len(kept[number]) == len(jobs[number].pieces):
                    answers[number] = jobs[number].answer(kept[number])
                    kept[number] = []
                advance(len(piece.ids))
    return [answers[number] for number in range(len(jobs))]


def batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """What goes through the model together, longest first, so that what does not fit into memory shows at once; equal ones in their order.

    One that is longer than the budget goes alone.

    Example:
        >>> list(batches([2, 9, 4, 2], max_tokens=6))
        [[1], [2, 0], [3]]
    """
    batch: list[int] = []
    size = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and size + lengths[place] > max_tokens:
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += lengths[place]
    if batch:
        yield batch


@dataclass(frozen=True)
class Features:
    """States (decisions, hidden) of all texts; those of text i are `states[offsets[i]:offsets[i + 1]]`."""

    states: Floats
    offsets: Ints


def features(states: States, texts: Sequence[Sequence[Piece]], pooled: bool, progress: Progress = silent) -> Features:
    """What a classifier gets of each text: the state at each place, or, `pooled`, the mean of the text's tokens."""
    found = run(states, [mean(pieces, np.float32) if pooled else at_places(pieces) for pieces in texts], progress=progress)
    rows = [np.atleast_2d(some) for some in found]
    return Features(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))
