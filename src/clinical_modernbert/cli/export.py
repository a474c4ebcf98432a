"""`cmbert export`: a model for other tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from clinical_modernbert.cli.options import Output, Overwrite

app = typer.Typer(help="Write a model in a form that other tools load.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `hf` a sub-command while it is the only one."""


@app.command()
def hf(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, such as run/checkpoints/latest/model.")],
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Write a folder that transformers loads with AutoModelForMaskedLM, with its tokenizer and model card.

    Example: cmbert export hf run/checkpoints/latest/model -o my-model/
    """
    from clinical_modernbert.export.hf import export_hf

    sys.stdout.write(f"{export_hf(model, output, overwrite=overwrite)}\n")
