"""In: kept documents with what their sources know of them. Out: pairs of texts that mean the same, for alignment.

`pairs/train.parquet` and `pairs/validation.parquet` have the columns of `SCHEMA`; `pairs/concepts.parquet` names every concept that
they speak of. A pair that touches a held-out concept is validation, and no training pair contains a synonym of one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.records import HELD_OUT, SPLITS, Row, Split
from clinical_modernbert.corpus.settings import PairKind
from clinical_modernbert.corpus.split import words
from clinical_modernbert.sources.codes.entry import concept_id, sentence

SCHEMA = pl.Schema({name: pl.String() for name in ("concept", "anchor", "positive", "kind", "source")})
CONCEPTS = pl.Schema(
    {**{name: pl.String() for name in ("concept", "system", "code", "name", "chapter", "split")}, "parents": pl.List(pl.String())}
)
SAME_WORDS = "same_words"
"""Both texts of a pair have the same words: nothing to learn."""
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


def pairs_of(row: Row, metadata: dict[str, Any], split: Split, found: Concepts) -> Iterator[tuple[Split, Pair]]:
    """All pairs that one document gives, each with its split."""
    if concept := metadata.get("concept"):
        yield from _of_concept(concept, metadata, row["source"], split, found)
    elif paragraphs := metadata.get("abstract_paragraphs"):
        title, *rest = row["text"].split("\n\n")
        yield split, Pair(row["id"], title, "\n\n".join(rest[:paragraphs]), "title_abstract", row["source"])
    elif codes := metadata.get("codes"):
        known = [found.names[code] for code in codes if code in found.names and (split == "validation" or code not in found.held_out)]
        if known:
            yield split, Pair(row["id"], row["text"], "\n".join(known), "note_codes", row["source"])


def _of_concept(concept: str, metadata: dict[str, Any], source: str, split: Split, found: Concepts) -> Iterator[tuple[Split, Pair]]:
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
    """Collects the pairs that the documents of one shard give."""

    def __init__(self, kinds: Sequence[PairKind], concepts: Concepts) -> None:
        self._kinds, self._known = frozenset(kinds), concepts
        self._pairs: dict[Split, list[Pair]] = {split: [] for split in SPLITS}
        self._dropped: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
        self._concepts: list[dict[str, Any]] = []

    def add(self, row: Row, metadata: dict[str, Any], split: Split) -> None:
        """Take what one document gives."""
        if not self._kinds:
            return
        if concept := metadata.get("concept"):
            parents = [concept_id(metadata["system"], code) for code in metadata["parents"]]
            named = {name: metadata[name] for name in ("system", "code", "name", "chapter")}
            self._concepts.append({"concept": concept, **named, "split": split, "parents": parents})
        for side, pair in pairs_of(row, metadata, split, self._known):
            if pair.kind in self._kinds:
                if fault := self._fault(side, pair):
                    self._dropped[side][fault] += 1
                else:
                    self._pairs[side].append(pair)

    def write(self, folder: Path) -> dict[str, dict[str, Counter[str]]]:
        """Write `pairs-SPLIT.parquet` and `concepts.parquet`; split -> kinds and reasons of the dropped, with their counts."""
        pl.DataFrame(self._concepts, schema=CONCEPTS).write_parquet(folder / "concepts.parquet")
        for split, pairs in self._pairs.items():
            pl.DataFrame(pairs, schema=SCHEMA, orient="row").write_parquet(folder / f"pairs-{split}.parquet")
        return {
            split: {"kinds": Counter(pair.kind for pair in self._pairs[split]), "dropped": self._dropped[split]} for split in self._pairs
        }

    def _fault(self, split: Split, pair: Pair) -> str | None:
        if words(pair.anchor) == words(pair.positive):
            return SAME_WORDS
        held_out = self._known.synonyms
        return HELD_OUT if split == "train" and (held_out.occur_in(pair.anchor) or held_out.occur_in(pair.positive)) else None


def join_pairs(shards: Sequence[tuple[Path, dict[str, dict[str, dict[str, int]]]]], output: Path) -> list[PairFile]:
    """`output`/pairs from what `PairWriter.write` left in each shard's folder; nothing where no shard gives a pair."""
    if not any(counts["kinds"] for _, written in shards for counts in written.values()):
        return []
    files = []
    for split in SPLITS:
        found: dict[str, Counter[str]] = {"kinds": Counter(), "dropped": Counter()}
        for _, written in shards:
            for name, counts in found.items():
                counts.update(written[split][name])
        pairs = pl.scan_parquet([folder / f"pairs-{split}.parquet" for folder, _ in shards])
        files.append(
            _write(output, f"pairs/{split}.parquet", pairs, **{name: dict(sorted(counts.items())) for name, counts in found.items()})
        )
    concepts = pl.read_parquet([folder / "concepts.parquet" for folder, _ in shards])
    return [*files, _write(output, "pairs/concepts.parquet", concepts.unique("concept", keep="first", maintain_order=True).lazy(), {}, {})]


def _write(output: Path, relative: str, frame: pl.LazyFrame, kinds: dict[str, int], dropped: dict[str, int]) -> PairFile:
    path = output / relative
    atomic.write_file(path, frame.sink_parquet)
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    return PairFile(relative, rows, atomic.sha256(path), kinds, dropped)
