"""Figures of the section on bias. Each takes plain values and gives a figure of matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_modernbert.analysis.bias.associations import Association, Comparison
from clinical_modernbert.analysis.bias.flips import Flips
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL

_COLOURS = ("#1f6f8b", "#b5651d", "0.45", "0.65", "0.8")
"""The model, the first reference, others."""


def sizes(names: Sequence[str], found: Mapping[str, Sequence[Estimate]]) -> Any:
    """For each comparison the size of each model's associations, with its interval."""
    drawn, (panel,) = _panels(1, 0.9 + 0.24 * len(names) * max(2, len(found) * 0.6))
    for number, (name, estimates) in enumerate(found.items()):
        _intervals(panel, estimates, number, len(found), name)
    _rows(panel, names)
    panel.axvline(0, color="0.6", lw=0.8)
    panel.set_xlabel("size of associations (nats)", fontsize=8)
    panel.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(found))
    return drawn


def forest(comparisons: Sequence[Comparison], found: Mapping[str, Sequence[Sequence[Association]]]) -> Any:
    """For each comparison a panel with the attributes' associations; filled where told from 0 after correction."""
    attributes = [f"{one.attribute} (control)" if one.is_control else one.attribute for one in found[MODEL][0]]
    drawn, panels = _panels(len(comparisons), 0.9 + 0.26 * len(attributes))
    for column, (panel, comparison) in enumerate(zip(panels, comparisons, strict=True)):
        for number, (name, of) in enumerate(found.items()):
            _intervals(panel, [one.estimate for one in of[column]], number, len(found), name, [one.is_found for one in of[column]])
        panel.axvline(0, color="0.6", lw=0.8)
        panel.set_title(f"{comparison.names[1]} <     > {comparison.names[0]}", fontsize=8)
        panel.set_xlabel("nats", fontsize=8)
    _rows(panels[0], attributes)
    if len(found) > 1:
        drawn.legend(*panels[0].get_legend_handles_labels(), fontsize=7, frameon=False, loc="outside upper center", ncols=len(found))
    return drawn


def effects(names: Sequence[str], found: Mapping[str, Sequence[float]], chance: Sequence[float]) -> Any:
    """Effect sizes of each model; the grey bars reach as far as untrained models do on average."""
    drawn, (panel,) = _panels(1, 0.9 + 0.2 * len(names))
    panel.barh(range(len(names)), [2 * value for value in chance], left=[-value for value in chance], color="0.9", label="untrained, size")
    for number, (name, values) in enumerate(found.items()):
        colour = _colour(number)
        panel.plot(values, range(len(names)), "o" if name == MODEL else "x", ms=4, color=colour, label=name)
    panel.axvline(0, color="0.6", lw=0.8)
    _rows(panel, names)
    panel.set_xlim(-2, 2)
    panel.set_xlabel("effect size (standard deviations)", fontsize=8)
    panel.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(found) + 1)
    return drawn


def flips(found: Sequence[Flips]) -> Any:
    """How often answers change, between groups and in the control; and the gap in F1."""
    drawn, (rates, gaps) = _panels(2, 1.0 + 0.3 * len(found))
    _intervals(rates, [one.rate for one in found], 0, 2, "another group")
    _intervals(rates, [one.control for one in found], 1, 2, "control")
    rates.set_xlim(left=0)
    rates.set_xlabel("share of answers that flip", fontsize=8)
    rates.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    _intervals(gaps, [one.gap for one in found], 0, 1, "gap")
    gaps.axvline(0, color="0.6", lw=0.8)
    gaps.set_xlabel("F1 about the first group less the second", fontsize=8)
    _rows(rates, [one.name for one in found])
    return drawn


def _panels(count: int, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8.8, height), layout="constrained")
    panels = drawn.subplots(1, count, sharey=True, squeeze=False)[0]
    for panel in panels:
        panel.tick_params(labelsize=7.5)
        panel.grid(axis="x", alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    return drawn, panels


def _rows(panel: Any, names: Sequence[str]) -> None:
    panel.set_yticks(range(len(names)), names, fontsize=7.5)
    panel.set_ylim(len(names) - 0.5, -0.5)


def _intervals(
    panel: Any, estimates: Sequence[Estimate | None], number: int, of: int, label: str, filled: Sequence[bool] | None = None
) -> None:
    """Values with their intervals, a row each, those of several models below one another."""
    colour, shift = _colour(number), (number - (of - 1) / 2) * 0.7 / of
    for row, one in enumerate(estimates):
        if one is None:
            continue
        panel.plot(one.interval, [row + shift] * 2, color=colour, lw=1.4)
        full = filled is None or filled[row]
        panel.plot([one.value], [row + shift], "o", ms=4, color=colour, mfc=colour if full else "white", label=label if row == 0 else None)


def _colour(number: int) -> str:
    return _COLOURS[min(number, len(_COLOURS) - 1)]
