"""`cmbert pretrain`: a recipe and a corpus to a model."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_modernbert.cli.options import Device, DryRun, Json, Overwrite, Resume, Seed, Set

if TYPE_CHECKING:
    from clinical_modernbert.pretraining.run import Run
    from clinical_modernbert.pretraining.settings import RunSettings

OF_INIT = {"model": "model=null", "tokenizer": "tokenizer={from_init: true}"}
"""What `--init` takes from the model, unless --set says otherwise."""


def pretrain(
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Name of a recipe, or a YAML file; `cmbert config show` prints one.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option("--corpus", help="A corpus folder.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The run folder.")] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(
            "--init",
            help="A ModernBERT folder, a checkpoint or a run to start from, with its tokenizer; repeated: the mean of them. "
            "A larger shape (`--set model...`) is tiled from it.",
        ),
    ] = None,
    overrides: Set = None,
    seed: Seed = None,
    device: Device = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Tokens of each phase at most, schedules shortened alike.")] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    watched: Annotated[bool, typer.Option("--watch", help="Look at the run in --output, which another process trains.")] = False,
    as_json: Json = False,
) -> None:
    """Pretrain a model, or tell with --dry-run what that takes; --resume goes on from the newest checkpoint.

    While it trains, SIGTERM ends it with a checkpoint and exit code 0. Under `torchrun`, processes share a model (docs/scaling.md).

    Example: cmbert pretrain --recipe tiny-cpu --corpus corpus/ -o run/
    """
    if watched:
        if output is None:
            raise typer.BadParameter("--watch needs --output, the folder of the run.")
        from clinical_modernbert.cli.watch import watch

        watch(output)
        return
    if recipe is None:
        raise typer.BadParameter("pretrain needs --recipe (or --watch).")
    settings = _settings(recipe, overrides or [], seed, device, init or [], limit)
    if dry_run:
        _dry_run(settings, corpus, as_json)
        return
    if corpus is None or output is None:
        raise typer.BadParameter("pretrain needs --corpus and --output (or --dry-run).")
    from clinical_modernbert.api import pretrain as run_pretraining
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.pretraining.ranks import is_first_process

    if not is_first_process():  # the first one speaks for all
        logging.getLogger("clinical_modernbert").setLevel(logging.ERROR)
        run_pretraining(settings, corpus, output, resume=resume, overwrite=overwrite)
        return
    _report(run_pretraining(settings, corpus, output, resume=resume, overwrite=overwrite, progress=progress), as_json)


def _report(run: "Run", as_json: bool) -> None:
    from clinical_modernbert.export.card import last_validation

    figures = last_validation(run)
    if as_json:
        sys.stdout.write(json.dumps({"model": str(run.model), "finished": run.is_finished, **figures}, indent=2) + "\n")
    elif run.is_finished:
        sys.stdout.write(
            f"{run.model}: held-out loss {figures['validation_loss']:.3f}, masked top-1 {figures['validation_masked_top1']:.1%}\n"
            f"Report: {run.folder}/report/index.html\n"
        )
    else:
        sys.stdout.write(f"{run.model}: not finished; --resume goes on from there\n")


def _settings(
    recipe: str, overrides: list[str], seed: int | None, device: str | None, init: list[Path], limit: int | None
) -> "RunSettings":
    from clinical_modernbert import recipes

    given = list(overrides)
    if device is not None:
        given.append(f"device={device}")
    if seed is not None:
        given.append(f"seed={seed}")
    if init:
        named = {override.partition("=")[0].partition(".")[0] for override in overrides}
        given.append(f"init={json.dumps([str(path) for path in init])}")
        given += [text for name, text in OF_INIT.items() if name not in named]
    settings = recipes.get(recipe, given)
    return settings if limit is None else settings.limited(limit)


def _dry_run(settings: "RunSettings", corpus: Path | None, as_json: bool) -> None:
    from clinical_modernbert.batching.patients import count_patients
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.model.device import choose_device
    from clinical_modernbert.pretraining.plan import plan
    from clinical_modernbert.pretraining.start import planned_config

    patients = count_patients(Corpus.open(corpus)) if corpus is not None and settings.private.enabled else None
    cost = plan(settings, planned_config(settings), choose_device(settings.device), patients)
    if as_json:
        sys.stdout.write(json.dumps(asdict(cost), indent=2) + "\n")
        return
    for label, value in (
        ("parameters", f"{cost.parameters:,}"),
        ("tokens", f"{cost.tokens:,}"),
        ("peak memory", f"{cost.peak_memory_bytes / 2**30:.1f} GiB"),
        ("disk", f"{cost.disk_bytes / 2**30:.2f} GiB"),
        ("time", f"{cost.hours:,.1f} hours at half of this machine's {cost.matrix_flops_per_second / 1e9:,.0f} GFLOP/s of matrix products"),
    ):
        sys.stdout.write(f"{label:12} {value}\n")
    if settings.private.enabled:
        told = cost.private.describe() if cost.private else "epsilon depends on the number of patients: name the --corpus"
        sys.stdout.write(f"{'privacy':12} {told}\n")
