"""A text's words, spans of it, and tags of words: what a tagger says, in characters. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
OUTSIDE = "O"
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters [start, end) of a text, and what they are called."""

    start: int
    end: int
    label: str


def words_of(text: str) -> list[tuple[int, int]]:
    """Characters of each word: runs of letters and digits, and every other sign.

    Example:
        >>> words_of("5 mg/d")
        [(0, 1), (2, 4), (4, 5), (5, 6)]
    """
    return [found.span() for found in _WORD.finditer(text)]


def tags_of(labels: Sequence[str]) -> list[str]:
    """The BIO tags of these labels: O first, then B and I of each.

    Example:
        >>> tags_of(["Drug"])
        ['O', 'B-Drug', 'I-Drug']
    """
    return [OUTSIDE, *(f"{place}-{label}" for label in labels for place in "BI")]


def allowed(tags: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(tags, tags): whether the second may follow the first, an I only its own B or I; what may follow O may begin a text."""
    return np.array([[after[0] != "I" or before[2:] == after[2:] for after in tags] for before in tags])


def best_tags(scores: Floats, tags: Sequence[str]) -> npt.NDArray[np.int64]:
    """The sequence of the largest summed score (words, tags) among those that the scheme allows (Viterbi)."""
    if not len(scores):
        return np.zeros(0, np.int64)
    forbidden = np.where(allowed(tags), 0.0, -np.inf)
    total = scores[0] + forbidden[0]
    back = np.zeros(scores.shape, np.int64)
    for word in range(1, len(scores)):
        through = total[:, None] + forbidden
        back[word] = through.argmax(0)
        total = through.max(0) + scores[word]
    path = [int(total.argmax())]
    for word in range(len(scores) - 1, 0, -1):
        path.append(int(back[word, path[-1]]))
    return np.array(path[::-1], np.int64)


def spans_of(sequence: Sequence[int], tags: Sequence[str], words: Sequence[tuple[int, int]]) -> list[Span]:
    """The spans that a sequence of allowed tags marks, in characters."""
    found: list[Span] = []
    for number, (start, end) in zip(sequence, words, strict=True):
        tag = tags[number]
        if tag[0] == "B":
            found.append(Span(start, end, tag[2:]))
        elif tag[0] == "I":
            found[-1] = Span(found[-1].start, end, tag[2:])
    return found


def tags_for(spans: Sequence[Span], words: Sequence[tuple[int, int]], tags: Sequence[str]) -> tuple[npt.NDArray[np.int64], int]:
    """A tag for every word, and how many spans no tags can say: those that overlap an earlier one, or touch no word.

    A span that ends within a word takes the whole word; evaluation is on the spans as they were, so that it counts as wrong.
    """
    number = {tag: place for place, tag in enumerate(tags)}
    chosen = np.zeros(len(words), np.int64)
    starts, ends = np.array([start for start, _ in words]), np.array([end for _, end in words])
    lost = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        inside = np.flatnonzero((starts < span.end) & (ends > span.start))
        if not len(inside) or chosen[inside].any():
            lost += 1
            continue
        chosen[inside] = number[f"I-{span.label}"]
        chosen[inside[0]] = number[f"B-{span.label}"]
    return chosen, lost
