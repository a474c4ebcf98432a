"""In: a user's own text as JSON Lines, text, CSV, TSV or Parquet. Out: one `Document` for each record. Next: `corpus`."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import date, time
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import tables
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.json_lines import numbered_objects
from clinical_modernbert.sources.opening import MAX_LINE_BYTES, InputPath, Location, list_files, open_bytes
from clinical_modernbert.sources.visits import iso_time

_JSON_LINES = (".jsonl", ".jsonl.gz")
_SUFFIXES = (*_JSON_LINES, ".txt", *tables.SUFFIXES)
_MAX_METADATA_CHARACTERS = 200


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Files:
    """Documents of your own; a record's other columns become `columns` in its metadata, but for text of more than 200 characters.

    Without `id_column` a record's id is made of the file's path below `path` and its number (`files:notes.jsonl-17`); a text file's
    is its path without the ending.
    """

    path: InputPath
    """One `.jsonl`, `.csv`, `.tsv` (plain or `.gz`), `.txt` or `.parquet` file, or a folder of them."""
    type: Literal["files"] = field(default="files", kw_only=True)
    """Kind of source."""
    name: str = field(default="files", kw_only=True)
    """What reports call this source, and what its ids start with; give each of several `files` sources its own."""
    text_column: str = field(default="text", kw_only=True)
    """Column or field that holds the text."""
    id_column: str | None = field(default=None, kw_only=True)
    """Column that identifies a record within this source."""
    patient_column: str | None = field(default=None, kw_only=True)
    """Column that identifies the patient, so that no patient is in training and validation at once."""
    time_column: str | None = field(default=None, kw_only=True)
    """Column that says when the text was written, as an ISO 8601 date or date with time; another value counts as not known."""
    access: Access = field(default="credentialed", kw_only=True)
    """Set to `open` only for text that anybody may read; the safe default marks all that is made from it."""
    licence: str = field(default="not stated", kw_only=True)
    """Terms, for the manifest and the model card."""

    def files(self) -> list[Location]:
        return list_files(self.path, _SUFFIXES)

    def beside(self) -> list[Location]:
        return []

    def read(self, path: Location) -> Iterator[Record]:
        if path.suffix == ".txt":
            yield self._text_file(path)
            return
        items: Iterator[tuple[int, Mapping[str, object]] | Rejection]
        if path.name.endswith(_JSON_LINES):
            kind, items = "line", numbered_objects(path)
        else:
            for setting, column in self._columns().items():
                tables.require(path, [column], f"Set {setting}.", text=[column] if setting == "text_column" else [])
            kind, items = "row", tables.numbered_rows(path)
        for item in items:
            yield item if isinstance(item, Rejection) else self._record(path, f"{kind} {item[0]}", *item)

    def _columns(self) -> dict[str, str]:
        """Setting -> the column that it names."""
        named = {
            "text_column": self.text_column,
            "id_column": self.id_column,
            "patient_column": self.patient_column,
            "time_column": self.time_column,
        }
        return {setting: column for setting, column in named.items() if column is not None}

    def _text_file(self, path: Location) -> Record:
        with open_bytes(path) as stream:
            content = stream.read(MAX_LINE_BYTES + 1)
        if len(content) > MAX_LINE_BYTES:
            raise DataError(f"longer than {MAX_LINE_BYTES:,} bytes ({path}). A text file is one document: break it up.")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8 at byte {error.start} ({path}). Convert the file to UTF-8.") from None
        if "\0" in text:
            return Rejection(str(path), "the whole file", "NUL character in the text")
        return Document(f"{self.name}:{self._relative(path).removesuffix('.txt')}", text, self.name, self.access)

    def _record(self, path: Location, where: str, number: int, row: Mapping[str, object]) -> Record:
        columns = self._columns()
        for setting, column in columns.items():
            if column not in row and setting != "time_column":
                return Rejection(str(path), where, f"no {column!r} column ({tables.shown(row.keys())}). Set {setting}.")
        text = row[self.text_column]
        if text is not None and not isinstance(text, str):
            return Rejection(str(path), where, f"{self.text_column!r} holds {type(text).__name__}, not text")
        if text and "\0" in text:
            return Rejection(str(path), where, "NUL character in the text")
        key = f"{self._relative(path)}-{number}" if self.id_column is None else row[self.id_column]
        if key is None or key == "":
            return Rejection(str(path), where, f"empty {self.id_column!r}")
        patient = None if self.patient_column is None else row[self.patient_column]
        written = iso_time(row.get(self.time_column)) if self.time_column else None
        taken = {column for setting, column in columns.items() if written or setting != "time_column"}
        others = {column: plain for column, value in row.items() if column not in taken and (plain := _plain(value)) is not None}
        return Document(
            f"{self.name}:{key}",
            text or "",
            self.name,
            self.access,
            patient=None if patient is None else str(patient),
            metadata=({"time": written} if written else {}) | ({"columns": others} if others else {}),
        )

    def _relative(self, path: Location) -> str:
        return path.name if path == self.path else path.as_posix().removeprefix(self.path.as_posix().rstrip("/") + "/")


def _plain(value: object) -> Json:
    """The value as JSON holds it; None for what JSON has no word for, and for long text, which belongs in no metadata."""
    if isinstance(value, str):
        return value if len(value) <= _MAX_METADATA_CHARACTERS else None
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return None
