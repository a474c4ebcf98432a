"""`cmbert analyze`: a look inside a model, with baselines and intervals."""

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from clinical_modernbert.cli.options import Device, Json, Output, Overwrite

if TYPE_CHECKING:
    from clinical_modernbert.sources import Codes

app = typer.Typer(help="Look inside a model: numbers with baselines and intervals, figures, a report.", no_args_is_help=True)
logger = logging.getLogger(__name__)

References = Annotated[
    list[Path] | None, typer.Option("--reference", help="A model folder to compare with, any Hugging Face encoder; may be repeated.")
]


@app.callback()
def _group() -> None:
    """Keep `codes` a sub-command while it is the only one."""


@app.command()
def codes(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")],
    output: Output,
    references: References = None,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="SYSTEM[=PATH]", help="A code table, as in a corpus file; icd10cm and hpo need no path."),
    ] = None,
    corpus: Annotated[Path | None, typer.Option("--corpus", help="The model's corpus, to ask about the concepts it held out.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=100, help="Codes of each table that are sampled.")] = 6000,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="Draw t-SNE maps (needs scikit-learn).")] = True,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare what pooled vectors of code descriptions know with untrained, bag-of-embeddings and reference encoders.

    Example: cmbert analyze codes model/ --reference other-model/ --table icd10cm --table hpo -o report/
    """
    from importlib.util import find_spec

    from clinical_modernbert.analysis.codes import MODEL, analyze_codes, contenders, reference_names
    from clinical_modernbert.analysis.report import metrics, reading, write_report
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.corpus import Corpus
    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.inference import Encoder
    from clinical_modernbert.tasks.code_tables import read_tables

    if (output / "index.html").exists() and not overwrite:
        raise ConfigError(f"{output} holds a report. Choose another --output, or pass --overwrite.")
    if maps and find_spec("sklearn") is None:
        raise ConfigError("maps need scikit-learn (Python). Run: pip install 'clinical-modernbert[analysis]', or pass --no-maps.")
    held_out = Corpus.open(corpus).manifest.settings if corpus else {}
    chosen = {name: held_out[name] for name in ("held_out_concepts", "seed") if name in held_out}
    found = [table for given in tables or ["icd10cm", "hpo"] for table in read_tables(_source(given), **chosen)]
    named = reference_names(references or [])
    encoders = {name: Encoder.from_pretrained(folder, device=device or "auto") for name, folder in named.items()}
    compared = contenders(Encoder.from_pretrained(model, device=device or "auto"), encoders, progress)
    findings = [analyze_codes(table, compared, limit=limit, max_mapped=2000 if maps else 0, progress=progress) for table in found]
    page = write_report(output, findings, model, named)
    if as_json:
        sys.stdout.write(json.dumps(metrics(findings), indent=2) + "\n")
        return
    for one in findings:
        sys.stdout.write(f"{one.table.system}: {reading(one)}\n")
        for name, figures in one.figures.items():
            values = "  ".join(f"{key} {estimate.value:.3f}" for key, estimate in figures.estimates.items())
            sys.stdout.write(f"  {'* ' if name == MODEL else '  '}{name:24} {values}\n")
    sys.stdout.write(f"{page}\n")


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
