"""Scores of group terms -> how much nearer each attribute is to one group than to another. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import erfc, sqrt

import numpy as np

from clinical_modernbert.analysis.bias.templates import GroupDimension, Templates
from clinical_modernbert.analysis.statistics import Estimate, Floats, draw, false_discovery

LEVEL = 0.05
"""Share of false discoveries."""


@dataclass(frozen=True)
class Comparison:
    """Two groups of a dimension, as places among its groups."""

    dimension: GroupDimension
    first: int
    second: int

    @property
    def names(self) -> tuple[str, str]:
        """What the groups are called."""
        return self.dimension.groups[self.first].name, self.dimension.groups[self.second].name

    @property
    def name(self) -> str:
        """As figures call it."""
        return f"{self.dimension.name}: {' / '.join(self.names)}"


@dataclass(frozen=True)
class Association:
    """What one model has between the groups of a comparison and an attribute: above 0 the attribute goes with the first one.

    `estimate` is in nats; `q` is its q-value among all tests of the model.
    """

    comparison: Comparison
    attribute: str
    is_control: bool
    estimate: Estimate
    q: float = 1.0

    @property
    def is_found(self) -> bool:
        """Whether it is told from 0 after correction."""
        return self.q <= LEVEL

    @property
    def towards(self) -> str:
        """The group that the attribute goes with."""
        return self.comparison.names[0 if self.estimate.value > 0 else 1]


def comparisons(templates: Templates) -> list[Comparison]:
    """The first group of each dimension beside each other one."""
    return [Comparison(one, 0, second) for one in templates.dimensions for second in range(1, len(one.groups))]


def associations(templates: Templates, scores: Mapping[str, Sequence[Floats]], seed: int = 0) -> list[Association]:
    """All of them, tested together; two models get the same draws.

    Frames, wordings and pairs of terms are each drawn anew (the pigeonhole bootstrap, Owen 2007), since answers that share one of them go
    together: an association that hangs on one sentence or one word has a wide interval. p is that of value / standard deviation of the
    draws under a normal distribution; q corrects for all comparisons and attributes at once (Benjamini and Hochberg 1995).
    """
    frames = draw(len(templates.frames), seed)
    ends = np.cumsum([0, *(len(one.wordings) for one in templates.asked)]).tolist()
    controls = {one.name for one in templates.controls}
    found: list[Association] = []
    for comparison in comparisons(templates):
        groups = scores[comparison.dimension.name]
        difference = groups[comparison.first] - groups[comparison.second]
        terms = draw(len(difference), seed + 1)
        for attribute, (start, end) in zip(templates.asked, pairwise(ends), strict=True):
            values = difference[:, start:end]
            wordings = draw(end - start, seed + 2)
            drawn = np.einsum("twf,dt,dw,df->d", values, terms, wordings, frames, optimize=True) / values.size
            found.append(Association(comparison, attribute.name, attribute.name in controls, Estimate(float(values.mean()), drawn)))
    q = false_discovery(np.array([p_value(one.estimate) for one in found]))
    return [
        Association(one.comparison, one.attribute, one.is_control, one.estimate, float(value)) for one, value in zip(found, q, strict=True)
    ]


def p_value(estimate: Estimate) -> float:
    """Two-sided, against 0."""
    spread = float(estimate.draws.std())
    return erfc(abs(estimate.value) / spread / sqrt(2)) if spread else float(estimate.value == 0)


def size(found: Sequence[Association]) -> Estimate:
    """Mean of the absolute associations; noise makes it larger, so that it means something beside another model's alone."""
    draws = np.mean([np.abs(one.estimate.draws) for one in found], axis=0)
    return Estimate(float(np.mean([abs(one.estimate.value) for one in found])), draws)
