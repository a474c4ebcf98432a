"""In: an outcome. Out: a result as a file, and tables of many. Next: `cli`, `api`.

A result lies at `<folder>/<model>/<task>/<method>-<seed>.json`, or `.../<share>-<method>-<seed>.json` of a part of the training data.
"""

import json
import platform
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from clinical_modernbert import __version__, atomic
from clinical_modernbert.errors import DataError
from clinical_modernbert.settings import changes
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.metrics import Counts, Outcome, from_json, num_numbers, to_json
from clinical_modernbert.tasks.significance import Comparison, compare, interval

FORMAT_VERSION = 1
MAX_NUMBERS = 200_000
"""An outcome of more numbers is not kept: codes of all notes by all codes."""
PUBLISHED = "published"
"""The method of a row that somebody printed."""


@dataclass(frozen=True)
class Result:
    """One model, one task, one seed. `low` and `high` are the 95% interval of the figure over the test documents alone."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    further: dict[str, float]
    by_label: dict[str, dict[str, float]]
    checksum: str
    examples: dict[str, int]
    counted: dict[str, int]
    model: str = ""
    weights: str = ""
    method: str = ""
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    train_examples: int = 0
    history: list[list[float]] = field(default_factory=list)
    """Mean loss and the dev part's figure of each epoch."""
    lr: float = 0.0
    """The learning rate; where a grid of them was tried, the one that did best on the dev part."""
    tried: dict[str, float] = field(default_factory=dict)
    """The dev part's best figure with each learning rate."""
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    contamination: str = ""
    """What is known of the test set's text in the pretraining corpus; empty where nobody asked."""
    outcome: dict[str, Any] | None = None
    """What `metrics.to_json` makes of it, where it is not too large, for comparisons by document."""
    format_version: int = FORMAT_VERSION

    @property
    def train_share(self) -> float:
        """Share of the training part that it was trained on."""
        return float(self.settings.get("train_share", 1.0))

    def path(self, folder: Path) -> Path:
        """Where it lies below the folder of all results."""
        return _path(folder, self.model, self.task, self.method, self.train_share, self.seed)


def score(outcome_for: Callable[[Metric], Outcome], data: catalogue.TaskData) -> Result:
    """The figures of what a model said, of which `outcome_for` makes what a metric needs; without what is known of the model."""
    card = data.card
    metric = card.metric
    outcome = outcome_for(metric)
    value = float(outcome.figure(metric))
    low, high = interval(outcome, metric)
    return Result(
        task=card.name,
        metric=metric,
        value=value,
        low=low,
        high=high,
        further={name: float(outcome_for(name).figure(name)) for name in card.further_metrics},
        by_label=outcome.by_label() if isinstance(outcome, Counts) else {},
        checksum=data.checksum,
        examples=data.counts,
        counted={reason: count for reason, count in data.splits.counted.items() if count},
        outcome=to_json(outcome) if num_numbers(outcome) <= MAX_NUMBERS else None,
        versions={"clinical-modernbert": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )


def write(result: Result, folder: Path) -> Path:
    """Keep it, whole or not at all; the many numbers of its outcome are one line."""
    plain = asdict(result)
    outcome = json.dumps(plain.pop("outcome"), ensure_ascii=False, separators=(",", ":"))
    told = json.dumps(plain, indent=2, ensure_ascii=False).removesuffix("\n}")
    atomic.write_text(result.path(folder), f'{told},\n  "outcome": {outcome}\n}}\n')
    return result.path(folder)


def find(folder: Path, model: str, task: str, method: str, train_share: float, seed: int) -> Result | None:
    """A result that is there already.

    Raises:
        DataError: the file is no result.
    """
    path = _path(folder, model, task, method, train_share, seed)
    return _read(path) if path.is_file() else None


def read(folder: Path) -> list[Result]:
    """All results below a folder, by model, task, method and seed.

    Raises:
        DataError: there is none, or a file is no result.
    """
    found = [_read(path) for path in sorted(folder.rglob("*.json"))]
    counts = Counter((one.model, one.task, one.method, one.train_share, one.seed) for one in found)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise DataError(f"two results of one model, task and seed ({folder}: {', '.join(map(str, twice[0]))}). Take one away.")
    if not found:
        raise DataError(f"no results ({folder}). Run cmbert evaluate first.")
    return found


def _read(path: Path) -> Result:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format_version"] != FORMAT_VERSION:
            raise ValueError
        return TypeAdapter(Result).validate_python(data)
    except (ValueError, KeyError, TypeError):
        raise DataError(f"no result of this version ({path}). Take the file away, or evaluate again.") from None


def _path(folder: Path, model: str, task: str, method: str, train_share: float, seed: int) -> Path:
    share = "" if train_share == 1.0 else f"{train_share:g}-"
    return folder / model / task / f"{share}{method}-{seed}.json"


@dataclass(frozen=True)
class Row:
    """One line of a table: a model's results on a task over its seeds, or a figure that somebody published.

    `spread` is the standard deviation over the seeds; `low` and `high` are the mean 95% interval over the test documents.
    """

    task: str
    metric: str
    model: str
    method: str
    train_share: float
    seeds: int
    mean: float
    spread: float | None
    low: float | None
    high: float | None
    source: str = ""


def percent(share: float) -> str:
    """A share of the training part, for people to read.

    Example:
        >>> percent(0.001)
        '0.1%'
    """
    return f"{100 * share:g}%"


def rows(results: Sequence[Result], published: bool = True) -> list[Row]:
    """The lines of a table, task by task, the best first; with the published figures of the tasks that occur.

    Raises:
        DataError: two results of a task are of other data, or two seeds of other weights or settings, and cannot stand side by side.
    """
    groups: dict[tuple[str, str, str, float], list[Result]] = {}
    checksums: dict[str, str] = {}
    for result in results:
        if checksums.setdefault(result.task, result.checksum) != result.checksum:
            raise DataError(f"results of {result.task} are of different files of the data set. Evaluate again on one of them.")
        groups.setdefault((result.task, result.model, result.method, result.train_share), []).append(result)
    found = [_row(some) for some in groups.values()]
    known = catalogue.cards()
    for task in checksums if published else ():
        card = known.get(task)
        for figure in card.published if card else ():
            source = f"{figure.source}{'; ' + figure.note if figure.note else ''}"
            found.append(Row(task, card.metric if card else "", figure.model, PUBLISHED, 1.0, 0, figure.value, None, None, None, source))
    return sorted(found, key=lambda row: (row.task, row.train_share, -row.mean, row.model))


def _row(some: Sequence[Result]) -> Row:
    _refuse_mixed(some)
    one, values = some[0], [result.value for result in some]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    low, high = (statistics.fmean(getattr(result, side) for result in some) for side in ("low", "high"))
    return Row(one.task, one.metric, one.model, one.method, one.train_share, len(some), statistics.fmean(values), spread, low, high)


def _refuse_mixed(seeds: Sequence[Result]) -> None:
    """Seeds are of one model, trained in one way."""
    first = seeds[0]
    for other in seeds[1:]:
        if (other.weights, other.settings) != (first.weights, first.settings):
            raise DataError(
                f"results of {first.model} on {first.task} are of different weights or settings (seeds {first.seed} and {other.seed}). "
                "Evaluate all seeds again with --overwrite, or take the others away."
            )


@dataclass(frozen=True)
class Compared:
    """Two models on one task, each with the mean of its seeds: how much the first is ahead.

    `apart` names the settings that were not the same.
    """

    task: str
    metric: str
    method: str
    train_share: float
    one: str
    other: str
    comparison: Comparison
    apart: tuple[str, ...]


def compared(results: Sequence[Result], one: str, other: str) -> list[Compared]:
    """Every task, method and share of the training data on which there are both models.

    Raises:
        DataError: there is none, the outcomes are of other data, seeds of other weights or settings, or they were too large to be kept.
    """
    groups: dict[tuple[str, str, float], dict[str, list[Result]]] = {}
    for result in results:
        groups.setdefault((result.task, result.method, result.train_share), {}).setdefault(result.model, []).append(result)
    found = []
    for (task, method, share), models in sorted(groups.items()):
        if not {one, other} <= models.keys():
            continue
        some = [*models[one], *models[other]]
        _refuse_mixed(models[one])
        _refuse_mixed(models[other])
        if len({result.checksum for result in some}) > 1:
            raise DataError(f"results of {task} are of different files of the data set. Evaluate again on one of them.")
        if any(result.outcome is None for result in some):
            raise DataError(f"outcomes of {task} were too large to be kept by document. Compare the models by their seeds in the table.")
        ones, others = ([from_json(result.outcome) for result in models[model] if result.outcome] for model in (one, other))
        if len({outcome.num_documents for outcome in (*ones, *others)}) > 1:
            raise DataError(f"results of {task} are of different documents, as another version read the files otherwise. Evaluate again.")
        metric: Any = some[0].metric
        apart = tuple(changes(models[one][0].settings, models[other][0].settings))
        found.append(Compared(task, metric, method, share, one, other, compare(ones, others, metric), apart))
    if not found:
        raise DataError(f"no task has results of both {one!a} and {other!a}. There are {', '.join(sorted({r.model for r in results}))}.")
    return found
