"""In: one `MedlineCitation` or `BookDocument`. Out: its texts and what is known of it. Next: `pubmed`.

Element names and what stands where are those of NLM's PubMed DTD; each element's children are walked once.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeAlias

from clinical_modernbert.sources.document import Json
from clinical_modernbert.sources.xml_stream import text_of

if TYPE_CHECKING:
    from lxml import etree

Children: TypeAlias = "Mapping[str, list[etree._Element]]"

_LIBRARIES = "alb arm baq bur chi cze dut fre geo ger gre ice mac mao may per rum scc scr slo tib wel"
_SPEAKERS = "sqi hye eus mya zho ces nld fra kat deu ell isl mkd mri msa fas ron srp hrv slk bod cym"
_ISO_639_3 = dict(zip(_LIBRARIES.split(" "), _SPEAKERS.split(" "), strict=True))
"""Where ISO 639-3 differs from the codes of libraries (ISO 639-2/B), which NLM uses."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"\b([12]\d{3})\b(?:\s+([A-Za-z]{3}|\d{1,2})\b(?:\s+(\d{1,2})\b)?)?")
_NO_TITLE = re.compile(r"\W*not available\W*", re.IGNORECASE)
"""What NLM prints where an article has no English title."""
_RETRACTED = frozenset(("Retracted Publication", "D016441", "RetractionIn", "RetractedandRepublishedIn"))
_RETRACTION_NOTICE = frozenset(("Retraction of Publication", "Retraction Notice", "D016440", "RetractionOf"))
_PMCID = re.compile(r"PMC\d+")


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a citation; `suffix` sets the further ones apart, as `#ger`."""

    suffix: str
    language: str
    title: str
    abstract: str


@dataclass(frozen=True, slots=True)
class Citation:
    """A citation as far as its own element knows it: identifiers may stand behind it, see `identifiers`."""

    pmid: str
    texts: list[Text]
    metadata: dict[str, Json]


def parse(element: "etree._Element") -> Citation:
    """The citation in an element that has a PMID.

    `metadata`: `year` and `time` of publication, `article_languages` (the article's own, where the texts are translations),
    `journal` or `book`, `publication_types`, `mesh` and `mesh_ui`, `version`, `retracted`; where there are any `keywords`, `contents` (a
    book's table of them), `vernacular_title`, `doi`, `pmcid`, and of a notice of retraction `retraction_notice` (true) and
    `retraction_of`, the ids of what it retracts.
    """
    citation = _children(element)
    article = _children(citation["Article"][0]) if "Article" in citation else citation
    book = _children(citation["Book"][0]) if "Book" in citation else {}
    languages = [_iso_639_3((language.text or "").strip()) for language in article.get("Language", ())]
    return Citation(
        pmid=_text(citation, "PMID"),
        texts=list(_texts(citation, article, book, languages)),
        metadata=_metadata(citation, article, book, languages),
    )


def identifiers(article_ids: "Iterable[etree._Element]") -> dict[str, Json]:
    """`doi` and `pmcid` of an `ArticleIdList`, as far as it names them."""
    found = {item.get("IdType"): (item.text or "").strip() for item in article_ids}
    return {name: value for name, value in (("doi", found.get("doi")), ("pmcid", found.get("pmc"))) if value}


def _children(element: "etree._Element") -> Children:
    found: dict[str, list[etree._Element]] = {}
    for child in element:
        found.setdefault(child.tag, []).append(child)
    return found


def _text(parts: Children, tag: str) -> str:
    return text_of(parts[tag][0]).strip() if tag in parts else ""


def _texts(citation: Children, article: Children, book: Children, languages: list[str]) -> Iterator[Text]:
    """NLM's own title and abstract, English whatever the article is; then the other abstracts, each with the title in its language."""
    title, vernacular = _text(article, "ArticleTitle") or _text(book, "BookTitle"), _text(article, "VernacularTitle")
    abstract = _abstract(article["Abstract"][0]) if "Abstract" in article else ""
    language = languages[0] if book and languages else "eng"
    if vernacular and _NO_TITLE.fullmatch(title):
        title, language = vernacular, language if abstract else next(iter(languages), "und")
    yield Text("", language, title, abstract)
    seen: Counter[str] = Counter()
    for other in citation.get("OtherAbstract", ()):
        code = other.get("Language", "eng")
        seen[code] += 1
        language = _iso_639_3(code)
        suffix = f"#{code}" if seen[code] == 1 else f"#{code}-{seen[code]}"
        yield Text(suffix, language, vernacular if language in languages and language != "eng" else "", _abstract(other))


def _abstract(element: "etree._Element") -> str:
    """Sections of an abstract, each on a line of its own behind its label."""
    lines = []
    for section in element:
        if section.tag == "AbstractText":
            label = section.get("Label", "").strip().rstrip(":")
            lines.append(": ".join(part for part in (label, text_of(section).strip()) if part))
    return "\n".join(line for line in lines if line)


def _metadata(citation: Children, article: Children, book: Children, languages: list[str]) -> dict[str, Json]:
    types: Iterable[etree._Element] = (
        article["PublicationTypeList"][0] if "PublicationTypeList" in article else article.get("PublicationType", ())
    )
    names = [kind.text or "" for kind in types]
    corrections = [item for part in citation.get("CommentsCorrectionsList", ()) for item in part]
    signs = {*names, *(kind.get("UI") for kind in types), *(item.get("RefType") for item in corrections)}
    descriptors = [
        name for part in citation.get("MeshHeadingList", ()) for heading in part for name in heading if name.tag == "DescriptorName"
    ]
    version = citation["PMID"][0].get("Version", "1")
    time = _time(article, book)
    known: dict[str, Json] = {
        "year": int(time[:4]) if time else None,
        "time": time or None,
        "article_languages": languages,
        "journal": _journal(citation, article),
        "publication_types": names,
        "mesh": [name.text or "" for name in descriptors],
        "mesh_ui": [name.get("UI") for name in descriptors],
        "version": int(version) if version.isdecimal() else 1,
        "retracted": not _RETRACTED.isdisjoint(signs),
    }
    further: dict[str, Json] = {
        "book": _text(book, "BookTitle"),
        "contents": [text_of(title).strip() for part in citation.get("Sections", ()) for title in part.iter("SectionTitle")],
        "vernacular_title": _text(article, "VernacularTitle"),
        "keywords": [word for part in citation.get("KeywordList", ()) for item in part if (word := text_of(item).strip())],
        "retraction_notice": not _RETRACTION_NOTICE.isdisjoint(signs),
        "retraction_of": [
            f"pubmed:{pmid}" for item in corrections if item.get("RefType") == "RetractionOf" and (pmid := item.findtext("PMID"))
        ],
        **_own_identifiers(citation, article),
    }
    return {**known, **{name: value for name, value in further.items() if value}}


def _journal(citation: Children, article: Children) -> str | None:
    title = article["Journal"][0].findtext("Title") if "Journal" in article else None
    return title or (citation["MedlineJournalInfo"][0].findtext("MedlineTA") if "MedlineJournalInfo" in citation else None)


def _own_identifiers(citation: Children, article: Children) -> dict[str, Json]:
    """Those inside of the citation: a book's list of ids, an article's electronic location, NLM's other id in files of old."""
    found = identifiers(item for part in citation.get("ArticleIdList", ()) for item in part)
    for place in article.get("ELocationID", ()):
        if place.get("EIdType") == "doi" and place.get("ValidYN") != "N":
            found.setdefault("doi", (place.text or "").strip())
    for other in citation.get("OtherID", ()):
        if other.get("Source") == "NLM" and (pmcid := _PMCID.match(other.text or "")):
            found.setdefault("pmcid", pmcid[0])
    return found


def _time(article: Children, book: Children) -> str:
    """When it was published: the issue's date, or the electronic one where that only says it more exactly; of a chapter its own date."""
    issue = article["Journal"][0].findall("JournalIssue/PubDate") if "Journal" in article else ()
    places = (*issue, *article.get("ArticleDate", ()), *article.get("ContributionDate", ()), *book.get("PubDate", ()))
    dates = (found for place in places if (found := _date(place)))
    first = next(dates, "")
    if len(first) == len("2019-05-03"):
        return first
    return max((found for found in (first, *dates) if found.startswith(first)), key=len)


def _date(element: "etree._Element") -> str:
    """`2019-05-03`, `2019-05` or `2019`, as far as is known; of a span (`1998 Dec-1999 Jan`) its beginning; empty without a year."""
    parts = {child.tag: child.text or "" for child in element}
    found = _DATE.search(parts.get("MedlineDate") or " ".join(parts.get(name, "") for name in ("Year", "Month", "Day")))
    if found is None:
        return ""
    year, word, day = found.groups()
    month = int(word) if word and word.isdecimal() else _MONTHS.index(word.lower()) + 1 if word and word.lower() in _MONTHS else 0
    if not 1 <= month <= 12:
        return year
    try:
        return date(int(year), month, int(day)).isoformat() if day else f"{year}-{month:02d}"
    except ValueError:
        return f"{year}-{month:02d}"


def _iso_639_3(code: str) -> str:
    return _ISO_639_3.get(code, code)
