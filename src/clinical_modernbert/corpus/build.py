"""In: settings. Out: a corpus folder; a second run goes on where the first one stopped."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.corpus.manifest import Corpus, Manifest, Shard, SourceSummary
from clinical_modernbert.corpus.merge import HELD_OUT, SPLITS, SUPERSEDED, Row, Split, merge, plan
from clinical_modernbert.corpus.pairs import PairWriter
from clinical_modernbert.corpus.settings import CorpusSettings
from clinical_modernbert.corpus.staging import SCHEMA, Refusal, Staged, Unit, stage
from clinical_modernbert.errors import ClinicalModernBertError, ConfigError, DataError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import changes
from clinical_modernbert.sources import AnySource, Files, Source

logger = logging.getLogger(__name__)

_STAGING = ".staging"
_COSTLY_SHARE = 0.05
"""Share of documents lost to held-out synonyms from which on the user is told."""


def build_corpus(
    sources: CorpusSettings | Sequence[AnySource], output: Path | str, *, overwrite: bool = False, progress: Progress = silent
) -> Corpus:
    """Build, or go on building, the corpus in `output`; a finished one of the same settings and inputs is returned at once.

    Inputs that cannot be read are listed in `manifest.refused`; the others are not held up by them.

    Raises:
        ConfigError: `output` holds a corpus of other settings or inputs, and `overwrite` is false.
        DataError: nothing could be read.
    """
    settings = sources if isinstance(sources, CorpusSettings) else CorpusSettings(sources=list(sources))
    output = Path(output)
    if overwrite and ((output / "manifest.json").exists() or (output / _STAGING).exists()):
        _clear(output)
    units, refused = _units(settings)
    identity: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "inputs": [{"source": unit.source.name, **unit.stamp()} for unit in units],
    }
    if (output / "manifest.json").exists():
        corpus = Corpus.open(output)
        _require_same({"settings": corpus.manifest.settings, "inputs": corpus.manifest.inputs}, identity, output)
        shutil.rmtree(output / _STAGING, ignore_errors=True)  # left by a kill after the last write
        return corpus
    staging = _open_staging(output, identity["settings"])
    staged = []
    with progress("Reading", unit="documents") as advance:
        for unit in units:
            staged.append(stage(unit, staging, advance))
            refused.extend(staged[-1].refusals)
    for refusal in refused:
        logger.warning("refused: %s", refusal)
    if not any(item.documents for item in staged):
        reasons = "; ".join(str(refusal) for refusal in refused[:3]) or "the sources hold no documents"
        raise DataError(f"nothing could be read: {reasons}")
    manifest = _write(output, settings, units, staged, refused, identity, progress)
    atomic.write_json(output / "dropped" / "counts.json", {source.name: source.dropped for source in manifest.sources})
    manifest.write(output / "manifest.json")
    shutil.rmtree(staging)
    _warn(manifest, {source.name for source in settings.sources if isinstance(source, Files)})
    return Corpus(output, manifest)


def _clear(output: Path) -> None:
    """Remove what a build writes, and nothing else that may lie there."""
    for name in (*SPLITS, "pairs", "dropped", "tokens", _STAGING):
        shutil.rmtree(output / name, ignore_errors=True)
    (output / "manifest.json").unlink(missing_ok=True)


def _units(settings: CorpusSettings) -> tuple[list[Unit], list[Refusal]]:
    inputs: list[tuple[Source, Path]] = []
    refused: list[Refusal] = []
    for source in settings.sources:
        try:
            inputs.extend((source, path) for path in source.files())
        except ClinicalModernBertError as error:
            refused.append(Refusal(source.name, str(getattr(source, "path", "")), str(error)))
    return [Unit(number, source, path) for number, (source, path) in enumerate(inputs)], refused


def _open_staging(output: Path, settings: dict[str, Any]) -> Path:
    staging = output / _STAGING
    identity = staging / "settings.json"
    if identity.exists():
        _require_same(json.loads(identity.read_text(encoding="utf-8")), settings, output)
    else:
        atomic.write_json(identity, settings)
    return staging


def _require_same(before: dict[str, Any], now: dict[str, Any], output: Path) -> None:
    changed = list(changes(before, now))
    if changed:
        raise ConfigError(f"{output} was built with another {changed[0]}. Choose another --output, or pass --overwrite to build it anew.")


def _write(
    output: Path,
    settings: CorpusSettings,
    units: Sequence[Unit],
    staged: Sequence[Staged],
    refused: list[Refusal],
    identity: dict[str, Any],
    progress: Progress,
) -> Manifest:
    for name in (*SPLITS, "pairs"):
        shutil.rmtree(output / name, ignore_errors=True)
    found = plan(staged, settings)
    dropped: Counter[tuple[str, str]] = Counter()
    counts = _Counts()
    pairs = PairWriter(output / _STAGING / "pairs", output, settings.pairs, found)
    writers: dict[Split, _ShardWriter] = {split: _ShardWriter(output, split, settings.shard_megabytes * 2**20) for split in SPLITS}
    with progress("Writing", total=sum(item.documents for item in staged), unit="documents") as advance:
        for split, row in merge(staged, found, settings, dropped, advance):
            size = len(row["text"].encode("utf-8"))
            writers[split].add(row, size)
            pairs.add(row, split)
            counts.add(row["source"], row["access"], split, size)
    for unit, item in zip(units, staged, strict=True):
        counts.read[unit.source.name] += item.documents
        for reason, number in item.dropped.items():
            dropped[unit.source.name, reason] += number
    return Manifest(
        settings=identity["settings"],
        inputs=identity["inputs"],
        sources=[counts.summary(source, dropped) for source in _by_name(settings.sources)],
        shards=[shard for split in SPLITS for shard in writers[split].close()],
        pairs=pairs.close(),
        refused=refused,
        held_out_concepts=len(found.held_out),
    )


def _by_name(sources: Sequence[AnySource]) -> list[AnySource]:
    return list({source.name: source for source in sources}.values())


class _Counts:
    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self._kept: Counter[tuple[str, Split]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._credentialed: set[str] = set()

    def add(self, source: str, access: str, split: Split, size: int) -> None:
        self._kept[source, split] += 1
        self._bytes[source] += size
        if access == "credentialed":
            self._credentialed.add(source)

    def summary(self, source: AnySource, dropped: Counter[tuple[str, str]]) -> SourceSummary:
        name = source.name
        return SourceSummary(
            name=name,
            licence=source.licence,
            access="credentialed" if name in self._credentialed else source.access,
            read=self.read[name],
            kept={split: self._kept[name, split] for split in SPLITS},
            bytes=self._bytes[name],
            dropped={reason: number for (owner, reason), number in sorted(dropped.items()) if owner == name},
        )


class _ShardWriter:
    def __init__(self, output: Path, split: Split, max_bytes: int) -> None:
        self._output = output
        self._split = split
        self._max_bytes = max_bytes
        self._rows: list[Row] = []
        self._bytes = 0
        self._shards: list[Shard] = []

    def add(self, row: Row, size: int) -> None:
        if self._rows and self._bytes + size > self._max_bytes:
            self._flush()
        self._rows.append(row)
        self._bytes += size

    def close(self) -> list[Shard]:
        if self._rows:
            self._flush()
        return self._shards

    def _flush(self) -> None:
        relative = f"{self._split}/{len(self._shards):05d}.parquet"
        path = self._output / relative
        atomic.write_file(path, pl.DataFrame(self._rows, schema=SCHEMA).write_parquet)
        self._shards.append(Shard(relative, self._split, len(self._rows), self._bytes, atomic.sha256(path)))
        self._rows, self._bytes = [], 0


def _warn(manifest: Manifest, named_by_users: set[str]) -> None:
    lost = manifest.dropped.get(HELD_OUT, 0)
    total = sum(source.read for source in manifest.sources)
    if lost > _COSTLY_SHARE * total:
        logger.warning(
            "%.0f%% of the documents contain a synonym of a held-out concept and were dropped; lower held_out_concepts, or set it to 0",
            100 * lost / total,
        )
    for source in manifest.sources:
        repeated = source.dropped.get(SUPERSEDED, 0)
        if source.name in named_by_users and repeated:
            logger.warning(
                "%s: %s records share an id with a later one and were dropped; set id_column to one that is unique",
                source.name,
                f"{repeated:,}",
            )
