"""Findings about weights -> their section."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.drawing import estimate_curves
from clinical_modernbert.analysis.layers import state_name
from clinical_modernbert.analysis.section import Cell, Finding, Plot, Section, Table, listed, plain
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Subject
from clinical_modernbert.analysis.weights import figures, measures
from clinical_modernbert.analysis.weights.material import Material, gather
from clinical_modernbert.analysis.weights.matrices import MATRICES
from clinical_modernbert.analysis.weights.measures import Geometry, Matrices, core
from clinical_modernbert.analysis.weights.words import FEWEST_WORDS, Drift
from clinical_modernbert.progress import Progress

Floats = npt.NDArray[np.float64]

SHOWN = ("relative_entropy", "distance", "similarity")
"""Figures of attention with a finding of their own."""

LIMITS = (
    "Weights that moved far need not have learnt much, nor those that stayed little: rows can be scaled or turned without any effect on "
    "the answers. Ranges of random restarts come from three seeds, intervals from drawing documents or words; neither says what another "
    "training run would give. Attention weights say what is read, not what is used of it. Linear CKA is ruled by the directions of "
    "greatest variance and stays above 0 for unrelated states when there are few of them. Embeddings of rare words move less whatever "
    "they mean."
)


def weights(subject: Subject, progress: Progress) -> Section:
    """What training changed in the weights, layer by layer."""
    material = gather(subject)
    is_global = [core(material.model).config.is_global(layer) for layer in range(len(core(material.model).layers))]
    matrices = measures.measure_matrices(material, progress)
    attention = measures.measure_attention(material, subject.seed, progress)
    drift = measures.measure_drift(material, subject.seed)
    geometry = measures.measure_geometry(material, subject.seed, progress)
    return Section(
        name="weights",
        title="Weights: what training changed, layer by layer",
        about=about(material),
        findings=[
            distance_finding(matrices, is_global, material),
            angle_finding(matrices, is_global, material),
            rank_finding(matrices, is_global),
            *(attention_finding(attention, name, is_global) for name in SHOWN if name in attention[MODEL]),
            drift_finding(drift, material),
            within_finding(geometry),
            between_finding(geometry),
        ],
        metrics=metrics(material, matrices, attention, drift, geometry, is_global),
        limits=LIMITS,
    )


def about(material: Material) -> str:
    """What is measured, how, and beside what."""
    start = (
        f"The start weights are those of {material.start_name}"
        if material.start_given
        else "No start weights of this shape were given (--reference), so random weights stand in for them: a distance to them says that "
        "the model is elsewhere, not how it came there"
    )
    tokens = sum(len(ids) for ids in material.documents)
    return (
        f"{start}. Every number stands beside the same shape drawn at random from three seeds: what chance alone gives; what is "
        "called distinguishable from untrained is farther from their mean than the texts and one more seed explain. Attention and "
        f"states were read on {len(material.texts)} {material.texts_name}, {tokens:,} tokens. Below an estimate: its 95% bootstrap "
        "interval over documents or words."
    )


def metrics(
    material: Material,
    matrices: Matrices,
    attention: Mapping[str, Mapping[str, Sequence[Estimate]]],
    drift: Mapping[str, Drift],
    geometry: Geometry,
    is_global: Sequence[bool],
) -> dict[str, Any]:
    """What `metrics.json` holds."""
    return {
        "start": material.start_name,
        "start_given": material.start_given,
        "texts": material.texts_name,
        "documents": len(material.texts),
        "tokens": sum(len(ids) for ids in material.documents),
        "global_layers": [layer for layer, marked in enumerate(is_global) if marked],
        "distance_to_start": _by_matrix(matrices.apart.distance),
        "distance_between_restarts": _range([one.distance for one in matrices.restarts_apart]),
        "angle_to_start": _by_matrix(matrices.apart.angle),
        "angle_between_restarts": _range([one.angle for one in matrices.restarts_apart]),
        "effective_rank": _by_matrix(matrices.effective_rank),
        "effective_rank_of_restarts": _range(matrices.restarts_effective_rank),
        "spectra": {name: matrices.spectra[:, column].round(4).tolist() for column, name in enumerate(MATRICES)},
        "spectra_of_restarts": {
            name: matrices.restarts_spectra[:, column].mean(0).round(4).tolist() for column, name in enumerate(MATRICES)
        },
        "attention": {who: {name: listed(of) for name, of in found.items()} for who, found in attention.items()},
        "drift": {
            who: {"clinical_words": len(one.of_clinical), "common_words": len(one.of_common)}
            | plain({"clinical": one.clinical, "common": one.common, "difference": one.difference})
            for who, one in drift.items()
        },
        "cka_within": {MODEL: geometry.within.round(4).tolist(), UNTRAINED: geometry.restarts_within.round(4).tolist()},
        "cka_between": {pair: listed(of) for pair, of in geometry.between.items()},
    }


def _by_matrix(values: Floats) -> dict[str, list[float]]:
    return {name: values[:, column].round(4).tolist() for column, name in enumerate(MATRICES)}


def _range(several: Sequence[Floats]) -> dict[str, list[float]]:
    """The mean over matrices by layer: the lowest and the highest of the restarts."""
    means = np.array([one.mean(1) for one in several])
    return {"lowest": means.min(0).round(4).tolist(), "highest": means.max(0).round(4).tolist()}


def distance_finding(found: Matrices, is_global: Sequence[bool], material: Material) -> Finding:
    """How far each layer is from the start."""
    what = "relative norm of the difference"
    reading = _extremes(found.apart.distance, [one.distance for one in found.restarts_apart], "from the start by a relative norm of", "")
    title = f"Distance from {material.start_name}"
    return _matrix_finding(
        "weights-distance", title, what, reading, found.apart.distance, [one.distance for one in found.restarts_apart], is_global
    )


def angle_finding(found: Matrices, is_global: Sequence[bool], material: Material) -> Finding:
    """How far the leading singular subspaces turned."""
    chance = [one.angle for one in found.restarts_apart]
    reading = _extremes(found.apart.angle, chance, "from the start by leading directions at an angle of", " degrees")
    title = f"Angles between leading singular subspaces and those of {material.start_name}"
    return _matrix_finding("weights-angles", title, "mean principal angle, degrees", reading, found.apart.angle, chance, is_global)


def rank_finding(found: Matrices, is_global: Sequence[bool]) -> Finding:
    """How evenly the singular values are spread."""
    model, chance = found.effective_rank, np.mean(found.restarts_effective_rank, axis=0)
    lost = model.mean(0) - chance.mean(0)
    spread = np.ptp([one.mean(0) for one in found.restarts_effective_rank], axis=0).max()
    most = int(np.abs(lost).argmax())
    change = "fell below" if lost[most] < -spread else "rose above" if lost[most] > spread else "is not distinguishable from"
    reading = (
        f"The effective rank of the {MATRICES[most]} {change} that of random weights: {model[:, most].mean():.3f} of the possible rank "
        f"against {chance[:, most].mean():.3f}; over all matrices {model.mean():.3f} against {chance.mean():.3f}."
    )
    title, what = "Spectra and effective rank", "effective rank / full rank"
    finding = _matrix_finding("weights-effective-rank", title, what, reading, model, found.restarts_effective_rank, is_global)
    caption = "Singular values over the largest one; a line for each layer, later layers darker; dashed: random weights."
    plots = [Plot("weights-spectra", figures.spectra_panels(found.spectra, found.restarts_spectra), caption), *finding.plots]
    return Finding(finding.title, finding.reading, finding.tables, plots)


def _extremes(model: Floats, chance: Sequence[Floats], verb: str, unit: str) -> str:
    """Which layer is farthest, which nearest, and what chance gives."""
    means, by_chance = model.mean(1), np.array([one.mean(1) for one in chance])
    far, near = int(means.argmax()), int(means.argmin())
    matrix = MATRICES[int(model.mean(0).argmax())]
    beyond, within = int((means > by_chance.max(0)).sum()), int((means < by_chance.min(0)).sum())
    return (
        f"Layer {far} is farthest {verb} {means[far]:.3g}{unit}, layer {near} is nearest ({means[near]:.3g}{unit}); of the matrices "
        f"{matrix} is farthest ({model.mean(0).max():.3g}{unit}). Two random starts are {by_chance.min():.3g} to {by_chance.max():.3g}"
        f"{unit} apart: {beyond} of {len(means)} layers are farther from the start than that, {within} nearer."
    )


def _matrix_finding(
    stem: str, title: str, what: str, reading: str, model: Floats, chance: Sequence[Floats], is_global: Sequence[bool]
) -> Finding:
    means = np.array([one.mean(1) for one in chance])
    rows: list[list[Cell]] = [
        [_layer_name(layer, is_global), *map(float, row), float(row.mean()), float(means[:, layer].min()), float(means[:, layer].max())]
        for layer, row in enumerate(model)
    ]
    head = ["layer", *MATRICES, "mean", "random, lowest", "random, highest"]
    drawn = figures.matrix_curves(title, what, model, chance, is_global, "random, range of means")
    return Finding(title, reading, [Table(head, rows, f"{what}; random: three seeds, mean over the matrices.")], [Plot(stem, drawn)])


def attention_finding(attention: Mapping[str, Mapping[str, Sequence[Estimate]]], name: str, is_global: Sequence[bool]) -> Finding:
    """One figure of attention by layer, beside the untrained shape."""
    of = {who: found[name] for who, found in attention.items()}
    what = measures.FIGURES[name]
    parts = [
        f"in {kind} layers {_mean(of[MODEL], chosen):.3g} against {_mean(of[UNTRAINED], chosen):.3g} untrained"
        for kind, chosen in (
            ("global", [i for i, g in enumerate(is_global) if g]),
            ("local", [i for i, g in enumerate(is_global) if not g]),
        )
        if chosen
    ]
    apart = [layer for layer in range(len(is_global)) if of[MODEL][layer].against(of[UNTRAINED][layer])]
    verdict = f"{len(apart)} of {len(is_global)} layers are distinguishable from untrained ones"
    rows: list[list[Cell]] = [[_layer_name(layer, is_global), *(found[layer] for found in of.values())] for layer in range(len(is_global))]
    return Finding(
        title=what,
        reading=f"{what}: {', '.join(parts)}; {verdict}.",
        tables=[Table(["layer", *of], rows)],
        plots=[
            Plot(
                f"weights-attention-{name.replace('_', '-')}",
                estimate_curves(what, "layer", name.replace("_", " "), of, is_global=is_global),
            )
        ],
    )


def _mean(estimates: Sequence[Estimate], chosen: Sequence[int]) -> float:
    return float(np.mean([estimates[i].value for i in chosen]))


def drift_finding(drift: Mapping[str, Drift], material: Material) -> Finding:
    """Whether the embeddings of clinical words moved more than those of common ones."""
    title = "Drift of the embeddings of clinical and common words"
    if not drift:
        return Finding(title, f"Of one kind of words fewer than {FEWEST_WORDS} are single tokens of this tokenizer: too few to tell.")
    one = drift[MODEL]
    low, high = one.difference.interval
    verdict = "more than" if low > 0 else "less than" if high < 0 else "no farther or less far, as far as can be told, than"
    reading = (
        f"Embeddings of clinical words moved {verdict} those of common words: {one.clinical.value:.3f} against {one.common.value:.3f} of "
        f"their first length (difference {one.difference.value:+.3f}, {low:+.3f} to {high:+.3f}); between two random starts the difference "
        f"is {drift[UNTRAINED].difference.value:+.3f}."
    )
    colours = {MODEL: "#1f6f8b", UNTRAINED: "0.5"}
    curves = {
        f"{who if who != UNTRAINED else 'two random starts'}, {kind} words": (values, colours[who], style)
        for who, found in drift.items()
        for kind, values, style in (("clinical", found.of_clinical, "-"), ("common", found.of_common, ":"))
    }
    rows: list[list[Cell]] = [
        [who if who != UNTRAINED else "two random starts", found.clinical, found.common, found.difference] for who, found in drift.items()
    ]
    note = (
        f"{len(one.of_clinical):,} content words of names in ICD-10-CM and HPO, weighed by 1 / rank, and {len(one.of_common):,} common "
        "words, all single tokens of this tokenizer. Relative distance of a word's embedding from its start."
    )
    drawn = figures.shares_below(f"Embeddings: distance from {material.start_name}", "relative distance", curves)
    return Finding(title, reading, [Table(["", "clinical", "common", "difference"], rows, note)], [Plot("weights-drift", drawn)])


def within_finding(geometry: Geometry) -> Finding:
    """How alike the layers of one model are."""
    steps = np.diagonal(geometry.within, 1)
    break_at = int(steps.argmin())
    reading = (
        f"The greatest change from one state to the next is {state_name(break_at)} to {state_name(break_at + 1)} (CKA "
        f"{steps[break_at]:.2f}; untrained {np.diagonal(geometry.restarts_within, 1)[break_at]:.2f}); embeddings and last layer have a CKA "
        f"of {geometry.within[0, -1]:.2f} (untrained {geometry.restarts_within[0, -1]:.2f})."
    )
    maps = {MODEL: geometry.within, f"{UNTRAINED}, mean of three seeds": geometry.restarts_within}
    caption = "0: after the embeddings; the last: after the final norm."
    plot = Plot("weights-cka-layers", figures.heat_maps(maps, "state after layer"), caption)
    return Finding("Likeness of the states of layers (linear CKA)", reading, plots=[plot])


def between_finding(geometry: Geometry) -> Finding:
    """How alike models are at equal depth."""
    last = {pair: of[-1] for pair, of in geometry.between.items()}
    said = "; ".join(f"{pair} {one.value:.2f} ({one.interval[0]:.2f} to {one.interval[1]:.2f})" for pair, one in last.items())
    number = len(next(iter(geometry.between.values())))
    rows: list[list[Cell]] = [[state_name(state), *(of[state] for of in geometry.between.values())] for state in range(number)]
    drawn = estimate_curves("States of two models at equal depth", "state after layer", "linear CKA", geometry.between)
    return Finding(
        "Likeness of the states of models (linear CKA)",
        f"CKA of the last states: {said}.",
        [Table(["state", *geometry.between], rows)],
        [Plot("weights-cka-models", drawn)],
    )


def _layer_name(layer: int, is_global: Sequence[bool]) -> str:
    return f"{layer} ({'global' if is_global[layer] else 'local'})"
