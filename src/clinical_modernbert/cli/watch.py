"""`cmbert pretrain --watch`: a run of another process, looked at while it goes on."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_modernbert.cli.progress import amount
from clinical_modernbert.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from clinical_modernbert.pretraining.run import Run

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60
_RECENT = 50
"""Steps that speed and loss are told of."""


def watch(folder: Path, seconds: float = 2.0, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show how far the run in `folder` is until it is finished: a live table on a terminal, else a line whenever something changed."""
    from rich.console import Console
    from rich.live import Live

    from clinical_modernbert.pretraining.run import Run

    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"no run ({folder} has no config.yaml). Give the --output of one.")
    run = Run(folder)
    if not sys.stdout.isatty():
        said = ""
        while True:
            now = line(run)
            if now != said:
                sys.stdout.write(now + "\n")
                sys.stdout.flush()
            if finished(run):
                return
            said = now
            sleep(seconds)
    with Live(table(run), console=Console(), auto_refresh=False) as live:
        while not finished(run):
            sleep(seconds)
            live.update(table(run), refresh=True)


def finished(run: "Run") -> bool:
    """Whether the run is at the end of its recipe, its last checkpoint written."""
    return (run.folder / "checkpoints" / "latest").exists() and run.is_finished


def line(run: "Run") -> str:
    """How far the run is, in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts(run) if value and name != "loss curve")


def table(run: "Run") -> "Table":
    """How far the run is, as a table for a terminal."""
    from rich.table import Table

    shown = Table(box=None, show_header=False, title=str(run.folder), title_justify="left")
    for name, value in facts(run):
        shown.add_row(name, value)
    return shown


def facts(run: "Run") -> list[tuple[str, str]]:
    """What there is to say: phase, progress with the time left, loss, speed, the newest held-out figures."""
    metrics, recipe = run.metrics(), run.recipe()
    steps = [line for line in metrics if "learning_rate" in line]
    if not steps:
        return [("waiting", "for the first step")]
    now, recent = steps[-1], steps[-_RECENT:]
    number = next(i for i, stage in enumerate(recipe.stages) if stage.name == now["phase"])
    before = sum(stage.tokens for stage in recipe.stages[:number])
    rate = sum(step["tokens_per_second"] for step in recent) / len(recent)
    total = sum(stage.tokens for stage in recipe.stages)
    done = min(now["tokens"], total)
    share = min(max(now["tokens"] - before, 0) / recipe.stages[number].tokens, 1)
    losses = [step["loss"] for step in recent if "loss" in step]
    found = [
        ("phase", f"{now['phase']} ({number + 1}/{len(recipe.stages)}), {share:.1%} of it"),
        ("progress", amount(done, total, "tokens", done / rate if rate else 0)),
        ("step", f"{now['step']:,}" + (f", {now['skipped_steps']:,} skipped" if now.get("skipped_steps") else "")),
        ("training loss", f"{sum(losses) / len(losses):.3f}" if losses else ""),
        ("loss curve", curve([step["loss"] for step in steps if "loss" in step])),
        ("share of matrix rate", f"{now['share_of_matrix_rate']:.0%}" if "share_of_matrix_rate" in now else ""),
    ]
    held_out: dict[str, Any] = next((line for line in reversed(metrics) if "validation_loss" in line), {})
    found += [
        (name.replace("validation_", "held-out ").replace("_", " "), f"{value:.3f}") for name, value in held_out.items() if _is_told(name)
    ]
    return found


def _is_told(name: str) -> bool:
    return name.startswith("validation_") and "_at/" not in name


def curve(values: Sequence[float], width: int = _WIDTH) -> str:
    """A line of bars, each the mean of its part of `values`.

    Example:
        >>> curve([3, 3, 1.9, 1.9, 1, 1], width=3)
        '█▄▁'
    """
    count = min(width, len(values))
    parts = [values[len(values) * i // count : len(values) * (i + 1) // count] for i in range(count)]
    means = [sum(part) / len(part) for part in parts]
    low, high = min(means, default=0.0), max(means, default=0.0)
    return "".join(_BARS[1 + round((mean - low) / (high - low or 1) * (len(_BARS) - 2))] for mean in means)
