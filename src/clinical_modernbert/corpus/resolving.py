"""In: the indexes of all parts. Out: what becomes of each record when all others are known, one byte for each. Next: `writing`.

The rules in their order, each for the documents that those before it left: later versions and deletions, equal texts, near duplicates,
copies within a patient, patients who have documents on both sides of a split by time.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_modernbert import atomic
from clinical_modernbert.corpus import minhash
from clinical_modernbert.corpus.index import Index, Numbers, ranges
from clinical_modernbert.corpus.joins import CODE, EqualTextsTask, JoinTask, NearDuplicatesTask, PatientsTask, VersionsTask
from clinical_modernbert.corpus.records import DUPLICATE, NEAR_DUPLICATE
from clinical_modernbert.corpus.settings import CorpusSettings
from clinical_modernbert.corpus.tasks import Task

_ROWS = 2_000_000
"""Keys that a task holds in memory at once."""
_BANDS_TOGETHER = 500_000
"""Keys up to which a task looks at several bands, one after the other."""

Run = Callable[[Sequence[Task], str, int], list[Path]]
"""Runs tasks under a title, with how much they have to do together; gives their folders."""


@dataclass
class Verdicts:
    """One byte for each record, a place in `records.VERDICTS`, also in the file `path`.

    `instead` has (duplicate, the record it was dropped for).
    """

    path: Path
    values: npt.NDArray[np.uint8]
    instead: list[npt.NDArray[np.uint32]] = field(default_factory=list)

    @property
    def content(self) -> str:
        """Changes when a verdict does."""
        return hashlib.sha256(self.values.data).hexdigest()[:16]

    def clusters(self) -> tuple[Numbers, npt.NDArray[np.int64]]:
        """Records that stay for others, and how many documents each cluster has with its own."""
        pairs = np.concatenate([np.zeros((0, 2), np.uint32), *self.instead])
        stays = np.arange(len(self.values), dtype=np.uint32)
        stays[pairs[:, 0]] = pairs[:, 1]
        heads, counts = np.unique(stays[stays[pairs[:, 1]]], return_counts=True)  # the first of equal texts may itself be a near duplicate
        return heads, counts + 1


def resolve(parts: Index, content: str, settings: CorpusSettings, staging: Path, run: Run) -> Verdicts:
    """Apply all rules; `content` changes when the indexes do."""
    count = int(parts.offsets[-1])
    verdicts = Verdicts(staging / "verdicts.npy", np.zeros(count, np.uint8))

    def join(kind: type[JoinTask], title: str, step: str, pieces: list[dict[str, Any]]) -> Iterator[npt.NDArray[np.uint32]]:
        before = staging / f"verdicts-before-{step}.npy"
        _save(before, verdicts.values)
        given = {"folders": parts.folders, "counts": parts.counts, "content": content + verdicts.content, "verdicts": before}
        tasks = [
            kind(folder=staging / step / f"{number:05d}", low=low, high=high, **given, **piece)
            for number, (low, high, piece) in enumerate((low, high, piece) for piece in pieces for low, high in ranges(count, _ROWS))
        ]
        for folder in run(tasks, title, count * len(tasks[0].kinds()) * len(pieces)):
            yield np.load(folder / "found.npy")

    for found in join(VersionsTask, "Versions and deletions", "versions", [{}]):
        verdicts.values[found[:, 0]] = found[:, 1]
    for found in join(EqualTextsTask, "Equal texts", "equal", [{}]):
        verdicts.values[found[:, 0]] = CODE[DUPLICATE]
        verdicts.instead.append(found)
    if settings.near_duplicates:
        bands = list(range(minhash.Bands.for_threshold(settings.near_duplicates).count))
        together = max(1, _BANDS_TOGETHER // max(count, 1))
        pieces = [
            {"bands": bands[first : first + together], "threshold": settings.near_duplicates} for first in range(0, len(bands), together)
        ]
        found = near_duplicates(join(NearDuplicatesTask, "Near duplicates", "near", pieces), count)
        verdicts.values[found[:, 0]] = CODE[NEAR_DUPLICATE]
        verdicts.instead.append(found)
    if settings.copied_forward or settings.validation_from:
        rule = {"copied_forward": settings.copied_forward, "by_time": settings.validation_from is not None}
        for found in join(PatientsTask, "Patients", "patients", [rule]):
            verdicts.values[found[:, 0]] = found[:, 1]
    _save(verdicts.path, verdicts.values)
    return verdicts


def near_duplicates(found: Iterable[npt.NDArray[np.uint32]], count: int) -> npt.NDArray[np.uint32]:
    """(record to drop, the one that stays in its place), of `count` records.

    In the order of reading, a document goes if it is alike to one that stays. Memory grows with the number of pairs that are alike.
    """
    gone = bytearray(count)
    dropped, instead = array("I"), array("I")
    for edge in _unique(found):
        later, earlier = divmod(int(edge), 2**32)
        if not gone[later] and not gone[earlier]:
            gone[later] = 1
            dropped.append(later)
            instead.append(earlier)
    return np.stack((np.array(dropped, np.uint32), np.array(instead, np.uint32)), axis=1)


def _unique(found: Iterable[npt.NDArray[np.uint32]]) -> npt.NDArray[np.uint64]:
    """Pairs as later * 2**32 + earlier, sorted, each once: a pair is found again in every band that it shares."""
    edges, waiting, size = np.zeros(0, np.uint64), [], 0
    for pairs in found:
        waiting.append((pairs[:, 0].astype(np.uint64) << np.uint64(32)) | pairs[:, 1])
        size += len(pairs)
        if size > max(len(edges), _ROWS):
            edges, waiting, size = np.unique(np.concatenate((edges, *waiting))), [], 0
    return np.unique(np.concatenate((edges, *waiting)))


def _save(path: Path, values: npt.NDArray[np.uint8]) -> None:
    atomic.write_file(path, lambda aside: _write(aside, values))


def _write(path: Path, values: npt.NDArray[np.uint8]) -> None:
    with path.open("wb") as file:
        np.save(file, values)
