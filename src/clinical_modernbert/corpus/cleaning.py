"""In: a part of raw records. Out: the documents whose own text lets them stay, an index of all records, the others by reason.

Next: `resolving` compares what is left.
"""

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from clinical_modernbert.corpus import decontamination, index, minhash
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.reading import RefusedRecords
from clinical_modernbert.corpus.records import (
    CONTAMINATED,
    DROPPED,
    EMPTY,
    HELD_OUT,
    OTHER_LANGUAGE,
    QUARANTINED,
    RETRACTED,
    SCHEMA,
    SPLITS,
    Row,
    Split,
)
from clinical_modernbert.corpus.settings import CorpusSettings
from clinical_modernbert.corpus.shingles import hash_runs, hash_words
from clinical_modernbert.corpus.split import seconds, split_of
from clinical_modernbert.corpus.tasks import Journal, Task
from clinical_modernbert.corpus.text.language import UNDETERMINED, language
from clinical_modernbert.corpus.text.normalise import normalise
from clinical_modernbert.corpus.text.phi import find_phi
from clinical_modernbert.corpus.text.quality import faults
from clinical_modernbert.corpus.text.sections import sections
from clinical_modernbert.errors import frames

logger = logging.getLogger(__name__)

_BATCH_CHARACTERS = 2**21
"""Text whose words are hashed at once, at some fifty bytes of memory for each character."""


@dataclass(frozen=True)
class Cleaned:
    """A document after a look at its own text; `reason` is empty where it may stay."""

    text: str
    split: Split
    metadata: dict[str, Any]
    reason: str = ""
    phi: Counter[str] = field(default_factory=Counter)
    """How often each kind of identifier seems to stand in the text."""


def clean(row: Row, settings: CorpusSettings, concepts: Concepts) -> Cleaned:
    """All rules that need one document alone, in their order. Entries of code tables are never judged by their text."""
    metadata: dict[str, Any] = json.loads(row["metadata"])
    text = normalise(row["text"])
    split = split_of(row["id"], row["patient"], metadata, settings, concepts.held_out)
    cleaned = Cleaned(text, split, metadata)
    if not text.strip():
        return replace(cleaned, reason=EMPTY)
    if "concept" not in metadata:
        if metadata.get("retracted") and settings.retracted == "drop":
            return replace(cleaned, reason=RETRACTED)
        if settings.quality and (fault := faults(text, settings.quality)):
            return replace(cleaned, reason=fault)
        if settings.languages:
            spoken = language(text)
            metadata["language"] = metadata.get("language") if spoken == UNDETERMINED else spoken
            if metadata["language"] not in (None, *settings.languages):
                return replace(cleaned, reason=OTHER_LANGUAGE)
        if settings.sections and (found := sections(text)):
            metadata["sections"] = [[section.title, section.start] for section in found]
    if split == "train" and concepts.synonyms.occur_in(text):
        return replace(cleaned, reason=HELD_OUT)
    if settings.phi != "ignore" and "concept" not in metadata:
        return replace(cleaned, phi=Counter(found.kind for found in find_phi(text)))
    return cleaned


class CleanTask(Task):
    """Clean one part.

    Its summary: `done`, documents looked at; `rows`, these and deletions; `dropped`, source -> reason -> documents; `phi`, source ->
    kind -> [documents, places]; `refused`, records that no rule could look at.
    """

    raw: Path
    raw_sha256: str
    settings: CorpusSettings
    concepts: Path
    concepts_sha256: str
    benchmarks: Path | None
    benchmarks_content: str
    one_by_one: bool = False
    """Hash the words of each document by themselves, so that the journal says which one ends the process."""
    skip: tuple[int, ...] = ()
    """Numbers of records, from 1, that do."""

    not_in_key: ClassVar[frozenset[str]] = frozenset({"folder", "one_by_one", "skip"})

    def run(self, folder: Path, journal: Journal) -> dict[str, Any]:
        """See `Task`."""
        frame = pl.read_parquet(self.raw)
        part = _Part(self, len(frame))
        waiting = 0
        for number, row in enumerate(frame.iter_rows(named=True), start=1):
            journal.at(number)
            part.look_at(number, row)
            waiting += len(row["text"] or "")
            if self.one_by_one or waiting >= _BATCH_CHARACTERS:
                part.compare()
                waiting = 0
        part.compare()
        part.write(folder)
        return part.summary()


class _Part:
    """What is found in one part, batch by batch."""

    def __init__(self, task: CleanTask, records: int) -> None:
        self._settings = task.settings
        self._skip = frozenset(task.skip)
        self._concepts = Concepts.read(task.concepts, task.concepts_sha256)
        self._known = decontamination.read(task.benchmarks, task.benchmarks_content) if task.benchmarks else []
        self._named = {name: [one.name for one in self._known if name in one.ids] for one in self._known for name in one.ids}
        self._bands = minhash.Bands.for_threshold(task.settings.near_duplicates) if task.settings.near_duplicates else None
        self._records = np.zeros(records, index.RECORD)
        self._records["row"], self._records["time"] = -1, index.UNKNOWN_TIME
        self._waiting: list[tuple[int, Row, Cleaned]] = []
        self._kept: list[Row] = []
        self._band_keys: list[np.ndarray[Any, np.dtype[np.uint64]]] = []
        self._signatures: list[minhash.Signatures] = []
        self._dropped: list[tuple[str, str, str]] = []
        self._phi: dict[str, dict[str, list[int]]] = {}
        self._quarantined = RefusedRecords("")
        self._signs = task.settings.near_duplicates is not None or task.settings.copied_forward is not None
        self._documents = 0

    def look_at(self, number: int, row: Row) -> None:
        """Take record `number`."""
        record = self._records[number - 1]
        record["identity"], record["family"] = index.key(row["id"]), index.key(row["id"].partition("#")[0])
        if row["deleted"]:
            record["state"] = index.DELETION
            return
        self._documents += 1
        if number in self._skip:
            self._quarantine(number, row, "it ends the process that looks at it")
            return
        try:
            cleaned = clean(row, self._settings, self._concepts)
        except Exception as error:  # noqa: BLE001 - one document must not hold up the others
            logger.debug("%s", frames(error))
            self._quarantine(number, row, f"{type(error).__name__} while cleaning")
            return
        version = cleaned.metadata.get("version")
        record["version"] = min(version, 2**31 - 1) if isinstance(version, int) else 0
        if cleaned.reason:
            self._drop(number, row, cleaned.reason)
        else:
            self._waiting.append((number, row, cleaned))

    def compare(self) -> None:
        """Hash the words of the waiting documents, and decide about them."""
        if not self._waiting:
            return
        words = hash_words([cleaned.text for _, _, cleaned in self._waiting])
        shared = decontamination.contaminated(self._known, words)
        shingles = hash_runs(words, minhash.SHINGLE_WORDS)
        places = minhash.sign(shingles) if self._signs else np.zeros((len(self._waiting), minhash.PERMUTATIONS), np.uint32)
        left: list[int] = []
        for position, (number, row, cleaned) in enumerate(self._waiting):
            named = {name for each in decontamination.ids_of(row["id"], cleaned.metadata) for name in self._named.get(each, ())}
            if tasks := sorted({*shared.get(position, ()), *named} if "concept" not in cleaned.metadata else ()):
                self._drop(number, row, f"{CONTAMINATED}:{'+'.join(tasks)}")
            else:
                self._keep(number, row, cleaned, int(shingles.offsets[position + 1] - shingles.offsets[position]))
                left.append(position)
        self._signatures.append((places[left] & 0xFF).astype(np.uint8))
        if self._bands:
            keys = self._bands.keys(places[left])
            judged = [
                bool("concept" not in self._waiting[at][2].metadata and shingles.offsets[at + 1] > shingles.offsets[at]) for at in left
            ]
            self._band_keys.append(np.where(np.array(judged, bool), keys | np.uint64(1), np.uint64(0)))
        self._waiting = []

    def _keep(self, number: int, row: Row, cleaned: Cleaned, shingles: int) -> None:
        record, metadata = self._records[number - 1], json.dumps(cleaned.metadata, ensure_ascii=False, separators=(",", ":"))
        record["row"], record["split"] = len(self._kept), SPLITS.index(cleaned.split)
        record["bytes"], record["shingles"] = len(cleaned.text.encode("utf-8")), shingles
        record["text"] = index.key(cleaned.text.strip())
        record["patient"] = index.key(row["patient"]) if row["patient"] else 0
        time = seconds(cleaned.metadata.get("time"))
        record["time"] = index.UNKNOWN_TIME if time is None else time
        self._kept.append({**{name: row[name] for name in SCHEMA}, "text": cleaned.text, "metadata": metadata})
        for kind, count in cleaned.phi.items():
            counts = self._phi.setdefault(row["source"], {}).setdefault(kind, [0, 0])
            counts[0] += 1
            counts[1] += count

    def _drop(self, number: int, row: Row, reason: str) -> None:
        self._records[number - 1]["state"] = index.DROPPED
        self._dropped.append((row["id"], row["source"], reason))

    def _quarantine(self, number: int, row: Row, reason: str) -> None:
        self._drop(number, row, QUARANTINED)
        self._quarantined.add(row["source"], reason, row["id"])

    def write(self, folder: Path) -> None:
        """Write the documents, the index and the list of those dropped."""
        pl.DataFrame(self._kept, schema=SCHEMA).write_parquet(folder / "documents.parquet", compression="lz4")
        pl.DataFrame(self._dropped, schema=DROPPED, orient="row").write_parquet(folder / "dropped.parquet")
        bands = np.concatenate(self._band_keys, axis=1) if self._band_keys else np.zeros((0, len(self._kept)), np.uint64)
        signatures = np.concatenate(self._signatures) if self._signatures else np.zeros((0, minhash.PERMUTATIONS), np.uint8)
        index.write(folder, self._records, bands, signatures)

    def summary(self) -> dict[str, Any]:
        """See `CleanTask`."""
        dropped: dict[str, Counter[str]] = {}
        for _, source, reason in self._dropped:
            dropped.setdefault(source, Counter())[reason] += 1
        refused = [asdict(refusal) for refusal in self._quarantined.refusals()]
        return {"done": self._documents, "rows": len(self._records), "dropped": dropped, "phi": self._phi, "refused": refused}
