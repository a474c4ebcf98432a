"""In: an encoder and texts. Out: their vectors on disk, searched by cosine with the encoder that made them. Next: `cli`, `serving`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference import bulk
from clinical_modernbert.inference.encoder import Encoder, Pooling, unit
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.sources.document import Document, Record

FORMAT_VERSION = 1
Floats = npt.NDArray[np.float32]
_AT_ONCE = 2**16
"""Vectors that are compared at once."""
_NEIGHBOURS = 32
"""Links of a vector in the graph of faiss (M of HNSW, arXiv 1603.09320)."""
_LOOKED_AT = 128
"""Candidates that faiss keeps while it builds the graph and searches it."""


@dataclass(frozen=True)
class Hit:
    """A text that was found: its cosine with the query, and the text itself where the index keeps texts."""

    id: str
    score: float
    text: str | None = None


class Index:
    """Vectors of texts by one model: `vectors.npy` (N, hidden) of length 1, `texts.parquet` (id, text) and `index.json`."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.weights: str = about["weights"]
        self.pooling: Pooling = about["pooling"]
        self._size: int = about["texts"]

    def __len__(self) -> int:
        return self._size

    @classmethod
    def build(
        cls,
        encoder: Encoder,
        records: Iterable[Record],
        folder: Path,
        *,
        key: Mapping[str, object] | None = None,
        keep_texts: bool = False,
        use_faiss: bool = False,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> "Index":
        """Encode the records' texts, in bounded memory, as `encoder.pooling` says; with `resume` as `bulk.run` does it.

        `use_faiss` adds a graph (HNSW) by which far more vectors are searched in the same time, and of the nearest a few are missed.

        Raises:
            ConfigError: the folder is there, the encoder was not loaded from one, or faiss is not installed.
            DataError: no text could be read.
        """
        if use_faiss:
            _faiss()
        about = {"format_version": FORMAT_VERSION, "weights": encoder.weights, "pooling": encoder.pooling}

        def work(documents: Sequence[Document], path: Path) -> dict[str, int]:
            texts = [document.text for document in documents]
            columns: dict[str, Any] = {"id": [document.id for document in documents], "vector": unit(encoder.encode(texts))}
            pl.DataFrame(columns | ({"text": texts} if keep_texts else {})).write_parquet(path)
            return {}

        def join(parts: Sequence[Path], output: Path) -> None:
            output.mkdir()
            table = pl.scan_parquet([*parts], glob=False)
            count = table.select(pl.len()).collect().item()
            vectors = np.lib.format.open_memmap(
                output / "vectors.npy", mode="w+", dtype=np.float32, shape=(count, encoder.model.config.hidden_size)
            )
            first = 0
            for part in parts:
                some = pl.read_parquet(part, columns=["vector"])["vector"].to_numpy()
                vectors[first : first + len(some)] = some
                first += len(some)
            vectors.flush()
            table.drop("vector").sink_parquet(output / "texts.parquet")
            if use_faiss:
                _write_graph(vectors, output / "graph.faiss")
            atomic.write_json(output / "index.json", about | {"texts": count})

        wanted = {**(key or {}), **about, "keep_texts": keep_texts, "use_faiss": use_faiss}
        bulk.run(records, work, join, folder, wanted, resume=resume, overwrite=overwrite, progress=progress)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> "Index":
        """An index that was built.

        Raises:
            DataError: there is none, of another version, or a damaged one.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if about["format_version"] != FORMAT_VERSION:
                raise ValueError
            found = cls(folder, about)
            if len(found.vectors) != len(found) or pl.scan_parquet(folder / "texts.parquet").select(pl.len()).collect().item() != len(
                found
            ):
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
            raise DataError(f"no index of this version, or a damaged one ({folder}). Build it with cmbert index build.") from None
        return found

    @cached_property
    def vectors(self) -> Floats:
        """(N, hidden), memory-mapped."""
        found: Floats = np.load(self.folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        return found

    def search(self, encoder: Encoder, queries: Sequence[str], top_k: int = 10) -> list[list[Hit]]:
        """The `top_k` nearest texts of each query, the nearest first.

        Raises:
            ConfigError: another model made the index.
        """
        self.require(encoder)
        return self.nearest(encoder.encode(queries, pooling=self.pooling), top_k)

    def require(self, encoder: Encoder) -> None:
        """See that `encoder` made this index.

        Raises:
            ConfigError: another one did.
        """
        if encoder.weights != self.weights:
            made, given = self.weights[:16], encoder.weights[:16]
            raise ConfigError(f"this index was made by another model ({self.folder}: {made}, given {given}). Build it with this one.")

    def nearest(self, vectors: Floats, top_k: int) -> list[list[Hit]]:
        """The `top_k` nearest texts of each of `vectors` (queries, hidden), the nearest first."""
        asked = unit(vectors)
        scores, places = self._nearest(asked, min(top_k, len(self)))
        table = pl.read_parquet(self.folder / "texts.parquet")[np.unique(places)]
        row_of = {int(place): row for row, place in enumerate(np.unique(places))}
        ids, texts = table["id"].to_list(), table["text"].to_list() if "text" in table.columns else None
        return [
            [
                Hit(ids[row], float(score), texts[row] if texts else None)
                for score, row in zip(some, map(row_of.__getitem__, of_query.tolist()), strict=True)
            ]
            for some, of_query in zip(scores, places, strict=True)
        ]

    def _nearest(self, asked: Floats, count: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Cosines and places (queries, count), highest first; of equal ones the one that stands first."""
        if (self.folder / "graph.faiss").exists():
            scores, places = self._graph.search(asked, count)
            return scores, places
        best = np.zeros((len(asked), 0), np.float32), np.zeros((len(asked), 0), np.int64)
        for first in range(0, len(self), _AT_ONCE):
            found = asked @ self.vectors[first : first + _AT_ONCE].T
            scores = np.concatenate([best[0], found], 1)
            places = np.concatenate([best[1], np.broadcast_to(np.arange(first, first + found.shape[1]), found.shape)], 1)
            order = np.argsort(-scores, 1, kind="stable")[:, :count]
            best = np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)
        return best

    @cached_property
    def _graph(self) -> Any:
        faiss = _faiss()
        graph = faiss.read_index(str(self.folder / "graph.faiss"))
        graph.hnsw.efSearch = _LOOKED_AT
        return graph


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ConfigError("faiss is not installed (Python). Install faiss-cpu, or build the index without it.") from None
    return faiss


def _write_graph(vectors: Floats, path: Path) -> None:
    faiss = _faiss()
    graph = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _LOOKED_AT
    for first in range(0, len(vectors), _AT_ONCE):
        graph.add(np.ascontiguousarray(vectors[first : first + _AT_ONCE]))
    faiss.write_index(graph, str(path))
