"""In: nothing. Out: what every loader yields and every head is trained on. Next: `loaders`, `encoding`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from clinical_modernbert.inference.spans import Span


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A text whose spans are known.

    `words` are the characters of each word where the data set comes split into words; else a tagger splits them itself. Spans of equal or
    overlapping characters may occur; what a tagger cannot say of them counts as missed. `group` as in `LabelledText`.
    """

    id: str
    text: str
    spans: tuple[Span, ...]
    words: tuple[tuple[int, int], ...] | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, or a pair of texts, with its labels (one, or any number), or with a value.

    `group` is what examples belong to that must be drawn and scored together (a document, a patient), the id itself where not given.
    """

    id: str
    text: str
    labels: tuple[str, ...] = ()
    second: str | None = None
    value: float | None = None
    group: str = ""


@dataclass(frozen=True)
class Retrieval:
    """Texts to search, questions to them, and which texts answer each: question id -> text id -> relevance above 0."""

    texts: Mapping[str, str]
    questions: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


Part = TypeVar("Part", Sequence[TaggedText], Sequence[LabelledText], Retrieval)


@dataclass(frozen=True)
class Splits(Generic[Part]):
    """The parts of a data set: `dev` is what early stopping and choices look at, nothing but the final figure looks at `test`.

    `counted` says what the loader left out or repaired, by reason.
    """

    train: Part
    dev: Part
    test: Part
    counted: Mapping[str, int] = field(default_factory=dict)
