"""Estimates -> figures of matplotlib that several sections draw: lines, dots, heat maps. The model is always of one colour."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.export.page import axes

_ACCENT, _OTHERS, _FAINT = "#1f6f8b", ("#b5651d", "#5b7553", "#7a5c8e", "#8c6d62"), "0.6"


def colour(name: str, number: int) -> str:
    """The colour of a column, the untrained shape's grey."""
    return _ACCENT if name == MODEL else _FAINT if name == UNTRAINED else _OTHERS[number % len(_OTHERS)]


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Mapping[str, Estimate]], level: tuple[float, str] | None = None
) -> Any:
    """One line for each of `series`, over the names of its points, with a band for the 95% interval; `level` is drawn across."""
    drawn, found = axes(title, x_label, y_label)
    names = list(dict.fromkeys(name for points in series.values() for name in points))
    for number, (label, points) in enumerate(series.items()):
        at = [names.index(name) for name in points]
        low, high = np.array([one.interval for one in points.values()]).T
        shade = colour(label, number)
        found.plot(at, [one.value for one in points.values()], marker="o", ms=4, color=shade, label=label)
        found.fill_between(at, low, high, color=shade, alpha=0.15, lw=0)
    if level:
        found.axhline(level[0], color="0.3", lw=1, ls="--", label=level[1])
    found.set_xticks(range(len(names)), names)
    found.tick_params(labelsize=8)
    found.legend(frameon=False, fontsize=8)
    return drawn


def dots(title: str, x_label: str, rows: Mapping[str, Mapping[str, Estimate]], level: tuple[float, str] | None = None) -> Any:
    """For each of `rows` a dot with its 95% interval for every column; `level` is drawn down."""
    drawn, found = axes(title, x_label, "")
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    drawn.set_figheight(1.1 + (0.13 * len(columns) + 0.12) * len(rows))
    for number, name in enumerate(columns):
        shade, offset = colour(name, number), 0.7 * ((number + 0.5) / len(columns) - 0.5)
        for place, row in enumerate(rows.values()):
            if name in row:
                found.plot(row[name].interval, [place + offset] * 2, color=shade, lw=1.6)
                found.plot([row[name].value], [place + offset], "o", ms=3.5, color=shade)
        found.plot([], [], "o", ms=3.5, color=shade, label=name)
    if level:
        found.axvline(level[0], color="0.3", lw=1, ls="--", label=level[1])
    found.set_yticks(range(len(rows)), rows)
    found.set_ylim(len(rows) - 0.5, -0.5)
    found.tick_params(labelsize=8)
    found.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


def heat_map(
    title: str, x_label: str, y_label: str, columns: Sequence[str], rows: Sequence[str], values: npt.NDArray[np.float64], chance: float
) -> Any:
    """Values (rows, columns) from `chance` (white) to 1 (full colour), each written into its cell."""
    from matplotlib.figure import Figure

    drawn: Any = Figure(figsize=(5.2, 0.9 + 0.42 * len(rows)), layout="constrained")
    found = drawn.subplots()
    found.imshow(np.clip((values - chance) / (1 - chance), 0, 1), cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for row, column in np.ndindex(values.shape):
        found.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", fontsize=8)
    found.set_xticks(range(len(columns)), columns)
    found.set_yticks(range(len(rows)), rows)
    found.tick_params(labelsize=8, length=0)
    found.spines[:].set_visible(False)
    found.set_title(title, loc="left", fontsize=10)
    found.set_xlabel(x_label, fontsize=8.5)
    found.set_ylabel(y_label, fontsize=8.5)
    return drawn


def estimate_curves(
    title: str,
    x_label: str,
    y_label: str,
    of: Mapping[str, Sequence[Estimate]],
    *,
    is_global: Sequence[bool] = (),
    beside: Mapping[str, tuple[str, Sequence[Estimate]]] | None = None,
) -> Any:
    """A curve with intervals for each name; layers that `is_global` marks stand on a shade.

    `beside` has for a name in `of` what is drawn dashed in its colour, and how that is called.
    """
    drawn, found = axes(title, x_label, y_label)
    mark_global(found, is_global)
    for number, (name, estimates) in enumerate(of.items()):
        values = np.array([one.value for one in estimates])
        errors = np.abs(np.array([one.interval for one in estimates]).T - values)
        at, shade = np.arange(len(values)), colour(name, number)
        found.errorbar(at + 0.06 * number, values, errors, color=shade, lw=1.6, marker="o", ms=4, capsize=2, label=name)
        if beside and name in beside:
            called, others = beside[name]
            found.plot(at + 0.06 * number, [one.value for one in others], color=shade, lw=1.2, ls="--", label=called)
    found.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


def interval_panels(of: Mapping[str, Mapping[str, Estimate]], ours: str) -> Any:
    """For each figure that all names have, their values with their intervals, below each other; `ours` is the name that stands out."""
    from matplotlib.figure import Figure

    names = list(of)
    keys = [key for key in of[names[0]] if all(key in one for one in of.values())]
    drawn: Any = Figure(figsize=(9.6, 0.55 + 0.28 * len(names)), layout="constrained")
    panels = drawn.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for panel, key in zip(panels, keys, strict=True):
        for row, name in enumerate(names):
            one = of[name][key]
            panel.plot(one.interval, [row, row], color=_ACCENT if name == ours else "0.55", lw=2)
            panel.plot([one.value], [row], "o", ms=4, color=_ACCENT if name == ours else "0.35")
        panel.set_title(key.replace("_", " "), fontsize=7.5)
        panel.tick_params(labelsize=7)
        panel.locator_params(axis="x", nbins=3)
        panel.grid(axis="x", alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return drawn


def mark_global(found: Any, is_global: Sequence[bool]) -> None:
    """A shade behind each global layer, on axes whose x is the layer."""
    for number, layer in enumerate(number for number, marked in enumerate(is_global) if marked):
        found.axvspan(layer - 0.4, layer + 0.4, color="0.93", lw=0, label="global layers" if not number else None)
    found.xaxis.get_major_locator().set_params(integer=True)
