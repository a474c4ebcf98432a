"""In: the files of all sources. Out: what each step of a build makes of what the one before it left in staging. Next: `build`."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.corpus import decontamination
from clinical_modernbert.corpus.canaries import Canaries
from clinical_modernbert.corpus.cleaning import CleanTask
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.executor import Died, Executor, Outcome, run_all
from clinical_modernbert.corpus.index import Index
from clinical_modernbert.corpus.manifest import CanaryFile, Shard
from clinical_modernbert.corpus.planting import PlantTask
from clinical_modernbert.corpus.reading import ReadTask, Refusal, read_concepts
from clinical_modernbert.corpus.records import SPLITS, Split
from clinical_modernbert.corpus.resolving import Verdicts, resolve
from clinical_modernbert.corpus.settings import CorpusSettings
from clinical_modernbert.corpus.tasks import Result, Task
from clinical_modernbert.corpus.writing import ListTask, Piece, WriteTask, staying
from clinical_modernbert.errors import DataError
from clinical_modernbert.progress import Progress
from clinical_modernbert.sources import AnySource

_READ_TOGETHER = 32 * 2**20
"""Bytes of small files that one task reads."""
_MOST_SKIPPED = 100
"""Documents of one part that may end the process which looks at them."""

Phi = dict[str, dict[str, list[int]]]
"""Source -> kind -> [documents, places]."""


@dataclass(frozen=True)
class Input:
    """One file of one source; see `sources.opening.stamp`."""

    source: AnySource
    stamp: dict[str, Any]
    beside: list[dict[str, Any]]
    """Of what the source reads beside it."""

    @property
    def size(self) -> int:
        """Bytes; 0 where nobody knows."""
        return int(self.stamp["size"] or 0)


@dataclass(frozen=True)
class Raw:
    """A part of raw records."""

    path: Path
    sha256: str
    with_concepts: bool
    source: str
    input: str
    documents: int


@dataclass(frozen=True)
class Cleaned:
    """All parts after cleaning; `content` changes when anything in them does."""

    index: Index
    content: str
    phi: Phi


@dataclass(frozen=True)
class Written:
    """One shard's task, what it left, and where the shard stands now."""

    task: Task
    result: Result
    shard: Shard


@dataclass
class Steps:
    """The steps of one build, in their order; inputs and records that are refused on the way come together in `refused`."""

    settings: CorpusSettings
    output: Path
    staging: Path
    executor: Executor
    progress: Progress
    refused: list[Refusal]

    def read(self, inputs: Sequence[Input]) -> tuple[list[Raw], Counter[str]]:
        """Parts of raw records, and how many documents each source has."""
        tasks = [
            ReadTask(
                folder=self.staging / "read" / f"{number:06d}",
                source=group[0].source,
                stamps=[one.stamp for one in group],
                beside=group[0].beside,
            )
            for number, group in enumerate(_together(inputs))
        ]
        outcomes = self._outcomes(tasks, "Reading", sum(one.size for one in inputs) // 1000)
        raw: list[Raw] = []
        documents: Counter[str] = Counter()
        for task, outcome in [done for pair in zip(tasks, outcomes, strict=True) for done in self._file_by_file(*pair)]:
            if isinstance(outcome, Died):
                path = str(task.stamps[0]["path"])
                reason = f"ends the process that reads it, about {outcome.at:,} kB from the start ({path}). Take the file out."
                self.refused.append(Refusal(task.source.name, path, reason))
                continue
            summary = outcome.summary
            documents[task.source.name] += summary["documents"]
            self.refused.extend(Refusal(**item) for item in summary["refused"])
            raw.extend(
                Raw(
                    task.folder / name,
                    outcome.files[name],
                    name in summary["with_concepts"],
                    task.source.name,
                    str(task.stamps[0]["path"]),
                    count,
                )
                for name, count in summary["parts"].items()
            )
        return raw, documents

    def concepts(self, raw: Sequence[Raw]) -> tuple[Path, str]:
        """The file of all `Concepts`, and its hash."""
        path = self.staging / "concepts.json"
        entries = (entry for part in raw if part.with_concepts for entry in read_concepts(part.path))
        Concepts.of(entries, self.settings.held_out_concepts, self.settings.seed).write(path)
        return path, atomic.sha256(path)

    def clean(self, raw: Sequence[Raw], documents: int, concepts: tuple[Path, str], known: Sequence[decontamination.Known]) -> Cleaned:
        """Every part after a look at each document by itself."""
        benchmarks = self._benchmarks if known else None
        if benchmarks:
            decontamination.write(known, benchmarks)
        given = {
            "settings": self.settings,
            "concepts": concepts[0],
            "concepts_sha256": concepts[1],
            "benchmarks": benchmarks,
            "benchmarks_content": decontamination.content(known),
        }
        tasks = [
            CleanTask(folder=self.staging / "clean" / f"{number:06d}", raw=part.path, raw_sha256=part.sha256, **given)
            for number, part in enumerate(raw)
        ]
        parts: list[tuple[Path, Result]] = []
        for part, task, outcome in zip(raw, tasks, self._outcomes(tasks, "Cleaning", documents), strict=True):
            found = self._without_poison(task, outcome)
            if isinstance(found, Died):
                reason = "they end the process that looks at them, perhaps for want of memory"
                self.refused.append(Refusal(part.source, part.input, reason, part.documents, "all of one part"))
            else:
                parts.append((task.folder, found))
                self.refused.extend(Refusal(**item) for item in found.summary["refused"])
        if not parts:
            raise DataError("no part of the input could be cleaned. Run with -v for details.")
        index = Index([folder for folder, _ in parts], [result.summary["rows"] for _, result in parts])
        content = hashlib.sha256(repr([result.files for _, result in parts]).encode()).hexdigest()[:16]
        return Cleaned(index, content, _add_up([result.summary["phi"] for _, result in parts]))

    def resolve(self, cleaned: Cleaned) -> Verdicts:
        """What becomes of each document among the others."""

        def run(tasks: Sequence[Task], title: str, total: int) -> list[Path]:
            self._results(tasks, title, total)
            return [task.folder for task in tasks]

        return resolve(cleaned.index, cleaned.content, self.settings, self.staging / "resolve", run)

    def list_dropped(self, cleaned: Cleaned, verdicts: Verdicts) -> dict[str, Counter[str]]:
        """Write `dropped/`; source -> reason -> documents."""
        parts = cleaned.index
        given = {"verdicts": verdicts.path, "content": cleaned.content + verdicts.content}
        tasks = [
            ListTask(folder=self.staging / "dropped" / f"{number:06d}", documents=folder, offset=int(offset), **given)
            for number, (folder, offset) in enumerate(zip(parts.folders, parts.offsets, strict=False))
        ]
        dropped: dict[str, Counter[str]] = {}
        for result in self._results(tasks, "Listing what is dropped", None):
            for source, counts in result.summary["dropped"].items():
                dropped.setdefault(source, Counter()).update(counts)
        listed = pl.scan_parquet([task.folder / "dropped.parquet" for task in tasks])
        atomic.write_file(self.output / "dropped" / "documents.parquet", listed.sink_parquet)
        atomic.write_json(
            self.output / "dropped" / "counts.json", {source: dict(sorted(counts.items())) for source, counts in dropped.items()}
        )
        return dropped

    def write(
        self, cleaned: Cleaned, verdicts: Verdicts, concepts: tuple[Path, str], known: Sequence[decontamination.Known], documents: int
    ) -> list[Written]:
        """The shards, in their places."""
        swapping = self.settings.counterfactuals
        given = {
            "verdicts": verdicts.path,
            "content": cleaned.content + verdicts.content,
            "pairs": self.settings.pairs,
            "concepts": concepts[0],
            "concepts_sha256": concepts[1],
        }
        if swapping:
            benchmarks = {"benchmarks": self._benchmarks, "benchmarks_content": decontamination.content(known)} if known else {}
            given |= {"counterfactuals": swapping, "seed": self.settings.seed, **benchmarks}
        room = self.settings.shard_megabytes * 2**20
        tasks = [
            WriteTask(folder=self.staging / "write" / f"{split}-{number:05d}", split=split, pieces=pieces, **given)
            for split in SPLITS
            for number, pieces in enumerate(_plan(cleaned.index, verdicts, split, room // 2 if swapping and split == "train" else room))
        ]
        results = self._results(tasks, "Writing", documents)
        for name in SPLITS:
            shutil.rmtree(self.output / name, ignore_errors=True)
        written = []
        for task, result in zip(tasks, results, strict=True):
            written.append(self._placed(task, result, task.split, f"{task.split}/{task.folder.name.rpartition('-')[2]}.parquet"))
        return written

    @property
    def _benchmarks(self) -> Path:
        return self.staging / "benchmarks"

    def plant(self, number: int, concepts: tuple[Path, str]) -> tuple[list[Written], CanaryFile | None]:
        """The shard of the canaries as number `number` of the training split, and their list; nothing where none are asked for."""
        if self.settings.canaries is None:
            return [], None
        folder = self.staging / "plant"
        task = PlantTask(folder=folder, settings=self.settings.canaries, concepts=concepts[0], concepts_sha256=concepts[1])
        [result] = self._results([task], "Planting canaries", None)
        atomic.write_file(self.output / CanaryFile.path, lambda aside: _link(folder / "canaries.json", aside))
        planted = Counter(canary.repetitions for canary in Canaries.read(folder / "canaries.json").planted)
        file = CanaryFile({str(count): secrets for count, secrets in planted.items()}, result.files["canaries.json"])
        return [self._placed(task, result, "train", f"train/{number:05d}.parquet")], file

    def _placed(self, task: Task, result: Result, split: Split, relative: str) -> Written:
        """A shard that a task left, in its place."""
        atomic.write_file(self.output / relative, lambda aside: _link(task.folder / "shard.parquet", aside))
        shard = Shard(relative, split, result.summary["done"], result.summary["bytes"], result.files["shard.parquet"])
        return Written(task, result, shard)

    def _outcomes(self, tasks: Sequence[Task], title: str, total: int | None) -> list[Outcome]:
        return run_all(tasks, self.executor, title, self.progress, total)

    def _results(self, tasks: Sequence[Task], title: str, total: int | None) -> list[Result]:
        """Of tasks that every machine should survive."""
        outcomes = self._outcomes(tasks, title, total)
        results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
        if len(results) < len(tasks):
            raise DataError(f"a process was ended from outside again and again ({title}), perhaps for want of memory. Lower workers.")
        return results

    def _without_poison(self, task: CleanTask, outcome: Outcome) -> Outcome:
        """Run a task again, one document after the other, each time without the one that ended its process."""
        while isinstance(outcome, Died) and len(task.skip) < _MOST_SKIPPED and (outcome.at or not task.one_by_one):
            skip = (*task.skip, outcome.at) if task.one_by_one else ()
            task = task.model_copy(update={"one_by_one": True, "skip": skip})
            [outcome] = self._outcomes([task], "Cleaning one by one", None)
        return outcome

    def _file_by_file(self, task: ReadTask, outcome: Outcome) -> list[tuple[ReadTask, Outcome]]:
        """The files of a task that died, each by a task of its own."""
        if isinstance(outcome, Result) or len(task.stamps) == 1:
            return [(task, outcome)]
        alone = [
            task.model_copy(update={"folder": task.folder.with_name(f"{task.folder.name}-{number:05d}"), "stamps": [stamp]})
            for number, stamp in enumerate(task.stamps)
        ]
        return list(zip(alone, self._outcomes(alone, "Reading file by file", None), strict=True))


def _add_up(counted: Sequence[Phi]) -> Phi:
    total: Phi = {}
    for source, kind, counts in (
        (source, kind, counts) for one in counted for source, kinds in one.items() for kind, counts in kinds.items()
    ):
        before = total.setdefault(source, {}).get(kind, [0, 0])
        total[source][kind] = [before[0] + counts[0], before[1] + counts[1]]
    return total


def _link(file: Path, name: Path) -> None:
    """One more name for a file, or a copy of it where the disk knows no such thing: what a task made stays where it is."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def _together(inputs: Sequence[Input]) -> Iterator[list[Input]]:
    """Files of one source, in order, small ones together."""
    for _, of_source in groupby(inputs, key=lambda one: id(one.source)):
        group: list[Input] = []
        size = 0
        for one in of_source:
            if group and size + one.size > _READ_TOGETHER:
                yield group
                group, size = [], 0
            group.append(one)
            size += one.size
        yield group


def _plan(parts: Index, verdicts: Verdicts, split: Split, max_bytes: int) -> Iterator[list[Piece]]:
    """Which records go into each shard of a split: all that stay, in order, so many that their text is at most `max_bytes`."""
    pieces: list[Piece] = []
    size = 0
    for folder, offset, count in zip(parts.folders, parts.offsets.tolist(), parts.counts, strict=False):
        records = np.load(folder / "records.npy", mmap_mode="r")
        kept = staying(records, verdicts.values[offset : offset + count], split)
        first, sizes = 0, records["bytes"][kept].tolist()
        for record, own in zip(kept.tolist(), sizes, strict=True):
            if size and size + own > max_bytes:
                yield [*pieces, Piece(folder, offset, first, record)]
                pieces, size, first = [], 0, record
            size += own
        if len(kept) and first <= kept[-1]:
            pieces.append(Piece(folder, offset, first, count))
    if pieces:
        yield pieces
