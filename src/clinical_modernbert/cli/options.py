"""The options that commands share, each with one spelling and one meaning."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result is written.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, `a.b=value`; may be repeated.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The only source of chance.")]
Device = Annotated[str | None, typer.Option("--device", help="`auto` (default), `cpu`, `cuda`, `cuda:1`.")]
Dtype = Annotated[
    Literal["fp32", "bf16", "int8"],
    typer.Option(
        "--dtype", help="What the model computes in; int8, on the CPU, asks for a check that `cmbert export` has kept beside the weights."
    ),
]
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Take int8 without such a check.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many inputs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped; starts afresh if there is none.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a result that is already there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and what it costs, without doing it.")]
Tune = Annotated[bool, typer.Option("--tune", help="Try a small grid of learning rates; keep the one that does best on the dev part.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
