"""`cmbert corpus`: raw files to a corpus, and a look at one."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinical_modernbert.cli import download
from clinical_modernbert.cli.options import Json, Output, Overwrite, Set

if TYPE_CHECKING:
    from clinical_modernbert.corpus import Corpus

app = typer.Typer(help="Download raw text, build a corpus and look at one.", no_args_is_help=True)
app.add_typer(download.app, name="download")


@app.command()
def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Names the sources; see docs/settings.md.")],
    output: Output,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any input was refused.")] = False,
    fail_on_phi: Annotated[
        bool, typer.Option("--fail-on-phi", help="Build nothing if anything looks like an identifier of a patient; the same as phi=refuse.")
    ] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; without it, one for each core.")] = None,
    overrides: Set = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Read, clean, filter and split the sources into a corpus folder; a second run goes on where the first one stopped.

    Example: cmbert corpus build corpus.yaml -o corpus/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.corpus import CorpusSettings, build_corpus
    from clinical_modernbert.settings import load

    changed = [*(overrides or []), *(["phi=refuse"] if fail_on_phi else []), *([f"workers={workers}"] if workers else [])]
    corpus = build_corpus(load(CorpusSettings, config, changed), output, overwrite=overwrite, progress=progress)
    _show(corpus, as_json)
    if corpus.manifest.refused and not as_json:
        sys.stdout.write(f"{len(corpus.manifest.refused):,} refused, listed by cmbert corpus inspect {corpus.folder}\n")
    if strict and corpus.manifest.refused:
        raise typer.Exit(1)


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus folder.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a page with pictures to this folder too.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a corpus is made of, what was dropped and what was refused.

    Example: cmbert corpus inspect corpus/ -o report/
    """
    from clinical_modernbert.corpus import Corpus

    corpus = Corpus.open(folder)
    _show(corpus, as_json)
    if not as_json:
        sys.stdout.writelines(f"refused: {refusal}\n" for refusal in corpus.manifest.refused)
    if output is not None:
        from clinical_modernbert.export.corpus_report import write_corpus_report

        sys.stderr.write(f"{write_corpus_report(corpus, output)}\n")


def _show(corpus: "Corpus", as_json: bool) -> None:
    manifest = corpus.manifest
    if as_json:
        figures = {"access": manifest.access, "fingerprint": manifest.fingerprint, "dropped": manifest.dropped}
        listed = {"sources": [asdict(item) for item in manifest.sources], "refused": [asdict(item) for item in manifest.refused]}
        sys.stdout.write(json.dumps({**figures, **listed, "duplicates": asdict(manifest.duplicates)}, indent=2) + "\n")
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
    Console().print(table)
    for source in manifest.sources:
        for kind, (documents, places) in source.phi.items():
            sys.stdout.write(f"{source.name}: {kind.replace('_', ' ')} in {documents:,} documents, {places:,} places\n")
    sys.stdout.write(f"{corpus.folder}: {manifest.access}, {manifest.held_out_concepts:,} held-out concepts, {manifest.fingerprint}\n")
