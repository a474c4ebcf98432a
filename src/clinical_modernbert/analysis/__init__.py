"""In: a model, what it is compared with, its corpus. Out: numbers with intervals and baselines, figures, one HTML report.

Next: people read `report/index.html`, machines `metrics.json`; `export.card` takes its numbers into the model card.
Flow: `subject` (what is looked at) -> a room for each section (numbers -> `section`) -> `run` -> `report`.
"""

from clinical_modernbert.analysis.run import SECTIONS, Report, analyze
from clinical_modernbert.analysis.section import Finding, Plot, Section, Table
from clinical_modernbert.analysis.subject import Subject

__all__ = ["SECTIONS", "Finding", "Plot", "Report", "Section", "Subject", "Table", "analyze"]
"""Names that other rooms use."""
