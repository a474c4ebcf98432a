"""Positions of codes -> maps coloured by chapter, as SVG whose dots say what they are, and as PNG."""

import colorsys
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from clinical_modernbert.tasks.code_tables import Concept

_SIZE = 400


def colours(concepts: Sequence[Concept]) -> dict[str, str]:
    """A colour for each chapter, by the golden angle, so that neighbours in the list differ."""
    chapters = sorted({concept.chapter for concept in concepts})
    return {chapter: f"hsl({i * 137.508 % 360:.0f}, {60 + 15 * (i % 2)}%, {42 + 12 * (i % 3)}%)" for i, chapter in enumerate(chapters)}


def draw_svg(placed: npt.NDArray[np.float64], concepts: Sequence[Concept]) -> Markup:
    """An SVG element; each dot's title is the code and its description."""
    low, high = placed.min(0), placed.max(0)
    at = 4 + (_SIZE - 8) * (placed - low) / np.maximum(high - low, 1e-9)
    colour = colours(concepts)
    groups = []
    for chapter in colour:
        members = [i for i, concept in enumerate(concepts) if concept.chapter == chapter]
        titles = [escape(f"{concepts[i].code} {concepts[i].name}") for i in members]
        places = [f'cx="{at[i, 0]:.1f}" cy="{_SIZE - at[i, 1]:.1f}"' for i in members]
        dots = (f'<circle {place} r="2.2"><title>{title}</title></circle>' for place, title in zip(places, titles, strict=True))
        groups.append(f'<g fill="{colour[chapter]}" fill-opacity=".75">{"".join(dots)}</g>')
    return Markup(f'<svg class="map" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" role="img">{"".join(groups)}</svg>')


def draw_png(placed: npt.NDArray[np.float64], concepts: Sequence[Concept], title: str) -> Any:
    """The same map as a figure of matplotlib, for a picture."""
    from matplotlib.figure import Figure

    colour = {chapter: _rgb(hsl) for chapter, hsl in colours(concepts).items()}
    drawn: Any = Figure(figsize=(6, 6), layout="constrained")
    found = drawn.subplots()
    found.scatter(placed[:, 0], placed[:, 1], s=7, c=[colour[concept.chapter] for concept in concepts], alpha=0.75, linewidths=0)
    found.set_title(title, loc="left", fontsize=10)
    found.set_axis_off()
    return drawn


def _rgb(hsl: str) -> tuple[float, float, float]:
    hue, saturation, lightness = (float(part) for part in re.findall(r"[\d.]+", hsl))
    return colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100)
