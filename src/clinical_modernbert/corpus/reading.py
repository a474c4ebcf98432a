"""In: one input file of a source. Out: its records as they are, in parts of some megabytes. Next: `cleaning`."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from clinical_modernbert.corpus.records import SCHEMA
from clinical_modernbert.corpus.tasks import Journal, Task
from clinical_modernbert.errors import ClinicalModernBertError, frames
from clinical_modernbert.sources import AnySource, Deletion, Document, Rejection
from clinical_modernbert.sources.opening import bytes_read, locate

logger = logging.getLogger(__name__)

RAW = pl.Schema([*SCHEMA.items(), ("deleted", pl.Boolean())])
"""Columns of a part; a row that withdraws the documents of its id has no text."""
_PART_CHARACTERS = 32 * 2**20
"""Text and metadata held in memory before a part is written."""
_ROW = 200
"""What a row takes beside its text, in characters."""
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
        return f"{self.records:,} record{'s' if self.records > 1 else ''} of {self.path or self.source}: {self.reason} ({self.where})"


class RefusedRecords:
    """Records of one file or part that were refused, by source and reason; the first of each are named, the others counted."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._counts: Counter[tuple[str, str]] = Counter()
        self._places: dict[tuple[str, str], list[str]] = {}

    def add(self, source: str, reason: str, where: str) -> None:
        """One more; `where` is a number or an id, never text."""
        self._counts[source, reason] += 1
        places = self._places.setdefault((source, reason), [])
        if len(places) < _NAMED_RECORDS:
            places.append(where)

    def refusals(self) -> list[Refusal]:
        """One for each source and reason."""
        return [
            Refusal(source, self._path, reason, count, ", ".join(self._places[source, reason]) + (" ..." if count > _NAMED_RECORDS else ""))
            for (source, reason), count in self._counts.items()
        ]


class ReadTask(Task):
    """Read one file, or several small ones.

    Its summary: `done`, thousands of bytes; `documents`; `parts`, name of a file made -> documents in it; `with_concepts`, those of them
    that hold entries of code tables; `refused`, see `Refusal`.
    """

    unit: ClassVar[str] = "kB"

    source: AnySource
    stamps: list[dict[str, Any]]
    """For every file its path, and what changes when the file does."""
    beside: list[dict[str, Any]]
    """The same of what the source reads beside each of them."""

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        writer = _PartWriter(folder)
        refused: list[Refusal] = []
        done = 0
        for stamp in self.stamps:
            refused += _read(self.source, str(stamp["path"]), writer, lambda: journal.at((done + bytes_read()) // 1000))  # noqa: B023
            done += int(stamp["size"] or 0)
        writer.flush()
        return {
            "done": done // 1000,
            "documents": writer.documents,
            "parts": writer.parts,
            "with_concepts": writer.with_concepts,
            "refused": [asdict(refusal) for refusal in refused],
        }


def _read(source: AnySource, path: str, writer: "_PartWriter", note: Callable[[], None]) -> list[Refusal]:
    """Give the records of one file to `writer`, with a `note` after each; what was refused of it comes back."""
    rejected = RefusedRecords(path)
    refused: list[Refusal] = []
    try:
        for record in source.read(locate(path)):
            if isinstance(record, Rejection):
                rejected.add(source.name, record.reason, record.where)
            elif isinstance(record, Deletion):
                writer.delete(record, source.name)
            else:
                writer.add(record)
                note()
    except ClinicalModernBertError as error:
        refused.append(Refusal(source.name, path, str(error)))
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the other files must not be held up
        logger.warning("%s: %s while reading; the rest goes on", path, type(error).__name__)
        logger.debug("%s", frames(error))
        refused.append(Refusal(source.name, path, f"{type(error).__name__} while reading. Run with -v for details"))
    return refused + rejected.refusals()


class _PartWriter:
    """Collects rows and writes a part whenever enough text has come together."""

    def __init__(self, folder: Path) -> None:
        self.documents = 0
        self.parts: dict[str, int] = {}
        self.with_concepts: list[str] = []
        self._folder = folder
        self._rows: list[dict[str, str | bool | None]] = []
        self._characters = 0
        self._concepts = False

    def add(self, document: Document) -> None:
        plain = {name: getattr(document, name) for name in ("id", "text", "source", "access", "patient")}
        metadata = document.metadata_json()
        self.documents += 1
        self._concepts |= "concept" in document.metadata
        self._append({**plain, "metadata": metadata, "deleted": False}, len(document.text) + len(metadata))

    def delete(self, deletion: Deletion, source: str) -> None:
        self._append({"id": deletion.id, "source": source, "deleted": True}, 0)

    def _append(self, row: dict[str, str | bool | None], characters: int) -> None:
        self._rows.append(row)
        self._characters += characters + _ROW
        if self._characters >= _PART_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            name = f"{len(self.parts):05d}.parquet"
            pl.DataFrame(self._rows, schema=RAW).write_parquet(self._folder / name, compression="lz4")
            self.parts[name] = sum(not row["deleted"] for row in self._rows)
            if self._concepts:
                self.with_concepts.append(name)
        self._rows, self._characters, self._concepts = [], 0, False


def read_concepts(path: Path) -> list[dict[str, Any]]:
    """The metadata of the code tables' entries in one part."""
    rows = pl.read_parquet(path, columns=["metadata"])["metadata"].drop_nulls()
    return [metadata for metadata in map(json.loads, rows) if "concept" in metadata]
