"""In: the official tabular list of ICD-10-CM, as XML. Out: an `Entry` for each category and code. Next: `Codes`."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clinical_modernbert.sources.codes.entry import Entry
from clinical_modernbert.sources.opening import Location
from clinical_modernbert.sources.xml_stream import elements, text_of

if TYPE_CHECKING:
    from lxml import etree

_NOTES = (
    ("includes", ("includes",)),
    ("excludes", ("excludes1", "excludes2")),
    ("code_first", ("codeFirst",)),
    ("code_also", ("codeAlso",)),
    ("use_additional", ("useAdditionalCode",)),
    ("note", ("notes",)),
)


def read(path: Location) -> Iterator[Entry]:
    """Every `diag` element, parents before children: 46,881 in the edition of April 2026.

    Chapters and blocks are no entries but stand in the text of theirs; codes made by adding a seventh character are not spelt out.
    """
    for chapter in elements(path, ["chapter"], ["ICD10CM.tabular"]):
        title = re.sub(r"\s*\([A-Z0-9-]+\)$", "", text_of(chapter.find("desc")).strip())
        for section in chapter.iterfind("section"):
            block = text_of(section.find("desc")).strip()
            for category in section.iterfind("diag"):
                yield from _entries(category, title, block, ())


def _entries(diag: "etree._Element", chapter: str, block: str, parents: tuple[tuple[str, str], ...]) -> Iterator[Entry]:
    code, name = text_of(diag.find("name")).strip(), text_of(diag.find("desc")).strip()
    yield Entry(
        system="ICD-10-CM",
        code=code,
        name=name,
        synonyms=_lines(diag, "inclusionTerm"),
        parents=parents,
        chapter=chapter,
        notes=(
            ("block", (block,)),
            *((placeholder, tuple(note for tag in tags for note in _lines(diag, tag))) for placeholder, tags in _NOTES),
        ),
    )
    for child in diag.iterfind("diag"):
        yield from _entries(child, chapter, block, ((code, name),))


def _lines(diag: "etree._Element", tag: str) -> tuple[str, ...]:
    return tuple(text for note in diag.iterfind(f"{tag}/note") if (text := text_of(note).strip()))
