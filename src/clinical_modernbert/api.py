"""In: the Python user's calls that span rooms. Out: the same as the commands give. Next: `cli`, `quickstart`."""

from pathlib import Path

from clinical_modernbert.corpus import Corpus
from clinical_modernbert.export.card import write_run_card
from clinical_modernbert.export.report import run_summary, write_report
from clinical_modernbert.pretraining.ranks import is_first_process
from clinical_modernbert.pretraining.run import Run
from clinical_modernbert.pretraining.run import pretrain as _pretrain
from clinical_modernbert.pretraining.settings import RunSettings
from clinical_modernbert.progress import Progress, silent


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
