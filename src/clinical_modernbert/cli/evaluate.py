"""`cmbert tasks`, `cmbert evaluate` and `cmbert results`: what benchmarks there are, how encoders do on them, tables."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clinical_modernbert.cli.options import Device, DryRun, Json, Output, Overwrite, Set

if TYPE_CHECKING:
    from clinical_modernbert.tasks.evaluate import Contender
    from clinical_modernbert.tasks.results import Result

tasks = typer.Typer(help="Benchmarks: what each measures, how to get it, what others reached.", no_args_is_help=True)
results = typer.Typer(help="Tables of what `cmbert evaluate` wrote.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="RESULTS", help="A folder of results.")]
_GROUPS = ("open", "credentialed")


@tasks.command("list")
def list_tasks(as_json: Json = False) -> None:
    """Name every task.

    Example: cmbert tasks list
    """
    from clinical_modernbert.tasks import catalogue

    cards = catalogue.cards().values()
    if as_json:
        sys.stdout.write(json.dumps([card.model_dump(mode="json") for card in cards], indent=2) + "\n")
        return
    width = max(len(card.name) for card in cards)
    sys.stdout.writelines(f"{card.name:{width}}  {card.kind:10}  {card.access:12}  {card.metric:12}  {card.title}\n" for card in cards)


@tasks.command("show")
def show_task(
    name: Annotated[str, typer.Argument(metavar="TASK", help="A name that `cmbert tasks list` prints.")], as_json: Json = False
) -> None:
    """Print a task's card.

    Example: cmbert tasks show ncbi-disease
    """
    from clinical_modernbert.tasks import catalogue

    card = catalogue.card(name)
    sys.stdout.write(json.dumps(card.model_dump(mode="json"), indent=2) + "\n" if as_json else card.to_yaml())


def evaluate(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Encoder folders of ours, or any Hugging Face encoder.")],
    names: Annotated[str, typer.Option("--tasks", help="Names of tasks with commas between them; `open` or `credentialed`: all of these.")],
    data: Annotated[Path, typer.Option("--data", help="The folder below which each data set has its own; `cmbert tasks show` names it.")],
    output: Output,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="So many, from 0 on.")] = 5,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Ask the first model's shape with random weights, and its token embeddings, too.")
    ] = False,
    overrides: Set = None,
    device: Device = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train on each task, stop by its dev part, score its test part once for every seed; what is there already is not done again.

    Example: cmbert evaluate model/ --tasks ncbi-disease,bc5cdr --data benchmarks/ --seeds 5 --set method=probe -o results/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.settings import parse
    from clinical_modernbert.tasks import catalogue, results
    from clinical_modernbert.tasks.evaluate import EvaluateSettings, evaluate, method_of

    settings = parse(EvaluateSettings, {}, overrides or [])
    cards = [catalogue.card(name) for name in _expanded(names)]
    contenders = list(_contenders(models, baselines, settings.method == "probe", device))
    if dry_run:
        sys.stdout.write(f"{len(contenders)} encoders, {len(cards)} tasks, {seeds} seeds: {len(contenders) * len(cards) * seeds} results\n")
    found: list[Result] = []
    for card in cards:
        part = catalogue.load(card.name, data)
        if dry_run:
            sys.stdout.write(f"{card.name}: {part.counts}, files {part.checksum}\n")
            continue
        for contender in contenders:
            for seed in range(seeds):
                known = results.find(output, contender.name, card, method_of(card, settings), settings.train_share, seed)
                if known and not overwrite and not _same(known, contender.weights, part.checksum, settings.model_dump(mode="json")):
                    place = known.path(output)
                    raise ConfigError(f"{place} is of other weights, files or settings. Pass --overwrite, or another --output.")
                if known is None or overwrite:
                    known = evaluate(contender, part, settings, seed, progress)
                    results.write(known, output)
                found.append(known)
    if not dry_run:
        _print(found, "json" if as_json else "md")


@results.command("table")
def table(
    folder: Folder,
    form: Annotated[Literal["md", "csv", "json", "html"], typer.Option("--format", help="How it is printed.")] = "md",
    published: Annotated[bool, typer.Option("--published/--no-published", help="Put published figures beside ours.")] = True,
) -> None:
    """Print a line for each task and model: mean over the seeds, their standard deviation, and the interval over documents.

    Example: cmbert results table results/ --format html
    """
    from clinical_modernbert.tasks.results import read

    _print(read(folder), form, published)


def _print(found: "list[Result]", form: str, published: bool = True) -> None:
    from clinical_modernbert.tasks import tables
    from clinical_modernbert.tasks.results import rows

    lines = rows(found, published)
    sys.stdout.write(json.dumps([asdict(row) for row in lines], indent=2) + "\n" if form == "json" else tables.FORMATS[form](lines))


def _same(known: "Result", weights: str, checksum: str, settings: dict[str, object]) -> bool:
    return (known.weights, known.checksum, known.settings) == (weights, checksum, settings)


def _expanded(names: str) -> list[str]:
    from clinical_modernbert.tasks import catalogue

    found: list[str] = []
    for name in names.split(","):
        found += [card.name for card in catalogue.cards().values() if card.access == name] if name in _GROUPS else [name.strip()]
    return list(dict.fromkeys(found))


def _contenders(models: list[Path], baselines: bool, probed: bool, device: str | None) -> "Iterator[Contender]":
    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.inference import Encoder
    from clinical_modernbert.model.hf import weights_sha256
    from clinical_modernbert.tasks.evaluate import BASELINES, Contender

    names = [model.resolve().name for model in models]
    if len(set(names)) < len(names) or set(names) & set(BASELINES):
        raise ConfigError(f"models need names of their own ({', '.join(names)}). Give folders that are called otherwise.")
    encoders = [Encoder.from_pretrained(model, device=device or "auto") for model in models]
    for name, model, encoder in zip(names, models, encoders, strict=True):
        yield Contender.trained(name, encoder, weights_sha256(model))
    if baselines:
        yield Contender.untrained(encoders[0])
        if probed:
            yield Contender.bag_of_embeddings(encoders[0])
