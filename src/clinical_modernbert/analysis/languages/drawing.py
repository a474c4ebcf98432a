"""Findings about languages and other text -> figures."""

from collections.abc import Sequence

from clinical_modernbert.analysis.drawing import dots
from clinical_modernbert.analysis.languages.answers import Findings
from clinical_modernbert.analysis.section import Plot


def fertility_plot(findings: Findings, spoken: Sequence[str]) -> Plot:
    """Bytes a token by language, of every vocabulary."""
    rows = {key: {name: fits[key].bytes_per_token for name, fits in findings.fertility.items()} for key in spoken}
    return Plot("languages-fertility", dots("What a token carries", "UTF-8 bytes a token", rows))


def loss_plot(name: str, findings: Findings, groups: Sequence[str], title: str) -> Plot:
    """Bits a byte by group, of every model and baseline."""
    rows = {key: {who: costs[key] for who, costs in findings.bits_per_byte.items()} for key in groups}
    return Plot(name, dots(title, "bits a byte of hidden words (lower is better)", rows))
