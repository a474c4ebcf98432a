"""In: rows of results. Out: a table as text. Next: `cli`."""

import csv
import html
import io
from collections.abc import Callable, Mapping, Sequence

from clinical_modernbert.tasks.results import Row

_HEAD = ("task", "metric", "model", "method", "train", "seeds", "mean", "spread", "95% of documents", "source")
_STYLE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Results</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a2733}table{border-collapse:collapse;width:100%}
th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #dde4ea}td:nth-child(n+5):nth-child(-n+9){text-align:right;font-variant-numeric:tabular-nums}
tr.published{color:#6b7885;font-style:italic}</style>"""


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [_HEAD, ["---"] * len(_HEAD), *map(_cells, rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def comma_separated(rows: Sequence[Row]) -> str:
    """CSV with a header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_HEAD, *map(_cells, rows)])
    return text.getvalue()


def page(rows: Sequence[Row]) -> str:
    """One HTML page that needs nothing else."""
    body = "".join(
        f'<tr class="{html.escape(row.method)}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row)) + "</tr>\n"
        for row in rows
    )
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _HEAD)
    return f"{_STYLE}<h1>Results</h1><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></html>\n"


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = {"md": markdown, "csv": comma_separated, "html": page}


def _cells(row: Row) -> list[str]:
    spread = "" if row.spread is None else f"{row.spread:.4f}"
    interval = "" if row.low is None else f"{row.low:.3f} to {row.high:.3f}"
    return [
        *(row.task, row.metric, row.model, row.method, f"{row.train_share:.0%}", str(row.seeds or "")),
        *(f"{row.mean:.4f}", spread, interval, row.source),
    ]
