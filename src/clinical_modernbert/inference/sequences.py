"""A text, its words or a second text -> the sequences that go through the model for it.

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
from clinical_modernbert.tokenization import SPECIAL_TOKENS_PER_SEQUENCE, Tokenizer

Ints = npt.NDArray[np.int64]
AnyTokenizer = Tokenizer | ForeignTokenizer
States = Callable[[Sequence[Ints]], list[npt.NDArray[np.float32]]]
"""Sequences -> states (tokens, hidden) of each, such as `Encoder.states`."""


@dataclass(frozen=True)
class Piece:
    """A sequence of ids, special tokens included. A text's are equally long.

    `used` are the tokens that a vector of the text is the mean of; `places` the tokens at which something is decided, which stand in the
    order of the text, over all its pieces.
    """

    ids: Ints
    used: slice
    places: Ints

    @property
    def num_used(self) -> int:
        """Tokens of `used`."""
        return int(self.used.stop - self.used.start)


def windowed(tokenizer: AnyTokenizer, ids: Ints, max_tokens: int) -> list[Piece]:
    """The windows of a text's `ids`, with a place for each of them, taken once."""
    return [
        Piece(
            tokenizer.wrap(ids[window.start : window.stop]),
            window.used(len(ids)),
            np.arange(window.take_start, window.take_stop) - window.start + 1,
        )
        for window in windows(len(ids), max_tokens - SPECIAL_TOKENS_PER_SEQUENCE)
    ]


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
    if not rest:
        return windowed(tokenizer, one, max_tokens)
    none = np.zeros(0, np.int64)
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
