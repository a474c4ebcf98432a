"""In: an XML file of any size. Out: its elements of some names, one at a time. Next: `pubmed`, `articles`, `codes.icd10cm`.

Nothing outside of the file is ever read: no DTD, no entity, no network.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.opening import MAX_LINE_BYTES, Bounded, Location, TooLongError, open_bytes

if TYPE_CHECKING:
    from lxml import etree


def elements(path: Location, tags: Sequence[str], roots: Sequence[str]) -> Iterator["etree._Element"]:
    """Each element named in `tags` as soon as it is complete; comments and processing instructions are left out.

    An element and all that stands before it is emptied when the next one is asked for, so memory does not grow with the file.

    Raises:
        DataError: not XML, not closed, another root element than `roots`, an element of more than `MAX_LINE_BYTES`, a text that is longer
            than lxml allows, damaged gzip. What came before stays valid.
    """
    from lxml import etree

    with open_bytes(path) as stream:
        bounded = Bounded(stream, MAX_LINE_BYTES)
        parser = etree.iterparse(
            cast(BinaryIO, bounded),
            tag=tags,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            for _, element in parser:
                yield element
                _forget(element)
                bounded.taken = 0
        except TooLongError:
            raise DataError(f"an element of more than {MAX_LINE_BYTES:,} bytes ({path}). Break it up.") from None
        except etree.XMLSyntaxError as error:
            line = f", line {error.lineno}" if error.lineno else ""
            raise DataError(f"not well-formed XML ({path}{line}). Fetch or export the file again.") from None
        if parser.root.tag not in roots:
            raise DataError(f"root element is not {' or '.join(roots)} ({path}). Check that the file is of this kind.")


def text_of(element: "etree._Element | None") -> str:
    """All text inside the element, tags removed, no character added or lost; empty for None."""
    if element is None:
        return ""
    return "".join(cast("Iterator[str]", element.itertext())) if len(element) else element.text or ""


def holds_entity(element: "etree._Element") -> bool:
    """Whether the text depends on an entity that only a DTD could explain; such text would be incomplete."""
    from lxml import etree

    return next(element.iter(etree.Entity), None) is not None


def _forget(element: "etree._Element") -> None:
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
