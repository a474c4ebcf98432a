"""A corpus as ids on disk, memory-mapped: made once for a corpus and a tokenizer, then read by every run."""

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl
from filelock import FileLock, Timeout

from clinical_modernbert import atomic
from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import SPLITS, Split
from clinical_modernbert.errors import DataError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer, encode_batches

_LOG = logging.getLogger(__name__)
FORMAT_VERSION = 1
_BATCH = 256
"""Documents that are tokenized at once: few enough to hold in memory some times over."""
_ALONE = 4096
"""Up to so many documents a second process would not be worth its start."""


@dataclass(frozen=True)
class TokenStore:
    """The ids of one split: document i is `tokens[offsets[i]:offsets[i + 1]]`, without special tokens."""

    folder: Path
    fingerprint: str
    source_names: tuple[str, ...]
    tokens: npt.NDArray[np.unsignedinteger[Any]]
    offsets: Ints
    sources: Ints
    document_ids: "DocumentIds | tuple[str, ...]"

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> Ints:
        """Tokens of each document."""
        return np.diff(self.offsets)

    @property
    def source_tokens(self) -> list[int]:
        """Tokens of each source."""
        return [int(tokens) for tokens in np.bincount(self.sources, self.lengths, len(self.source_names))]

    def ids(self, document: int) -> Ints:
        """The ids of one document."""
        return self.tokens[self.offsets[document] : self.offsets[document + 1]].astype(np.int64)

    @classmethod
    def of_texts(cls, texts: Mapping[str, Sequence[str]], tokenizer: Tokenizer) -> "TokenStore":
        """Some texts of each source, in memory."""
        encoded = [ids for some in texts.values() for ids in tokenizer.encode_batch(some)]
        return cls(
            folder=Path(),
            fingerprint=tokenizer.fingerprint,
            source_names=tuple(texts),
            tokens=np.concatenate(encoded).astype(np.uint32),
            offsets=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
            sources=np.repeat(np.arange(len(texts)), [len(some) for some in texts.values()]),
            document_ids=tuple(f"{source}:{number}" for source, some in texts.items() for number in range(len(some))),
        )

    @classmethod
    def open(cls, corpus: Corpus, split: Split, tokenizer: Tokenizer, progress: Progress = silent) -> "TokenStore":
        """The token store of `corpus` under `tokenizer`, made now if there is none; of several processes at once one makes it."""
        key = sha256(f"{corpus.manifest.fingerprint} {tokenizer.fingerprint}".encode()).hexdigest()[:16]
        folder = corpus.folder / "tokens" / key
        if not (folder / "index.json").exists():
            folder.parent.mkdir(exist_ok=True)
            with _alone(folder.with_name(f".{key}.lock")):
                if not (folder / "index.json").exists():
                    _make(corpus, tokenizer, folder, progress)
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            files = index["splits"][split]
            intact = index["format_version"] == FORMAT_VERSION and all(atomic.sha256(folder / name) == sha for name, sha in files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            intact = False
        if not intact:
            raise DataError(f"damaged or outdated token store ({folder}). Delete that folder, it is made again.")
        tokens = folder / f"{split}.tokens"
        dtype = np.dtype(index["dtype"])
        return cls(
            folder,
            key,
            tuple(index["sources"]),
            np.memmap(tokens, dtype, "r") if tokens.stat().st_size else np.empty(0, dtype),
            np.fromfile(folder / f"{split}.offsets", np.int64),
            np.fromfile(folder / f"{split}.sources", np.int64),
            DocumentIds(corpus, split),
        )


@dataclass(frozen=True)
class DocumentIds:
    """Looks up what a document is called; reads the corpus only when something has to be named."""

    corpus: Corpus
    split: Split

    def __getitem__(self, document: int) -> str:
        for shard in self.corpus.manifest.shards:
            if shard.split != self.split:
                continue
            if document < shard.rows:
                return str(pl.read_parquet(self.corpus.folder / shard.path, columns=["id"])["id"][document])
            document -= shard.rows
        raise IndexError(document)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock; wait for it, and say so, while another process has it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _LOG.info("another process tokenizes this corpus: waiting for it (%s)", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(corpus: Corpus, tokenizer: Tokenizer, folder: Path, progress: Progress) -> None:
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.uint32)
    names = [source.name for source in corpus.manifest.sources]
    index: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "corpus": corpus.manifest.fingerprint,
        "tokenizer": tokenizer.fingerprint,
        "dtype": dtype.name,
        "sources": names,
        "splits": {},
    }
    total = sum(corpus.manifest.documents(split) for split in SPLITS)
    per_shard: dict[str, int] = {}
    with atomic.new_folder(folder) as aside, progress("Tokenizing", total=total, unit="documents") as advance:
        for split in SPLITS:
            lengths: list[int] = []
            sources: list[int] = []
            with (aside / f"{split}.tokens").open("wb") as file:
                for path, source, ids in _encode(corpus, split, tokenizer, processes=1 if total <= _ALONE else None):
                    lengths.append(_append(file, ids.astype(dtype)))
                    sources.append(names.index(source))
                    per_shard[path] = per_shard.get(path, 0) + len(ids)
                    advance(1)
            np.cumsum([0, *lengths], dtype=np.int64).tofile(aside / f"{split}.offsets")
            np.array(sources, dtype=np.int64).tofile(aside / f"{split}.sources")
            index["splits"][split] = {path.name: atomic.sha256(path) for path in sorted(aside.glob(f"{split}.*"))}
        atomic.write_json(aside / "index.json", index | {"tokens": per_shard})
    corpus.count_tokens(folder.name, per_shard)


def _encode(corpus: Corpus, split: Split, tokenizer: Tokenizer, processes: int | None) -> Iterator[tuple[str, str, Ints]]:
    """Shard, source and ids of every document."""
    origins: deque[list[tuple[str, str]]] = deque()

    def batches() -> Iterator[list[str]]:
        for shard, frame in corpus.shards(split):
            for rows in frame.select("source", "text").iter_slices(_BATCH):
                origins.append([(shard.path, source) for source in rows["source"]])
                yield rows["text"].to_list()

    for encoded in encode_batches(tokenizer, batches(), processes):
        for (path, source), ids in zip(origins.popleft(), encoded, strict=True):
            yield path, source, ids


def _append(file: BinaryIO, ids: npt.NDArray[Any]) -> int:
    file.write(ids.tobytes())
    return len(ids)
