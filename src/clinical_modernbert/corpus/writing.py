"""In: the documents of all parts and what became of each. Out: one shard, its pairs and what they amount to. Next: `steps`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.pairs import PairWriter
from clinical_modernbert.corpus.records import DROPPED, SCHEMA, SPLITS, VERDICTS, Row, Split
from clinical_modernbert.corpus.settings import PairKind
from clinical_modernbert.corpus.tasks import Journal, Task


class Piece(NamedTuple):
    """Records `first` to `end` of one part; `offset` is the number of the part's first record among all."""

    folder: Path
    offset: int
    first: int
    end: int


class WriteTask(Task):
    """Write one shard.

    Files: `shard.parquet` and those of `PairWriter`. Summary: `done`, documents written, `bytes` of their text, and `sources`: source ->
    counts of what can be said of its documents.
    """

    split: Split
    pieces: list[Piece]
    verdicts: Path
    content: str
    """Changes when the documents or the verdicts do."""
    pairs: list[PairKind]
    concepts: Path
    concepts_sha256: str

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        verdicts = np.load(self.verdicts, mmap_mode="r")
        pairs = PairWriter(self.pairs, Concepts.read(self.concepts, self.concepts_sha256))
        counts = Counts()
        rows: list[Row] = []  # and no frames put together: those hold on to the text of all the parts that they were taken from
        for piece in self.pieces:
            records = np.load(piece.folder / "records.npy", mmap_mode="r")[piece.first : piece.end]
            kept = staying(records, verdicts[piece.offset + piece.first : piece.offset + piece.end], self.split)
            frame = pl.read_parquet(piece.folder / "documents.parquet").select(pl.all().gather(records["row"][kept]))
            for row in frame.iter_rows(named=True):
                rows.append(row)
                journal.at(len(rows))
                metadata = json.loads(row["metadata"])
                counts.add(row, metadata)
                pairs.add(row, metadata, self.split)
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "shard.parquet")
        return {"done": len(rows), "bytes": counts.bytes, "sources": counts.sources, "pairs": pairs.write(folder)}


def staying(
    records: np.ndarray[Any, np.dtype[np.void]], verdicts: np.ndarray[Any, np.dtype[np.uint8]], split: Split
) -> "np.ndarray[Any, Any]":
    """Places of the records that belong in `split`."""
    return np.flatnonzero((records["row"] >= 0) & (verdicts == 0) & (records["split"] == SPLITS.index(split)))


class Counts:
    """What the documents of each source amount to."""

    def __init__(self) -> None:
        self.bytes = 0
        self.sources: dict[str, dict[str, Any]] = {}

    def add(self, row: Row, metadata: dict[str, Any]) -> None:
        """Count a document."""
        size = len(row["text"].encode("utf-8"))
        self.bytes += size
        mine = self.sources.setdefault(
            row["source"], {"documents": 0, "bytes": 0, "credentialed": 0, "years": {}, "languages": {}, "lengths": {}}
        )
        mine["documents"] += 1
        mine["bytes"] += size
        mine["credentialed"] += row["access"] == "credentialed"
        year = str(metadata.get("year") or str(metadata.get("time") or "")[:4] or "unknown")
        for name, value in (("years", year), ("languages", metadata.get("language") or "unknown"), ("lengths", str(size.bit_length()))):
            mine[name][value] = mine[name].get(value, 0) + 1


class ListTask(Task):
    """List the documents of one part that are not in the corpus: `dropped.parquet`.

    Summary: `done`, `dropped`: source -> reason -> documents.
    """

    documents: Path
    offset: int
    verdicts: Path
    content: str
    """Changes when the part or the verdicts do."""

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        records = np.load(self.documents / "records.npy", mmap_mode="r")
        verdicts = np.load(self.verdicts, mmap_mode="r")[self.offset : self.offset + len(records)]
        gone = np.flatnonzero((records["row"] >= 0) & (verdicts != 0))
        frame = pl.read_parquet(self.documents / "documents.parquet", columns=["id", "source"]).select(
            pl.all().gather(records["row"][gone])
        )
        reasons = pl.Series("reason", [VERDICTS[verdict] for verdict in verdicts[gone]], pl.String)
        listed = pl.concat([pl.read_parquet(self.documents / "dropped.parquet"), frame.with_columns(reasons)]).select(list(DROPPED))
        listed.write_parquet(folder / "dropped.parquet")
        dropped: dict[str, Counter[str]] = {}
        for source, reason, count in listed.group_by("source", "reason").len().sort("source", "reason").iter_rows():
            dropped.setdefault(source, Counter())[reason] = count
        return {"done": len(listed), "dropped": dropped}
