"""What one text asks of the model, apart from the model's run: its sequences, what is kept of their states, the answer from what was kept.

So texts of several callers and of several verbs can share one packed row, which `serving` does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from clinical_modernbert.inference.encoder import Encoder, Pooling, Prediction
from clinical_modernbert.inference.sequences import Piece, whole
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.inference.task_encoder import TaskEncoder

Floats = npt.NDArray[np.float32]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Job(Generic[Answer]):
    """`keep` makes of each piece's states (tokens, hidden) what `answer` needs of it; `answer` gets these in the order of the pieces."""

    pieces: Sequence[Piece]
    keep: Callable[[Piece, Floats], npt.NDArray[np.floating]]
    answer: Callable[[list[npt.NDArray[np.floating]]], Answer]

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return sum(len(piece.ids) for piece in self.pieces)


def embedding(encoder: Encoder, text: str, pooling: Pooling | None = None) -> Job[Floats]:
    """As `Encoder.encode`: (hidden,)."""
    pieces = whole(encoder.tokenizer, text, None, encoder.model.config.max_position_embeddings)
    if (pooling or encoder.pooling) == "cls":
        return Job(pieces, lambda _, states: states[0].copy(), lambda kept: kept[0].astype(np.float32))
    count = sum(len(range(*piece.used.indices(len(piece.ids)))) for piece in pieces)
    return Job(
        pieces,
        lambda piece, states: states[piece.used].sum(0, dtype=np.float64),
        lambda kept: (np.sum(kept, axis=0) / count).astype(np.float32),
    )


def masked(encoder: Encoder, text: str, top_k: int) -> Job[list[Prediction]]:
    """As `Encoder.fill_mask`.

    Raises:
        ConfigError, DataError: see there.
    """
    ids, place = encoder.masked(text)
    piece = Piece(ids, slice(0, len(ids)), np.array([place]))
    return Job([piece], lambda piece, states: states[piece.places], lambda kept: encoder.candidates(kept[0][0].astype(np.float32), top_k))


def tagging(encoder: TaskEncoder, text: str) -> Job[list[Span]]:
    """As `TaskEncoder.tag`.

    Raises:
        ConfigError: see there.
    """
    return Job(
        encoder.tag_pieces(text),
        lambda piece, states: encoder.scores(states[piece.places]),
        lambda kept: encoder.spans(text, np.concatenate(kept).astype(np.float64)),
    )


def scoring(encoder: TaskEncoder, text: str, second: str | None = None) -> Job[npt.NDArray[np.float64]]:
    """What `TaskEncoder.classify` names: scores (outputs,).

    Raises:
        ConfigError, DataError: see there.
    """
    pieces = encoder.text_pieces(text, second)
    count = sum(len(range(*piece.used.indices(len(piece.ids)))) for piece in pieces)
    return Job(
        pieces,
        lambda piece, states: states[piece.used].sum(0),
        lambda kept: encoder.scores((np.sum(kept, axis=0) / count).astype(np.float32)[None])[0].astype(np.float64),
    )
