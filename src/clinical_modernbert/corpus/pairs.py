"""In: kept documents with what their sources know of them. Out: pairs of texts that mean the same, for alignment.

`pairs/train.parquet` and `pairs/validation.parquet` have the columns of `SCHEMA`; `pairs/concepts.parquet` names every concept that
they speak of. A pair that touches a held-out concept is validation, and no training pair contains a synonym of one.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.corpus.merge import HELD_OUT, SPLITS, Plan, Row, Split
from clinical_modernbert.corpus.settings import PairKind
from clinical_modernbert.corpus.split import words
from clinical_modernbert.sources.codes.entry import concept_id, sentence

SCHEMA = pl.Schema({name: pl.String() for name in ("concept", "anchor", "positive", "kind", "source")})
CONCEPTS = pl.Schema(
    {**{name: pl.String() for name in ("concept", "system", "code", "name", "chapter", "split")}, "parents": pl.List(pl.String())}
)
SAME_WORDS = "same_words"
"""Both texts of a pair have the same words: nothing to learn."""
_PART_BYTES = 32 * 2**20
_SYNONYM_KIND: Mapping[str, PairKind] = {"ICD-10-CM": "inclusion_term"}


class Pair(NamedTuple):
    """Two texts about `concept` (for text without codes, a document's id)."""

    concept: str
    anchor: str
    positive: str
    kind: PairKind
    source: str


@dataclass(frozen=True)
class PairFile:
    """One file under `pairs/`: how many rows, of which kinds, and how many were dropped for which reason."""

    path: str
    rows: int
    sha256: str
    kinds: dict[str, int]
    dropped: dict[str, int]


def pairs_of(row: Row, split: Split, found: Plan) -> Iterator[tuple[Split, Pair]]:
    """All pairs that one kept document gives, each with its split."""
    metadata = json.loads(row["metadata"])
    if concept := metadata.get("concept"):
        yield from _of_concept(concept, metadata, row["source"], split, found)
    elif paragraphs := metadata.get("abstract_paragraphs"):
        title, *rest = row["text"].split("\n\n")
        yield split, Pair(row["id"], title, "\n\n".join(rest[:paragraphs]), "title_abstract", row["source"])
    elif codes := metadata.get("codes"):
        known = [found.names[code] for code in codes if code in found.names and (split == "validation" or code not in found.held_out)]
        if known:
            yield split, Pair(row["id"], row["text"], "\n".join(known), "note_codes", row["source"])


def _of_concept(concept: str, metadata: dict[str, Any], source: str, split: Split, found: Plan) -> Iterator[tuple[Split, Pair]]:
    system, name = metadata["system"], metadata["name"]
    for synonym in metadata["synonyms"]:
        yield split, Pair(concept, name, synonym, _SYNONYM_KIND.get(system, "synonym"), source)
    if metadata["definition"]:
        yield split, Pair(concept, name, metadata["definition"], "definition", source)
    yield split, Pair(concept, sentence(system, metadata["code"], name), name, "code_sentence", source)
    for code in metadata["parents"]:
        parent = concept_id(system, code)
        if parent in found.names:
            touched: Split = "validation" if parent in found.held_out else split
            yield touched, Pair(concept, name, found.names[parent], "parent", source)


class PairWriter:
    """Collects the pairs of a corpus in parts under `staging`, then writes them to `output`/pairs."""

    def __init__(self, staging: Path, output: Path, kinds: Sequence[PairKind], found: Plan) -> None:
        self._output, self._kinds, self._found = output, frozenset(kinds), found
        self._sides = {split: _Side(staging / split) for split in SPLITS}
        self._concepts: dict[str, dict[str, Any]] = {}

    def add(self, row: Row, split: Split) -> None:
        """Take what one kept document gives."""
        if not self._kinds:
            return
        self._note_concept(json.loads(row["metadata"]), split)
        for side, pair in pairs_of(row, split, self._found):
            if pair.kind in self._kinds:
                self._sides[side].add(pair, self._fault(side, pair))

    def close(self) -> list[PairFile]:
        """Write the files; none where the corpus gives no pair."""
        if not any(side.kinds for side in self._sides.values()):
            return []
        files = [
            _write(
                self._output, f"pairs/{split}.parquet", side.frame(), dict(sorted(side.kinds.items())), dict(sorted(side.dropped.items()))
            )
            for split, side in self._sides.items()
        ]
        concepts = pl.LazyFrame(list(self._concepts.values()), schema=CONCEPTS)
        return [*files, _write(self._output, "pairs/concepts.parquet", concepts, {}, {})]

    def _fault(self, split: Split, pair: Pair) -> str | None:
        if words(pair.anchor) == words(pair.positive):
            return SAME_WORDS
        held_out = self._found.synonyms
        return HELD_OUT if split == "train" and (held_out.occur_in(pair.anchor) or held_out.occur_in(pair.positive)) else None

    def _note_concept(self, metadata: dict[str, Any], split: Split) -> None:
        if concept := metadata.get("concept"):
            parents = [concept_id(metadata["system"], code) for code in metadata["parents"]]
            known = {name: metadata[name] for name in ("concept", "system", "code", "name", "chapter")}
            self._concepts.setdefault(concept, {**known, "split": split, "parents": parents})


class _Side:
    """The pairs of one split: in memory up to `_PART_BYTES`, the others in parts on disk."""

    def __init__(self, folder: Path) -> None:
        self.kinds: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._folder = folder
        self._rows: list[Pair] = []
        self._bytes = 0
        self._parts: list[Path] = []

    def add(self, pair: Pair, fault: str | None) -> None:
        if fault:
            self.dropped[fault] += 1
            return
        self.kinds[pair.kind] += 1
        self._rows.append(pair)
        self._bytes += len(pair.anchor) + len(pair.positive)
        if self._bytes >= _PART_BYTES:
            self._flush()

    def frame(self) -> pl.LazyFrame:
        """All pairs, in order."""
        self._flush()
        return pl.scan_parquet(self._parts)

    def _flush(self) -> None:
        path = self._folder / f"{len(self._parts):05d}.parquet"
        atomic.write_file(path, pl.DataFrame(self._rows, schema=SCHEMA, orient="row").write_parquet)
        self._parts.append(path)
        self._rows, self._bytes = [], 0


def _write(output: Path, relative: str, frame: pl.LazyFrame, kinds: dict[str, int], dropped: dict[str, int]) -> PairFile:
    path = output / relative
    atomic.write_file(path, frame.sink_parquet)
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    return PairFile(relative, rows, atomic.sha256(path), kinds, dropped)
