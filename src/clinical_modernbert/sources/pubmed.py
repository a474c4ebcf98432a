"""In: PubMed/MEDLINE XML, baseline and update files. Out: one `Document` for each citation and each further abstract, `Deletion`s.

Next: `corpus` keeps the last version of each id and applies the deletions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.sources import medline
from clinical_modernbert.sources.document import Access, Deletion, Document, Json, Record, Rejection
from clinical_modernbert.sources.opening import InputPath, Location, list_files
from clinical_modernbert.sources.xml_stream import elements, holds_entity, text_of

if TYPE_CHECKING:
    from lxml import etree

_CITATIONS = ("MedlineCitation", "BookDocument")
_ARTICLES = ("PubmedArticle", "PubmedBookArticle")
_TAGS = (*_CITATIONS, *_ARTICLES, "DeleteCitation", "DeleteDocument")
_ROOTS = (
    *("PubmedArticleSet", "MedlineCitationSet", "PubmedArticle", "MedlineCitation"),
    *("PubmedBookArticleSet", "BookDocumentSet", "PubmedBookArticle", "BookDocument"),
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class PubMed:
    """PubMed citations: title and abstract as printed, tags removed, no character of an element's text added or lost.

    A citation without an abstract is a document that holds its title alone; so is a book, whose table of contents is in the metadata. An
    abstract in another language, or a second one (plain-language summaries, PIP), is a document of its own, `pubmed:PMID#ger`, the
    second of a language `pubmed:PMID#ger-2`.
    """

    path: InputPath
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

    def files(self) -> list[Location]:
        return list_files(self.path, (".xml", ".xml.gz"))

    def beside(self) -> list[Location]:
        return []

    def read(self, path: Location) -> Iterator[Record]:
        number = 0
        citation: medline.Citation | Rejection | None = None
        for element in elements(path, _TAGS, _ROOTS):
            if element.tag.startswith("Delete"):
                yield from (Deletion(f"pubmed:{text_of(pmid).strip()}") for pmid in element.iter("PMID"))
            elif element.tag in _ARTICLES:
                yield from self._records(
                    citation, medline.identifiers(item for part in element.iterfind("*/ArticleIdList") for item in part)
                )
                citation = None
            else:
                number += 1
                citation = _citation(element, str(path), number)
                parent = element.getparent()
                if parent is None or parent.tag not in _ARTICLES:  # else its identifiers are still to come
                    yield from self._records(citation, {})

    def _records(self, citation: medline.Citation | Rejection | None, identifiers: Mapping[str, Json]) -> Iterator[Record]:
        if isinstance(citation, Rejection):
            yield citation
        elif citation is not None:
            known = {**citation.metadata, **identifiers}
            for text in citation.texts:
                yield self._document(f"pubmed:{citation.pmid}{text.suffix}", text, known)

    def _document(self, document_id: str, text: medline.Text, known: Mapping[str, Json]) -> Document:
        metadata = {**known, "language": text.language}
        if text.title and text.abstract:
            metadata["abstract_paragraphs"] = len(text.abstract.split("\n\n"))
        whole = "\n\n".join(part for part in (text.title, text.abstract) if part)
        return Document(document_id, whole, self.name, self.access, metadata=metadata)


def _citation(element: "etree._Element", path: str, number: int) -> medline.Citation | Rejection:
    pmid = text_of(element.find("PMID")).strip()
    if not pmid.isdecimal():
        return Rejection(path, f"citation {number}", "no PMID")
    if holds_entity(element):
        return Rejection(path, f"pubmed:{pmid}", "an XML entity that only its DTD could explain")
    return medline.parse(element)
