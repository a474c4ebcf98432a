"""In: the documents of all parts and what became of each. Out: one shard, its pairs and what they amount to. Next: `steps`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from clinical_modernbert.corpus import decontamination
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.counterfactuals import Counterfactuals
from clinical_modernbert.corpus.pairs import PairWriter
from clinical_modernbert.corpus.records import DROPPED, SCHEMA, SPLITS, VERDICTS, Row, Split
from clinical_modernbert.corpus.settings import CounterfactualSettings, PairKind
from clinical_modernbert.corpus.tasks import Journal, Task


class Piece(NamedTuple):
    """Records `first` to `end` of one part; `offset` is the number of the part's first record among all."""

    folder: Path
    offset: int
    first: int
    end: int


class WriteTask(Task):
    """Write one shard.

    Files: `shard.parquet` and those of `PairWriter`. Summary: `done`, documents written, `bytes` of their text, `sources`: source ->
    counts of what can be said of its documents, and `counterfactuals`: source -> what became of the documents chosen to be swapped.
    """

    split: Split
    pieces: list[Piece]
    verdicts: Path
    content: str
    """Changes when the documents or the verdicts do."""
    pairs: list[PairKind]
    concepts: Path
    concepts_sha256: str
    counterfactuals: CounterfactualSettings | None = None
    seed: int = 0
    benchmarks: Path | None = None
    benchmarks_content: str = ""

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        verdicts = np.load(self.verdicts, mmap_mode="r")
        concepts = Concepts.read(self.concepts, self.concepts_sha256)
        pairs, counts, swapping = PairWriter(self.pairs, concepts), Counts(), self._swapping(concepts)
        rows: list[Row] = []  # and no frames put together: those hold on to the text of all the parts that they were taken from
        for piece in self.pieces:
            records = np.load(piece.folder / "records.npy", mmap_mode="r")[piece.first : piece.end]
            kept = staying(records, verdicts[piece.offset + piece.first : piece.offset + piece.end], self.split)
            frame = pl.read_parquet(piece.folder / "documents.parquet").select(pl.all().gather(records["row"][kept]))
            for row in frame.iter_rows(named=True):
                metadata = json.loads(row["metadata"])
                swapped = swapping.of(row, metadata) if swapping else None
                first = swapped if swapped and self.replaces else row
                rows.append(first)
                counts.add(first, metadata)
                pairs.add(first, metadata, self.split)
                if swapped and not self.replaces:
                    rows.append(swapped)
                    counts.add_copy(swapped)
                journal.at(len(rows))
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "shard.parquet")
        summary = {"done": len(rows), "bytes": counts.bytes, "sources": counts.sources, "pairs": pairs.write(folder)}
        return summary | {"counterfactuals": swapping.counts if swapping else {}}

    @property
    def replaces(self) -> bool:
        """Whether a swapped document takes the place of the first one."""
        return self.counterfactuals is not None and self.counterfactuals.replace

    def _swapping(self, concepts: Concepts) -> Counterfactuals | None:
        """What swaps documents; nothing does in a shard that is looked at for validation."""
        if self.counterfactuals is None or self.split != "train":
            return None
        known = decontamination.read(self.benchmarks, self.benchmarks_content) if self.benchmarks else []
        return Counterfactuals(self.counterfactuals, self.seed, concepts, known)


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

    def add_copy(self, row: Row) -> None:
        """Take the bytes of a document that stands beside the one it was made of."""
        size = len(row["text"].encode("utf-8"))
        self.bytes += size
        self.sources[row["source"]]["bytes"] += size


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
