"""In: one input file of a source. Out: its normalised documents aside on disk, in parts, with a marker when the file is done.

A file whose marker matches its size and time stamp is never read again: this is what a second run resumes from.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.corpus.normalise import normalise, text_hash
from clinical_modernbert.errors import ClinicalModernBertError
from clinical_modernbert.sources import Deletion, Document, Rejection, Source

logger = logging.getLogger(__name__)

_COLUMNS = ("id", "text", "source", "access", "patient", "metadata")
SCHEMA = pl.Schema([(column, pl.String()) for column in _COLUMNS])
"""Columns of every shard of a corpus."""
_STAGED = pl.Schema([*SCHEMA.items(), ("hash", pl.Binary()), ("deleted", pl.Boolean())])
_PART_BYTES = 32 * 2**20
"""Text held in memory before a part is written."""


_NAMED_RECORDS = 10
"""Refused records of one file and reason that are named; the others are counted."""


@dataclass(frozen=True)
class Refusal:
    """An input that was refused, or `records` of its records, the first of them named in `where`."""

    source: str
    path: str
    reason: str
    records: int = 0
    where: str = ""

    def __str__(self) -> str:
        if not self.records:
            return self.reason
        return f"{self.records:,} record{'s' if self.records > 1 else ''} of {self.path}: {self.reason} ({self.where})"


@dataclass(frozen=True)
class Unit:
    """One input file of one source; `number` is its place in the order of reading."""

    number: int
    source: Source
    path: Path

    def stamp(self) -> dict[str, int | str]:
        """What changes when the input file does."""
        stat = self.path.stat()
        return {"path": str(self.path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


@dataclass(frozen=True)
class Staged:
    """A unit that was read: where its parts lie, what was dropped or refused on the way."""

    folder: Path
    documents: int
    dropped: dict[str, int]
    refusals: list[Refusal]

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Its rows, in order: the columns of `SCHEMA`, `hash`, and `deleted` for an id that is withdrawn here."""
        for path in sorted(self.folder.glob("*.parquet")):
            yield from pl.read_parquet(path, columns=columns).iter_rows(named=True)


def stage(unit: Unit, staging: Path, advance: Callable[[int], None]) -> Staged:
    """Read one file into `staging`, or take what an earlier run made of the same file."""
    folder = staging / f"{unit.number:05d}"
    marker = folder / "done.json"
    stamp = unit.stamp()
    if marker.exists():
        done = json.loads(marker.read_text(encoding="utf-8"))
        if done.pop("input") == stamp:
            advance(done["documents"])
            return Staged(folder, done["documents"], done["dropped"], [Refusal(**item) for item in done["refusals"]])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    staged = _read(unit, folder, advance)
    atomic.write_json(
        marker,
        {
            "input": stamp,
            "documents": staged.documents,
            "dropped": staged.dropped,
            "refusals": [asdict(refusal) for refusal in staged.refusals],
        },
    )
    return staged


def _read(unit: Unit, folder: Path, advance: Callable[[int], None]) -> Staged:
    source = unit.source.name
    writer = _PartWriter(folder)
    dropped: Counter[str] = Counter()
    rejected: dict[str, list[str]] = {}
    refusals: list[Refusal] = []
    documents = 0
    try:
        for record in unit.source.read(unit.path):
            if isinstance(record, Rejection):
                rejected.setdefault(record.reason, []).append(record.where)
            elif isinstance(record, Deletion):
                writer.add({"id": record.id, "source": source, "deleted": True}, 0)
            else:
                documents += 1
                advance(1)
                text = normalise(record.text)
                if text.strip():
                    writer.add(_row(record, text), len(text))
                else:
                    dropped["empty"] += 1
    except ClinicalModernBertError as error:
        refusals.append(Refusal(source, str(unit.path), str(error)))
    except OSError:
        raise
    except Exception as error:
        logger.warning("%s: %s while reading; the rest goes on", unit.path, type(error).__name__)
        logger.debug("details", exc_info=True)
        refusals.append(Refusal(source, str(unit.path), f"{type(error).__name__} while reading. Run with -v for details"))
    writer.flush()
    for reason, places in rejected.items():
        where = ", ".join(places[:_NAMED_RECORDS]) + (" ..." if len(places) > _NAMED_RECORDS else "")
        refusals.append(Refusal(source, str(unit.path), reason, len(places), where))
    return Staged(folder, documents, dict(dropped), refusals)


def _row(document: Document, text: str) -> dict[str, str | bytes | bool | None]:
    return {
        "id": document.id,
        "text": text,
        "source": document.source,
        "access": document.access,
        "patient": document.patient,
        "metadata": document.metadata_json(),
        "hash": text_hash(text),
        "deleted": False,
    }


class _PartWriter:
    """Collects rows and writes a Parquet part whenever enough text has come together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[dict[str, str | bytes | bool | None]] = []
        self._size = 0
        self._parts = 0

    def add(self, row: dict[str, str | bytes | bool | None], size: int) -> None:
        self._rows.append(row)
        self._size += size
        if self._size >= _PART_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            frame = pl.DataFrame(self._rows, schema=_STAGED)
            atomic.write_file(self._folder / f"{self._parts:05d}.parquet", frame.write_parquet)
            self._parts += 1
        self._rows, self._size = [], 0
