"""In: PubMed/MEDLINE XML, baseline and update files. Out: one `Document` for each citation and each further abstract, `Deletion`s.

Next: `corpus` keeps the last version of each id and applies the deletions.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.sources.document import Access, Deletion, Document, Json, Record, Rejection
from clinical_modernbert.sources.opening import list_files
from clinical_modernbert.sources.xml_stream import elements, holds_entity, text_of

if TYPE_CHECKING:
    from lxml import etree

_CITATIONS = ("MedlineCitation", "BookDocument")
_TAGS = (*_CITATIONS, "PubmedArticle", "PubmedBookArticle", "DeleteCitation", "DeleteDocument")
_ROOTS = ("PubmedArticleSet", "MedlineCitationSet", "PubmedArticle", "MedlineCitation", "PubmedBookArticleSet", "PubmedBookArticle")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class PubMed:
    """PubMed citations: title and abstract as printed, tags removed, no character of an element's text added or lost.

    A citation without an abstract is a document that holds its title alone. An abstract in another language, or a second one
    (plain-language summaries, PIP), is a document of its own, `pubmed:PMID#ger`, the second of a language `pubmed:PMID#ger-2`.
    """

    path: Path
    """One `.xml` or `.xml.gz` file, or a folder of them, read in order of their names."""
    type: Literal["pubmed"] = field(default="pubmed", kw_only=True)
    """Kind of source."""
    access: Access = field(default="open", kw_only=True)
    """PubMed is public."""
    licence: str = field(default="NLM data terms; some abstracts are their publishers'", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "pubmed"

    def files(self) -> list[Path]:
        return list_files(self.path, (".xml", ".xml.gz"))

    def read(self, path: Path) -> Iterator[Record]:
        number = 0
        for element in elements(path, _TAGS, _ROOTS):
            if element.tag in _CITATIONS:
                number += 1
                yield from self._citation(element, str(path), number)
            elif element.tag.startswith("Delete"):
                yield from (Deletion(f"pubmed:{text_of(pmid).strip()}") for pmid in element.iter("PMID"))

    def _citation(self, citation: "etree._Element", path: str, number: int) -> Iterator[Record]:
        pmid = citation.find("PMID")
        if pmid is None or not text_of(pmid).strip().isdecimal():
            yield Rejection(path, f"citation {number}", "no PMID")
            return
        document_id = f"pubmed:{text_of(pmid).strip()}"
        if holds_entity(citation):
            yield Rejection(path, document_id, "an XML entity that only its DTD could explain")
            return
        article = citation.find("Article")
        article = citation if article is None else article
        metadata = _metadata(citation, article, pmid)
        title, abstract = text_of(article.find("ArticleTitle")).strip(), _sections(article.find("Abstract"))
        yield self._document(document_id, title, abstract, metadata)
        yield from self._other_abstracts(citation, article, document_id, metadata)

    def _other_abstracts(
        self, citation: "etree._Element", article: "etree._Element", document_id: str, metadata: dict[str, Json]
    ) -> Iterator[Document]:
        vernacular = text_of(article.find("VernacularTitle")).strip()
        seen: Counter[str] = Counter()
        for other in citation.iterfind("OtherAbstract"):
            language = other.get("Language", "eng")
            seen[language] += 1
            title = vernacular if language == metadata["language"] else ""
            suffix = f"#{language}" if seen[language] == 1 else f"#{language}-{seen[language]}"
            yield self._document(document_id + suffix, title, _sections(other), {**metadata, "language": language})

    def _document(self, document_id: str, title: str, abstract: str, metadata: dict[str, Json]) -> Document:
        text = "\n\n".join(part for part in (title, abstract) if part)
        paragraphs = {"abstract_paragraphs": len(abstract.split("\n\n"))} if title and abstract else {}
        return Document(document_id, text, self.name, self.access, metadata={**metadata, **paragraphs})


def _sections(abstract: "etree._Element | None") -> str:
    """Sections of an abstract, each on a line of its own behind its label."""
    lines = []
    for section in () if abstract is None else abstract.iterfind("AbstractText"):
        label = section.get("Label", "").strip().rstrip(":")
        lines.append(": ".join(part for part in (label, text_of(section).strip()) if part))
    return "\n".join(line for line in lines if line)


def _metadata(citation: "etree._Element", article: "etree._Element", pmid: "etree._Element") -> dict[str, Json]:
    """What is known of a citation; `language` is the article's, NLM's own title and abstract are English whatever it says."""
    types = [text_of(kind) for kind in article.iter("PublicationType")]
    descriptors = list(citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName"))
    retracted = "Retracted Publication" in types or citation.find("CommentsCorrectionsList/*[@RefType='RetractionIn']") is not None
    version = pmid.get("Version", "1")
    return {
        "year": _year(article),
        "language": article.findtext("Language"),
        "journal": article.findtext("Journal/Title") or citation.findtext("MedlineJournalInfo/MedlineTA"),
        "publication_types": types,
        "mesh": [text_of(descriptor) for descriptor in descriptors],
        "mesh_ui": [descriptor.get("UI") for descriptor in descriptors],
        "version": int(version) if version.isdecimal() else 1,
        "retracted": retracted,
    }


def _year(article: "etree._Element") -> int | None:
    for path in ("Journal/JournalIssue/PubDate", "ArticleDate", "Book/PubDate"):
        found = re.search(r"\b[12]\d{3}\b", " ".join(part.text or "" for part in article.iterfind(f"{path}/*")))
        if found:
            return int(found[0])
    return None
