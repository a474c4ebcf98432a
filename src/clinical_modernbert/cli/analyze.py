"""`cmbert analyze`: a look inside a model, with baselines and intervals."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from clinical_modernbert.cli.options import Device, Json, Output, Overwrite, Seed

if TYPE_CHECKING:
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
Gem = Annotated[
    Path | None,
    typer.Option("--gem", help="CMS's equivalence mappings of ICD-9-CM to ICD-10-CM, such as 2018_I9gem.txt; needs both tables."),
]
CorpusFolder = Annotated[Path | None, typer.Option("--corpus", help="The model's corpus.")]
Sampled = Annotated[int | None, typer.Option("--limit", min=100, help="How much is sampled of what a section asks about.")]
PubMedPath = Annotated[Path | None, typer.Option("--pubmed", help="PubMed XML to take abstracts of other languages from, not the corpus.")]
OtherTexts = Annotated[
    list[str] | None,
    typer.Option("--texts", metavar="NAME=FILE", help="Other text, .txt or .jsonl, to see what was forgotten; may be repeated."),
]
TemplateFile = Annotated[Path | None, typer.Option("--templates", help="Sentences and groups for bias, in the place of ours.")]
TaskModel = Annotated[Path | None, typer.Option("--task-model", help="A folder of cmbert finetune, whose answers are looked at for bias.")]
TaskData = Annotated[Path | None, typer.Option("--task-data", help="Texts of that task, as cmbert finetune reads them.")]
CanariesFile = Annotated[
    Path | None, typer.Option("--canaries", help="The canaries.json of another corpus: what a model trained without them makes of them.")
]
PatientsFile = Annotated[Path | None, typer.Option("--patients", help="A CSV file with the columns name and condition.")]


@app.command()
def codes(
    model: Model,
    output: Output,
    references: References = None,
    tables: Tables = None,
    gem: Gem = None,
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
    given: dict[str, Any] = {"tables": tables, "gem": gem, "corpus": corpus, "limit": limit}
    _report(["codes"], model, references, seed, device, output, overwrite, as_json, **given)


@app.command()
def weights(
    model: Model,
    output: Output,
    references: References = None,
    corpus: CorpusFolder = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show what training changed in each layer: distances, spectra, attention, embeddings, likeness, beside random restarts.

    The first reference of the model's shape is taken for its start weights; without one random weights stand in for them.

    Example: cmbert analyze weights model/ --reference first-model/ --corpus corpus/ -o report/
    """
    given: dict[str, Any] = {"corpus": corpus}
    _report(["weights"], model, references, seed, device, output, overwrite, as_json, **given)


@app.command()
def context(
    model: Model,
    output: Output,
    references: References = None,
    corpus: CorpusFolder = None,
    limit: Sampled = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure what the context is worth: by text in sight, position, window edges, planted facts and needles.

    Example: cmbert analyze context model/ --reference first-model/ --corpus corpus/ -o report/
    """
    given: dict[str, Any] = {"corpus": corpus, "limit": limit}
    _report(["context"], model, references, seed, device, output, overwrite, as_json, **given)


@app.command()
def knowledge(
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
    """Ask for terms and chapters of code tables behind masks, and for clinical words in held-out text.

    Example: cmbert analyze knowledge model/ --reference first-model/ --table hpo --corpus corpus/ -o report/
    """
    given: dict[str, Any] = {"tables": tables, "corpus": corpus, "limit": limit}
    _report(["knowledge"], model, references, seed, device, output, overwrite, as_json, **given)


@app.command()
def bias(
    model: Model,
    output: Output,
    references: References = None,
    corpus: CorpusFolder = None,
    templates: TemplateFile = None,
    task_model: TaskModel = None,
    task_data: TaskData = None,
    limit: Sampled = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Test which attributes go with which groups of people, and whether a task's answers change with the group alone.

    Example: cmbert analyze bias model/ --reference model-without-counterfactuals/ --task-model tagger/ --task-data brat/ -o report/
    """
    given: dict[str, Any] = {"corpus": corpus, "templates": templates, "task_model": task_model, "task_data": task_data, "limit": limit}
    _report(["bias"], model, references, seed, device, output, overwrite, as_json, **given)


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
    given: dict[str, Any] = {"corpus": corpus, "canaries": canaries, "patients": patients, "limit": limit}
    _report(["privacy"], model, references, seed, device, output, overwrite, as_json, **given)


@app.command()
def languages(
    model: Model,
    output: Output,
    references: References = None,
    corpus: CorpusFolder = None,
    pubmed: PubMedPath = None,
    texts: OtherTexts = None,
    limit: Sampled = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure fertility and masked loss by language of PubMed's abstracts, and the loss on other text beside the first reference's.

    Example: cmbert analyze languages model/ --reference first-model/ --corpus corpus/ --texts news=news.jsonl -o report/
    """
    given: dict[str, Any] = {"corpus": corpus, "pubmed": pubmed, "texts": texts, "limit": limit}
    _report(["languages"], model, references, seed, device, output, overwrite, as_json, **given)


@app.command(name="all")
def everything(
    model: Model,
    output: Output,
    references: References = None,
    tables: Tables = None,
    gem: Gem = None,
    corpus: CorpusFolder = None,
    pubmed: PubMedPath = None,
    texts: OtherTexts = None,
    templates: TemplateFile = None,
    task_model: TaskModel = None,
    task_data: TaskData = None,
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

    given: dict[str, Any] = {
        "tables": tables,
        "gem": gem,
        "corpus": corpus,
        "pubmed": pubmed,
        "texts": texts,
        "templates": templates,
        "task_model": task_model,
        "task_data": task_data,
        "canaries": canaries,
        "patients": patients,
        "limit": limit,
    }
    _report(list(SECTIONS), model, references, seed, device, output, overwrite, as_json, **given)


def _report(
    names: Sequence[str],
    model: Path,
    references: Sequence[Path] | None,
    seed: int | None,
    device: str | None,
    output: Path,
    overwrite: bool,
    as_json: bool,
    *,
    tables: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
    **material: Any,
) -> None:
    """Make the report of a `Subject` with this material; print each finding's sentence, or the metrics."""
    from clinical_modernbert.analysis import analyze
    from clinical_modernbert.analysis.report import metrics
    from clinical_modernbert.analysis.subject import Subject, reference_names
    from clinical_modernbert.cli.progress import progress

    named = reference_names(references or [])
    sources = [_source(given) for given in tables or []]
    subject = Subject(model, named, tables=sources, texts=_named(texts), seed=seed or 0, device=device or "auto", **material)
    report = analyze(subject, names, output, overwrite=overwrite, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(metrics(subject, report.sections), indent=2) + "\n")
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


def _named(texts: Sequence[str] | None) -> dict[str, Path]:
    """The files of `--texts` by their names."""
    from clinical_modernbert.errors import ConfigError

    found = {}
    for given in texts or []:
        name, _, path = given.partition("=")
        if not name or not path or name in found:
            raise ConfigError(f"--texts {given!r} needs a name of its own and a file. Write --texts NAME=FILE.")
        found[name] = Path(path)
    return found
