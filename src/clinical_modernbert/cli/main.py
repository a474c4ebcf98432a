"""The command `cmbert`: its command groups, its log, and the boundary at which errors become one line and an exit code."""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from clinical_modernbert import __version__
from clinical_modernbert.cli import (
    analyze,
    bench,
    config,
    corpus,
    doctor,
    evaluate,
    export,
    finetune,
    pretrain,
    quickstart,
    serve,
    tokenizer,
    use,
)
from clinical_modernbert.cli.failures import describe

SHORT_WAITS = {"GOMP_SPINCOUNT": "10000"}
"""How often a thread of torch looks for work before it sleeps, read when torch is loaded. Of its own it does so for milliseconds, on a
core that another process could have: beside one, a small training took many times as long (benchmarks/waiting.py)."""
VERBOSITY = ("-v", "--verbose", "-q", "--quiet")


class Commands(TyperGroup):
    """The root of the commands, which takes `-v` and `-q` wherever they stand: `cmbert pretrain -v` is `cmbert -v pretrain`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        first = [arg for arg in args[:end] if arg in VERBOSITY]
        return super().parse_args(ctx, first + [arg for arg in args[:end] if arg not in VERBOSITY] + args[end:])


app = typer.Typer(
    name="cmbert",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="-v and -q may stand anywhere. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
)
app.command("doctor")(doctor.doctor)
app.command("quickstart")(quickstart.quickstart)
app.add_typer(corpus.app, name="corpus")
app.add_typer(tokenizer.app, name="tokenizer")
app.command("pretrain")(pretrain.pretrain)
app.add_typer(analyze.app, name="analyze")
app.command("embed")(use.embed)
app.command("fill-mask")(use.fill_mask)
app.command("tag")(use.tag)
app.command("classify")(use.classify)
app.add_typer(use.index, name="index")
app.command("search")(use.search)
app.command("finetune")(finetune.finetune)
app.add_typer(evaluate.tasks, name="tasks")
app.command("evaluate")(evaluate.evaluate)
app.add_typer(evaluate.results, name="results")
app.add_typer(export.app, name="export")
app.command("serve")(serve.serve)
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the entry point of `cmbert`."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not os.environ.keys() & {"OMP_WAIT_POLICY", *SHORT_WAITS}:
        os.environ.update(SHORT_WAITS)
    try:
        app(args=args, prog_name="cmbert")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:  # noqa: BLE001 - the one boundary of the command line
        if logging.getLogger("clinical_modernbert").isEnabledFor(logging.DEBUG):
            traceback.print_exc()
        sys.stderr.write(f"error: {describe(error)}\n")
        return 1
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"cmbert {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, and show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """A long-context ModernBERT encoder for clinical text, from raw files to a model that serves."""
    logger = logging.getLogger("clinical_modernbert")
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    logger.handlers = [_Stderr()]
    if verbose:
        logger.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))


class _Stderr(logging.Handler):
    """Writes to whatever `sys.stderr` is now, so that a progress bar that has taken it over stays whole."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
