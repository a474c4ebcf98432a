"""Findings -> `index.html`, `metrics.json`, figures as PNG and SVG."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from clinical_modernbert import __version__, atomic
from clinical_modernbert.analysis import maps
from clinical_modernbert.analysis.codes import FIGURES, MODEL, UNTRAINED, Findings
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.export.page import environment, svg

FORMAT_VERSION = 1


def metrics(findings: Sequence[Findings]) -> dict[str, Any]:
    """What `metrics.json` holds: for each table the questions, and for each encoder every figure with its 95% interval."""
    return {
        "format_version": FORMAT_VERSION,
        "clinical_modernbert": __version__,
        "codes": {
            found.table.system: {
                "concepts": len(found.table.concepts),
                "questions": found.asked,
                "majority_chapter": round(found.majority, 4),
                "encoders": {name: _plain(figures.estimates) for name, figures in found.figures.items()},
                "model_over_untrained": _plain({f: ratio for f in FIGURES if (ratio := found.ratio(MODEL, f)) is not None}),
            }
            for found in findings
        },
    }


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {
        name: {"value": round(one.value, 4), "low": round(one.interval[0], 4), "high": round(one.interval[1], 4)}
        for name, one in estimates.items()
    }


def codes_section(findings: Sequence[Findings]) -> Markup:
    """The section on codes: tables, a plot of the intervals, maps, and one plain sentence of reading for each table."""
    template = environment(__package__).get_template("codes.html.jinja")
    shown = [
        {
            "found": found,
            "rows": [(label, key) for key, label in FIGURES.items() if any(key in one.estimates for one in found.figures.values())],
            "reading": reading(found),
            "plot": svg(intervals(found)),
            "maps": {name: maps.draw_svg(one.map, found.mapped) for name, one in found.figures.items() if one.map is not None},
            "colours": maps.colours(found.mapped),
        }
        for found in findings
    ]
    return Markup(template.render(tables=shown))


def reading(found: Findings) -> str:
    """One sentence that says what the table shows, made from its numbers."""
    parts = []
    for key, what in (
        ("mrr", "finding a term from a synonym that shares no word with it"),
        ("pair_auc", "telling chapters apart without shared words"),
    ):
        ratio, model, untrained = found.ratio(MODEL, key), *(found.figures[who].estimates.get(key) for who in (MODEL, UNTRAINED))
        if ratio is None or model is None or untrained is None:
            continue
        low, high = ratio.interval
        verdict = "better than" if low > 1 else "worse than" if high < 1 else "not distinguishable from"
        parts.append(f"at {what} the model is {verdict} its untrained shape ({model.value:.3f} against {untrained.value:.3f})")
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if parts else "This table has too few synonyms for retrieval questions."


def intervals(found: Findings) -> Any:
    """A figure of matplotlib: for each question the encoders' values with their intervals."""
    from matplotlib.figure import Figure

    keys = [key for key in FIGURES if all(key in one.estimates for one in found.figures.values())]
    names = list(found.figures)
    drawn = Figure(figsize=(9.6, 0.55 + 0.28 * len(names)), layout="constrained")
    panels = drawn.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for panel, key in zip(panels, keys, strict=True):
        for row, name in enumerate(names):
            one = found.figures[name].estimates[key]
            panel.plot(one.interval, [row, row], color="#1f6f8b" if name == MODEL else "0.55", lw=2)
            panel.plot([one.value], [row], "o", ms=4, color="#1f6f8b" if name == MODEL else "0.35")
        panel.set_title(key.replace("_", " "), fontsize=7.5)
        panel.tick_params(labelsize=7)
        panel.locator_params(axis="x", nbins=3)
        panel.grid(axis="x", alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return drawn


def write_report(output: Path, findings: Sequence[Findings], model: Path, references: Mapping[str, Path]) -> Path:
    """Write the report of `analyze codes` into the folder `output`; returns its page."""
    for found in findings:
        _write_figures(output / "figures", found)
    page = (
        environment(__package__)
        .get_template("analysis.html.jinja")
        .render(sections=[codes_section(findings)], model=model, references=references, version=__version__)
    )
    atomic.write_json(output / "metrics.json", metrics(findings))
    atomic.write_text(output / "index.html", page)
    return output / "index.html"


def _write_figures(folder: Path, found: Findings) -> None:
    system = found.table.system.lower()
    plot = intervals(found)
    atomic.write_text(folder / f"codes-{system}.svg", str(svg(plot)))
    atomic.write_file(folder / f"codes-{system}.png", lambda path: plot.savefig(path, format="png", dpi=150))
    for name, one in found.figures.items():
        if one.map is not None:
            stem = folder / f"map-{system}-{name.replace('/', '-').replace(' ', '-')}"
            atomic.write_text(stem.with_suffix(".svg"), str(maps.draw_svg(one.map, found.mapped)))
            drawn = maps.draw_png(one.map, found.mapped, f"{found.table.system}: {name}")
            atomic.write_file(stem.with_suffix(".png"), partial(drawn.savefig, format="png", dpi=150))
