"""In: the MIMIC-IV-Note folder. Out: one `Document` for each discharge summary and radiology report. Next: `corpus`."""

import logging
from collections.abc import Iterator
from dataclasses import field
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.admissions import codes_of_admissions, ordinal
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.lookup import Lookup
from clinical_modernbert.sources.opening import InputPath, Location
from clinical_modernbert.sources.tables import named_rows
from clinical_modernbert.sources.visits import identifier, iso_time

logger = logging.getLogger(__name__)

_TABLES = ("discharge", "radiology")
_SUFFIXES = (".csv.gz", ".csv")
_WHAT_TO_GIVE = "Give a table of MIMIC-IV-Note."
_COLUMNS = ("note_id", "subject_id", "text")
_METADATA = ("hadm_id", "note_type", "note_seq")
_DETAIL = ("note_id", "field_name", "field_value", "field_ordinal")
_PERSONS = frozenset(("author",))

Details = Lookup[tuple[str, str]]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class MimicNotes:
    """Discharge summaries and radiology reports of MIMIC-IV-Note, line structure kept, `patient` set to `subject_id`.

    `radiology_detail` and `discharge_detail`, where they lie beside the notes, give each note its `details`: names and codes of exams, not
    authors. They and the diagnoses are held in memory: 250 MB, and later 100, for the six million rows of `radiology_detail`.
    """

    path: InputPath
    """The `mimic-iv-note` folder, or the `note` folder in it, with `discharge.csv.gz` and `radiology.csv.gz` (or plain `.csv`)."""
    type: Literal["mimic-notes"] = field(default="mimic-notes", kw_only=True)
    """Kind of source."""
    diagnoses: InputPath | None = field(default=None, kw_only=True)
    """`hosp/diagnoses_icd.csv.gz` of MIMIC-IV: gives each discharge summary the ICD codes of its admission, most important first."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for public text that somebody put into MIMIC's file layout, never for MIMIC itself."""
    licence: str = field(default="PhysioNet Credentialed Health Data License 1.5.0", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "mimic-notes"

    def files(self) -> list[Location]:
        candidates = [
            folder / f"{table}{suffix}" for table in _TABLES for folder in (self.path / "note", self.path) for suffix in _SUFFIXES
        ]
        found = {file.name.partition(".")[0]: file for file in reversed(candidates) if file.is_file()}
        if not found:
            raise DataError(f"no note/discharge.csv.gz or note/radiology.csv.gz ({self.path}). Give the mimic-iv-note folder.")
        for table in _TABLES:
            if table not in found:
                logger.warning("%s: no %s table; the corpus will be without it", self.path, table)
        return [found[table] for table in _TABLES if table in found]

    def beside(self) -> list[Location]:
        details = [file for table in self.files() for file in _detail_tables(table)]
        return [*details, self.diagnoses] if self.diagnoses else details

    def read(self, path: Location) -> Iterator[Record]:
        table = path.name.partition(".")[0]
        codes = codes_of_admissions(self.diagnoses) if self.diagnoses and table == "discharge" else None
        details: Details = Lookup(entry for file in _detail_tables(path) for entry in _entries(file))
        for item in named_rows(path, _COLUMNS, (*_METADATA, "charttime"), _WHAT_TO_GIVE):
            if isinstance(item, Rejection):
                yield item
                continue
            number, row = item
            if row["note_id"] is None or row["subject_id"] is None:
                yield Rejection(str(path), f"row {number}", "no note_id or subject_id")
                continue
            metadata: dict[str, Json] = {key: value for key in _METADATA if (value := identifier(row.get(key)))}
            if time := iso_time(row.get("charttime")):
                metadata["time"] = time
            if codes and (concepts := codes.of(identifier(row.get("hadm_id")))):
                metadata["codes"] = concepts
            known: dict[str, list[str]] = {}
            for name, value in details[str(row["note_id"])]:
                known.setdefault(name, []).append(value)
            if known:
                metadata["details"] = known
            yield Document(
                f"mimic-notes:{row['note_id']}",
                str(row["text"] or ""),
                self.name,
                self.access,
                patient=str(row["subject_id"]),
                metadata=metadata,
            )


def _detail_tables(notes: Location) -> list[Location]:
    """The table of details that lies beside a table of notes, if there is one."""
    table = notes.name.partition(".")[0]
    return [file for suffix in _SUFFIXES if (file := notes.parent / f"{table}_detail{suffix}").is_file()][:1]


def _entries(path: Location) -> Iterator[tuple[str, int, tuple[str, str]]]:
    """Note, `field_ordinal`, and a field with its value."""
    for item in named_rows(path, _DETAIL, (), _WHAT_TO_GIVE):
        if isinstance(item, Rejection):
            raise DataError(f"{item.where} cannot be read: {item.reason} ({path}). Fetch the table again.")
        note, name, value, place = item[1].values()
        if note and name and value and name not in _PERSONS:
            yield str(note), ordinal(place), (str(name), str(value))
