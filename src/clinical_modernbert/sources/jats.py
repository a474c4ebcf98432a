"""In: one JATS `<article>`. Out: its sections as text and what is known about it. Next: `articles`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clinical_modernbert.sources.document import Json
from clinical_modernbert.sources.xml_stream import holds_entity, text_of

if TYPE_CHECKING:
    from lxml import etree

_BLOCKS = frozenset(
    ("list", "def-list", "fig", "fig-group", "table-wrap", "table-wrap-group", "boxed-text", "disp-quote", "supplementary-material")
)
_SILENT = frozenset(("table", "table-wrap-foot", "graphic", "inline-graphic", "media", "object-id", "fn", "ref-list", "label", "title"))
_PICTURED_ABSTRACTS = frozenset(("graphical", "toc", "teaser"))
_SPACED = frozenset(("break", "p", "disp-formula", "term", "def"))
_SPACE = re.compile(r"[ \t\r\n]+")
_TEX = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))/(\d\.\d)")


@dataclass(frozen=True, slots=True)
class Section:
    """Paragraphs that stand below one path of titles; the path of a whole article's title is empty."""

    path: tuple[str, ...]
    paragraphs: list[str]
    abstract: bool = False


@dataclass(frozen=True, slots=True)
class Article:
    """One article, its title the first section."""

    sections: list[Section]
    metadata: dict[str, Json]


def parse(article: "etree._Element") -> Article | None:
    """The article's text and metadata; None where the text depends on an entity that only a DTD could explain."""
    if holds_entity(article):
        return None
    front = article.find("front/article-meta")
    sections = [Section((), [_inline(article.find("front/article-meta/title-group/article-title"))])]
    for abstract in () if front is None else front.iterfind("abstract"):
        if abstract.get("abstract-type") not in _PICTURED_ABSTRACTS:
            found = _sections(abstract, (_inline(abstract.find("title")) or "Abstract",))
            sections += (replace(section, abstract=True) for section in found)
    for part in ("body", "floats-group"):
        element = article.find(part)
        if element is not None:
            sections += _sections(element, ())
    return Article(sections, _metadata(article))


def _sections(element: "etree._Element", path: tuple[str, ...]) -> Iterator[Section]:
    """The element's own paragraphs up to the first subsection, the subsections, and so on in their order."""
    paragraphs: list[str] = []
    for child in element:
        if child.tag != "sec":
            paragraphs += _paragraphs(child)
            continue
        yield Section(path, paragraphs)
        paragraphs = []
        title = _inline(child.find("title"))
        yield from _sections(child, (*path, title) if title else path)
    yield Section(path, paragraphs)


def _paragraphs(element: "etree._Element") -> Iterator[str]:
    if element.tag in _SILENT:
        return
    if element.tag in ("fig", "table-wrap", "supplementary-material"):
        caption = [_inline(element.find("label")), *(_inline(part) for part in element.iterfind("caption/*"))]
        if any(caption[1:]):
            yield " ".join(part for part in caption if part)
    elif element.tag in ("p", "disp-formula", "def-item") or (element.text or "").strip():
        yield _inline(element)
        for child in element:
            if child.tag in _BLOCKS:
                yield from _paragraphs(child)
    else:
        title = _inline(element.find("title"))
        if title:
            yield title
        for child in element:
            yield from _paragraphs(child)


def _inline(element: "etree._Element | None") -> str:
    """Running text, white space as one space; nested blocks, footnotes and superscript citation numbers left out."""
    return "" if element is None else _SPACE.sub(" ", "".join(_pieces(element))).strip()


def _pieces(element: "etree._Element") -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield from _piece(child)
        yield child.tail or ""


def _piece(child: "etree._Element") -> Iterator[str]:
    if child.tag in _BLOCKS or (child.tag in _SILENT and child.tag != "label") or _is_superscript_citation(child):
        return
    space = " " if child.tag in _SPACED else ""
    yield space
    if child.tag == "alternatives":
        formula = child.find("{*}math")
        chosen = formula if formula is not None else child.find("tex-math")
        if chosen is not None:
            yield from _piece(chosen)
    elif child.tag == "tex-math":
        found = _TEX.search(child.text or "")
        yield (found[1] if found else child.text or "").strip()
    else:
        yield from _pieces(child)
    yield space


def _is_superscript_citation(element: "etree._Element") -> bool:
    if element.tag == "sup":
        return element.find("xref[@ref-type='bibr']") is not None
    return (
        element.tag == "xref" and element.get("ref-type") == "bibr" and element.find("sup") is not None and not (element.text or "").strip()
    )


def _metadata(article: "etree._Element") -> dict[str, Json]:
    meta = article.find("front/article-meta")
    if meta is None:
        return {}
    ids = {element.get("pub-id-type"): text_of(element).strip() for element in meta.iterfind("article-id")}
    pmc = ids.get("pmcid") or ids.get("pmc")
    years = [int(year) for element in meta.iterfind("pub-date/year") if (year := (element.text or "").strip()).isdecimal()]
    return {
        "pmcid": pmc and f"PMC{pmc.removeprefix('PMC')}",
        "pmid": ids.get("pmid"),
        "doi": ids.get("doi"),
        "journal": article.findtext("front/journal-meta//journal-title"),
        "year": min(years, default=None),
        "licence": _licence(meta.find("permissions/license")),
    }


def _licence(element: "etree._Element | None") -> str | None:
    """`CC BY 4.0` where the licence names a Creative Commons address, else what its element says in a word."""
    if element is None:
        return None
    values = [value for part in element.iter() for value in (*part.attrib.values(), part.text or "")]
    for value in values:
        if found := _CREATIVE_COMMONS.search(value):
            return f"CC {found[1].upper()} {found[3]}" if found[1] else f"CC0 {found[3]}"
    return element.get("license-type")
