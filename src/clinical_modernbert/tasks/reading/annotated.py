"""In: documents of `formats`. Out: examples for a tagger. Next: `loaders`, `user_data`."""

from collections import Counter
from collections.abc import Callable, Iterable

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
