"""In: files as their publishers or a hospital made them. Out: `Document`s, one class for each kind of source.

Next: `corpus` normalises, filters and splits them.
"""

from typing import Annotated, Union

from pydantic import Field

from clinical_modernbert.sources.articles import Articles
from clinical_modernbert.sources.codes import Codes, HpoTerms, IcdCodes
from clinical_modernbert.sources.document import Access, Deletion, Document, Rejection, Source
from clinical_modernbert.sources.files import Files
from clinical_modernbert.sources.mimic_notes import MimicNotes
from clinical_modernbert.sources.pubmed import PubMed

AnySource = Annotated[Union[PubMed, MimicNotes, Articles, Codes, Files], Field(discriminator="type")]
"""Any source as a corpus file spells it, told apart by `type`."""

__all__ = [
    "Access",
    "AnySource",
    "Articles",
    "Codes",
    "Deletion",
    "Document",
    "Files",
    "HpoTerms",
    "IcdCodes",
    "MimicNotes",
    "PubMed",
    "Rejection",
    "Source",
]
