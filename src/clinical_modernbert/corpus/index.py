"""In: what is known of the records of one part but their text. Out: arrays on disk that all parts can be joined by. Next: `resolving`.

`records.npy` has a row of `RECORD` for every record of the part, in order. `keys.npy` and `order.npy` hold, for every kind of key, the
keys sorted and the number of the record that each belongs to: so the records that share a key are found by merging slices of all parts,
and memory does not grow with their number. `signatures.npy` has a MinHash signature for every document that is left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clinical_modernbert.corpus.minhash import PERMUTATIONS, Signatures
from clinical_modernbert.corpus.shingles import Hashes

UNKNOWN_TIME = np.iinfo(np.int64).min
KEPT, DROPPED, DELETION = 0, 1, 2
"""States of a record after its own text has been looked at."""
RECORD = np.dtype(
    [
        ("state", "u1"),
        ("split", "u1"),
        ("row", "<i4"),  # its place among the documents that are left, -1 for none
        ("version", "<i4"),
        ("bytes", "<i4"),  # of its text in UTF-8
        ("shingles", "<i4"),
        ("time", "<i8"),  # seconds since 1970
        ("identity", "<u8"),  # hash of the id
        ("family", "<u8"),  # hash of the id without its language
        ("patient", "<u8"),
        ("text", "<u8"),
    ]
)
FIXED_KEYS = ("family", "text", "patient")
"""Kinds of keys, in the order of their rows in `keys.npy`; those of the bands follow."""
Numbers = npt.NDArray[np.uint32]


def key(text: str) -> int:
    """A hash of 64 bits, never 0: 0 is no key. Two of 42 million texts share one by chance once in 20,000 corpora."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def write(folder: Path, records: npt.NDArray[np.void], bands: Hashes, signatures: Signatures) -> None:
    """Keep what is known of a part; `bands` is (bands, documents left), `signatures` (documents left, places)."""
    left = np.flatnonzero(records["row"] >= 0)
    keys = np.zeros((len(FIXED_KEYS) + len(bands), len(records)), np.uint64)
    for row, name in enumerate(FIXED_KEYS):
        keys[row] = records[name]
    keys[len(FIXED_KEYS) :, left] = bands
    order = np.argsort(keys, axis=1, kind="stable")
    np.save(folder / "records.npy", records)
    np.save(folder / "keys.npy", np.take_along_axis(keys, order, axis=1))
    np.save(folder / "order.npy", order.astype(np.uint32))
    np.save(folder / "signatures.npy", signatures)


@dataclass(frozen=True)
class Index:
    """The records of all parts, numbered from 0 in the order of reading; `counts` says how many each part has."""

    folders: Sequence[Path]
    counts: Sequence[int]

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Number of the first record of each part; the last is the number of all."""
        return np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))

    def sharing(self, kinds: Sequence[int], low: int, high: int) -> Iterator[tuple[Hashes, Numbers]]:
        """For each kind all keys in [low, high) with their records, sorted by key, then by record."""
        found: dict[int, tuple[list[Hashes], list[Numbers]]] = {kind: ([], []) for kind in kinds}
        for folder, offset in zip(self.folders, self.offsets, strict=False):
            keys, order = (np.load(folder / name, mmap_mode="r") for name in ("keys.npy", "order.npy"))
            for kind, (all_keys, all_numbers) in found.items():
                start = np.searchsorted(keys[kind], np.uint64(max(low, 1)), side="left")
                end = np.searchsorted(keys[kind], np.uint64(high - 1), side="right")
                all_keys.append(np.array(keys[kind, start:end]))
                all_numbers.append(order[kind, start:end] + np.uint32(offset))
        for all_keys, all_numbers in found.values():
            merged = np.concatenate(all_keys)
            by_key = np.argsort(merged, kind="stable")
            yield merged[by_key], np.concatenate(all_numbers)[by_key]

    def records(self, numbers: Numbers) -> npt.NDArray[np.void]:
        """Their rows of `RECORD`."""
        found = np.empty(len(numbers), RECORD)
        for part, places, inside in self._by_part(numbers):
            found[places] = np.load(self.folders[part] / "records.npy", mmap_mode="r")[inside]
        return found

    def signatures(self, numbers: Numbers) -> Signatures:
        """Their signatures, (numbers, places)."""
        found = np.empty((len(numbers), PERMUTATIONS), np.uint8)
        for part, places, inside in self._by_part(numbers):
            rows = np.load(self.folders[part] / "records.npy", mmap_mode="r")["row"][inside]
            found[places] = np.load(self.folders[part] / "signatures.npy", mmap_mode="r")[rows]
        return found

    def _by_part(self, numbers: Numbers) -> Iterator[tuple[int, npt.NDArray[np.intp], npt.NDArray[np.int64]]]:
        """Part, places in `numbers`, numbers within the part."""
        parts = np.searchsorted(self.offsets, numbers, side="right") - 1
        order = np.argsort(parts, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(parts[order])) + 1):
            if len(places):
                part = int(parts[places[0]])
                yield part, places, numbers[places].astype(np.int64) - self.offsets[part]


def ranges(count: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of keys, [low, high), each of which about `rows` of `count` keys fall into."""
    pieces = max(1, -(-count // rows))
    borders = [2**64 * piece // pieces for piece in range(pieces + 1)]
    return list(pairwise(borders))
