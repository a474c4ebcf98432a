"""What a section of the report is made of: numbers for machines, and for people findings, each with one plain sentence of reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from clinical_modernbert import atomic
from clinical_modernbert.analysis.statistics import Estimate, Figures
from clinical_modernbert.export.page import environment, svg

Cell = str | int | float | Estimate | None
"""What stands in a table; an estimate shows its 95% interval below, None a dash."""


@dataclass(frozen=True)
class Table:
    """Rows under `head`; the first cell of each is its label, the others are numbers or words."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A picture: a figure of matplotlib, written to `figures/NAME.{svg,png}`; `drawn` takes the figure's place on the page and as SVG."""

    name: str
    figure: Any
    caption: str = ""
    drawn: Markup | None = None

    @property
    def svg(self) -> Markup:
        """The picture as an SVG element."""
        return self.drawn or svg(self.figure)


@dataclass(frozen=True)
class Finding:
    """One question and its answer: `reading` is a sentence made from the numbers, `maps` stand side by side, `legend` is name -> colour."""

    title: str
    reading: str
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    maps: Sequence[Plot] = ()
    legend: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the report that can be made alone.

    Attributes:
        name: its command and its key in `metrics.json`.
        about: what is measured, how, and beside what baseline.
        limits: what these figures cannot show.
        metrics: plain JSON; every number of the findings is in it.
    """

    name: str
    title: str
    about: str
    findings: Sequence[Finding]
    metrics: Mapping[str, Any]
    limits: str = ""

    def html(self) -> Markup:
        """The section as it stands on a page."""
        return Markup(environment(__package__).get_template("section.html.jinja").render(section=self))

    def write_figures(self, folder: Path) -> None:
        """Write every picture as SVG and PNG."""
        for plot in (plot for finding in self.findings for plot in (*finding.plots, *finding.maps)):
            atomic.write_text(folder / f"{plot.name}.svg", str(plot.svg))
            atomic.write_file(folder / f"{plot.name}.png", partial(plot.figure.savefig, format="png", dpi=150))


def plain(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Estimates as JSON: value, and the ends of the 95% interval."""
    return {
        name: {"value": round(one.value, 4), "low": round(one.interval[0], 4), "high": round(one.interval[1], 4)}
        for name, one in estimates.items()
    }


def plain_rows(rows: Figures) -> dict[str, dict[str, dict[str, float]]]:
    """Rows of estimates as JSON."""
    return {name: plain(figures) for name, figures in rows.items()}


def listed(estimates: Sequence[Estimate]) -> list[dict[str, float]]:
    """Estimates one after the other, such as of layers, as JSON."""
    return list(plain({str(number): one for number, one in enumerate(estimates)}).values())
