"""A report of `cmbert analyze` -> the part of the model card that repeats its findings.

The card knows titles, sentences and limits, never what a section measures: those stand in `metrics.json` beside its numbers.
"""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_modernbert.errors import ConfigError

TITLE = "\n## Analysis\n"
BEFORE = ("\n## Intended use\n", "\n## Use\n")
"""The part stands before the first of these that a card has, else at its end."""


@dataclass(frozen=True)
class Told:
    """A section of the report: its title, a title and a sentence for each finding, and what it cannot show."""

    title: str
    findings: Sequence[tuple[str, str]]
    limits: str


@dataclass(frozen=True)
class Analysis:
    """What a report says of the weights of this hash; `access` is that of the corpus it was made with, None without one."""

    weights_sha256: str
    version: str
    access: str | None
    sections: Sequence[Told]

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds of it."""
        return {
            "clinical_modernbert": self.version,
            "weights_sha256": self.weights_sha256,
            "access": self.access,
            "sections": [
                {
                    "title": one.title,
                    "findings": [{"title": title, "reading": reading} for title, reading in one.findings],
                    "limits": one.limits,
                }
                for one in self.sections
            ],
        }


def read_analysis(report: Path, weights_sha256: str) -> Analysis:
    """The report `report`, a `metrics.json` or the folder that holds one.

    Raises:
        ConfigError: it is no report, or one of other weights than those of this hash.
    """
    path = report / "metrics.json" if report.is_dir() else report
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        sections = [
            Told(one["title"], [(finding["title"], finding["reading"]) for finding in one["findings"]], one["limits"])
            for one in said["sections"]
        ]
        found = Analysis(said["weights_sha256"], said["clinical_modernbert"], said["access"], sections)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
        raise ConfigError(f"no report of `cmbert analyze` ({path}). Give its folder or its metrics.json.") from None
    if found.weights_sha256 != weights_sha256:
        raise ConfigError(
            f"the report is of other weights ({path}: {found.weights_sha256[:12]}, the model's are {weights_sha256[:12]}). "
            "Run `cmbert analyze` on this model."
        )
    return found


def with_analysis(card: str, analysis: Analysis) -> str:
    """The card with the report's part; one that it had before is replaced."""
    card = re.sub(rf"{TITLE}.*?(?=\n## |\Z)", "", card, flags=re.DOTALL)
    place = next((card.index(title) for title in BEFORE if title in card), len(card))
    return card[:place] + _part(analysis) + card[place:]


def _part(analysis: Analysis) -> str:
    corpus = f", with a corpus whose access is **{analysis.access}**" if analysis.access else ""
    weights = f"these weights (SHA-256 `{analysis.weights_sha256}`)"
    lines = [
        f"What `cmbert analyze` of clinical-modernbert {analysis.version} found in {weights}{corpus}.",
        "Its report has the figures, the baselines beside them and their intervals.",
    ]
    for section in analysis.sections:
        lines += ["", f"### {_plain(section.title)}"]
        lines += [f"- **{_plain(title)}**: {_plain(reading)}" for title, reading in section.findings]
        if section.limits:
            lines += ["", f"What this cannot show: {_plain(section.limits)}"]
    return TITLE + "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """On one line, and no markup."""
    return html.escape(" ".join(text.split()), quote=False)
