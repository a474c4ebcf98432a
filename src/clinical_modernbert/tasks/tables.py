"""In: rows of results. Out: a table as text, or a page with a picture for each task. Next: `cli`."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from markupsafe import Markup

from clinical_modernbert.export.page import axes, environment, svg
from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.results import PUBLISHED, Row, percent

_HEAD = ("task", "metric", "model", "method", "train", "seeds", "mean", "spread", "95% of documents", "source")


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [_HEAD, ["---"] * len(_HEAD), *map(_cells, rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def comma_separated(rows: Sequence[Row]) -> str:
    """CSV with a header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEAD, *map(_cells, rows)])
    return text.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """A list of objects, one for each row."""
    return json.dumps([asdict(row) for row in rows], indent=2) + "\n"


def page(rows: Sequence[Row]) -> str:
    """A page that loads nothing from outside; `rows` as `results.rows` orders them."""
    known = catalogue.cards()
    tasks = []
    for name, of_task in groupby(rows, lambda row: row.task):
        lines = list(of_task)
        tasks.append(
            {
                "name": name,
                "card": known.get(name),
                "metric": lines[0].metric,
                "rows": lines,
                "picture": _picture(lines),
                "curve": _curve(lines),
            }
        )
    return environment(__package__).get_template("results.html.jinja").render(tasks=tasks, percent=percent) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = {"md": markdown, "csv": comma_separated, "json": as_json, "html": page}


def _cells(row: Row) -> list[str]:
    spread = "" if row.spread is None else f"{row.spread:.4f}"
    interval = "" if row.low is None else f"{row.low:.3f} to {row.high:.3f}"
    return [
        *(row.task, row.metric, row.model, row.method, percent(row.train_share), str(row.seeds or "")),
        *(f"{row.mean:.4f}", spread, interval, row.source),
    ]


def _picture(rows: Sequence[Row]) -> Markup:
    """A line for each row: a point with the interval over documents; hollow what others published."""
    drawn, plot = axes("", rows[0].metric, "")
    drawn.set_figheight(0.8 + 0.32 * len(rows))
    for place, row in enumerate(rows):
        measured = row.method != PUBLISHED
        if row.low is not None:
            plot.plot([row.low, row.high], [place, place], color="#1f6f8b", alpha=0.4, linewidth=5, solid_capstyle="butt")
        plot.plot(row.mean, place, "o", color="#1f6f8b" if measured else "#5d6b7a", fillstyle="full" if measured else "none")
    share = {row.train_share for row in rows} != {1.0}
    plot.set_yticks(range(len(rows)), [f"{row.model}, {row.method}" + (f", {percent(row.train_share)}" if share else "") for row in rows])
    plot.set_ylim(len(rows) - 0.5, -0.5)
    return svg(drawn)


def _curve(rows: Sequence[Row]) -> Markup | None:
    """Learning curves: a line for each model and method of which several shares of the training part are known, with the seeds' spread."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        if row.method != PUBLISHED:
            lines.setdefault(f"{row.model}, {row.method}", []).append(row)
    lines = {name: sorted(some, key=lambda row: row.train_share) for name, some in lines.items() if len(some) > 1}
    if not lines:
        return None
    drawn, plot = axes("", "share of the training part", rows[0].metric)
    for name, some in lines.items():
        shares, means, spreads = zip(*((row.train_share, row.mean, row.spread or 0.0) for row in some), strict=True)
        plot.errorbar(shares, means, yerr=spreads, marker="o", markersize=4, capsize=3, linewidth=1.4, label=name)
    plot.set_xscale("log")
    known = sorted({row.train_share for row in rows})
    plot.set_xticks(known, list(map(percent, known)))
    plot.minorticks_off()
    plot.legend(frameon=False, fontsize=8)
    return svg(drawn)
