"""`cmbert pretrain`: a recipe and a corpus to a model."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_modernbert.cli.options import Device, DryRun, Json, Overwrite, Resume, Seed, Set

if TYPE_CHECKING:
    from clinical_modernbert.pretraining.settings import RunSettings


def pretrain(
    recipe: Annotated[str, typer.Option("--recipe", help="Name of a recipe, or a YAML file; `cmbert config show` prints one.")],
    corpus: Annotated[Path | None, typer.Option("--corpus", help="A corpus folder.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The run folder.")] = None,
    init: Annotated[Path | None, typer.Option("--init", help="A ModernBERT folder to start from, with its tokenizer.")] = None,
    overrides: Set = None,
    seed: Seed = None,
    device: Device = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Tokens of each phase at most, schedules shortened alike.")] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Pretrain a model, or tell with --dry-run what that takes; --resume goes on from the newest checkpoint.

    Example: cmbert pretrain --recipe tiny-cpu --corpus corpus/ -o run/
    """
    settings = _settings(recipe, overrides or [], seed, device, init, limit)
    if dry_run:
        _dry_run(settings, as_json)
        return
    if corpus is None or output is None:
        raise typer.BadParameter("pretrain needs --corpus and --output (or --dry-run).")
    from clinical_modernbert.api import pretrain as run_pretraining
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.export.card import last_validation

    run = run_pretraining(settings, corpus, output, resume=resume, overwrite=overwrite, progress=progress)
    figures = last_validation(run)
    if as_json:
        sys.stdout.write(json.dumps({"model": str(run.model), **figures}, indent=2) + "\n")
    else:
        sys.stdout.write(
            f"{run.model}: held-out loss {figures['validation_loss']:.3f}, masked top-1 {figures['validation_masked_top1']:.1%}\n"
        )


def _settings(
    recipe: str, overrides: list[str], seed: int | None, device: str | None, init: Path | None, limit: int | None
) -> "RunSettings":
    from clinical_modernbert import recipes

    given = list(overrides)
    if device is not None:
        given.append(f"device={device}")
    if seed is not None:
        given.append(f"seed={seed}")
    if init is not None:
        given += [f"init={init}", "model=null", "tokenizer={from_init: true}"]
    settings = recipes.get(recipe, given)
    return settings if limit is None else settings.limited(limit)


def _dry_run(settings: "RunSettings", as_json: bool) -> None:
    from clinical_modernbert.model.device import choose_device
    from clinical_modernbert.pretraining.plan import plan
    from clinical_modernbert.pretraining.run import planned_config

    cost = plan(settings, planned_config(settings), choose_device(settings.device))
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
