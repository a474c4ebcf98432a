"""In: the indexes of all parts. Out: which records share a key, and what follows from it, a task for a range of keys. Next: `resolving`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from clinical_modernbert.corpus import minhash
from clinical_modernbert.corpus.index import DELETION, FIXED_KEYS, UNKNOWN_TIME, Index, Numbers
from clinical_modernbert.corpus.records import BEFORE_SPLIT, COPIED, SPLITS, SUPERSEDED, VERDICTS, WITHDRAWN
from clinical_modernbert.corpus.tasks import Journal, Task

CODE = {reason: number for number, reason in enumerate(VERDICTS)}
_HEADS = 4
"""Records of a bucket that all others in it are compared with; with more, a bucket of n costs n times as many comparisons."""
_COMPARED_AT_ONCE = 100_000
"""Pairs whose signatures are in memory at once."""
_COPIED_FROM_THE_LAST = 32
"""Notes of a patient that a note is compared with: text is copied from recent ones."""
_PATIENTS = 1000
"""Patients whose signatures are in memory at once."""


class JoinTask(Task):
    """Look at all records that share a key within a range.

    Writes `found.npy`, (k, 2) numbers of records; what the second is, is each join's own. Summary: `done`, records with such a key.
    """

    unit: ClassVar[str] = "keys"

    folders: list[Path]
    counts: list[int]
    content: str
    """Changes when the indexes or the verdicts do."""
    low: int
    high: int
    verdicts: Path

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        index = Index(self.folders, self.counts)
        verdicts = np.load(self.verdicts, mmap_mode="r")
        found = [np.zeros((0, 2), np.uint32)]
        done = 0
        for keys, numbers in index.sharing(self.kinds(), self.low, self.high):
            left = verdicts[numbers] == 0
            keys, numbers = keys[left], numbers[left]
            done += len(keys)
            journal.at(done)
            found += self.find(index, keys, numbers)
        np.save(folder / "found.npy", self.confirm(index, np.concatenate(found)))
        return {"done": done}

    def confirm(self, index: Index, found: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Those of the pairs found that are right."""
        return found

    def kinds(self) -> list[int]:
        """Rows of its keys in `keys.npy`."""
        raise NotImplementedError

    def find(self, index: Index, keys: npt.NDArray[np.uint64], numbers: Numbers) -> Iterator[npt.NDArray[np.uint32]]:
        """Pairs of numbers; `keys` are sorted."""
        raise NotImplementedError


class VersionsTask(JoinTask):
    """Finds (record, verdict): superseded or withdrawn."""

    def kinds(self) -> list[int]:
        """See `JoinTask`."""
        return [FIXED_KEYS.index("family")]

    def find(self, index: Index, keys: npt.NDArray[np.uint64], numbers: Numbers) -> Iterator[npt.NDArray[np.uint32]]:
        """See `JoinTask`."""
        keys, numbers = _shared(keys, numbers)
        records = index.records(numbers)
        for start, end in _groups(keys):
            verdicts = _settle(records[start:end])
            yield _pairs([(numbers[start + place], CODE[reason]) for place, reason in verdicts.items()])


def _settle(records: npt.NDArray[np.void]) -> dict[int, str]:
    """Which records of one family, in the order of reading, are not current, and why."""
    current: dict[int, int] = {}
    versions: dict[int, int] = {}
    siblings: list[int] = []
    verdicts: dict[int, str] = {}
    for place, record in enumerate(records):
        identity, version = int(record["identity"]), int(record["version"])
        if record["state"] == DELETION:
            verdicts |= {current.pop(sibling): WITHDRAWN for sibling in siblings if sibling in current}
            continue
        if identity not in current or version >= versions.get(identity, 0):
            if identity in current and identity == record["family"]:  # a new version brings its other languages along
                verdicts |= {current.pop(sibling): SUPERSEDED for sibling in siblings if sibling in current}
                siblings.clear()
            elif identity in current:
                verdicts[current[identity]] = SUPERSEDED
            current[identity], versions[identity] = place, version
        else:
            verdicts[place] = SUPERSEDED
        siblings.append(identity)
    return verdicts


class EqualTextsTask(JoinTask):
    """Finds (later record, first record with this text)."""

    def kinds(self) -> list[int]:
        """See `JoinTask`."""
        return [FIXED_KEYS.index("text")]

    def find(self, index: Index, keys: npt.NDArray[np.uint64], numbers: Numbers) -> Iterator[npt.NDArray[np.uint32]]:
        """See `JoinTask`."""
        repeats = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        heads = np.searchsorted(keys, keys[repeats])
        yield np.stack((numbers[repeats], numbers[heads]), axis=1)


class NearDuplicatesTask(JoinTask):
    """Finds (later record, earlier record) whose signatures agree, among those that share a band."""

    bands: list[int]
    threshold: float

    def kinds(self) -> list[int]:
        """See `JoinTask`."""
        return [len(FIXED_KEYS) + band for band in self.bands]

    def find(self, index: Index, keys: npt.NDArray[np.uint64], numbers: Numbers) -> Iterator[npt.NDArray[np.uint32]]:
        """See `JoinTask`."""
        keys, numbers = _shared(keys, numbers)
        first = np.searchsorted(keys, keys)  # where each record's bucket begins
        for head in range(_HEADS):
            later = np.flatnonzero(first + head < np.arange(len(keys)))
            yield np.stack((numbers[later], numbers[first[later] + head]), axis=1)

    def confirm(self, index: Index, found: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """See `JoinTask`: those whose signatures agree."""
        pairs = np.unique(found.astype(np.uint64) @ np.array([2**32, 1], np.uint64))  # two documents may share several bands
        one, other = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
        least = self.threshold - minhash.margin(self.threshold)
        alike = [np.zeros(0, bool)]
        for start in range(0, len(pairs), _COMPARED_AT_ONCE):
            chunk = slice(start, start + _COMPARED_AT_ONCE)
            alike.append(minhash.similarity(index.signatures(one[chunk]), index.signatures(other[chunk])) >= least)
        confirmed: npt.NDArray[np.uint32] = np.stack((one, other), axis=1)[np.concatenate(alike)]
        return confirmed


class PatientsTask(JoinTask):
    """Finds (record, verdict): copied from another note of the patient, or before the patient's documents of the validation split."""

    copied_forward: float | None
    by_time: bool

    def kinds(self) -> list[int]:
        """See `JoinTask`."""
        return [FIXED_KEYS.index("patient")]

    def find(self, index: Index, keys: npt.NDArray[np.uint64], numbers: Numbers) -> Iterator[npt.NDArray[np.uint32]]:
        """See `JoinTask`."""
        keys, numbers = _shared(keys, numbers)
        groups = list(_groups(keys))
        for first in range(0, len(groups), _PATIENTS):
            chunk = groups[first : first + _PATIENTS]
            origin, mine = chunk[0][0], numbers[chunk[0][0] : chunk[-1][1]]
            records, signatures = index.records(mine), index.signatures(mine)
            for start, end in ((start - origin, end - origin) for start, end in chunk):
                verdicts = self._judge(records[start:end], signatures[start:end])
                yield _pairs([(mine[start + place], CODE[reason]) for place, reason in verdicts.items()])

    def _judge(self, notes: npt.NDArray[np.void], signatures: minhash.Signatures) -> dict[int, str]:
        """The notes of one patient that go, and why."""
        threshold = self.copied_forward
        verdicts = {} if threshold is None else dict.fromkeys(_copied(notes, signatures, threshold), COPIED)
        if self.by_time:
            left = [place for place in range(len(notes)) if place not in verdicts]
            training = [place for place in left if notes["split"][place] == SPLITS.index("train")]
            if len(training) < len(left):
                verdicts |= dict.fromkeys(training, BEFORE_SPLIT)
        return verdicts


def _copied(notes: npt.NDArray[np.void], signatures: minhash.Signatures, threshold: float) -> list[int]:
    """Notes of one patient of whose shingles another one that stays has at least `threshold`."""
    times = np.where(notes["time"] == UNKNOWN_TIME, np.iinfo(np.int64).max, notes["time"])
    order = np.argsort(times, kind="stable")
    shingles = notes["shingles"].astype(np.int64)
    copied: set[int] = set()
    for place, later in enumerate(order):
        earlier = np.array([note for note in order[max(place - _COPIED_FROM_THE_LAST, 0) : place] if note not in copied], np.int64)
        if not len(earlier) or not shingles[later]:
            continue
        jaccard = minhash.similarity(signatures[earlier], signatures[[later]])
        if (minhash.containment(jaccard, shingles[[later]], shingles[earlier]) >= threshold).any():
            copied.add(int(later))
        else:
            copied.update(earlier[minhash.containment(jaccard, shingles[earlier], shingles[[later]]) >= threshold].tolist())
    return sorted(copied)


def _shared(keys: npt.NDArray[np.uint64], numbers: Numbers) -> tuple[npt.NDArray[np.uint64], Numbers]:
    """Without the keys that only one record has."""
    same = np.zeros(len(keys) + 1, bool)
    same[1:-1] = keys[1:] == keys[:-1]
    shared = same[1:] | same[:-1]
    return keys[shared], numbers[shared]


def _groups(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of equal keys."""
    borders = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    starts = [0, *borders.tolist()] if len(keys) else []
    yield from zip(starts, [*borders.tolist(), len(keys)], strict=False)


def _pairs(pairs: list[tuple[Any, int]]) -> npt.NDArray[np.uint32]:
    return np.array(pairs, np.uint32).reshape(-1, 2)
