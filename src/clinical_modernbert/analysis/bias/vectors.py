"""Vectors of sentences about groups and attributes -> effect sizes of association tests. Pure but for `encode`.

The Word Embedding Association Test (Caliskan et al. 2017) on vectors of sentences (SEAT, May et al. 2019). A term is one vector, the mean
of its statements', so that sentences of one term are not counted as independent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from clinical_modernbert.analysis.bias.associations import Comparison, comparisons
from clinical_modernbert.analysis.bias.templates import ATTRIBUTE, GROUP, Templates
from clinical_modernbert.analysis.statistics import Floats, false_discovery

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]
NOBODY = "patient"
"""Who the sentences about attributes are about."""
MOST_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class EffectSize:
    """How much nearer the first group is to the first attributes than the second group is, in standard deviations, from -2 to 2.

    `p` is the share of divisions of the terms into two groups whose effect is at least as large, two-sided; `q` corrects it.
    """

    comparison: Comparison
    contrast: str
    value: float
    p: float
    q: float = 1.0


def effect_sizes(templates: Templates, encode: Encode, seed: int = 0) -> list[EffectSize]:
    """For each comparison and contrast."""
    groups = [group for dimension in templates.dimensions for group in dimension.groups]
    terms = [term for group in groups for term in group.terms]
    wordings = [wording for attribute in templates.asked for wording in attribute.wordings]
    said = [frame.replace(GROUP, NOBODY).replace(ATTRIBUTE, wording) for wording in wordings for frame in templates.frames]
    stated = [statement.replace(GROUP, term) for term in terms for statement in templates.statements]
    vectors = encode([*stated, *said]).astype(np.float64)
    of_term = dict(zip(terms, _means(vectors[: len(stated)], len(templates.statements)), strict=True))
    of_wording = dict(zip(wordings, _means(vectors[len(stated) :], len(templates.frames)), strict=True))
    found = []
    for comparison in comparisons(templates):
        sides = [comparison.dimension.groups[number].terms for number in (comparison.first, comparison.second)]
        x, y = (np.stack([of_term[term] for term in side]) for side in sides)
        for contrast in templates.contrasts:
            a, b = (np.stack([of_wording[one] for one in templates.wordings(names)]) for names in (contrast.first, contrast.second))
            value, p = association_test(x, y, a, b, seed)
            found.append(EffectSize(comparison, contrast.name, value, p))
    corrected = false_discovery(np.array([one.p for one in found]))
    return [replace(one, q=float(q)) for one, q in zip(found, corrected, strict=True)]


def association_test(x: Floats, y: Floats, a: Floats, b: Floats, seed: int = 0) -> tuple[float, float]:
    """Effect size and two-sided permutation p of groups x, y (terms, hidden) and attributes a, b (wordings, hidden); equal groups."""
    nearness = _unit(np.concatenate([x, y])) @ (_unit(a).mean(0) - _unit(b).mean(0))
    spread = float(nearness.std(ddof=1))
    if spread < 1e-12:
        return 0.0, 1.0
    differences = np.array([nearness[first].mean() - np.delete(nearness, first).mean() for first in _divisions(len(x), seed)])
    observed = float(nearness[: len(x)].mean() - nearness[len(x) :].mean())
    return observed / spread, float((np.abs(differences) >= abs(observed) - 1e-12).mean())


def smallest_p(size: int) -> float:
    """What `association_test` gives at the least for groups of `size` terms."""
    return max(2 / comb(2 * size, size), 1 / MOST_PERMUTATIONS)


def _divisions(size: int, seed: int) -> list[list[int]]:
    """Ways to take half of 2 x `size` terms: all, or as many by chance, the one that is there first."""
    if comb(2 * size, size) <= MOST_PERMUTATIONS:
        return [list(some) for some in combinations(range(2 * size), size)]
    rng = np.random.default_rng(seed)
    return [list(range(size)), *(rng.permutation(2 * size)[:size].tolist() for _ in range(MOST_PERMUTATIONS - 1))]


def _means(vectors: Floats, together: int) -> Floats:
    """Means of each `together` vectors in a row."""
    means: Floats = _unit(vectors).reshape(-1, together, vectors.shape[1]).mean(1)
    return means


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
