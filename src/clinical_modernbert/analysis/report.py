"""Sections -> `index.html`, `metrics.json`, figures as PNG and SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_modernbert import __version__, atomic
from clinical_modernbert.analysis.section import Section
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.export.page import environment

FORMAT_VERSION = 1


def metrics(sections: Sequence[Section]) -> dict[str, Any]:
    """What `metrics.json` holds: every number of every section, by its name."""
    head = {"format_version": FORMAT_VERSION, "clinical_modernbert": __version__}
    return head | {section.name: section.metrics for section in sections}


def write_report(output: Path, subject: Subject, sections: Sequence[Section], left_out: Mapping[str, str]) -> Path:
    """Write the report into the folder `output`, with the sections that could not be made and why; returns its page."""
    for section in sections:
        section.write_figures(output / "figures")
    template = environment(__package__).get_template("analysis.html.jinja")
    page = template.render(sections=sections, subject=subject, left_out=left_out, version=__version__)
    atomic.write_json(output / "metrics.json", metrics(sections))
    atomic.write_text(output / "index.html", page)
    return output / "index.html"
