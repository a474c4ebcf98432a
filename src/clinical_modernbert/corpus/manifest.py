"""The manifest of a corpus, and a corpus on disk."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.corpus.pairs import PairFile
from clinical_modernbert.corpus.reading import Refusal
from clinical_modernbert.corpus.records import Split
from clinical_modernbert.errors import DataError
from clinical_modernbert.sources import Access

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One Parquet file of the corpus; `bytes` is UTF-8 text, `tokens` maps a token store's fingerprint to its count."""

    path: str
    split: Split
    rows: int
    bytes: int
    sha256: str
    tokens: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceSummary:
    """What came of one source: documents read and kept, UTF-8 bytes kept, reasons and counts of the dropped.

    `phi` has kind -> [documents, places], where the corpus was scanned; `years`, `languages` and `lengths` count the documents kept, a
    length being the number of bits of that of the text in bytes (11: from 1,024 to 2,047). `counterfactuals` counts what became of the
    training documents that were chosen to be swapped; copies are in `bytes`, and nowhere else.
    """

    name: str
    licence: str
    access: Access
    read: int
    kept: dict[Split, int]
    bytes: int
    dropped: dict[str, int]
    phi: dict[str, list[int]] = field(default_factory=dict)
    years: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    counterfactuals: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Duplicates:
    """Clusters of equal and nearly equal documents, of which one was kept: size -> clusters; the largest as (id of the kept one, size)."""

    clusters: dict[str, int] = field(default_factory=dict)
    largest: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class BenchmarkSummary:
    """A benchmark that documents were compared with: its passages, those too short to find anything by, its runs of words, its ids."""

    name: str
    passages: int
    too_short: int
    runs: int
    ids: int


@dataclass(frozen=True)
class CanaryFile:
    """`canaries.json`: how many secrets are planted, by how often each is repeated."""

    secrets: dict[str, int]
    sha256: str
    path: ClassVar[str] = "canaries.json"


@dataclass(frozen=True)
class Manifest:
    """Everything that is known about a corpus but its text."""

    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    sources: list[SourceSummary]
    shards: list[Shard]
    refused: list[Refusal]
    held_out_concepts: int
    pairs: list[PairFile] = field(default_factory=list)
    duplicates: Duplicates = field(default_factory=Duplicates)
    benchmarks: list[BenchmarkSummary] = field(default_factory=list)
    canaries: CanaryFile | None = None
    format_version: int = FORMAT_VERSION

    @property
    def access(self) -> Access:
        """`credentialed` as soon as one source is."""
        return "credentialed" if any(source.access == "credentialed" for source in self.sources) else "open"

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any shard does."""
        return sha256("".join(shard.split + shard.sha256 for shard in self.shards).encode()).hexdigest()[:16]

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> documents, over all sources."""
        reasons = sorted({reason for source in self.sources for reason in source.dropped})
        return {reason: sum(source.dropped.get(reason, 0) for source in self.sources) for reason in reasons}

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return sum(shard.bytes for shard in self.shards)

    def documents(self, split: Split) -> int:
        """Documents of one split."""
        return sum(shard.rows for shard in self.shards if shard.split == split)

    def write(self, path: Path) -> None:
        """Write `manifest.json`."""
        derived = {"access": self.access, "fingerprint": self.fingerprint, "dropped": self.dropped}
        atomic.write_json(path, {"format_version": self.format_version, **derived, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read `manifest.json`.

        Raises:
            DataError: it is missing, damaged or of a newer format.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format_version"] != FORMAT_VERSION:
                raise DataError(f"corpus format {data['format_version']} ({path}), this version reads {FORMAT_VERSION}. Build it again.")
            return cls._from_plain(data)
        except FileNotFoundError:
            raise DataError(f"no corpus ({path.parent} has no manifest.json). Make one with `cmbert corpus build`.") from None
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
            raise DataError(f"damaged manifest ({path}). Build the corpus again with --overwrite.") from None

    @classmethod
    def _from_plain(cls, data: dict[str, Any]) -> "Manifest":
        return cls(
            settings=data["settings"],
            inputs=data["inputs"],
            sources=[SourceSummary(**item) for item in data["sources"]],
            shards=[Shard(**item) for item in data["shards"]],
            refused=[Refusal(**item) for item in data["refused"]],
            held_out_concepts=data["held_out_concepts"],
            pairs=[PairFile(**item) for item in data.get("pairs", ())],
            duplicates=Duplicates(**data.get("duplicates", {})),
            benchmarks=[BenchmarkSummary(**item) for item in data.get("benchmarks", ())],
            canaries=CanaryFile(**data["canaries"]) if data.get("canaries") else None,
        )


@dataclass(frozen=True)
class Corpus:
    """A finished corpus folder."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str) -> "Corpus":
        """Open the corpus in `folder`; raises DataError where there is none."""
        folder = Path(folder)
        return cls(folder, Manifest.read(folder / "manifest.json"))

    def shards(self, split: Split) -> Iterator[tuple[Shard, pl.DataFrame]]:
        """The shards of one split with their rows, each checked against its hash.

        Raises:
            DataError: a shard is missing or its bytes changed.
        """
        for shard in self.manifest.shards:
            if shard.split == split:
                path = self.folder / shard.path
                if not self._intact(shard):
                    raise DataError(f"missing or changed shard ({path}). Run `cmbert corpus build` again: it makes what is missing.")
                yield shard, pl.read_parquet(path)

    def damaged(self) -> list[str]:
        """Files that are missing or changed."""
        files: list[Shard | PairFile | CanaryFile] = [*self.manifest.shards, *self.manifest.pairs]
        files += [self.manifest.canaries] if self.manifest.canaries else []
        return [file.path for file in files if not self._intact(file)]

    def _intact(self, file: Shard | PairFile | CanaryFile) -> bool:
        path = self.folder / file.path
        return path.is_file() and atomic.sha256(path) == file.sha256

    def texts(self, split: Split = "train") -> Iterator[str]:
        """The texts of one split, in order."""
        for _, frame in self.shards(split):
            yield from frame["text"]

    def pair_file(self, name: str) -> Path:
        """`pairs/NAME.parquet`, checked against its hash; `name` is a split or `concepts`.

        Raises:
            DataError: the corpus was built without pairs, or the file is missing or changed.
        """
        for file in self.manifest.pairs:
            if file.path == f"pairs/{name}.parquet":
                path = self.folder / file.path
                if self._intact(file):
                    return path
                raise DataError(f"missing or changed file ({path}). Run `cmbert corpus build` again: it makes what is missing.")
        raise DataError(
            f"the corpus has no pairs ({self.folder}). Build it with code tables or abstracts among its sources, "
            "or train without them: --set alignment.enabled=false."
        )

    def count_tokens(self, fingerprint: str, tokens: dict[str, int]) -> None:
        """Note in the manifest how many tokens each shard (by path) has in the token store `fingerprint`, if it does not say so yet."""
        if any(shard.tokens.get(fingerprint) != tokens.get(shard.path, 0) for shard in self.manifest.shards):
            for shard in self.manifest.shards:
                shard.tokens[fingerprint] = tokens.get(shard.path, 0)
            self.manifest.write(self.folder / "manifest.json")
