"""Sections -> `index.html`, `metrics.json`, figures as PNG and SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_modernbert import __version__, atomic
from clinical_modernbert.analysis.section import Section
from clinical_modernbert.analysis.subject import Subject
from clinical_modernbert.export.analysis_part import Analysis, Told
from clinical_modernbert.export.page import environment
from clinical_modernbert.model.hf import weights_sha256
from clinical_modernbert.model.hub import folder_of

FORMAT_VERSION = 1


def metrics(subject: Subject, sections: Sequence[Section]) -> dict[str, Any]:
    """What `metrics.json` holds: whose weights these are, what the model card repeats, and every number of every section by its name."""
    told = [Told(one.title, [(finding.title, finding.reading) for finding in one.findings], one.limits) for one in sections]
    access = subject.opened_corpus.manifest.access if subject.corpus else None
    head = Analysis(weights_sha256(folder_of(subject.model)), __version__, access, told)
    return {"format_version": FORMAT_VERSION} | head.to_json() | {section.name: section.metrics for section in sections}


def write_report(output: Path, subject: Subject, sections: Sequence[Section], left_out: Mapping[str, str]) -> Path:
    """Write the page and the numbers into the folder `output`, with the sections that could not be made and why; returns the page."""
    template = environment(__package__).get_template("analysis.html.jinja")
    page = template.render(sections=sections, subject=subject, left_out=left_out, version=__version__)
    atomic.write_json(output / "metrics.json", metrics(subject, sections))
    atomic.write_text(output / "index.html", page)
    return output / "index.html"
