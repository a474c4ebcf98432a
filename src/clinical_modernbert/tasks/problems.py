"""In: examples. Out: what a model sees of them, what it should say, how wrong it is, what its scores say. Next: `training`, `probe`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference import sequences, spans
from clinical_modernbert.inference.sequences import AnyTokenizer, Piece
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.card import Kind, Metric
from clinical_modernbert.tasks.examples import LabelledText, TaggedText
from clinical_modernbert.tasks.metrics import Floats, Means, Outcome, Scores, Values, label_counts, span_counts, word_counts

E = TypeVar("E", TaggedText, LabelledText)
_FIRST = 8
"""`precision@8`: so many codes are taken for a note (Mullenbach et al. 2018)."""


@dataclass(frozen=True)
class Problem(ABC, Generic[E]):
    """What is decided of an example: `labels`, by a model whose sequences have at most `max_tokens`; see the subclasses."""

    pooled: ClassVar[bool] = True
    """Whether one thing is decided of a text, by the mean of its tokens; else one of each word."""
    is_exclusive: ClassVar[bool] = False
    """Whether a text has exactly one label."""

    labels: tuple[str, ...]
    tokenizer: AnyTokenizer
    max_tokens: int

    @property
    def num_outputs(self) -> int:
        """Scores of each decision."""
        return len(self.labels)

    @abstractmethod
    def pieces(self, example: E) -> list[Piece]:
        """The sequences that go through the model."""

    @abstractmethod
    def targets(self, example: E) -> npt.NDArray[np.generic]:
        """What is right, a row for each decision."""

    @abstractmethod
    def loss(self, scores_NO: Tensor, targets_N: Tensor) -> Tensor:
        """Summed over decisions."""

    @abstractmethod
    def outcome(self, examples: Sequence[E], scores: Sequence[Floats], metric: Metric) -> Outcome:
        """What the scores of each example's decisions come to."""


class Tagging(Problem[TaggedText]):
    """Spans, by a tag for each word."""

    pooled = False

    @property
    def tags(self) -> list[str]:
        """BIO tags of the labels."""
        return spans.tags_of(self.labels)

    @property
    def num_outputs(self) -> int:
        """See `Problem`."""
        return len(self.tags)

    def pieces(self, example: TaggedText) -> list[Piece]:
        """See `Problem`."""
        return sequences.tagged(self.tokenizer, example.text, words_of(example), self.max_tokens)

    def targets(self, example: TaggedText) -> npt.NDArray[np.generic]:
        """See `Problem`."""
        return spans.tags_for(example.spans, words_of(example), self.tags)[0]

    def left_out(self, examples: Sequence[TaggedText]) -> int:
        """How many spans of them no tags can say: see `spans.tags_for`; labels that the training part lacks have no tag."""
        return sum(spans.tags_for(example.spans, words_of(example), self.tags)[1] for example in examples)

    def loss(self, scores_NO: Tensor, targets_N: Tensor) -> Tensor:
        """See `Problem`."""
        return cross_entropy(scores_NO, targets_N, reduction="sum")

    def spans(self, example: TaggedText, scores: Floats) -> list[Span]:
        """What the scores of its words say."""
        return spans.decode(scores, self.tags, words_of(example))

    def outcome(self, examples: Sequence[TaggedText], scores: Sequence[Floats], metric: Metric) -> Outcome:
        """See `Problem`."""
        said = [self.spans(example, found) for example, found in zip(examples, scores, strict=True)]
        gold, groups = [example.spans for example in examples], [example.group or example.id for example in examples]
        if metric == "word_macro_f1":
            return word_counts(gold, said, [words_of(example) for example in examples], groups)
        return span_counts(gold, said, groups)


@dataclass(frozen=True)
class Labelling(Problem[LabelledText]):
    """One label of a text or a pair of texts; `no_class` of them say that nothing holds."""

    is_exclusive = True

    no_class: frozenset[str] = frozenset()

    def pieces(self, example: LabelledText) -> list[Piece]:
        """See `Problem`."""
        try:
            return sequences.whole(self.tokenizer, example.text, example.second, self.max_tokens)
        except DataError as error:
            raise DataError(f"example {example.id}: {error}") from None

    def targets(self, example: LabelledText) -> npt.NDArray[np.generic]:
        """See `Problem`."""
        (label,) = example.labels
        return np.array([self.labels.index(label)])

    def loss(self, scores_NO: Tensor, targets_N: Tensor) -> Tensor:
        """See `Problem`."""
        return cross_entropy(scores_NO, targets_N, reduction="sum")

    def outcome(self, examples: Sequence[LabelledText], scores: Sequence[Floats], metric: Metric) -> Outcome:
        """See `Problem`."""
        table = np.concatenate(scores)
        if metric == "auroc":
            confidence = table - table[:, ::-1] if len(self.labels) == 2 else table - np.logaddexp.reduce(table, axis=1, keepdims=True)
            return _scores(examples, self.labels, confidence)
        said = [[self.labels[number]] for number in table.argmax(1)]
        return label_counts([example.labels for example in examples], said, _groups(examples), self.no_class)


class MultiLabelling(Labelling):
    """Any number of labels of a text."""

    is_exclusive = False

    def targets(self, example: LabelledText) -> npt.NDArray[np.generic]:
        """See `Problem`."""
        return np.array([[label in example.labels for label in self.labels]], np.float32)

    def loss(self, scores_NO: Tensor, targets_N: Tensor) -> Tensor:
        """See `Problem`."""
        return binary_cross_entropy_with_logits(scores_NO, targets_N, reduction="sum") / self.num_outputs

    def outcome(self, examples: Sequence[LabelledText], scores: Sequence[Floats], metric: Metric) -> Outcome:
        """See `Problem`; a label is said where its score is above 0."""
        table = np.concatenate(scores)
        if metric in ("auroc", "micro_auroc"):
            return _scores(examples, self.labels, table)
        if metric == "precision@8":
            first = np.argsort(-table, 1, kind="stable")[:, :_FIRST]
            hits = [sum(self.labels[n] in example.labels for n in row) / _FIRST for example, row in zip(examples, first, strict=True)]
            return Means({metric: np.array(hits)})
        said = [[label for label, on in zip(self.labels, row > 0, strict=True) if on] for row in table]
        return label_counts([example.labels for example in examples], said, _groups(examples), self.no_class)


@dataclass(frozen=True)
class Regressing(Labelling):
    """A number of a text or a pair of texts, learnt as its distance from `mean` in units of `spread`."""

    is_exclusive = False

    mean: float = 0.0
    spread: float = 1.0

    @property
    def num_outputs(self) -> int:
        """See `Problem`."""
        return 1

    def targets(self, example: LabelledText) -> npt.NDArray[np.generic]:
        """See `Problem`."""
        assert example.value is not None
        return np.array([[(example.value - self.mean) / self.spread]], np.float32)

    def loss(self, scores_NO: Tensor, targets_N: Tensor) -> Tensor:
        """See `Problem`."""
        return mse_loss(scores_NO, targets_N, reduction="sum")

    def outcome(self, examples: Sequence[LabelledText], scores: Sequence[Floats], metric: Metric) -> Outcome:
        """See `Problem`."""
        said = np.concatenate(scores)[:, 0] * self.spread + self.mean
        return Values(np.array([example.value for example in examples], np.float64), said.astype(np.float64), _documents(examples))


def problem_of(kind: Kind, without_class: Sequence[str], train: Sequence[Any], tokenizer: AnyTokenizer, max_tokens: int) -> Problem[Any]:
    """The problem of this kind, with the labels that the training part has; see `Labelling` for those `without_class`."""
    if kind == "ner":
        if not any(example.spans for example in train):
            raise DataError("the training part has no span. Check the annotations.")
        return Tagging(tuple(sorted({span.label for example in train for span in example.spans})), tokenizer, max_tokens)
    labels = tuple(sorted({label for example in train for label in example.labels}))
    if kind != "regression" and len(labels) < (1 if kind == "multilabel" else 2):
        raise DataError(f"the training part has {len(labels)} labels ({kind}): nothing to learn. Check the labels.")
    no_class = frozenset(without_class)
    if kind == "multilabel":
        return MultiLabelling(labels, tokenizer, max_tokens, no_class)
    if kind == "regression":
        values = np.array([example.value for example in train])
        return Regressing(labels, tokenizer, max_tokens, no_class, float(values.mean()), float(values.std()) or 1.0)
    return Labelling(labels, tokenizer, max_tokens, no_class)


def words_of(example: TaggedText) -> Sequence[tuple[int, int]]:
    """The words that a tag is decided for: those of the data set, else as `spans.words_of` cuts them."""
    return example.words if example.words is not None else spans.words_of(example.text)


def to_tensor(targets: Sequence[npt.NDArray[np.generic]]) -> Tensor:
    """The targets of some examples, one after the other."""
    return torch.from_numpy(np.concatenate(targets))


def _groups(examples: Sequence[LabelledText]) -> list[str]:
    return [example.group or example.id for example in examples]


def _scores(examples: Sequence[LabelledText], labels: Sequence[str], table: Floats) -> Scores:
    gold = np.array([[label in example.labels for label in labels] for example in examples])
    return Scores(gold, table.astype(np.float64), _documents(examples))


def _documents(examples: Sequence[LabelledText]) -> npt.NDArray[np.int64]:
    return np.unique(_groups(examples), return_inverse=True)[1]
