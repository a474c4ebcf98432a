"""Findings about languages and other text -> figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_modernbert.analysis.languages.answers import UNIGRAM, Findings
from clinical_modernbert.analysis.section import Plot
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.export.page import axes


def fertility_plot(findings: Findings, spoken: Sequence[str]) -> Plot:
    """Bytes a token by language, of every vocabulary."""
    drawn, found = axes("What a token carries", "UTF-8 bytes a token", "")
    _points(found, spoken, {name: {key: fits[key].bytes_per_token for key in spoken} for name, fits in findings.fertility.items()})
    return Plot("languages-fertility", drawn)


def loss_plot(name: str, findings: Findings, groups: Sequence[str], title: str) -> Plot:
    """Bits a byte by group, of every model and baseline."""
    drawn, found = axes(title, "bits a byte of hidden words (lower is better)", "")
    _points(found, groups, {who: {key: costs[key] for key in groups} for who, costs in findings.bits_per_byte.items()})
    return Plot(name, drawn)


def _points(found: Any, groups: Sequence[str], series: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Draw for each group every series' value and interval, one below the other."""
    others = iter(("#b5651d", "#6a8f3c", "#7b5ea7", "0.3"))
    fixed = {MODEL: "#1f6f8b", UNTRAINED: "0.6", UNIGRAM: "0.8"}
    for i, (name, estimates) in enumerate(series.items()):
        colour = fixed.get(name) or next(others, "0.3")
        rows = [row + (i - (len(series) - 1) / 2) * 0.7 / len(series) for row in range(len(groups))]
        values = [estimates[group] for group in groups]
        found.hlines(rows, [one.interval[0] for one in values], [one.interval[1] for one in values], color=colour, lw=2)
        found.plot([one.value for one in values], rows, "o", ms=4, color=colour, label=name)
    found.set_yticks(range(len(groups)), groups)
    found.set_ylim(len(groups) - 0.5, -0.5)
    found.legend(fontsize=8, frameon=False)
