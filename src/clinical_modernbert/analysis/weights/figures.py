"""Numbers by layer -> figures of matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.drawing import mark_global
from clinical_modernbert.analysis.weights.matrices import MATRICES
from clinical_modernbert.export.page import axes

Floats = npt.NDArray[np.float64]

_OURS, _CHANCE = "#1f6f8b", "0.45"


def matrix_curves(title: str, y_label: str, model: Floats, chance: Sequence[Floats], is_global: Sequence[bool], chance_name: str) -> Any:
    """(layers, matrices) of the model, a dot each and a line for their mean, over the range of the same mean by chance."""
    drawn, found = axes(title, "layer", y_label)
    mark_global(found, is_global)
    at = np.arange(len(model))
    for column, name in enumerate(MATRICES):
        found.plot(at, model[:, column], marker="ov^<>sd"[column], ls="none", ms=4, alpha=0.55, color=_OURS, label=name)
    found.plot(at, model.mean(1), color=_OURS, lw=1.8, label="model, mean")
    means = np.array([one.mean(1) for one in chance])
    found.fill_between(at, means.min(0), means.max(0), color=_CHANCE, alpha=0.35, lw=2, label=chance_name)
    found.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


def spectra_panels(model: Floats, chance: Floats) -> Any:
    """(layers, matrices, points) of model and, dashed, of random weights: a panel a matrix, a line a layer, later ones darker."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    drawn: Any = Figure(figsize=(10.2, 2.6), layout="constrained")
    panels = drawn.subplots(1, len(MATRICES), sharey=True)
    at = np.linspace(0, 100, model.shape[2])
    shades = colormaps["Blues"](np.linspace(0.35, 1, len(model)))
    for panel, column in zip(panels, range(len(MATRICES)), strict=True):
        for layer in range(len(model)):
            panel.plot(at, model[layer, column], color=shades[layer], lw=1)
        panel.plot(at, chance[:, column].mean(0), color=_CHANCE, lw=1.6, ls="--")
        panel.set_title(MATRICES[column], fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("singular value / largest", fontsize=8)
    drawn.supxlabel("rank, % of all", fontsize=8)
    return drawn


def shares_below(title: str, x_label: str, of: Mapping[str, tuple[Floats, str, str]]) -> Any:
    """For each name the share of values below x; with each its colour and line style."""
    drawn, found = axes(title, x_label, "share of words below")
    for name, (values, colour, style) in of.items():
        found.step(np.sort(values), np.arange(1, len(values) + 1) / len(values), where="post", color=colour, ls=style, label=name)
    found.legend(fontsize=8)
    return drawn


def heat_maps(of: Mapping[str, Floats], label: str) -> Any:
    """Square tables of numbers from 0 to 1 side by side, darker for more."""
    from matplotlib.figure import Figure

    drawn: Any = Figure(figsize=(3.9 * len(of) + 0.8, 3.6), layout="constrained")
    panels = drawn.subplots(1, len(of), squeeze=False)[0]
    for panel, (name, values) in zip(panels, of.items(), strict=True):
        shown = panel.imshow(values, cmap="Blues", vmin=0, vmax=1, origin="lower")
        panel.set_title(name, fontsize=9, loc="left")
        panel.set_xlabel(label, fontsize=8)
        panel.set_ylabel(label, fontsize=8)
        panel.tick_params(labelsize=7)
        if len(values) <= 10:
            for (row, column), value in np.ndenumerate(values):
                panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color="white" if value > 0.6 else "black")
    drawn.colorbar(shown, ax=panels, shrink=0.8)
    return drawn
