"""Findings about code tables -> their section."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from clinical_modernbert.analysis.codes import maps
from clinical_modernbert.analysis.codes.answers import FIGURES, Findings, analyze_codes, contenders
from clinical_modernbert.analysis.section import Finding, Plot, Section, Table, plain
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Subject
from clinical_modernbert.progress import Progress
from clinical_modernbert.sources import Codes
from clinical_modernbert.tasks.code_tables import read_tables

MAPPED = 2000
"""Codes of each table that are drawn on a map."""

ABOUT = (
    "A map by chapter looks good for an untrained model too, because sibling codes share words. So every figure stands beside the same "
    "shape untrained (mean of three seeds), beside the mean of the model's own token embeddings without any layer, and beside the "
    "references. Below each value: its 95% bootstrap interval. Figures that spelling alone does not give come first. Retrieval asks about "
    "concepts that no training pair and no training document named by these synonyms, if the model's corpus held out the same ones."
)


def codes(subject: Subject, progress: Progress) -> Section:
    """What pooled vectors of code descriptions know."""
    held_out = subject.opened_corpus.manifest.settings if subject.corpus else {}
    chosen = {name: held_out[name] for name in ("held_out_concepts", "seed") if name in held_out}
    given = subject.tables or [Codes(system="icd10cm"), Codes(system="hpo")]
    tables = [table for source in given for table in read_tables(source, **chosen)]
    compared = contenders(subject.encoder, subject.compared, progress)
    mapped = MAPPED if find_spec("sklearn") else 0
    how = {"limit": subject.limit or 6000, "max_mapped": mapped, "seed": subject.seed}
    return codes_section([analyze_codes(table, compared, **how, progress=progress) for table in tables])


def codes_section(findings: Sequence[Findings]) -> Section:
    """The section on codes: for each table the figures, a plot of the intervals, maps, and one plain sentence of reading."""
    return Section(
        name="codes",
        title="Codes: what pooled vectors of descriptions know",
        about=ABOUT,
        findings=[_finding(found) for found in findings],
        metrics={found.table.system: metrics(found) for found in findings},
    )


def metrics(found: Findings) -> dict[str, Any]:
    """What `metrics.json` holds of one table: the questions, and for each encoder every figure with its 95% interval."""
    return {
        "concepts": len(found.table.concepts),
        "questions": found.asked,
        "majority_chapter": round(found.majority, 4),
        "encoders": {name: plain(figures.estimates) for name, figures in found.figures.items()},
        "model_over_untrained": plain({f: ratio for f in FIGURES if (ratio := found.ratio(MODEL, f)) is not None}),
    }


def _finding(found: Findings) -> Finding:
    system = found.table.system.lower()
    asked = [key for key in FIGURES if any(key in one.estimates for one in found.figures.values())]
    rows = [[FIGURES[key], *(one.estimates.get(key) for one in found.figures.values())] for key in asked]
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in found.asked.items())
    note = f"{counts}; always the largest chapter: {found.majority:.3f}."
    if not found.mapped:
        note += " No maps: they need scikit-learn (pip install 'clinical-modernbert[analysis]')."
    return Finding(
        title=f"{found.table.system}: {len(found.table.concepts):,} codes",
        reading=reading(found),
        tables=[Table(["figure", *found.figures], rows, note)],
        plots=[Plot(f"codes-{system}", intervals(found))],
        maps=[_map(found, name) for name, one in found.figures.items() if one.map is not None],
        legend=maps.colours(found.mapped),
    )


def _map(found: Findings, name: str) -> Plot:
    placed = found.figures[name].map
    assert placed is not None
    caption = f"{name}: t-SNE of {len(found.mapped):,} codes{', one of the seeds' if name == UNTRAINED else ''}"
    stem = f"map-{found.table.system.lower()}-{name.replace('/', '-').replace(' ', '-')}"
    return Plot(
        stem, maps.draw_png(placed, found.mapped, f"{found.table.system}: {name}"), caption, drawn=maps.draw_svg(placed, found.mapped)
    )


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
