"""In: documents of `formats`. Out: examples for a tagger. Next: `loaders`, `user_data`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from clinical_modernbert.formats.document import AnnotatedDocument
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import TaggedText


def tagged(
    documents: Iterable[AnnotatedDocument], counted: Counter[str], rename: Callable[[str], str | None] = lambda label: label
) -> list[TaggedText]:
    """Each document with its spans under the label that `rename` gives them, None for none.

    A span in several fragments is taken from its first to its last character, and counted; a document whose id came before is left out,
    and counted.
    """
    found: dict[str, TaggedText] = {}
    for document in documents:
        if document.id in found:
            counted["document repeated"] += 1
            continue
        spans = [(span, label) for span in document.spans if (label := rename(span.label)) is not None]
        counted["span in fragments"] += sum(len(span.fragments) > 1 for span, _ in spans)
        words = tuple((token.start, token.end) for token in document.tokens) or None
        found[document.id] = TaggedText(
            document.id, document.text, tuple(sorted({Span(span.start, span.end, label) for span, label in spans})), words
        )
    return list(found.values())


def lines_of(whole: TaggedText, counted: Counter[str]) -> Iterator[TaggedText]:
    """Each line of a text that is not empty, with the words and spans inside of it; a span of several lines is left out, and counted."""
    start, placed = 0, 0
    for number, line in enumerate(whole.text.split("\n"), start=1):
        end = start + len(line)
        inside = [span for span in whole.spans if start <= span.start and span.end <= end]
        placed += len(inside)
        if line.strip():
            spans = tuple(Span(span.start - start, span.end - start, span.label) for span in inside)
            words = tuple((first - start, last - start) for first, last in whole.words or () if start <= first and last <= end)
            yield TaggedText(f"{whole.id}:{number}", line, spans, words or None, whole.group)
        start = end + 1
    counted["span of several lines"] += len(whole.spans) - placed
