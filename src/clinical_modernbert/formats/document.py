"""In: nothing. Out: `AnnotatedDocument`, the one model that all formats share. Next: the other modules, `tasks`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Literal, Self, TypeAlias

_WORD = re.compile(r"\S+")
Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""First and last (exclusive) of each of some ranges."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the document's text with a label.

    `fragments` are ranges of characters, more than one where the span is discontinuous; `text` is what stands there, joined by spaces.
    """

    id: str
    label: str
    fragments: Ranges
    text: str

    @classmethod
    def over(cls, document_text: str, id: str, label: str, *fragments: tuple[int, int]) -> Self:
        """The span with its text taken from the document's."""
        return cls(id, label, fragments, text_at(document_text, fragments))

    @property
    def start(self) -> int:
        """First character."""
        return min(start for start, _ in self.fragments)

    @property
    def end(self) -> int:
        """The character behind the last one."""
        return max(end for _, end in self.fragments)


@dataclass(frozen=True, slots=True)
class Relation:
    """What holds between spans: a relation of two, an event with its `trigger`, or a set of equals (all roles empty).

    `arguments` are pairs of a role and an id: of a span or another relation; with `between="concepts"` of a concept that spans are
    linked to, such as the chemical and the disease of a PubTator document.
    """

    label: str
    arguments: tuple[tuple[str, str], ...]
    id: str = ""
    trigger: str = ""
    between: Literal["spans", "concepts"] = "spans"

    @classmethod
    def binary(cls, label: str, head: str, tail: str, id: str = "", between: Literal["spans", "concepts"] = "spans") -> Self:
        """A relation of two, their roles called as BRAT calls them."""
        return cls(label, (("Arg1", head), ("Arg2", tail)), id, between=between)

    @property
    def is_binary(self) -> bool:
        """Whether it is a relation of two spans or concepts, the first and the second."""
        return [role for role, _ in self.arguments] == ["Arg1", "Arg2"] and not self.trigger

    @property
    def head(self) -> str:
        """Id of the first argument."""
        return self.arguments[0][1]

    @property
    def tail(self) -> str:
        """Id of the second argument."""
        return self.arguments[1][1]

    def named(self) -> list[str]:
        """Ids of this document's spans and relations that it is made of."""
        arguments = [id for _, id in self.arguments] if self.between == "spans" else []
        return [self.trigger, *arguments] if self.trigger else arguments


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is said of a span, relation or label, whose id is `target`.

    An `attribute` has a name and mostly a value (negation, an assertion); a `concept` links to an entry of a vocabulary, its id in
    `value` and a name of it in `text`; a `note` holds free text in `value`.
    """

    target: str
    name: str
    value: str = ""
    kind: Literal["attribute", "concept", "note"] = "attribute"
    text: str = ""
    id: str = ""

    def named(self) -> list[str]:
        """Ids that it says something of."""
        return [self.target]


@dataclass(frozen=True, slots=True)
class Label:
    """What is said of the whole document; more can be said of it by attributes with its `id` as their target."""

    name: str
    value: str = ""
    id: str = ""


Annotation: TypeAlias = Label | Span | Relation | Attribute


@dataclass(frozen=True, slots=True)
class Token:
    """A word as its file splits the text, with the columns (part of speech, chunk) that the file has beside it."""

    start: int
    end: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """One text and what people or programs marked in it.

    Offsets count characters of `text`. `tokens` are there where the format has them, `sentences` then are ranges of tokens.
    `metadata` says what else a writer needs to know of the file, see the format's module; it is empty for most.
    """

    id: str
    text: str
    spans: tuple[Span, ...] = ()
    relations: tuple[Relation, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    labels: tuple[Label, ...] = ()
    tokens: tuple[Token, ...] = ()
    sentences: Ranges = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def annotations(self) -> Iterator[Annotation]:
        """All of them: labels, spans, relations, attributes."""
        yield from self.labels
        yield from self.spans
        yield from self.relations
        yield from self.attributes

    def faults(self) -> Iterator[str]:
        """Each contradiction in the document, in words that name an id and quote no text; none if it is sound."""
        if not encodable(self.text):
            yield "a lone surrogate in the text, which no file can hold"
        used = Counter(item.id for item in self.annotations() if item.id)
        yield from (f"id {id} is used {times} times" for id, times in used.items() if times > 1)
        for span in self.spans:
            fault = None if span.id else "has no id"
            fault = fault or ranges_fault(span.fragments, len(self.text))
            if fault or span.text != text_at(self.text, span.fragments):
                yield f"span {span.id}: {fault or 'its text is not what stands at its offsets'}"
        for number, item in enumerate(self.annotations(), start=1):
            if isinstance(item, Relation | Attribute) and any(id not in used for id in item.named()):
                yield f"{type(item).__name__.lower()} {item.id or f'of number {number}'}: names an id that is not here"
        if any(not 0 <= token.start < token.end <= len(self.text) for token in self.tokens) or any(
            one.end > other.start for one, other in pairwise(self.tokens)
        ):
            yield "tokens that are empty, overlap or stand outside of the text"
        edges = [edge for sentence in self.sentences for edge in sentence]
        if edges and (edges != sorted(edges) or edges[1:-1:2] != edges[2::2] or (edges[0], edges[-1]) != (0, len(self.tokens))):
            yield "sentences that do not follow one another from the first token to the last"


def text_at(text: str, fragments: Sequence[tuple[int, int]]) -> str:
    """What stands at the ranges, joined by single spaces."""
    return " ".join(text[start:end] for start, end in fragments)


def ranges_fault(fragments: Sequence[tuple[int, int]], length: int) -> str | None:
    """Why these are no ranges of a text of `length` characters, or None."""
    if not fragments or any(start >= end for start, end in fragments):
        return "an empty or reversed range"
    if any(start < 0 or end > length for start, end in fragments):
        return "a range outside of the text"
    if any(one[1] > other[0] for one, other in pairwise(sorted(fragments))):
        return "ranges that overlap one another"
    return None


def encodable(text: str) -> bool:
    """Whether UTF-8 can hold the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def says(text: str, fragments: Sequence[tuple[int, int]], written: str, ignore_case: bool = False) -> bool:
    """Whether the words at the ranges are those of `written`, whatever white space stands between and around them."""
    if sum(end - start for start, end in fragments) > 20 * len(written) + 1000:
        return False  # so that a file of false ranges does not take for ever
    found = (word for start, end in fragments for word in _WORD.finditer(text, start, end))
    pairs = zip_longest(found, _WORD.finditer(written))
    if ignore_case:
        return all(left and right and left[0].lower() == right[0].lower() for left, right in pairs)
    return all(left and right and left[0] == right[0] for left, right in pairs)
