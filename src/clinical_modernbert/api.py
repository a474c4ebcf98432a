"""In: the Python user's calls that span rooms. Out: the same as the commands give. Next: `cli`, `quickstart`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from clinical_modernbert.analysis import SECTIONS, Report, Subject
from clinical_modernbert.analysis import analyze as _analyze
from clinical_modernbert.analysis.subject import reference_names
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.export.card import write_run_card
from clinical_modernbert.export.report import run_summary, write_report
from clinical_modernbert.pretraining.ranks import is_first_process
from clinical_modernbert.pretraining.run import Run
from clinical_modernbert.pretraining.run import pretrain as _pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.evaluate import EvaluateSettings
from clinical_modernbert.tasks.finetune import Finetuned, UserSettings
from clinical_modernbert.tasks.finetune import finetune as _finetune
from clinical_modernbert.tasks.suite import Results, contenders, evaluate_all, expand


def pretrain(
    recipe: RunSettings,
    corpus: Corpus | Path | str,
    output: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Run:
    """Pretrain as `clinical_modernbert.pretraining.run.pretrain` does, and write the last model's card and the run's report."""
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    run = _pretrain(recipe, corpus, Path(output), resume=resume, overwrite=overwrite, progress=progress)
    if is_first_process():
        write_run_card(run)
        write_report(run, corpus.manifest, run.folder / "report", summary=run_summary(run))
    return run


def finetune(
    model: Run | Path | str,
    task: Literal["ner", "classify", "multilabel", "pairs", "regression"],
    data: Path | str,
    output: Path | str,
    *,
    format: Literal["brat", "conll", "i2b2", "pubtator", "csv", "jsonl"] | None = None,
    settings: UserSettings | None = None,
    seed: int = 0,
    overwrite: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Finetuned:
    """Fine-tune a model on labels of your own; see `cmbert finetune`.

    Example:
        >>> finetune("model/", task="ner", data="my-brat-folder/", output="tagger/").encoder().tag(["On aspirin."])  # doctest: +SKIP
    """
    folder = model.model if isinstance(model, Run) else Path(model)
    how: dict[str, Any] = {"format": format, "settings": settings, "seed": seed, "overwrite": overwrite, "device": device}
    return _finetune(folder, task, Path(data), Path(output), **how, progress=progress)


def evaluate(
    models: Run | Path | str | Sequence[Path | str],
    tasks: Sequence[str],
    data: Path | str,
    *,
    seeds: int = 5,
    output: Path | str | None = None,
    settings: EvaluateSettings | None = None,
    baselines: bool = False,
    corpus: Corpus | Path | str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Results:
    """Train encoders on benchmarks and score their test parts, seed by seed; see `cmbert evaluate`.

    `data` is the folder below which each data set has its own; with `output`, results are kept there, and not made again. With the models'
    pretraining `corpus`, results say whether it was searched for the tasks' text.

    Example:
        >>> evaluate("model/", ["ncbi-disease"], "benchmarks/", seeds=5).table()  # doctest: +SKIP
    """
    settings = settings or EvaluateSettings()
    given = [models.model] if isinstance(models, Run) else [models] if isinstance(models, (str, Path)) else list(models)
    parts = catalogue.load_each(expand(tasks), Path(data))
    compared = list(contenders([Path(model) for model in given], baselines, settings, device))
    folder = None if output is None else Path(output)
    manifest = None if corpus is None else (corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)).manifest
    return evaluate_all(compared, parts, seeds, folder, settings, corpus=manifest, overwrite=overwrite, progress=progress)


def analyze(
    model: Run | Path | str,
    output: Path | str,
    *,
    sections: Sequence[str] | None = None,
    references: Sequence[Path | str] = (),
    corpus: Corpus | Path | str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    progress: Progress = silent,
    **material: Any,
) -> Report:
    """Look inside a model and write the report; see `cmbert analyze`. Without `sections`, all that the given material allows.

    `material` is what else sections read, under the names of `analysis.Subject`, such as `tables` or `texts`.

    Example:
        >>> analyze("model/", "report/", sections=["languages"], texts={"news": Path("news.jsonl")}).page  # doctest: +SKIP
    """
    folder = model.model if isinstance(model, Run) else Path(model)
    read = corpus.folder if isinstance(corpus, Corpus) else None if corpus is None else Path(corpus)
    named = reference_names([Path(reference) for reference in references])
    subject = Subject(folder, named, read, device=device, **material)
    return _analyze(subject, list(SECTIONS) if sections is None else sections, Path(output), overwrite=overwrite, progress=progress)
