"""In: settings. Out: a corpus folder; a second run goes on where the first one stopped.

read -> clean -> resolve -> write: each step is a list of tasks (`steps`); what it leaves in `.staging` is what the next one is given.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clinical_modernbert import atomic
from clinical_modernbert.cores import usable_cores
from clinical_modernbert.corpus import card, decontamination
from clinical_modernbert.corpus.concepts import Concepts
from clinical_modernbert.corpus.executor import Executor, InProcess, Processes, RayCluster
from clinical_modernbert.corpus.index import Index
from clinical_modernbert.corpus.manifest import BenchmarkSummary, CanaryFile, Corpus, Duplicates, Manifest, SourceSummary
from clinical_modernbert.corpus.pairs import join_pairs
from clinical_modernbert.corpus.planting import MadeUp
from clinical_modernbert.corpus.reading import Refusal
from clinical_modernbert.corpus.records import HELD_OUT, SPLITS, SUPERSEDED
from clinical_modernbert.corpus.resolving import Verdicts
from clinical_modernbert.corpus.settings import CorpusSettings
from clinical_modernbert.corpus.steps import Input, Phi, Steps, Written
from clinical_modernbert.errors import ClinicalModernBertError, ConfigError, DataError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.settings import changes
from clinical_modernbert.sources import AnySource, Files
from clinical_modernbert.sources.opening import stamp

logger = logging.getLogger(__name__)

_STAGING = ".staging"
_COSTLY_SHARE = 0.05
"""Share of documents lost to held-out synonyms from which on the user is told."""
_WORTH_PROCESSES = 32 * 2**20
"""Bytes of input from which on processes earn the second that they take to start."""
_NAMED_CLUSTERS = 20


def build_corpus(
    sources: CorpusSettings | Sequence[AnySource], output: Path | str, *, overwrite: bool = False, progress: Progress = silent
) -> Corpus:
    """Build, or go on building, the corpus in `output`; a finished one of the same settings and inputs is returned at once.

    Inputs that cannot be read are listed in `manifest.refused`; the others are not held up by them. A finished corpus with a damaged shard
    is built again.

    Raises:
        ConfigError: `output` holds a corpus of other settings or inputs, and `overwrite` is false.
        DataError: nothing could be read, or `phi` is `refuse` and something was found.
    """
    settings = sources if isinstance(sources, CorpusSettings) else CorpusSettings(sources=list(sources))
    output = Path(output)
    if overwrite and ((output / "manifest.json").exists() or (output / _STAGING).exists()):
        _clear(output)
    inputs, refused = _inputs(settings)
    identity: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "inputs": _named(inputs),
    }
    if (output / "manifest.json").exists():
        corpus = Corpus.open(output)
        _require_same({"settings": corpus.manifest.settings, "inputs": corpus.manifest.inputs}, identity, output)
        damaged = corpus.damaged()
        if not damaged:
            shutil.rmtree(output / _STAGING, ignore_errors=True)  # left by a kill after the last write
            return corpus
        logger.warning("%s: %s is missing or damaged; the corpus is built again", output, damaged[0])
    staging = _open_staging(output, identity["settings"])
    with closing(_executor(settings, inputs)) as executor:
        manifest = _build(Steps(settings, output, staging, executor, progress, refused), inputs, identity)
    atomic.write_text(output / "README.md", card.describe(manifest))
    manifest.write(output / "manifest.json")
    shutil.rmtree(staging)
    _warn(manifest, {source.name for source in settings.sources if isinstance(source, Files)})
    return Corpus(output, manifest)


def _inputs(settings: CorpusSettings) -> tuple[list[Input], list[Refusal]]:
    inputs: list[Input] = []
    refused: list[Refusal] = []
    for source in settings.sources:
        try:
            files = source.files()
            beside = [stamp(path) for path in source.beside()]
        except ClinicalModernBertError as error:
            refused.append(Refusal(source.name, str(getattr(source, "path", "")), str(error)))
            continue
        for path in files:
            try:
                inputs.append(Input(source, stamp(path), beside))
            except ClinicalModernBertError as error:
                refused.append(Refusal(source.name, str(path), str(error)))
    return inputs, refused


def _named(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """Every file once for each source that reads it, those that are read beside others behind them."""
    files = [(one.source.name, one.stamp) for one in inputs]
    files += [(one.source.name, stamp) for one in inputs for stamp in one.beside]
    return [{"source": source, **stamp} for (source, _), stamp in {(source, stamp["path"]): stamp for source, stamp in files}.items()]


def _executor(settings: CorpusSettings, inputs: Sequence[Input]) -> Executor:
    if settings.executor == "ray":
        return RayCluster(settings.ray_address)
    much = sum(one.size for one in inputs) >= _WORTH_PROCESSES
    workers = settings.workers or (usable_cores() if much else 1)
    return Processes(workers) if workers > 1 else InProcess()


def _build(steps: Steps, inputs: Sequence[Input], identity: dict[str, Any]) -> Manifest:
    settings = steps.settings
    raw, read = steps.read(inputs)
    if not (documents := sum(read.values())):
        for refusal in steps.refused:
            logger.warning("refused: %s", refusal)
        reasons = "; ".join(str(refusal) for refusal in steps.refused[:3]) or "the sources hold no documents"
        raise DataError(f"nothing could be read: {reasons}")
    concepts = steps.concepts(raw)
    known = [decontamination.learn(benchmark) for benchmark in settings.decontaminate]
    cleaned = steps.clean(raw, documents, concepts, known)
    for refusal in steps.refused:
        logger.warning("refused: %s", refusal)
    if settings.phi == "refuse" and cleaned.phi:
        shutil.rmtree(steps.staging)
        raise DataError(_what_was_found(cleaned.phi))
    verdicts = steps.resolve(cleaned)
    dropped = steps.list_dropped(cleaned, verdicts)
    left = documents - sum(sum(counts.values()) for counts in dropped.values())
    written = steps.write(cleaned, verdicts, concepts, known, left)
    planted, canaries = steps.plant(sum(one.shard.split == "train" for one in written), concepts)
    written += planted
    shutil.rmtree(steps.output / "pairs", ignore_errors=True)
    return Manifest(
        settings=identity["settings"],
        inputs=identity["inputs"],
        sources=[
            _summary(source, read[name], dropped.get(name, {}), cleaned.phi.get(name, {}), written)
            for name, source in {source.name: source for source in settings.sources}.items()
        ]
        + [_summary(MadeUp(), one.shard.rows, {}, {}, planted) for one in planted],
        shards=[one.shard for one in written],
        pairs=join_pairs([(one.task.folder, one.result.summary["pairs"]) for one in written], steps.output),
        refused=steps.refused,
        held_out_concepts=len(Concepts.read(*concepts).held_out),
        duplicates=_duplicates(cleaned.index, verdicts),
        benchmarks=[BenchmarkSummary(one.name, one.passages, one.too_short, len(one.runs), len(one.ids)) for one in known],
        canaries=canaries,
    )


def _what_was_found(phi: Phi) -> str:
    documents: Counter[str] = Counter()
    for kinds in phi.values():
        documents.update({kind: counts[0] for kind, counts in kinds.items()})
    listed = ", ".join(f"{kind} in {count:,} documents" for kind, count in documents.most_common())
    return f"what looks like identifiers of patients was found: {listed}. De-identify the text, or set phi to report."


def _summary(
    source: AnySource | MadeUp, read: int, dropped: dict[str, int], phi: dict[str, list[int]], written: Sequence[Written]
) -> SourceSummary:
    mine = [
        (one.shard.split, one.result.summary["sources"][source.name]) for one in written if source.name in one.result.summary["sources"]
    ]
    counted = {which: Counter[str]() for which in ("years", "languages", "lengths")}
    for _, counts in mine:
        for which, counter in counted.items():
            counter.update(counts[which])
    swapped = Counter[str]()
    for one in written:
        swapped.update(one.result.summary["counterfactuals"].get(source.name, {}))
    return SourceSummary(
        name=source.name,
        licence=source.licence,
        access="credentialed" if any(counts["credentialed"] for _, counts in mine) else source.access,
        read=read,
        kept={split: sum(counts["documents"] for side, counts in mine if side == split) for split in SPLITS},
        bytes=sum(counts["bytes"] for _, counts in mine),
        dropped=dict(sorted(dropped.items())),
        phi=dict(sorted(phi.items())),
        **{which: dict(sorted(counter.items())) for which, counter in counted.items()},
        counterfactuals=dict(sorted(swapped.items())),
    )


def _duplicates(parts: Index, verdicts: Verdicts) -> Duplicates:
    heads, sizes = verdicts.clusters()
    clusters = dict(zip(*(values.tolist() for values in np.unique(sizes, return_counts=True)), strict=True))
    largest = np.argsort(-sizes, kind="stable")[:_NAMED_CLUSTERS]
    named = [(_id_of(parts, int(heads[place])), int(sizes[place])) for place in largest]
    return Duplicates({str(size): count for size, count in clusters.items()}, named)


def _id_of(parts: Index, number: int) -> str:
    part = int(np.searchsorted(parts.offsets, number, side="right")) - 1
    row = int(np.load(parts.folders[part] / "records.npy", mmap_mode="r")["row"][number - parts.offsets[part]])
    found: str = pl.scan_parquet(parts.folders[part] / "documents.parquet").select("id").slice(row, 1).collect().item()
    return found


def _clear(output: Path) -> None:
    """Remove what a build writes, and nothing else that may lie there."""
    for name in (*SPLITS, "pairs", "dropped", "tokens", _STAGING):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in ("README.md", "manifest.json", CanaryFile.path):
        (output / name).unlink(missing_ok=True)


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
