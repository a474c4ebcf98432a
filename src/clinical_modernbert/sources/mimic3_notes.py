"""In: NOTEEVENTS of MIMIC-III. Out: one `Document` for each note. Next: `corpus`."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.admissions import codes_of_admissions
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.opening import InputPath, Location
from clinical_modernbert.sources.tables import named_rows
from clinical_modernbert.sources.visits import VisitCodes, identifier, iso_time

logger = logging.getLogger(__name__)

_FILES = tuple(f"{table}{suffix}" for table in ("NOTEEVENTS", "noteevents") for suffix in (".csv.gz", ".csv"))
_COLUMNS = ("row_id", "subject_id", "category", "text")
_FURTHER = ("hadm_id", "chartdate", "charttime", "description", "iserror")
_SUMMARY = "discharge summary"


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Mimic3Notes:
    """Notes of MIMIC-III, line structure kept, `patient` set to `mimic3:SUBJECT_ID`; those that their authors marked as errors are refused.

    Patients of 2008 to 2012 are in MIMIC-IV too, under other numbers: with both in one corpus a person may be on both sides of the split.
    """

    path: InputPath
    """The folder of MIMIC-III, or its `NOTEEVENTS.csv.gz` (or plain `.csv`)."""
    type: Literal["mimic3-notes"] = field(default="mimic3-notes", kw_only=True)
    """Kind of source."""
    categories: tuple[str, ...] | None = field(default=None, kw_only=True)
    """Kinds of notes to take (`Discharge summary`, `Radiology`, `Nursing/other` ...), upper or lower case; all of them where not given."""
    diagnoses: InputPath | None = field(default=None, kw_only=True)
    """`DIAGNOSES_ICD.csv.gz` of MIMIC-III: gives each discharge summary the ICD-9 codes of its admission, most important first."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for public text that somebody put into MIMIC's file layout, never for MIMIC itself."""
    licence: str = field(default="PhysioNet Credentialed Health Data License 1.5.0", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "mimic3-notes"

    def files(self) -> list[Location]:
        for file in (self.path, *(self.path / name for name in _FILES)):
            if file.name in _FILES and file.is_file():
                return [file]
        raise DataError(f"no NOTEEVENTS.csv.gz ({self.path}). Give the folder of MIMIC-III.")

    def beside(self) -> list[Location]:
        return [self.diagnoses] if self.diagnoses else []

    def read(self, path: Location) -> Iterator[Record]:
        codes = codes_of_admissions(self.diagnoses) if self.diagnoses else None
        chosen = None if self.categories is None else {category.strip().lower() for category in self.categories}
        found: set[str] = set()
        others = 0
        for item in named_rows(path, _COLUMNS, _FURTHER, "Give NOTEEVENTS of MIMIC-III."):
            if isinstance(item, Rejection):
                yield item
                continue
            number, row = item
            category = str(row["category"] or "").strip().lower()
            if chosen is not None and category not in chosen:
                others += 1
            else:
                found.add(category)
                yield self._record(path, number, row, codes)
        if others:
            logger.warning("%s: %s notes left out, as their categories are not chosen", path, f"{others:,}")
        for category in sorted((chosen or set()) - found):
            logger.warning("%s: no note of category %r; check its name", path, category)

    def _record(self, path: Location, number: int, row: Mapping[str, object], codes: VisitCodes | None) -> Record:
        note, patient, admission = (identifier(row.get(column)) for column in ("row_id", "subject_id", "hadm_id"))
        if not note or not patient:
            return Rejection(str(path), f"row {number}", "no row_id or subject_id")
        if identifier(row.get("iserror")) == "1":
            return Rejection(str(path), f"row {number}", "marked as an error by its authors")
        category = str(row["category"] or "").strip()
        known: dict[str, Json] = {
            "category": category,
            "description": str(row.get("description") or "").strip(),
            "hadm_id": admission,
            "time": iso_time(row.get("charttime")) or iso_time(row.get("chartdate")),
            "codes": codes.of(admission) if codes and category.lower() == _SUMMARY else None,
        }
        return Document(
            f"mimic3-notes:{note}",
            str(row["text"] or ""),
            self.name,
            self.access,
            patient=f"mimic3:{patient}",
            metadata={key: value for key, value in known.items() if value},
        )
