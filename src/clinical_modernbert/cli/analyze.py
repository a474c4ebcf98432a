"""`cmbert analyze`: a look inside a model, with baselines and intervals."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from clinical_modernbert.cli.options import Device, Json, Output, Overwrite, Seed

if TYPE_CHECKING:
    from clinical_modernbert.analysis import Subject
    from clinical_modernbert.sources import Codes

app = typer.Typer(help="Look inside a model: numbers with baselines and intervals, figures, a report.", no_args_is_help=True)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")]
References = Annotated[
    list[Path] | None, typer.Option("--reference", help="A model folder to compare with, any Hugging Face encoder; may be repeated.")
]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="SYSTEM[=PATH]", help="A code table, as in a corpus file; icd10cm and hpo need no path."),
]
CorpusFolder = Annotated[Path | None, typer.Option("--corpus", help="The model's corpus.")]
CanariesFile = Annotated[
    Path | None, typer.Option("--canaries", help="The canaries.json of another corpus: what a model trained without them makes of them.")
]
PatientsFile = Annotated[Path | None, typer.Option("--patients", help="A CSV file with the columns name and condition.")]
Sampled = Annotated[int | None, typer.Option("--limit", min=100, help="How much is sampled of what a section asks about.")]


@app.command()
def codes(
    model: Model,
    output: Output,
    references: References = None,
    tables: Tables = None,
    corpus: CorpusFolder = None,
    limit: Sampled = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare what pooled vectors of code descriptions know with untrained, bag-of-embeddings and reference encoders.

    Example: cmbert analyze codes model/ --reference other-model/ --table icd10cm --table hpo -o report/
    """
    subject = _subject(model, references, corpus, tables, limit, seed, device)
    _report(subject, ["codes"], output, overwrite, as_json)


@app.command()
def privacy(
    model: Model,
    output: Output,
    references: References = None,
    corpus: CorpusFolder = None,
    canaries: CanariesFile = None,
    patients: PatientsFile = None,
    limit: Sampled = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Ask a model for planted secrets, for persons' conditions and for the documents it was trained on; count who has its tokens.

    Example: cmbert analyze privacy model/ --corpus corpus/ --reference first-model/ -o report/
    """
    subject = _subject(model, references, corpus, None, limit, seed, device, canaries, patients)
    _report(subject, ["privacy"], output, overwrite, as_json)


@app.command(name="all")
def everything(
    model: Model,
    output: Output,
    references: References = None,
    tables: Tables = None,
    corpus: CorpusFolder = None,
    canaries: CanariesFile = None,
    patients: PatientsFile = None,
    limit: Sampled = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write every section that the given material allows into one report, and say which are left out, and why.

    Example: cmbert analyze all model/ --reference first-model/ --corpus corpus/ -o report/
    """
    from clinical_modernbert.analysis import SECTIONS

    subject = _subject(model, references, corpus, tables, limit, seed, device, canaries, patients)
    _report(subject, list(SECTIONS), output, overwrite, as_json)


def _subject(
    model: Path,
    references: Sequence[Path] | None,
    corpus: Path | None,
    tables: Sequence[str] | None,
    limit: int | None,
    seed: int | None,
    device: str | None,
    canaries: Path | None = None,
    patients: Path | None = None,
) -> "Subject":
    from clinical_modernbert.analysis.subject import Subject, reference_names

    return Subject(
        model,
        reference_names(references or []),
        corpus,
        [_source(given) for given in tables or []],
        limit,
        seed or 0,
        device or "auto",
        canaries,
        patients,
    )


def _report(subject: "Subject", names: Sequence[str], output: Path, overwrite: bool, as_json: bool) -> None:
    """Make the report; print each finding's sentence, or the metrics."""
    from clinical_modernbert.analysis import analyze
    from clinical_modernbert.analysis.report import metrics
    from clinical_modernbert.cli.progress import progress

    report = analyze(subject, names, output, overwrite=overwrite, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(metrics(report.sections), indent=2) + "\n")
        return
    for section in report.sections:
        for finding in section.findings:
            sys.stdout.write(f"{section.name}: {finding.title}\n  {finding.reading}\n")
    for name, why in report.left_out.items():
        sys.stdout.write(f"left out: {name}: {why}\n")
    sys.stdout.write(f"{report.page}\n")


def _source(given: str) -> "Codes":
    from pydantic import ValidationError

    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.sources import Codes
    from clinical_modernbert.sources.codes import CodeSystem

    system, _, path = given.partition("=")
    if system not in get_args(CodeSystem) or system == "csv":
        known = ", ".join(name for name in get_args(CodeSystem) if name != "csv")
        raise ConfigError(f"--table {given!r}: {system!r} is no code system that can be read here. Use one of {known}.")
    try:
        return Codes(Path(path) if path else None, system=cast(CodeSystem, system))
    except ValidationError:
        raise ConfigError(f"--table {given!r} needs a path. Write --table {system}=PATH.") from None
