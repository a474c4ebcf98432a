"""In: a model, what it is compared with, code tables. Out: numbers with intervals, figures, one HTML report.

Next: people read `report/index.html`, machines `metrics.json`.
Flow: `tables` (codes and their hierarchy) -> `questions` (what is asked) -> `codes` (answers of each encoder) -> `report`.
"""

from clinical_modernbert.analysis.codes import Contender, Findings, analyze_codes, contenders

__all__ = ["Contender", "Findings", "analyze_codes", "contenders"]
"""Names that other rooms use."""
