"""In: files as their publishers or a hospital made them. Out: `Document`s, one class for each kind of source.

Next: `corpus` normalises, filters and splits them.
"""

from typing import Annotated, Union

from pydantic import Field

from clinical_modernbert.sources.articles import Articles
from clinical_modernbert.sources.codes import Codes, HpoTerms, IcdCodes
from clinical_modernbert.sources.document import Access, Deletion, Document, Rejection, Source
from clinical_modernbert.sources.fhir import FhirNotes
from clinical_modernbert.sources.files import Files
from clinical_modernbert.sources.meds import MedsNotes
from clinical_modernbert.sources.mimic3_notes import Mimic3Notes
from clinical_modernbert.sources.mimic_notes import MimicNotes
from clinical_modernbert.sources.omop import OmopNotes
from clinical_modernbert.sources.pseudo_notes import PseudoNotes
from clinical_modernbert.sources.pubmed import PubMed

AnySource = Annotated[
    Union[PubMed, MimicNotes, Mimic3Notes, PseudoNotes, OmopNotes, FhirNotes, MedsNotes, Articles, Codes, Files],
    Field(discriminator="type"),
]
"""Any source as a corpus file spells it, told apart by `type`."""

__all__ = [
    "Access",
    "AnySource",
    "Articles",
    "Codes",
    "Deletion",
    "Document",
    "FhirNotes",
    "Files",
    "HpoTerms",
    "IcdCodes",
    "MedsNotes",
    "Mimic3Notes",
    "MimicNotes",
    "OmopNotes",
    "PseudoNotes",
    "PubMed",
    "Rejection",
    "Source",
]
