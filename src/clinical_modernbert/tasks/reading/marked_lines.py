"""In: a note, spans of it and what holds between them. Out: an example for each pair, the lines around it marked. Next: `loaders`."""

from collections import Counter
from collections.abc import Iterable, Iterator

from clinical_modernbert.formats.document import AnnotatedDocument, Span
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.reading.relations import marked

NEAR = 300
"""Characters that may lie between the lines of two spans; of what lies farther apart, the lines between are left out."""


def excerpt(text: str, head: Span, tail: Span | None = None) -> str:
    """The lines that hold the spans and those between them, both marked; of spans that are not `NEAR` their own lines, ` ... ` between."""
    spans = [head] if tail is None else [head, tail]
    windows = sorted((text.rfind("\n", 0, span.start) + 1, _line_end(text, span.end)) for span in spans)
    if windows[-1][0] - windows[0][1] <= NEAR:
        windows = [(windows[0][0], max(end for _, end in windows))]

    def inside(start: int, end: int, span: Span | None) -> list[tuple[int, int]]:
        return [(span.start - start, span.end - start)] if span and start <= span.start and span.end <= end else []

    pieces = (marked(text[start:end], inside(start, end, head), inside(start, end, tail)) for start, end in windows)
    return " ... ".join(pieces)


def related(
    document: AnnotatedDocument, candidates: Iterable[tuple[Span, Span]], no_class: str, counted: Counter[str]
) -> Iterator[LabelledText]:
    """An example for each candidate pair with what holds between the two, in whichever direction, or `no_class`.

    A second relation of a pair, and relations of what is no candidate, are left out and counted.
    """
    gold: dict[frozenset[str], str] = {}
    for relation in document.relations:
        pair = frozenset(id for _, id in relation.arguments)
        counted["second relation of a pair"] += pair in gold
        gold.setdefault(pair, relation.label)
    for head, tail in candidates:
        label = gold.pop(frozenset((head.id, tail.id)), no_class)
        yield LabelledText(f"{document.id}:{head.id}-{tail.id}", excerpt(document.text, head, tail), (label,), group=document.id)
    counted["relation of no candidate pair"] += len(gold)


def _line_end(text: str, position: int) -> int:
    found = text.find("\n", position)
    return len(text) if found < 0 else found
