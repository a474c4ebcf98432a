"""Everything that is measured of the weights, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.layers import AllLayers
from clinical_modernbert.analysis.statistics import Estimate, average, clustered_mean, draw
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.analysis.weights import matrices, similarity, words
from clinical_modernbert.analysis.weights.attention import Attended, attended
from clinical_modernbert.analysis.weights.material import Material
from clinical_modernbert.analysis.weights.matrices import Apart, Decomposed
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model.encoder import ModernBertModel
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.progress import Progress, titled

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matrices:
    """Of the weight matrices: distances to the start and between restarts, effective ranks and spectra of model and restarts."""

    apart: Apart
    restarts_apart: Sequence[Apart]
    effective_rank: Floats
    restarts_effective_rank: Sequence[Floats]
    spectra: Floats
    restarts_spectra: Floats


@dataclass(frozen=True)
class Geometry:
    """CKA: (states, states) within the model and, mean of the restarts, within an untrained one; name of a pair of models -> by state."""

    within: Floats
    restarts_within: Floats
    between: Mapping[str, Sequence[Estimate]]


def core(encoder: Encoder) -> ModernBertModel:
    """The layers of an encoder of ours."""
    assert isinstance(encoder.model, ModernBertForMaskedLM)
    return encoder.model.model


def measure_matrices(material: Material, progress: Progress) -> Matrices:
    """Decompose the matrices of model, start and restarts, and compare them."""
    encoders = [material.model, material.start, *material.restarts]
    found: list[list[dict[str, Decomposed]]] = []
    with progress("Decomposing weights", total=len(encoders), unit="models") as advance:
        for encoder in encoders:
            found.append(matrices.decompose_model(core(encoder)))
            advance(1)
    model, start, *restarts = found
    return Matrices(
        matrices.apart(model, start),
        [matrices.apart(one, other) for one, other in combinations(restarts, 2)],
        matrices.effective_ranks(model),
        [matrices.effective_ranks(one) for one in restarts],
        matrices.spectra(model),
        np.mean([matrices.spectra(one) for one in restarts], axis=0),
    )


FIGURES: Mapping[str, str] = {
    "relative_entropy": "Entropy of attention over that of attending all visible tokens alike",
    "entropy": "Entropy of attention, bits",
    "distance": "Mean attended distance, tokens",
    "similarity": "Likeness of the heads of a layer (1 - Jensen-Shannon divergence)",
}
"""Of attention; key in `metrics.json` -> what it says."""


def measure_attention(material: Material, seed: int, progress: Progress) -> dict[str, dict[str, list[Estimate]]]:
    """Contender -> figure of `FIGURES` -> an estimate for each layer; documents are drawn, heads of a layer averaged."""
    compared = {MODEL: [material.model], UNTRAINED: material.restarts}
    if material.start_given:
        compared[material.start_name] = [material.start]
    documents = material.documents
    return {
        name: averaged([by_layer(attended(one, documents, seed, titled(progress, name)), seed) for one in encoders])
        for name, encoders in compared.items()
    }


def by_layer(found: Attended, seed: int) -> dict[str, list[Estimate]]:
    """An estimate of each figure for each layer; one head alone is like no other."""
    values = {name: getattr(found, name) for name in FIGURES if not np.isnan(getattr(found, name)).any()}
    of_layers = {name: value.mean(-1) if value.ndim == 3 else value for name, value in values.items()}
    number = len(found.similarity)
    draws, each = draw(number, seed), np.arange(number)
    return {name: [clustered_mean(column, each, draws) for column in value.T] for name, value in of_layers.items()}


def averaged(several: Sequence[dict[str, list[Estimate]]]) -> dict[str, list[Estimate]]:
    """The mean over seeds."""
    return {name: [average(layer) for layer in zip(*(one[name] for one in several), strict=True)] for name in several[0]}


def measure_drift(material: Material, seed: int) -> dict[str, words.Drift]:
    """The drift of embeddings from the start, and between two restarts; nothing where too few words are single tokens."""
    chosen = words.Words.of(material.model, material.descriptions)
    if min(len(chosen.clinical), len(chosen.common)) < words.FEWEST_WORDS:
        return {}
    tables = [encoder.model.token_embeddings for encoder in (material.model, material.start, *material.restarts[:2])]
    return {MODEL: words.drift(tables[0], tables[1], chosen, seed), UNTRAINED: words.drift(tables[2], tables[3], chosen, seed)}


def measure_geometry(material: Material, seed: int, progress: Progress) -> Geometry:
    """CKA between the layers of a model, and between models at equal depth, on the states of the same characters."""
    places = similarity.choose_characters([len(text) for text in material.texts], seed)
    document = np.repeat(np.arange(len(places)), [len(one) for one in places])
    draws = draw(len(places), seed)

    def grams(encoder: Encoder, name: str) -> list[similarity.Gram]:
        states = similarity.states_at(AllLayers(encoder), material.texts, places, titled(progress, name))
        return [similarity.Gram.of(of_layer, document) for of_layer in states]

    def at_equal_depth(one: Sequence[similarity.Gram], other: Sequence[similarity.Gram]) -> list[Estimate]:
        depth = np.linspace(0, len(other) - 1, len(one)).round().astype(int)
        return [similarity.cka(gram, other[at], document, draws) for gram, at in zip(one, depth, strict=True)]

    model = grams(material.model, MODEL)
    restarts = [grams(encoder, f"{UNTRAINED}, seed {seed}") for seed, encoder in enumerate(material.restarts)]
    between = {f"{MODEL} and {UNTRAINED}": [average(of) for of in zip(*(at_equal_depth(model, one) for one in restarts), strict=True)]}
    others = {material.start_name: material.start} if material.start_given else {}
    for name, encoder in (others | material.others).items():
        between[f"{MODEL} and {name}"] = at_equal_depth(model, grams(encoder, name))
    pairs = [at_equal_depth(one, other) for one, other in combinations(restarts, 2)]
    between["two untrained"] = [average(of) for of in zip(*pairs, strict=True)]
    return Geometry(_within(model), np.mean([_within(one) for one in restarts], axis=0), between)


def _within(grams: Sequence[similarity.Gram]) -> Floats:
    return np.array([[float((one.products * other.products).sum()) for other in grams] for one in grams])
