"""Findings about code tables -> their section."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from clinical_modernbert.analysis.codes import maps
from clinical_modernbert.analysis.codes.alignment import Aligned, align
from clinical_modernbert.analysis.codes.alignment_finding import alignment_finding, alignment_metrics
from clinical_modernbert.analysis.codes.answers import FIGURES, Findings, analyze_codes, contenders
from clinical_modernbert.analysis.codes.by_layer import LayerFindings, analyze_layers
from clinical_modernbert.analysis.codes.gem import read_gem
from clinical_modernbert.analysis.codes.layer_finding import layer_finding, layer_metrics
from clinical_modernbert.analysis.drawing import interval_panels
from clinical_modernbert.analysis.section import Finding, Plot, Section, Table, plain
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Subject
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.progress import Progress
from clinical_modernbert.sources import Codes
from clinical_modernbert.tasks.code_tables import read_tables

MAPPED = 2000
"""Codes of each table that are drawn on a map."""

ABOUT = (
    "A map by chapter looks good for an untrained model too, because sibling codes share words. So every figure stands beside the same "
    "shape untrained (mean of three seeds), beside the mean of the model's own token embeddings without any layer, and beside the "
    "references. Below each value: its 95% bootstrap interval over questions; a sentence that tells the model from its untrained shape "
    "allows for one more seed as well. Figures that spelling alone does not give come first. Retrieval asks about "
    "concepts that no training pair and no training document named by these synonyms, if the model's corpus held out the same ones."
)


LIMITS = (
    "Questions about descriptions say what vectors know of names, not of patients. ICD-10-PCS builds its names from a few hundred parts, "
    "and seven of eight of its codes are of one section; HCPCS has no hierarchy below its chapters but the order of its numbers."
)


def codes(subject: Subject, progress: Progress) -> Section:
    """What pooled vectors of code descriptions know."""
    held_out = subject.opened_corpus.manifest.settings if subject.corpus else {}
    chosen = {name: held_out[name] for name in ("held_out_concepts", "seed") if name in held_out}
    given = subject.tables or [Codes(system="icd10cm"), Codes(system="hpo")]
    gem = read_gem(subject.gem) if subject.gem else None
    tables = [table for source in given for table in read_tables(source, **chosen)]
    by_system = {table.system: table for table in reversed(tables)}
    both = [by_system[system] for system in ("ICD-9-CM", "ICD-10-CM") if system in by_system]
    if gem is not None and len(both) < 2:
        raise ConfigError("--gem needs both systems. Pass --table cms-icd9=PATH and --table icd10cm.")
    compared = contenders(subject.encoder, subject.compared, progress)
    mapped = MAPPED if find_spec("sklearn") else 0
    limit = subject.limit or 6000
    how = {"limit": limit, "max_mapped": mapped, "seed": subject.seed}
    return codes_section(
        [analyze_codes(table, compared, **how, progress=progress) for table in tables],
        [analyze_layers(table, subject.encoder, limit=limit, seed=subject.seed, progress=progress) for table in tables],
        align(both[0], both[1], compared, gem=gem, limit=limit, seed=subject.seed, progress=progress) if len(both) == 2 else None,
    )


def codes_section(findings: Sequence[Findings], layers: Sequence[LayerFindings] = (), aligned: Aligned | None = None) -> Section:
    """The section on codes: for each table the figures, a plot of the intervals, maps, and one plain sentence of reading."""
    of_layers = {found.system: layer_metrics(found) for found in layers}
    of_tables = {found.table.system: metrics(found) for found in findings}
    more = {"by_layer": of_layers} if layers else {}
    return Section(
        name="codes",
        title="Codes: what pooled vectors of descriptions know",
        about=ABOUT,
        findings=[*map(_finding, findings), *map(layer_finding, layers), *([alignment_finding(aligned)] if aligned else [])],
        metrics=of_tables | more | ({"alignment": alignment_metrics(aligned)} if aligned else {}),
        limits=LIMITS,
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
        plots=[Plot(f"codes-{system}", interval_panels({name: one.estimates for name, one in found.figures.items()}, MODEL))],
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
        model, untrained = (found.figures[who].estimates.get(key) for who in (MODEL, UNTRAINED))
        if model is None or untrained is None:
            continue
        verdict = ("not distinguishable from", "better than", "worse than")[model.against(untrained)]
        parts.append(f"at {what} the model is {verdict} its untrained shape ({model.value:.3f} against {untrained.value:.3f})")
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if parts else "This table has too few synonyms for retrieval questions."
