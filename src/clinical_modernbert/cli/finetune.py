"""`cmbert finetune`: a model and your labels to a tagger or a classifier."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from clinical_modernbert.cli.options import Device, Json, Output, Overwrite, Seed, Set, Tune


def finetune(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A ModernBERT folder.")],
    task: Annotated[
        Literal["ner", "classify", "multilabel", "pairs", "regression"],
        typer.Option("--task", help="Spans, one label, any number of labels, one label of two texts, a number."),
    ],
    data: Annotated[Path, typer.Option("--data", help="Annotated files or a table; with train, dev and test in it, or divided by a hash.")],
    output: Output,
    form: Annotated[
        Literal["brat", "conll", "i2b2", "pubtator", "csv", "jsonl"] | None,
        typer.Option("--format", help="What the files are; recognised where not given."),
    ] = None,
    tune: Tune = False,
    overrides: Set = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on your own labels: a model folder with its score on a held-out part, its confusions and a card.

    Example: cmbert finetune model/ --task ner --data my-brat-folder/ -o tagger/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.settings import parse
    from clinical_modernbert.tasks.finetune import UserSettings, finetune

    settings = parse(UserSettings, {}, overrides or [])
    done = finetune(
        model,
        task,
        data,
        output,
        format=form,
        settings=settings.tuned() if tune else settings,
        seed=seed or 0,
        overwrite=overwrite,
        device=device or "auto",
        progress=progress,
    )
    if as_json:
        sys.stdout.write(json.dumps({**asdict(done), "folder": str(done.folder)}, indent=2) + "\n")
        return
    sizes = ", ".join(f"{count:,} {part}" for part, count in done.examples.items())
    sys.stdout.write(f"{done.metric} {done.value:.4f} (95% {done.low:.3f} to {done.high:.3f}) on the test part; examples: {sizes}\n")
    for label, figures in done.by_label.items():
        shown = "  ".join(f"{name} {figures[name]:.3f}" for name in ("precision", "recall", "f1"))
        sys.stdout.write(f"  {label:24} {shown}  of {figures['support']:,.0f}\n")
    wrong = [one for one in done.confusions if one[0] != one[1]][:5]
    sys.stdout.writelines(f"  {count:,} times {said} where {right} is right\n" for right, said, count in wrong)
    sys.stdout.writelines(f"  {count:,}: {reason}\n" for reason, count in done.counted.items())
    sys.stdout.write(f"{done.folder}\n")
