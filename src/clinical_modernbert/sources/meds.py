"""In: MEDS event data. Out: one `Document` for each event whose text is a note. Next: `corpus`."""

import logging
import re
from collections.abc import Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import tables
from clinical_modernbert.sources.document import Access, Document, Json, Record, Rejection
from clinical_modernbert.sources.opening import InputPath, Location, list_files, local_file
from clinical_modernbert.sources.visits import Diagnosis, VisitCodes, identifier, iso_time

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

_NEEDED = ("subject_id", "time", "code", "text_value")
_ADMISSION = "hadm_id"
_DIAGNOSIS = r"^(?:.*//)?(?:ICD(9|10)CM//?|DIAGNOSIS//ICD//(9|10)//)([^/]+)$"


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class MedsNotes:
    """Notes among the events of a MEDS dataset (Medical Event Data Standard 0.3 and 0.4), `patient` set to `subject_id`.

    A note is an event whose `text_value` is long enough; the events with shorter ones are counted in the log. Diagnoses are the events
    whose code is `ICD10CM//E11.9`, `ICD9CM//250.00` (one slash or two) or `DIAGNOSIS//ICD//10//E119`; a note has those of its subject, and
    where events have a `hadm_id` those of its admission alone. The diagnoses of one file are held in memory, 12 bytes for each.
    """

    path: InputPath
    """The dataset, its `data` folder, or one `.parquet` file of it."""
    type: Literal["meds"] = field(default="meds", kw_only=True)
    """Kind of source."""
    codes: tuple[str, ...] = field(default=(), kw_only=True)
    """Codes of notes, such as `NOTE//` or `RADIOLOGY//REPORT`: what an event's code must start with; empty: any code."""
    min_characters: Annotated[int, Field(ge=1)] = field(default=100, kw_only=True)
    """Shorter text is taken for a value, such as a laboratory's `POSITIVE`; with `codes` that are notes only, set it to 1."""
    access: Access = field(default="credentialed", kw_only=True)
    """`open` is right only for synthetic subjects."""
    licence: str = field(default="not stated", kw_only=True)
    """Terms, for the manifest and the model card."""

    @property
    def name(self) -> str:
        return "meds"

    def files(self) -> list[Location]:
        data = self.path / "data"
        return list_files(data if data.is_dir() else self.path, (".parquet",))

    def beside(self) -> list[Location]:
        return []

    def read(self, path: Location) -> Iterator[Record]:
        import polars as pl

        columns = tables.require(path, _NEEDED, "Give a MEDS dataset whose events have a text_value.")
        key = pl.format("{}/{}", "subject_id", _ADMISSION) if _ADMISSION in columns else pl.col("subject_id").cast(pl.String)
        with local_file(path) as local:
            events = (
                pl.scan_parquet(local, glob=False)
                .with_row_index("row", offset=1)
                .with_columns(key.alias("visit"), pl.col("code").cast(pl.String))
            )
            codes = VisitCodes(_diagnoses(events, path), what=str(path))
            chosen = ["row", "visit", *_NEEDED, *([_ADMISSION] if _ADMISSION in columns else [])]
            yield from self._notes(events.select(chosen), path, codes)

    def _notes(self, events: "pl.LazyFrame", path: Location, codes: VisitCodes) -> Iterator[Record]:
        import polars as pl

        coded = pl.any_horizontal(pl.col("code").str.starts_with(prefix) for prefix in self.codes) if self.codes else pl.lit(True)
        is_note = coded & (pl.col("text_value").str.len_chars() >= self.min_characters)
        left_out = 0
        for batch in _batches(events.with_columns(pl.col("text_value").cast(pl.String)), pl.col("text_value") != "", path):
            notes = batch.filter(is_note)
            left_out += batch.height - notes.height
            for row in notes.iter_rows(named=True):
                yield self._record(path, row, codes)
        if left_out:
            logger.warning("%s: %s events with text are left out: too short, or of other codes", path, f"{left_out:,}")

    def _record(self, path: Location, row: dict[str, object], codes: VisitCodes) -> Record:
        where, subject, text = f"row {row['row']}", identifier(row["subject_id"]), str(row["text_value"])
        if not subject:
            return Rejection(str(path), where, "no subject_id")
        if "\0" in text:
            return Rejection(str(path), where, "NUL character in the text")
        known: dict[str, Json] = {
            "code": str(row["code"] or ""),
            "time": iso_time(row["time"]),
            _ADMISSION: identifier(row.get(_ADMISSION)),
            "codes": codes.of(str(row["visit"] or "")),
        }
        metadata = {key: value for key, value in known.items() if value}
        return Document(f"meds:{self._shard(path)}-{row['row']}", text, self.name, self.access, patient=subject, metadata=metadata)

    def _shard(self, path: Location) -> str:
        """MEDS's name of a file: its path below `data`, without the ending."""
        below = path.name if path == self.path else path.as_posix().removeprefix(self.path.as_posix().rstrip("/") + "/")
        return below.removeprefix("data/").removesuffix(".parquet")


def _diagnoses(events: "pl.LazyFrame", path: Location) -> Iterator[Diagnosis]:
    import polars as pl

    for batch in _batches(events.select("visit", "code"), pl.col("code").str.contains(_DIAGNOSIS), path):
        for visit, code in batch.iter_rows():
            found = re.match(_DIAGNOSIS, code)
            assert found is not None
            yield Diagnosis(visit or "", found[3], 9 if "9" in (found[1], found[2]) else 10)


def _batches(events: "pl.LazyFrame", kept: "pl.Expr", path: Location) -> Iterator["pl.DataFrame"]:
    """The events for which `kept` holds, in their order; the library's own message is left out, as it may quote text."""
    import polars as pl

    try:
        yield from tables.sliced(events, kept)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise DataError(f"damaged, or not of MEDS's types ({path}). Export the file again.") from None
