"""Scores of group terms -> how much nearer each attribute is to one group than to another. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import atan, pi, sqrt

import numpy as np

from clinical_modernbert.analysis.bias.templates import GroupDimension, Templates
from clinical_modernbert.analysis.statistics import Estimate, Floats, draw, false_discovery

LEVEL = 0.05
"""Share of false discoveries."""
_STEPS = 2000
"""Of an integral."""


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
    together: an association that hangs on one sentence or one word has a wide interval. Draws are spread as `Spread` says, which also gives
    p; q corrects it for all comparisons and attributes at once (Benjamini and Hochberg 1995).
    """
    ends = np.cumsum([0, *(len(one.wordings) for one in templates.asked)]).tolist()
    controls = {one.name for one in templates.controls}
    found: list[Association] = []
    p: list[float] = []
    for comparison in comparisons(templates):
        groups = scores[comparison.dimension.name]
        difference = groups[comparison.first] - groups[comparison.second]
        for attribute, (start, end) in zip(templates.asked, pairwise(ends), strict=True):
            values = difference[:, start:end]
            spread = Spread.of(values)
            estimate = Estimate(float(values.mean()), _draws(values, spread, seed))
            found.append(Association(comparison, attribute.name, attribute.name in controls, estimate))
            p.append(spread.p_value(estimate.value))
    return [replace(one, q=float(q)) for one, q in zip(found, false_discovery(np.array(p)), strict=True)]


def _draws(values: Floats, spread: "Spread", seed: int) -> Floats:
    """Means (draws,) of `values` (terms, wordings, frames), each side drawn anew."""
    weights = [draw(count, seed + number) for number, count in enumerate(values.shape)]
    drawn: Floats = np.einsum("twf,dt,dw,df->d", values, *weights, optimize=True) / values.size
    deviation = float(drawn.std())
    return values.mean() + (drawn - values.mean()) * (spread.error / deviation) if deviation else drawn


@dataclass(frozen=True)
class Spread:
    """How far a mean over crossed sides may be off: of few terms no bootstrap says how much terms differ.

    Attributes:
        error: standard error by components of variance: that of the means of each side, what two sides share counted once; at least that
            of any side.
        bound: that of the sides together, nothing taken off: not less than the error, and better known.
        freedom: degrees of freedom of the bound (Satterthwaite 1946).
    """

    error: float
    bound: float
    freedom: float

    @classmethod
    def of(cls, values: Floats) -> "Spread":
        """Of `values` (terms, wordings, frames), two of each or more."""
        sides = [_variance(values, (side,)) for side in range(values.ndim)]
        shared = sum(_variance(values, pair) for pair in combinations(range(values.ndim), 2))
        error = max(*sides, sum(sides) - shared + _variance(values, tuple(range(values.ndim))))
        parts = sum(variance**2 / (count - 1) for variance, count in zip(sides, values.shape, strict=True))
        return cls(sqrt(error), sqrt(sum(sides)), sum(sides) ** 2 / parts if parts else 1.0)

    def p_value(self, value: float) -> float:
        """Two-sided, of `value` against 0, by Student's distribution and the bound."""
        if not self.bound:
            return float(value == 0)
        at = atan(abs(value) / self.bound / sqrt(self.freedom))  # where t = sqrt(freedom) tan(angle), the density is a power of a cosine
        tail, half = (_cosine_power(self.freedom - 1, begin) for begin in (at, 0.0))
        return tail / half


def _variance(values: Floats, sides: tuple[int, ...]) -> float:
    """Of the mean, from what differs between places of these sides together and of none of them alone."""
    means = values.mean(axis=tuple(other for other in range(values.ndim) if other not in sides))
    for axis in range(means.ndim):
        means = means - means.mean(axis=axis, keepdims=True)
    freedom = np.prod([count - 1 for count in means.shape])
    return float((means**2).sum() / freedom / means.size)


def _cosine_power(exponent: float, begin: float) -> float:
    """The integral of cos(x) ** exponent from `begin` to a right angle."""
    angles = np.linspace(begin, pi / 2, _STEPS + 1)
    middles = (angles[1:] + angles[:-1]) / 2
    return float((np.cos(middles) ** exponent).mean() * (pi / 2 - begin))


def size(found: Sequence[Association]) -> Estimate:
    """Root of the mean square of the associations, less what noise alone would give; below 0 where they are smaller than that."""
    noise = np.array([one.estimate.draws.var() for one in found])
    square = np.mean(np.square([one.estimate.value for one in found]) - noise)
    squares = np.mean(np.square([one.estimate.draws for one in found]) - 2 * noise[:, None], axis=0)  # a draw has the noise twice
    return Estimate(float(_signed_root(square)), _signed_root(squares))


def _signed_root(values: Floats) -> Floats:
    root: Floats = np.sign(values) * np.sqrt(np.abs(values))
    return root
