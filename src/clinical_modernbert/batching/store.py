"""A corpus as ids on disk, memory-mapped: made once for a corpus and a tokenizer, then read by every run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from clinical_modernbert import atomic
from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.merge import SPLITS, Split
from clinical_modernbert.errors import DataError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

FORMAT_VERSION = 1
_DOCUMENTS_PER_CALL = 512
"""Enough for the tokenizer's threads, few enough to hold in memory."""


@dataclass(frozen=True)
class TokenStore:
    """The ids of one split: document i is `tokens[offsets[i]:offsets[i + 1]]`, without special tokens."""

    fingerprint: str
    source_names: tuple[str, ...]
    tokens: npt.NDArray[np.unsignedinteger[Any]]
    offsets: Ints
    sources: Ints
    document_ids: "DocumentIds"

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> Ints:
        """Tokens of each document."""
        return np.diff(self.offsets)

    def ids(self, document: int) -> Ints:
        """The ids of one document."""
        return self.tokens[self.offsets[document] : self.offsets[document + 1]].astype(np.int64)

    @classmethod
    def open(cls, corpus: Corpus, split: Split, tokenizer: Tokenizer, progress: Progress = silent) -> "TokenStore":
        """The token store of `corpus` under `tokenizer`, made now if there is none."""
        key = sha256(f"{corpus.manifest.fingerprint} {tokenizer.fingerprint}".encode()).hexdigest()[:16]
        folder = corpus.folder / "tokens" / key
        if not (folder / "index.json").exists():
            _make(corpus, tokenizer, folder, key, progress)
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["format_version"] != FORMAT_VERSION:
            raise DataError(f"token store format {index['format_version']} ({folder}). Delete that folder, it is made again.")
        count, size = index[split]["documents"], index[split]["tokens"]
        tokens = np.memmap(folder / f"{split}.tokens", np.dtype(index["dtype"]), "r", shape=(size,)) if size else np.empty(0, np.uint16)
        return cls(
            key,
            tuple(index["sources"]),
            tokens,
            np.fromfile(folder / f"{split}.offsets", np.int64, count + 1),
            np.fromfile(folder / f"{split}.sources", np.int64, count),
            DocumentIds(corpus, split),
        )


@dataclass(frozen=True)
class DocumentIds:
    """Looks up what a document is called; reads the corpus only when something has to be named."""

    corpus: Corpus
    split: Split

    def __getitem__(self, document: int) -> str:
        for shard, frame in self.corpus.shards(self.split):
            if document < shard.rows:
                return str(frame["id"][document])
            document -= shard.rows
        raise IndexError(document)


def _make(corpus: Corpus, tokenizer: Tokenizer, folder: Path, key: str, progress: Progress) -> None:
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.uint32)
    names = [source.name for source in corpus.manifest.sources]
    index: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "corpus": corpus.manifest.fingerprint,
        "tokenizer": tokenizer.fingerprint,
        "dtype": dtype.name,
        "sources": names,
    }
    total = sum(corpus.manifest.documents(split) for split in SPLITS)
    per_shard: dict[str, int] = {}
    with atomic.new_folder(folder) as aside, progress("Tokenizing", total=total, unit="documents") as advance:
        for split in SPLITS:
            lengths: list[int] = []
            sources: list[int] = []
            with (aside / f"{split}.tokens").open("wb") as file:
                for path, source, ids in _encode(corpus, split, tokenizer):
                    lengths.append(_append(file, ids.astype(dtype)))
                    sources.append(names.index(source))
                    per_shard[path] = per_shard.get(path, 0) + len(ids)
                    advance(1)
            np.cumsum([0, *lengths], dtype=np.int64).tofile(aside / f"{split}.offsets")
            np.array(sources, dtype=np.int64).tofile(aside / f"{split}.sources")
            index[split] = {"documents": len(lengths), "tokens": sum(lengths)}
        atomic.write_json(aside / "index.json", index)
    corpus.count_tokens(key, per_shard)


def _encode(corpus: Corpus, split: Split, tokenizer: Tokenizer) -> Iterator[tuple[str, str, Ints]]:
    for shard, frame in corpus.shards(split):
        for rows in frame.select("source", "text").iter_slices(_DOCUMENTS_PER_CALL):
            for source, ids in zip(rows["source"], tokenizer.encode_batch(rows["text"].to_list()), strict=True):
                yield shard.path, source, ids


def _append(file: BinaryIO, ids: npt.NDArray[Any]) -> int:
    file.write(ids.tobytes())
    return len(ids)
