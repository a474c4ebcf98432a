"""In: gold standard and predictions. Out: outcomes, figures of which can be drawn again by document. Next: `significance`, `evaluate`.

A figure is made from numbers of each document: of all documents once, or of `weights` (draws, documents), how often each draw has each
document, which makes a bootstrap a few matrix products. A document is what examples belong to (`LabelledText.group`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.card import Metric

Floats = npt.NDArray[np.float64]
_DRAWS_AT_ONCE = 100


class Outcome(Protocol):
    """What a model said beside what is right, of `num_documents`."""

    @property
    def num_documents(self) -> int:
        """What a draw draws from."""

    def figure(self, metric: Metric, weights: Floats | None = None) -> Floats:
        """The metric of all documents, (), or of each draw, (draws,)."""


@dataclass(frozen=True)
class Counts:
    """True positives, predicted and gold of each label, each (documents, labels); single decisions and how many are right (documents,)."""

    true: Floats
    predicted: Floats
    gold: Floats
    labels: tuple[str, ...]
    right: Floats = field(default_factory=lambda: np.zeros(0))
    decisions: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def num_documents(self) -> int:
        """See `Outcome`."""
        return len(self.gold)

    def figure(self, metric: Metric, weights: Floats | None = None) -> Floats:
        """See `Outcome`: `span_f1`, `micro_f1`, `macro_f1` and `weighted_f1` over the labels that the gold standard has, `accuracy`."""
        if metric == "accuracy":
            return _total(self.right, weights) / _total(self.decisions, weights)
        true, predicted, gold = (_total(counts, weights) for counts in (self.true, self.predicted, self.gold))
        if metric in ("span_f1", "micro_f1"):
            return f1(true.sum(-1), predicted.sum(-1), gold.sum(-1))
        occurs = self.gold.sum(0) > 0
        each, support = f1(true, predicted, gold)[..., occurs], gold[..., occurs]
        if metric in ("macro_f1", "word_macro_f1"):  # of a draw, over the labels that are in it
            return _share((each * (support > 0)).sum(-1), (support > 0).sum(-1))
        assert metric == "weighted_f1"
        return np.asarray((each * support).sum(-1) / support.sum(-1))

    def by_label(self) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and support (how often the gold standard has it) of each label."""
        true, predicted, gold = (counts.sum(0) for counts in (self.true, self.predicted, self.gold))
        columns = zip(self.labels, _share(true, predicted), _share(true, gold), f1(true, predicted, gold), gold, strict=True)
        return {label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": float(n)} for label, p, r, f, n in columns}


@dataclass(frozen=True)
class Means:
    """A value of each document for each metric, (documents,); the figure is their mean."""

    values: Mapping[Metric, Floats]

    @property
    def num_documents(self) -> int:
        """See `Outcome`."""
        return len(next(iter(self.values.values())))

    def figure(self, metric: Metric, weights: Floats | None = None) -> Floats:
        """See `Outcome`."""
        values = self.values[metric]
        return _total(values, weights) / (len(values) if weights is None else weights.sum(-1))


@dataclass(frozen=True)
class Scores:
    """Whether each example has each label, and a score of it, both (examples, labels); `documents` (examples,) says whose they are."""

    gold: npt.NDArray[np.bool_]
    scores: Floats
    documents: npt.NDArray[np.int64]

    @property
    def num_documents(self) -> int:
        """See `Outcome`."""
        return int(self.documents.max()) + 1

    def figure(self, metric: Metric, weights: Floats | None = None) -> Floats:
        """See `Outcome`: `auroc`, the mean over the labels that some examples have and others lack, or `micro_auroc` over all decisions."""
        if metric == "micro_auroc":
            columns = [(self.gold.ravel(), self.scores.ravel(), np.repeat(self.documents, self.gold.shape[1]))]
        else:
            assert metric == "auroc"
            told = [label for label in range(self.gold.shape[1]) if 0 < self.gold[:, label].sum() < len(self.gold)]
            columns = [(self.gold[:, label], self.scores[:, label], self.documents) for label in told]
        if not columns:
            raise DataError("no label that some examples have and others lack, so that there is no AUROC. Give more examples.")
        if weights is None:
            return np.asarray(np.mean([auroc(*column[:2], np.ones((1, len(column[0]))))[0] for column in columns]))
        return np.concatenate([self._of_draws(columns, some) for some in np.array_split(weights, -(-len(weights) // _DRAWS_AT_ONCE))])

    @staticmethod
    def _of_draws(columns: "Sequence[tuple[npt.NDArray[np.bool_], Floats, npt.NDArray[np.int64]]]", weights: Floats) -> Floats:
        """A draw may have no example with a label, or none without, and then says nothing of it."""
        areas = np.array([auroc(gold, scores, weights[:, documents]) for gold, scores, documents in columns])
        known = ~np.isnan(areas)
        found = np.where(known, areas, 0).sum(0) / np.maximum(known.sum(0), 1)
        return np.where(known.any(0), found, np.nan)


@dataclass(frozen=True)
class Values:
    """Numbers that are right and that were said, both (examples,); `documents` (examples,) says whose they are."""

    gold: Floats
    said: Floats
    documents: npt.NDArray[np.int64]

    @property
    def num_documents(self) -> int:
        """See `Outcome`."""
        return int(self.documents.max()) + 1

    def figure(self, metric: Metric, weights: Floats | None = None) -> Floats:
        """See `Outcome`: `pearson`, `spearman` (draws keep the ranks of the whole sample); 0 where all numbers are the same."""
        gold, said = (self.gold, self.said) if metric == "pearson" else (ranks(self.gold), ranks(self.said))
        assert metric in ("pearson", "spearman")
        w = np.ones((1, len(gold))) if weights is None else weights[:, self.documents]
        w = w / w.sum(-1, keepdims=True)
        x, y = gold - (w @ gold)[:, None], said - (w @ said)[:, None]
        spread = np.sqrt((w * x * x).sum(-1) * (w * y * y).sum(-1))
        found = _share((w * x * y).sum(-1), spread)
        return np.asarray(found[0] if weights is None else found)


def f1(true: Floats, predicted: Floats, gold: Floats) -> Floats:
    """Harmonic mean of precision and recall, 0 where nothing is predicted and nothing is there."""
    return _share(2 * np.asarray(true), np.asarray(predicted) + gold)


def auroc(gold: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve for each row of `weights` (draws, examples): how often a positive is above a negative, ties by half."""
    order = np.argsort(scores, kind="stable")
    _, place = np.unique(scores[order], return_inverse=True)
    borders = np.flatnonzero(np.diff(place, prepend=-1))
    positive = np.add.reduceat(weights[:, order] * gold[order], borders, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~gold[order], borders, axis=1)
    below = np.cumsum(negative, 1) - negative / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((positive * below).sum(1) / (positive.sum(1) * negative.sum(1)))


def ranks(values: Floats) -> Floats:
    """Rank of each value from 0, the mean rank where values are equal."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2


def span_counts(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], groups: Sequence[str]) -> Counts:
    """Strict: a span counts when start, end and label are those of one in the gold standard, each once.

    Example:
        >>> one = [Span(0, 3, "Drug"), Span(5, 9, "Drug")]
        >>> float(span_counts([one], [[Span(0, 3, "Drug"), Span(5, 8, "Drug")]], ["a"]).figure("span_f1"))
        0.5
    """
    both = [Counter(mine) & Counter(theirs) for mine, theirs in zip(gold, predicted, strict=True)]
    sides = [[[span.label for span in spans] for spans in side] for side in (gold, predicted)]
    return _count([[span.label for span in spans.elements()] for spans in both], sides[1], sides[0], groups, frozenset())


def word_counts(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], words: Sequence[Sequence[tuple[int, int]]], groups: Sequence[str]
) -> Counts:
    """Of words: one counts for a label where a span of it reaches into the word, as people score spans whose ends nobody agrees on.

    Example:
        >>> gold, said, words = [Span(0, 9, "Drug")], [Span(0, 4, "Drug")], [(0, 4), (5, 9)]
        >>> round(float(word_counts([gold], [said], [words], ["a"]).figure("word_macro_f1")), 3)
        0.667
    """
    found = [
        [sorted({span.label for span in spans if span.start < end and start < span.end}) for start, end in some]
        for side in (gold, predicted)
        for spans, some in zip(side, words, strict=True)
    ]
    labels = [labelled for some in found for labelled in some]
    half = len(labels) // 2
    return label_counts(labels[:half], labels[half:], [group for group, some in zip(groups, words, strict=True) for _ in some])


def label_counts(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], groups: Sequence[str], no_class: frozenset[str] = frozenset()
) -> Counts:
    """Of labels of texts, one or any number each; `no_class` are labels that say that nothing holds, which no F1 is made of."""
    both = [sorted(set(mine) & set(theirs)) for mine, theirs in zip(gold, predicted, strict=True)]
    counts = _count(both, predicted, gold, groups, no_class)
    row, right = _rows(groups), np.zeros(len(counts.gold))
    for group, mine, theirs in zip(groups, gold, predicted, strict=True):
        right[row[group]] += set(mine) == set(theirs)
    return Counts(counts.true, counts.predicted, counts.gold, counts.labels, right, np.array(list(Counter(groups).values()), np.float64))


def ranking(ranked: Sequence[Sequence[str]], relevant: Sequence[Mapping[str, int]]) -> Means:
    """Of questions: the ids of texts in the order of the ranking, and what is relevant.

    `ndcg@10` has linear gain over log2(rank + 1), as trec_eval and BEIR have it; `recall@k` is the share of relevant texts in the first k.
    """
    found: dict[Metric, list[float]] = {"ndcg@10": [], "recall@1": [], "recall@10": [], "mrr": []}
    for ids, wanted in zip(ranked, relevant, strict=True):
        gains = [wanted.get(id, 0) for id in ids]
        ideal = _dcg(sorted(wanted.values(), reverse=True))
        found["ndcg@10"].append(_dcg(gains) / ideal)
        found["recall@1"].append(sum(gain > 0 for gain in gains[:1]) / len(wanted))
        found["recall@10"].append(sum(gain > 0 for gain in gains[:10]) / len(wanted))
        found["mrr"].append(next((1 / rank for rank, gain in enumerate(gains, start=1) if gain > 0), 0.0))
    return Means({metric: np.array(values) for metric, values in found.items()})


def _dcg(gains: Sequence[float]) -> float:
    return float(sum(gain / np.log2(rank + 1) for rank, gain in enumerate(gains[:10], start=1)))


def _rows(groups: Sequence[str]) -> dict[str, int]:
    return {group: number for number, group in enumerate(dict.fromkeys(groups))}


def _count(
    true: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    gold: Sequence[Sequence[str]],
    groups: Sequence[str],
    no_class: frozenset[str],
) -> Counts:
    labels = tuple(sorted({label for side in (gold, predicted) for some in side for label in some} - no_class))
    column, row = {label: number for number, label in enumerate(labels)}, _rows(groups)
    counts = np.zeros((3, len(row), len(labels)))
    for which, side in enumerate((true, predicted, gold)):
        for group, some in zip(groups, side, strict=True):
            for label in some:
                if label in column:
                    counts[which, row[group], column[label]] += 1
    return Counts(counts[0], counts[1], counts[2], labels)


def _total(counts: Floats, weights: Floats | None) -> Floats:
    return np.asarray(counts.sum(0) if weights is None else weights @ counts)


def _share(part: Floats, whole: Floats) -> Floats:
    whole = np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


OUTCOMES: Mapping[str, type[Counts] | type[Means] | type[Scores] | type[Values]] = {
    one.__name__.lower(): one for one in (Counts, Means, Scores, Values)
}
"""Kinds of outcomes by the names that files have them by."""


def num_numbers(outcome: Outcome) -> int:
    """How many numbers it is made of."""
    values = [value for one in vars(outcome).values() for value in (one.values() if isinstance(one, Mapping) else [one])]
    return sum(value.size for value in values if isinstance(value, np.ndarray))


def to_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain data, to be compared with others later."""
    name = type(outcome).__name__.lower()
    plain = {field.name: getattr(outcome, field.name) for field in fields(OUTCOMES[name])}
    return {"kind": name, **{key: _plain(value) for key, value in plain.items()}}


def from_json(data: Mapping[str, Any]) -> Outcome:
    """What `to_json` made.

    Raises:
        KeyError, TypeError, ValueError: it is nothing of the kind.
    """
    kind = OUTCOMES[data["kind"]]
    given = {key: value for key, value in data.items() if key != "kind"}
    if kind is Means:
        return Means({metric: np.array(values, np.float64) for metric, values in given["values"].items()})
    if kind is Counts:
        numbers = {key: np.array(value, np.float64) for key, value in given.items() if key != "labels"}
        return Counts(labels=tuple(given["labels"]), **numbers)
    if kind is Scores:
        return Scores(np.array(given["gold"], np.bool_), np.array(given["scores"], np.float64), np.array(given["documents"], np.int64))
    documents = given.get("documents", range(len(given["gold"])))  # earlier ones had each example for itself
    return Values(np.array(given["gold"], np.float64), np.array(given["said"], np.float64), np.array(documents, np.int64))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.float64:  # counts as whole numbers
        return value.astype(int).tolist() if (value == value.round()).all() else value.tolist()
    return value.tolist() if isinstance(value, np.ndarray) else list(value)
