"""A text, its words or a second text -> the sequences that go through the model for it -> what a classifier gets of them.

A text that is longer than the model's context goes through in overlapping windows; nothing is cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.windows import windows
from clinical_modernbert.model.foreign import ForeignTokenizer
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer

Ints = npt.NDArray[np.int64]
AnyTokenizer = Tokenizer | ForeignTokenizer
States = Callable[[Sequence[Ints]], list[npt.NDArray[np.float32]]]
"""Sequences -> states (tokens, hidden) of each, such as `Encoder.states`."""
_TOKENS_AT_ONCE = 8192


@dataclass(frozen=True)
class Piece:
    """A sequence of ids, special tokens included.

    `used` are the tokens that a vector of the text is the mean of; `places` the tokens at which something is decided, which stand in the
    order of the text, over all its pieces.
    """

    ids: Ints
    used: slice
    places: Ints


def tagged(tokenizer: AnyTokenizer, text: str, words: Sequence[tuple[int, int]], max_tokens: int) -> list[Piece]:
    """The windows of a text in which a tag is decided for each word, at the first token that reaches into it."""
    encoded = tokenizer.encode(text)
    starts = np.array([start for start, _ in words], np.int64)
    first = np.searchsorted(encoded.offsets[:, 1], starts, side="right")
    if not len(encoded.ids):  # a tokenizer may drop all that there is, and then [CLS] answers
        return [Piece(tokenizer.wrap(encoded.ids), slice(0, 2), np.zeros(len(words), np.int64))]
    first = np.minimum(first, len(encoded.ids) - 1)  # a word whose characters the tokenizer drops
    pieces = []
    for window in windows(len(encoded.ids), max_tokens - SPECIAL_TOKENS_PER_SEQUENCE):
        here = first[(first >= window.take_start) & (first < window.take_stop)]
        ids = tokenizer.wrap(encoded.ids[window.start : window.stop])
        pieces.append(Piece(ids, window.used(len(encoded.ids)), here - window.start + 1))
    return pieces


def whole(tokenizer: AnyTokenizer, text: str, second: str | None, max_tokens: int) -> list[Piece]:
    """The windows of a text of which something is decided once; of a pair, windows of the longer text, each beside all of the shorter one.

    Raises:
        DataError: both texts of a pair take more than half of the context.
    """
    one, *rest = tokenizer.encode_batch([text] if second is None else [text, second])
    none = np.zeros(0, np.int64)
    if not rest:
        found = windows(len(one), max_tokens - SPECIAL_TOKENS_PER_SEQUENCE)
        return [Piece(tokenizer.wrap(one[w.start : w.stop]), w.used(len(one)), none) for w in found]
    other, end = rest[0], tokenizer.wrap(none)[-1:]
    room = max_tokens - SPECIAL_TOKENS_PER_SEQUENCE - len(end)
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) > room // 2 and len(one) + len(other) > room:
        raise DataError(f"texts of {len(one)} and {len(other)} tokens do not fit side by side into {max_tokens}. Shorten one of them.")
    pieces = []
    for window in windows(len(longer), room - len(shorter)):
        part: Any = longer[window.start : window.stop]
        ids = tokenizer.wrap(np.concatenate([part, end, other] if longer is one else [one, end, part]))
        pieces.append(Piece(ids, slice(0, len(ids)), none))
    return pieces


@dataclass(frozen=True)
class Features:
    """States (decisions, hidden) of all texts; those of text i are `states[offsets[i]:offsets[i + 1]]`."""

    states: npt.NDArray[np.float32]
    offsets: Ints

    def of(self, chosen: Sequence[int]) -> npt.NDArray[np.float32]:
        """Those of some texts, one after the other."""
        return np.concatenate([self.states[self.offsets[number] : self.offsets[number + 1]] for number in chosen])


def features(states: States, texts: Sequence[Sequence[Piece]], pooled: bool, progress: Progress = silent) -> Features:
    """What a classifier gets of each text: the state at each place, or, `pooled`, the mean of the text's tokens."""
    flat = [(number, piece) for number, pieces in enumerate(texts) for piece in pieces]
    found: list[list[npt.NDArray[np.float32]]] = [[] for _ in texts]
    used: list[int] = [0] * len(texts)
    parts: dict[int, npt.NDArray[np.float32]] = {}
    with progress("Encoding", total=sum(len(piece.ids) for _, piece in flat), unit="tokens") as advance:
        for batch in _batches([len(piece.ids) for _, piece in flat]):
            for place, hidden in zip(batch, states([flat[place][1].ids for place in batch]), strict=True):
                piece = flat[place][1]
                parts[place] = hidden[piece.used].sum(0, keepdims=True) if pooled else hidden[piece.places]
                advance(len(piece.ids))
    for place, (number, piece) in enumerate(flat):
        found[number].append(parts[place])
        used[number] += len(range(*piece.used.indices(len(piece.ids))))
    joined: list[npt.NDArray[np.float32]] = [np.concatenate(some) for some in found]
    if pooled:
        joined = [some.sum(0, keepdims=True) / count for some, count in zip(joined, used, strict=True)]
    return Features(np.concatenate(joined), np.cumsum([0, *map(len, joined)]))


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Sequences that go through the model together, longest first."""
    batches: list[list[int]] = []
    size = _TOKENS_AT_ONCE
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if size + lengths[place] > _TOKENS_AT_ONCE:
            batches.append([])
            size = 0
        batches[-1].append(place)
        size += lengths[place]
    return batches
