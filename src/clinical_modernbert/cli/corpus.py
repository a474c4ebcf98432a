"""`cmbert corpus`: raw files to a corpus, and a look at one."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_modernbert.cli.options import Json, Output, Overwrite, Set

if TYPE_CHECKING:
    from clinical_modernbert.corpus import Corpus

app = typer.Typer(help="Build and look at a corpus.", no_args_is_help=True)


@app.command()
def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Names the sources; see docs/settings.md.")],
    output: Output,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any input was refused.")] = False,
    overrides: Set = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Read, normalise, filter and split the sources into a corpus folder; a second run goes on where the first one stopped.

    Example: cmbert corpus build corpus.yaml -o corpus/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.corpus import CorpusSettings, build_corpus
    from clinical_modernbert.settings import load

    corpus = build_corpus(load(CorpusSettings, config, overrides or []), output, overwrite=overwrite, progress=progress)
    _show(corpus, as_json)
    if strict and corpus.manifest.refused:
        raise typer.Exit(1)


@app.command()
def inspect(folder: Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus folder.")], as_json: Json = False) -> None:
    """Print what a corpus is made of, what was dropped and what was refused.

    Example: cmbert corpus inspect corpus/
    """
    from clinical_modernbert.corpus import Corpus

    _show(Corpus.open(folder), as_json)


def _show(corpus: "Corpus", as_json: bool) -> None:
    manifest = corpus.manifest
    if as_json:
        figures = {"access": manifest.access, "fingerprint": manifest.fingerprint, "dropped": manifest.dropped}
        refused = [asdict(item) for item in manifest.refused]
        sys.stdout.write(
            json.dumps({**figures, "sources": [asdict(item) for item in manifest.sources], "refused": refused}, indent=2) + "\n"
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "access", box=None)
    for title in ("read", "training", "held out", "megabytes"):
        table.add_column(title, justify="right")
    table.add_column("dropped")
    for source in manifest.sources:
        dropped = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in source.dropped.items())
        counts = [f"{source.read:,}", f"{source.kept['train']:,}", f"{source.kept['validation']:,}", f"{source.bytes / 1e6:,.1f}"]
        table.add_row(source.name, source.access, *counts, dropped)
    console = Console()
    console.print(table)
    console.print(
        f"{corpus.folder}: {manifest.access}, {manifest.held_out_concepts:,} held-out concepts, {manifest.fingerprint}",
        highlight=False,
    )
    for refusal in manifest.refused:
        console.print(f"refused: {refusal}", style="yellow", highlight=False, markup=False)
