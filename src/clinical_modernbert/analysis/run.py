"""Which sections there are, and the report that they make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from clinical_modernbert.analysis.codes.answers import analyze_codes, contenders
from clinical_modernbert.analysis.codes.section import codes_section
from clinical_modernbert.analysis.report import write_report
from clinical_modernbert.analysis.section import Section
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.corpus import Corpus
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.progress import Progress, silent
from clinical_modernbert.sources import Codes
from clinical_modernbert.tasks.code_tables import read_tables

MAPPED = 2000
"""Codes of each table that are drawn on a map."""


@dataclass(frozen=True)
class Report:
    """What was written, and why a section is not in it."""

    page: Path
    sections: Sequence[Section]
    left_out: Mapping[str, str]


def codes(subject: Subject, progress: Progress) -> Section:
    """What pooled vectors of code descriptions know."""
    held_out = Corpus.open(subject.corpus).manifest.settings if subject.corpus else {}
    chosen = {name: held_out[name] for name in ("held_out_concepts", "seed") if name in held_out}
    given = subject.tables or [Codes(system="icd10cm"), Codes(system="hpo")]
    tables = [table for source in given for table in read_tables(source, **chosen)]
    compared = contenders(subject.encoder, subject.compared, progress)
    mapped = MAPPED if find_spec("sklearn") else 0
    how = {"limit": subject.limit or 6000, "max_mapped": mapped, "seed": subject.seed}
    return codes_section([analyze_codes(table, compared, **how, progress=progress) for table in tables])


SECTIONS: Mapping[str, Callable[[Subject, Progress], Section]] = {"codes": codes}
"""Name, which is the command as well -> what makes the section; what it misses it says in a ConfigError before it begins."""


def analyze(subject: Subject, names: Sequence[str], output: Path, *, overwrite: bool = False, progress: Progress = silent) -> Report:
    """Write the report of these sections into `output`; of several, one that cannot be made is left out with its reason.

    Raises:
        ConfigError: `output` holds a report, no section could be made, or the only one misses something.
    """
    if (output / "index.html").exists() and not overwrite:
        raise ConfigError(f"{output} holds a report. Choose another --output, or pass --overwrite.")
    made: list[Section] = []
    left_out: dict[str, str] = {}
    for name in names:
        try:
            made.append(SECTIONS[name](subject, progress))
        except ConfigError as error:
            if len(names) == 1:
                raise
            left_out[name] = str(error)
    if not made:
        raise ConfigError(f"no section could be made: {'; '.join(f'{name}: {why}' for name, why in left_out.items())}")
    return Report(write_report(output, subject, made, left_out), made, left_out)
