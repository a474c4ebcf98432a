"""`cmbert tasks`, `cmbert evaluate` and `cmbert results`: what benchmarks there are, how encoders do on them, tables."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from clinical_modernbert.cli.options import Device, DryRun, Json, Output, Overwrite, Set, Tune

tasks = typer.Typer(help="Benchmarks: what each measures, how to get it, what others reached.", no_args_is_help=True)
results = typer.Typer(help="Tables of what `cmbert evaluate` wrote.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="RESULTS", help="A folder of results.")]


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
    if as_json:
        sys.stdout.write(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")
        return
    known = {
        "measures": card.measures,
        "kind": card.kind,
        "metric": ", ".join((card.metric, *card.further_metrics)),
        "splits": card.splits,
        "examples": ", ".join(f"{count:,} {part}" for part, count in card.counts.items()),
        "access": card.access,
        "licence": card.licence,
        "get": card.get,
        "from": card.url,
        "into": f"{card.folder}/ below --data" if card.folder else "",
        "citation": card.citation,
    }
    sys.stdout.write(f"{card.name}: {card.title}\n")
    sys.stdout.writelines(f"  {key:10}{value}\n" for key, value in known.items() if value)
    for figure in card.published:
        sys.stdout.write(f"  published {figure.value:.4f}  {figure.model} ({figure.source}{'; ' + figure.note if figure.note else ''})\n")


def evaluate(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Encoder folders of ours, or any Hugging Face encoder.")],
    names: Annotated[
        str,
        typer.Option(
            "--tasks", help="Names of tasks with commas between them; `open` or `credentialed`: all of these; `paper`: the paper's."
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="The folder below which each data set has its own; `cmbert tasks show` names it.")],
    output: Output,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="So many, from 0 on.")] = 5,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Ask the first model's shape with random weights, and its token embeddings, too.")
    ] = False,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="The models' pretraining corpus: say whether it was searched for the tasks' text.")
    ] = None,
    tune: Tune = False,
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
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.settings import parse
    from clinical_modernbert.tasks import catalogue
    from clinical_modernbert.tasks.evaluate import EvaluateSettings
    from clinical_modernbert.tasks.suite import contenders, evaluate_all, expand

    settings = parse(EvaluateSettings, {}, overrides or [])
    settings = settings.tuned() if tune else settings
    chosen = expand(name.strip() for name in names.split(","))
    parts = catalogue.load_each(chosen, data)
    compared = list(contenders(models, baselines, settings, device or "auto"))
    if dry_run:
        for part in parts:
            counts = ", ".join(f"{count:,} {which}" for which, count in part.counts.items())
            sys.stdout.write(f"{part.card.name}: {counts}, files {part.checksum}, {len(compared)} encoders, {seeds} seeds\n")
        return
    manifest = Corpus.open(corpus).manifest if corpus else None
    done = evaluate_all(compared, parts, seeds, output, settings, corpus=manifest, overwrite=overwrite, progress=progress)
    sys.stdout.write(done.table("json" if as_json else "md"))
    for said in dict.fromkeys(one.contamination for one in done.results if one.contamination):
        sys.stderr.write(f"{said}\n")


@results.command("table")
def table(
    folder: Folder,
    form: Annotated[Literal["md", "csv", "json", "html"], typer.Option("--format", help="How it is printed.")] = "md",
    published: Annotated[bool, typer.Option("--published/--no-published", help="Put published figures beside ours.")] = True,
) -> None:
    """Print a line for each task and model: mean over the seeds, their standard deviation, and the interval over documents.

    Example: cmbert results table results/ --format html
    """
    from clinical_modernbert.tasks.suite import Results

    sys.stdout.write(Results.read(folder).table(form, published))


@results.command("compare")
def compare(
    folder: Folder,
    one: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name in the results.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another's.")],
    as_json: Json = False,
) -> None:
    """Say on each task how far one model is ahead of another on the same documents, and whether that could be chance.

    Example: cmbert results compare results/ my-model other-model
    """
    from clinical_modernbert.tasks.results import compared, percent, read

    found = compared(read(folder), one, other)
    if as_json:
        sys.stdout.write(json.dumps([asdict(line) for line in found], indent=2) + "\n")
        return
    for line in found:
        c = line.comparison
        share = "" if line.train_share == 1 else f", {percent(line.train_share)} of the training part"
        figures = f"{c.difference:+.4f} (95% {c.low:+.4f} to {c.high:+.4f}), p = {c.p_value:.4f}"
        sys.stdout.write(f"{line.task} ({line.method}{share}): {line.metric} {figures}\n")
        if line.apart:
            sys.stdout.write(f"  not with the same {', '.join(line.apart)}\n")
