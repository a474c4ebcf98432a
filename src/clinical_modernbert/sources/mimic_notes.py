"""In: the MIMIC-IV-Note folder. Out: one `Document` for each discharge summary and radiology report. Next: `corpus`."""

import logging
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.codes import icd
from clinical_modernbert.sources.document import Access, Document, Record, Rejection
from clinical_modernbert.sources.tables import column_names, numbered_rows

logger = logging.getLogger(__name__)

_TABLES = ("discharge", "radiology")
_COLUMNS = ("note_id", "subject_id", "text")
_DIAGNOSES = ("hadm_id", "seq_num", "icd_code", "icd_version")
_METADATA = ("hadm_id", "note_type", "note_seq", "charttime")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class MimicNotes:
    """Discharge summaries and radiology reports of MIMIC-IV-Note, line structure kept, `patient` set to `subject_id`."""

    path: Path
    """The `mimic-iv-note` folder, or the `note` folder in it, with `discharge.csv.gz` and `radiology.csv.gz` (or plain `.csv`)."""
    type: Literal["mimic-notes"] = field(default="mimic-notes", kw_only=True)
    """Kind of source."""
    diagnoses: Path | None = field(default=None, kw_only=True)
    """`hosp/diagnoses_icd.csv.gz` of MIMIC-IV: gives each discharge summary the ICD codes of its admission, most important first."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for public text that somebody put into MIMIC's file layout, never for MIMIC itself."""
    licence: str = field(default="PhysioNet Credentialed Health Data License 1.5.0", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "mimic-notes"

    def files(self) -> list[Path]:
        candidates = [
            folder / f"{table}{suffix}" for table in _TABLES for folder in (self.path / "note", self.path) for suffix in (".csv.gz", ".csv")
        ]
        found = {file.name.partition(".")[0]: file for file in reversed(candidates) if file.is_file()}
        if not found:
            raise DataError(f"no note/discharge.csv.gz or note/radiology.csv.gz ({self.path}). Give the mimic-iv-note folder.")
        for table in _TABLES:
            if table not in found:
                logger.warning("%s: no %s table; the corpus will be without it", self.path, table)
        return [found[table] for table in _TABLES if table in found]

    def read(self, path: Path) -> Iterator[Record]:
        columns = column_names(path)
        missing = [column for column in _COLUMNS if column not in columns]
        if missing:
            raise DataError(f"no {missing[0]!r} column (found {', '.join(columns)}) ({path}). Give a table of MIMIC-IV-Note.")
        codes = _codes_of_admissions(self.diagnoses) if self.diagnoses and path.name.startswith("discharge") else {}
        for number, row in numbered_rows(path):
            if row["note_id"] is None or row["subject_id"] is None:
                yield Rejection(str(path), f"row {number}", "no note_id or subject_id")
                continue
            yield Document(
                id=f"mimic-notes:{row['note_id']}",
                text=str(row["text"] or ""),
                source=self.name,
                access=self.access,
                patient=str(row["subject_id"]),
                metadata={key: str(row[key]) for key in _METADATA if row.get(key) is not None}
                | ({"codes": found} if (found := codes.get(str(row.get("hadm_id")))) else {}),
            )


def _codes_of_admissions(path: Path) -> dict[str, list[str]]:
    """Admission -> its concepts in order of `seq_num`. Holds the table in memory.

    Raises:
        DataError: the file is missing or is not MIMIC's `diagnoses_icd`.
    """
    if not path.is_file():
        raise DataError(f"no such file ({path}). Give the path of hosp/diagnoses_icd.csv.gz.")
    missing = [column for column in _DIAGNOSES if column not in (columns := column_names(path))]
    if missing:
        raise DataError(f"no {missing[0]!r} column (found {', '.join(columns)}) ({path}). Give MIMIC's diagnoses_icd table.")
    found: dict[str, list[tuple[int, str]]] = {}
    for _, row in numbered_rows(path):
        admission, sequence, code, version = (str(row[column] or "").strip() for column in _DIAGNOSES)
        if code and version in ("9", "10"):
            concept = f"ICD-{version}-CM:{icd.diagnosis(code, int(version))}"
            found.setdefault(admission, []).append((int(sequence) if sequence.isdecimal() else 0, concept))
    return {admission: [concept for _, concept in sorted(codes)] for admission, codes in found.items()}
