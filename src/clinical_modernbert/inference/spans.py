"""A text's words, spans of it, and tags of words: what a tagger says, in characters. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
OUTSIDE = "O"
_WORD = re.compile(r"\w[\w\u0300-\u036f]*|[^\w\s]")
"""An accent that is written as a character of its own belongs to the letter before it."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters [start, end) of a text, and what they are called."""

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False)
    """A tagger's probability of it: the mean of those of its words' tags."""


def words_of(text: str) -> list[tuple[int, int]]:
    """Characters of each word: runs of letters with their accents and digits, and every other sign.

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
    return np.array([[after[0] != "I" or (before != OUTSIDE and before[2:] == after[2:]) for after in tags] for before in tags])


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


def decode(scores: Floats, tags: Sequence[str], words: Sequence[tuple[int, int]]) -> list[Span]:
    """The spans of a text that the scores (words, tags), before a softmax, speak for most, with their probabilities."""
    if not len(words):
        return []
    sequence = best_tags(scores, tags)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return spans_of(sequence.tolist(), tags, words, (weights[np.arange(len(words)), sequence] / weights.sum(1)).tolist())


def spans_of(
    sequence: Sequence[int], tags: Sequence[str], words: Sequence[tuple[int, int]], chances: Sequence[float] | None = None
) -> list[Span]:
    """The spans that a sequence of allowed tags marks, in characters; `chances` are the probabilities of the tags."""
    names = [tags[number] for number in sequence]
    edges = [word for word, name in enumerate(names) if name[0] != "I"] + [len(names)]
    return [
        Span(words[first][0], words[after - 1][1], names[first][2:], fmean(chances[first:after]) if chances else None)
        for first, after in pairwise(edges)
        if names[first] != OUTSIDE
    ]


def tags_for(spans: Sequence[Span], words: Sequence[tuple[int, int]], tags: Sequence[str]) -> tuple[npt.NDArray[np.int64], int]:
    """A tag for every word, and how many spans no tags can say: those that overlap an earlier one, or touch no word, or have no such label.

    A span that ends within a word takes the whole word; evaluation is on the spans as they were, so that it counts as wrong.
    """
    number = {tag: place for place, tag in enumerate(tags)}
    chosen = np.zeros(len(words), np.int64)
    starts, ends = np.array([start for start, _ in words]), np.array([end for _, end in words])
    lost = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        inside = np.flatnonzero((starts < span.end) & (ends > span.start))
        if f"B-{span.label}" not in number or not len(inside) or chosen[inside].any():
            lost += 1
            continue
        chosen[inside] = number[f"I-{span.label}"]
        chosen[inside[0]] = number[f"B-{span.label}"]
    return chosen, lost
