"""In: encoders' folders and names of tasks. Out: results of all, seed by seed, as files and as a table. Next: `api`, `cli`."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clinical_modernbert.corpus.manifest import Manifest
from clinical_modernbert.corpus.records import CONTAMINATED
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model.hf import weights_sha256
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks import catalogue, results, tables
from clinical_modernbert.tasks.card import Card
from clinical_modernbert.tasks.catalogue import TaskData
from clinical_modernbert.tasks.evaluate import BASELINES, VECTORS, Contender, EvaluateSettings, evaluate, method_of
from clinical_modernbert.tasks.results import Result


@dataclass(frozen=True)
class Results:
    """What came of some encoders on some tasks."""

    results: Sequence[Result]

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """All below a folder; see `results.read`."""
        return cls(results.read(folder))

    def table(self, form: str = "md", published: bool = True) -> str:
        """A line for each task and model, as `md`, `csv`, `json` or `html`; with what others published.

        Raises:
            ConfigError: another form.
            DataError: see `results.rows`.
        """
        if form not in tables.FORMATS:
            raise ConfigError(f"no table in the form {form!a}. Give one of {', '.join(tables.FORMATS)}.")
        return tables.FORMATS[form](results.rows(self.results, published))


def expand(names: Iterable[str]) -> list[str]:
    """The names of tasks; `open` and `credentialed` stand for all tasks of this kind, `paper` for the suite.

    Raises:
        ConfigError: there is no such task.
    """
    found: list[str] = []
    for name in names:
        alike = [card.name for card in catalogue.cards().values() if name in (card.access, *card.suites)]
        found += alike or [catalogue.card(name).name]
    return list(dict.fromkeys(found))


def contenders(models: Sequence[Path], baselines: bool, settings: EvaluateSettings, device: str = "auto") -> Iterator[Contender]:
    """The encoders under their folders' names, with as many of their parents' as it takes to tell them apart.

    With `baselines`, the first one untrained and, to probe, its token embeddings.
    """
    names = _names(models)
    encoders = [Encoder.from_pretrained(model, device=device) for model in models]
    for name, model, encoder in zip(names, models, encoders, strict=True):
        yield Contender.trained(name, encoder, weights_sha256(model))
    if baselines:
        yield Contender.untrained(encoders[0], weights_sha256(models[0]))
        if settings.method == "probe":
            yield Contender.bag_of_embeddings(encoders[0], weights_sha256(models[0]))


def contamination(card: Card, corpus: Manifest) -> str:
    """Whether a corpus was searched for a task's text, and how many documents were taken out of it for that."""
    searched = [one.name for one in corpus.benchmarks if one.name in (card.name, card.folder)]
    if not searched:
        return f"nobody looked for {card.name} in the corpus {corpus.fingerprint}"
    found_for = {
        reason.removeprefix(f"{CONTAMINATED}:"): n for reason, n in corpus.dropped.items() if reason.startswith(f"{CONTAMINATED}:")
    }
    removed = sum(count for names, count in found_for.items() if not set(searched).isdisjoint(names.split("+")))
    return f"{removed:,} documents with text of {card.name} were taken out of the corpus {corpus.fingerprint}"


def _names(models: Sequence[Path]) -> list[str]:
    names: list[str] = []
    paths = [Path(os.path.abspath(model)) for model in models]  # a link keeps the name that it has
    if len(set(paths)) < len(paths):
        raise ConfigError(f"one model is named twice ({', '.join(map(str, models))}). Name it once.")
    for path in paths:
        parts = [part for part in path.parts if part != path.anchor]
        options = ["-".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        names.append(next((name for name in options if name not in (*names, *BASELINES)), options[-1]))
    return names


def evaluate_all(
    compared: Sequence[Contender],
    parts: Iterable[TaskData],
    seeds: int,
    output: Path | None,
    settings: EvaluateSettings,
    *,
    corpus: Manifest | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Results:
    """Every encoder on every task with seeds from 0 on; what lies in `output` already is not done again.

    Where nothing is trained and every seed has the same encoder, one seed is all there is.
    Results say what the manifest of the pretraining `corpus` knows of each task's text.

    Raises:
        ConfigError: what lies there is of other weights, files or settings, and `overwrite` is false.
    """
    found = []
    for data in parts:
        for contender in compared:
            same = contender.is_fixed and method_of(data, settings) == VECTORS
            for seed in range(1 if same else seeds):
                known = None if overwrite or output is None else _known(output, contender, data, settings, seed)
                result = known or evaluate(contender, data, settings, seed, progress)
                if corpus is not None:
                    result = replace(result, contamination=contamination(data.card, corpus))
                if output is not None and result != known:
                    results.write(result, output)
                found.append(result)
    return Results(found)


def _known(output: Path, contender: Contender, data: TaskData, settings: EvaluateSettings, seed: int) -> Result | None:
    method = method_of(data, settings)
    known = results.find(output, contender.name, data.card.name, method, settings.train_share, seed)
    wanted = contender.weights, data.checksum, settings.used(data)
    if known and (known.weights, known.checksum, known.settings) != wanted:
        raise ConfigError(f"{known.path(output)} is of other weights, files or settings. Pass --overwrite, or another --output.")
    return known
