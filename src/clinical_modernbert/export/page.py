"""Templates and figures -> HTML that opens from disk and loads nothing from outside. Every report is a page of this look."""

import io
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup


def environment(package: str) -> jinja2.Environment:
    """Templates of `package`, which may extend `page.html.jinja` of this one; `figure` writes a number as people do."""

    def load(name: str) -> str | None:
        found = [folder / name for folder in (files(package), files(__package__)) if (folder / name).is_file()]
        return found[0].read_text(encoding="utf-8") if found else None

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(load), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    made.filters["figure"] = figure
    return made


def figure(value: Any) -> str:
    """A number as people write it.

    Example:
        >>> figure(12345), figure(0.123456), figure("abc")
        ('12,345', '0.1235', 'abc')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def axes(title: str, x_label: str, y_label: str) -> tuple[Any, Any]:
    """A figure of matplotlib with one pair of axes, and the axes."""
    from matplotlib.figure import Figure  # slow to import

    drawn = Figure(figsize=(8.4, 3.6), layout="constrained")
    found = drawn.subplots()
    found.set_title(title, loc="left", fontsize=11)
    found.set_xlabel(x_label)
    found.set_ylabel(y_label)
    found.grid(alpha=0.25)
    found.spines[["top", "right"]].set_visible(False)
    return drawn, found


def svg(drawn: Any) -> Markup:
    """A figure of matplotlib as an SVG element; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "clinical-modernbert"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])
