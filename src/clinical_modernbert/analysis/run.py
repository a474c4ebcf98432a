"""Which sections there are, and the report that they make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_modernbert.analysis.bias.section import bias
from clinical_modernbert.analysis.codes.section import codes
from clinical_modernbert.analysis.context.section import context
from clinical_modernbert.analysis.knowledge.section import knowledge
from clinical_modernbert.analysis.languages.section import languages
from clinical_modernbert.analysis.privacy.section import privacy
from clinical_modernbert.analysis.report import write_report
from clinical_modernbert.analysis.section import Section
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.analysis.weights.section import weights
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.progress import Progress, silent


@dataclass(frozen=True)
class Report:
    """What was written, and why a section is not in it."""

    page: Path
    sections: Sequence[Section]
    left_out: Mapping[str, str]


SECTIONS: Mapping[str, Callable[[Subject, Progress], Section]] = {
    "codes": codes,
    "knowledge": knowledge,
    "weights": weights,
    "context": context,
    "languages": languages,
    "bias": bias,
    "privacy": privacy,
}
"""Name, which is the command as well -> what makes the section; what it misses it says in a ConfigError before it begins."""


def analyze(subject: Subject, names: Sequence[str], output: Path, *, overwrite: bool = False, progress: Progress = silent) -> Report:
    """Write the report of these sections into `output`; of several, one that cannot be made is left out with its reason.

    The report stands after every section, so that what is interrupted leaves those that were done.

    Raises:
        ConfigError: `output` holds a report, no section could be made, the only one misses something, or there is none of a name.
        DataError: the only one was given a file that cannot be read.
    """
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise ConfigError(f"there is no section {unknown[0]!r}. Choose from {', '.join(SECTIONS)}.")
    if (output / "index.html").exists() and not overwrite:
        raise ConfigError(f"{output} holds a report. Choose another --output, or pass --overwrite.")
    made: list[Section] = []
    left_out: dict[str, str] = {}
    for name in names:
        try:
            section = SECTIONS[name](subject, progress)
        except (ConfigError, DataError) as error:
            if len(names) == 1:
                raise
            left_out[name] = str(error)
            continue
        made.append(section)
        section.write_figures(output / "figures")
        write_report(output, subject, made, left_out)
    if not made:
        raise ConfigError(f"no section could be made: {'; '.join(f'{name}: {why}' for name, why in left_out.items())}")
    return Report(write_report(output, subject, made, left_out), made, left_out)
