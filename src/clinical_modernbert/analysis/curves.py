"""Estimates -> figures of matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.export.page import axes

COLOURS = ("#1f6f8b", "0.45", "#b5651d", "#6b4c9a", "#3c7a3c", "#a03050")


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
        at, colour = np.arange(len(values)), COLOURS[number % len(COLOURS)]
        found.errorbar(at + 0.06 * number, values, errors, color=colour, lw=1.6, marker="o", ms=4, capsize=2, label=name)
        if beside and name in beside:
            called, others = beside[name]
            found.plot(at + 0.06 * number, [one.value for one in others], color=colour, lw=1.2, ls="--", label=called)
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
            panel.plot(one.interval, [row, row], color=COLOURS[0] if name == ours else "0.55", lw=2)
            panel.plot([one.value], [row], "o", ms=4, color=COLOURS[0] if name == ours else "0.35")
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
