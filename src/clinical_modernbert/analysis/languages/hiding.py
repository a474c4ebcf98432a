"""Texts -> which of their tokens are hidden: whole words, the same ones whatever the vocabulary. Pure functions.

Hiding tokens by chance, as in training, does not compare across vocabularies: a letter of a word that is spelt byte by byte is guessed from
the letters beside it. So words are chosen, before any vocabulary is asked, and all their tokens are hidden at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_modernbert.tokenization import Tokenizer

Ints = npt.NDArray[np.int64]

PARTS, PASSES = 7, 2
"""Words go by chance into so many parts, about as many words in each as training masks tokens; so many parts are hidden, one at a time."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_IDEOGRAPHS}]|[^\\s{_IDEOGRAPHS}]+")
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")


@dataclass(frozen=True)
class Hidden:
    """One pass over one text: its ids between [CLS] and [SEP], some of them [MASK]; where these are, and what stood there."""

    text: int
    input_ids: Ints
    positions: Ints
    labels: Ints


def words(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of each word: a run between white space, but a word of its own for every ideograph and kana.

    Example:
        >>> words("an MI, 心梗")
        [(0, 2), (3, 6), (7, 8), (8, 9)]
    """
    return [match.span() for match in _WORD.finditer(text)]


def has_words(text: str) -> bool:
    """Whether white space sets words apart: not where ideographs and kana are most of a text."""
    return 2 * len(_IDEOGRAPH.findall(text)) < sum(not character.isspace() for character in text)


def hide(tokenizer: Tokenizer, texts: Sequence[str], seed: int = 0, passes: int = PASSES) -> list[Hidden]:
    """So many passes over each text, fewer where it has fewer words; a word is hidden at most once, with every token that touches it."""
    found = []
    for number, text in enumerate(texts):
        encoded = tokenizer.encode(text)
        ids = tokenizer.wrap(encoded.ids)
        spans = words(text)
        order = np.random.default_rng([seed, number]).permutation(len(spans))
        for part in range(passes):
            positions = 1 + _touching(encoded.offsets, [spans[i] for i in order[part::PARTS]], len(text))
            if len(positions):
                masked = ids.copy()
                masked[positions] = tokenizer.mask_id
                found.append(Hidden(number, masked, positions, ids[positions]))
    return found


def _touching(offsets: Ints, spans: Sequence[tuple[int, int]], length: int) -> Ints:
    """The tokens that have a character in one of `spans`."""
    chosen = np.zeros(length + 1, dtype=np.int64)
    for start, end in spans:
        chosen[start + 1 : end + 1] = 1
    before = np.cumsum(chosen)
    return np.flatnonzero(before[offsets[:, 1]] > before[offsets[:, 0]])
