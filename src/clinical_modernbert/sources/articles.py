"""In: full texts from PubMed Central, JATS XML or JSON Lines. Out: one long `Document` for each article. Next: `corpus`."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import takewhile
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.sources import jats
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.json_lines import numbered_objects
from clinical_modernbert.sources.opening import InputPath, Location, list_files
from clinical_modernbert.sources.xml_stream import elements

_JSON_LINES = (".jsonl", ".jsonl.gz")
_XML = (".nxml", ".nxml.gz", ".xml", ".xml.gz")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Articles:
    """Full articles: title, abstract, then every section behind its title; paragraphs stand between empty lines.

    References, tables' cells and figures' pictures are left out, captions stay. Each article's own licence is in `metadata["licence"]`.
    """

    path: InputPath
    """JATS (`.nxml`, `.xml`) or `.jsonl` with `abstract[{label,text}]` and `body[{section,paragraphs}]`, plain or `.gz`; or a folder."""
    type: Literal["articles"] = field(default="articles", kw_only=True)
    """Kind of source."""
    access: Access = field(default="open", kw_only=True)
    """The open part of PubMed Central is public; set otherwise for articles under a publisher's contract."""
    licence: str = field(default="each article's own, see its metadata", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "articles"

    def files(self) -> list[Location]:
        return list_files(self.path, (*_JSON_LINES, *_XML))

    def beside(self) -> list[Location]:
        return []

    def read(self, path: Location) -> Iterator[Record]:
        if path.name.endswith(_JSON_LINES):
            yield from self._json_lines(path)
            return
        for number, element in enumerate(elements(path, ["article"], ["article", "pmc-articleset"]), start=1):
            article = jats.parse(element)
            if article is None:
                yield Rejection(str(path), f"article {number}", "an XML entity that only its DTD could explain")
            else:
                yield self._document(article.sections, article.metadata, fallback=f"{path.name}-{number}")

    def _json_lines(self, path: Location) -> Iterator[Record]:
        for item in numbered_objects(path):
            if isinstance(item, Rejection):
                yield item
                continue
            number, record = item
            sections = _sections(record)
            if sections is None:
                yield Rejection(str(path), f"line {number}", "not title, abstract[{label,text}], body[{section,paragraphs}]")
            else:
                metadata: dict[str, Json] = {key: record.get(key) for key in ("pmcid", "pmid", "doi", "journal", "year")}
                metadata["licence"] = record.get("license")
                yield self._document(sections, metadata, fallback=f"{path.name}-{number}")

    def _document(self, sections: list[jats.Section], metadata: Mapping[str, Json], fallback: str) -> Document:
        pmid = metadata.get("pmid")
        key = metadata.get("pmcid") or (pmid and f"pmid-{pmid}") or fallback
        known = {name: value for name, value in (*metadata.items(), ("abstract_paragraphs", _abstract_paragraphs(sections))) if value}
        return Document(f"articles:{key}", _layout(sections), self.name, self.access, metadata=known)


def _sections(record: Mapping[str, Json]) -> list[jats.Section] | None:
    """The sections of one JSON line; None where a part is of another shape. Titles of nested sections are joined by ` > `."""
    title = record.get("title") or ""
    if not isinstance(title, str):
        return None
    sections = [jats.Section((), [title])]
    for part, heading, content in (("abstract", "label", "text"), ("body", "section", "paragraphs")):
        items = record.get(part) or []
        if not isinstance(items, list):
            return None
        for item in items:
            name, text = (item.get(heading) or "", item.get(content) or []) if isinstance(item, dict) else (None, None)
            paragraphs = [text] if isinstance(text, str) else text
            if not isinstance(name, str) or not isinstance(paragraphs, list) or not all(isinstance(p, str) for p in paragraphs):
                return None
            path = tuple(step for step in name.split(" > ") if step)
            abstract = part == "abstract"
            sections.append(jats.Section(("Abstract", *path) if abstract else path, paragraphs, abstract))
    return sections


def _layout(sections: list[jats.Section]) -> str:
    """One text; a section's title stands on the line above its first paragraph, and only where it changes."""
    blocks: list[str] = []
    before: tuple[str, ...] = ()
    for section in sections:
        shared = next(
            (i for i, (a, b) in enumerate(zip(before, section.path, strict=False)) if a != b), min(len(before), len(section.path))
        )
        paragraphs = [text for paragraph in section.paragraphs if (text := paragraph.strip())]
        if paragraphs:
            blocks += ["\n".join((*section.path[shared:], paragraphs[0])), *paragraphs[1:]]
            before = section.path
    return "\n\n".join(blocks)


def _abstract_paragraphs(sections: list[jats.Section]) -> int:
    """Paragraphs of the abstract that stand right behind the title; 0 where either is missing."""
    title, *rest = sections
    if not any(paragraph.strip() for paragraph in title.paragraphs):
        return 0
    abstract = takewhile(lambda section: section.abstract, rest)
    paragraphs = (text for section in abstract for paragraph in section.paragraphs if (text := paragraph.strip()))
    return sum(len(text.split("\n\n")) for text in paragraphs)
