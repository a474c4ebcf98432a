"""Where the code and its description stand in the ids of a code table's documents: what `masking.code_aware` hides as a whole."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinical_modernbert import atomic
from clinical_modernbert.batching.batch import Ints
from clinical_modernbert.batching.store import TokenStore
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tokenization import Tokenizer

_COLON = 1
"""Tokens between a code and its description."""


@dataclass(frozen=True)
class CodeEntry:
    """Parts of a document's ids, special tokens not counted; `line` is the sentence that holds both."""

    code: slice
    description: slice
    line: slice


class CodeEntries:
    """The code entries among the documents of one split, by document.

    `rows` (E, 4) are ascending: document, where its code begins and ends, where its first line ends.
    """

    def __init__(self, rows: Ints) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, document: int) -> CodeEntry | None:
        """The parts of this document, or None where it is no code entry."""
        found = int(np.searchsorted(self._rows[:, 0], document))
        if found == len(self._rows) or self._rows[found, 0] != document:
            return None
        _, start, stop, end = (int(value) for value in self._rows[found])
        return CodeEntry(slice(start, stop), slice(stop + _COLON, end), slice(0, end))

    @classmethod
    def none(cls) -> "CodeEntries":
        """No document is one."""
        return cls(np.empty((0, 4), np.int64))

    @classmethod
    def open(cls, corpus: Corpus, split: Split, tokenizer: Tokenizer, store: TokenStore, progress: Progress = silent) -> "CodeEntries":
        """Those of `corpus`; found now and kept beside the token store, or read from there."""
        path = store.folder / f"{split}.codes.npy"
        try:
            return cls(np.load(path, allow_pickle=False))
        except (OSError, ValueError):
            pass
        found = []
        with progress("Looking for codes", unit="entries") as advance:
            for row in _find(corpus, split, tokenizer, store):
                found += [] if row is None else [row]
                advance(1)
        rows = np.array(found, dtype=np.int64).reshape(-1, 4)
        atomic.write_file(path, lambda aside: _save(aside, rows))
        return cls(rows)


def _save(path: Path, rows: Ints) -> None:
    with path.open("wb") as file:
        np.save(file, rows, allow_pickle=False)


def _find(corpus: Corpus, split: Split, tokenizer: Tokenizer, store: TokenStore) -> Iterator[tuple[int, int, int, int] | None]:
    document = 0
    for _, frame in corpus.shards(split):
        is_code = frame["metadata"].str.contains('"code"', literal=True).fill_null(value=False)
        for number in frame.with_row_index().filter(is_code)["index"]:
            yield _locate(document + number, frame["text"][number], frame["metadata"][number], tokenizer, store)
        document += len(frame)


def _locate(document: int, text: str, metadata: str, tokenizer: Tokenizer, store: TokenStore) -> tuple[int, int, int, int] | None:
    """The row of one document; None where its first line is no code sentence, or its parts have other ids than the whole."""
    line = text.partition("\n")[0]
    needle = f" {json.loads(metadata).get('code')}:"
    begin = line.find(needle)
    if begin < 0:
        return None
    parts = tokenizer.encode_batch([line[:begin], needle, line[begin + len(needle) :]])
    before, code, after = map(len, parts)
    row = document, before, before + code - _COLON, before + code + after
    same = np.array_equal(np.concatenate(parts), store.ids(document)[: row[3]])
    return row if same and after and code > _COLON else None
