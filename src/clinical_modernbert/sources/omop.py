"""In: the NOTE table of an OMOP database. Out: one `Document` for each note. Next: `corpus`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.opening import InputPath, Location, list_files, stamp
from clinical_modernbert.sources.tables import SUFFIXES, named_rows
from clinical_modernbert.sources.visits import Diagnosis, IcdVersion, VisitCodes, identifier, iso_time

_VISIT = "visit_occurrence_id"
_LANGUAGE = "language_concept_id"
_ENGLISH = "4180186"
_NEEDED = ("note_id", "person_id", "note_text")
_METADATA = (_VISIT, "note_title", "note_type_concept_id", "note_class_concept_id", _LANGUAGE)
_TIMES = ("note_datetime", "note_date")
_AS_SPECIFIED = "Give the table as the Common Data Model 5.4 has it."
_VERSIONS: Mapping[str, IcdVersion] = {"icd10cm": 10, "icd9cm": 9}


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class OmopNotes:
    """Notes of the NOTE table (OHDSI's Common Data Model 5.4; 5.3's is alike), `patient` set to `person_id`.

    Columns are found whatever the case of their names. `conditions` is read into memory, 12 bytes for each diagnosis.
    """

    path: InputPath
    """NOTE as `.csv`, `.tsv` (or with `.gz`) or `.parquet`; a folder of its parts; or of tables: `note.csv`, `NOTE.parquet`, `note/`."""
    type: Literal["omop"] = field(default="omop", kw_only=True)
    """Kind of source."""
    conditions: InputPath | None = field(default=None, kw_only=True)
    """CONDITION_OCCURRENCE, found as `path` is: gives each note the diagnoses of its visit."""
    vocabulary: Literal["icd10cm", "icd9cm"] = field(default="icd10cm", kw_only=True)
    """What the `condition_source_value` of `conditions` is a code of; values that are none are left out and counted."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for synthetic notes."""
    licence: str = field(default="not stated", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "omop"

    def files(self) -> list[Location]:
        return _exports(self.path, "note")

    def beside(self) -> list[Location]:
        return _exports(self.conditions, "condition_occurrence") if self.conditions else []

    def read(self, path: Location) -> Iterator[Record]:
        codes = self._codes()
        for item in named_rows(path, _NEEDED, (*_METADATA, *_TIMES), _AS_SPECIFIED):
            yield item if isinstance(item, Rejection) else self._record(path, *item, codes)

    def _codes(self) -> VisitCodes | None:
        files = tuple(self.beside())
        return _codes_of_visits(files, str([stamp(file) for file in files]), _VERSIONS[self.vocabulary]) if files else None

    def _record(self, path: Location, number: int, row: Mapping[str, object], codes: VisitCodes | None) -> Record:
        note, person, text = identifier(row["note_id"]), identifier(row["person_id"]), row["note_text"]
        if not note or not person:
            return Rejection(str(path), f"row {number}", "no note_id or person_id")
        if text is not None and not isinstance(text, str):
            return Rejection(str(path), f"row {number}", f"'note_text' holds {type(text).__name__}, not text")
        if text and "\0" in text:
            return Rejection(str(path), f"row {number}", "NUL character in the text")
        metadata: dict[str, Json] = {key: value for key in _METADATA if (value := identifier(row.get(key)))}
        if time := next(filter(None, (iso_time(row.get(key)) for key in _TIMES)), None):
            metadata["time"] = time
        if metadata.get(_LANGUAGE) == _ENGLISH:
            metadata["language"] = "eng"
        if codes and (found := codes.of(identifier(row.get(_VISIT)))):
            metadata["codes"] = found
        return Document(f"omop:{note}", text or "", self.name, self.access, patient=person, metadata=metadata)


@lru_cache(maxsize=1)
def _codes_of_visits(files: tuple[Location, ...], stamps: str, version: IcdVersion) -> VisitCodes:
    """`stamps` has a changed table read again."""
    return VisitCodes(_diagnoses(files, version), what=str(files[0]))


def _diagnoses(files: Sequence[Location], version: IcdVersion) -> Iterator[Diagnosis | Rejection]:
    for file in files:
        for item in named_rows(file, (_VISIT, "condition_source_value"), (), _AS_SPECIFIED):
            if isinstance(item, Rejection):
                yield item
            else:
                visit, code = item[1].values()
                yield Diagnosis(identifier(visit), str(code or ""), version)


def _exports(path: Location, table: str) -> list[Location]:
    """The files of one table: `path` itself, or what is called like the table in it, or every table of a folder of parts.

    Raises:
        DataError: there is none, or the table is there twice, such as `note.csv` and `note.parquet`.
    """
    called = re.compile(rf"{table}([-_.]?\d+)*(\.[ct]sv|\.[ct]sv\.gz|\.parquet)?", re.IGNORECASE)
    found = sorted((item for item in path.iterdir() if called.fullmatch(item.name)), key=str) if path.is_dir() else []
    if len(found) > 1 and not all(re.search(r"\d", item.name) for item in found):
        raise DataError(f"both {found[0].name} and {found[1].name} ({path}). Give the path of one of them.")
    return [file for item in found or [path] for file in list_files(item, SUFFIXES)]
