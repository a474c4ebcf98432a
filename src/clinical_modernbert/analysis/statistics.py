"""Values -> estimates with bootstrap intervals. Pure functions.

Every encoder is asked the same questions, and the same draws are taken of them: two estimates made from one `Draws` can be divided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUM_DRAWS = 1000
CONFIDENCE = 0.95


_STUDENT = {2: 12.706, 3: 4.303}
"""Number of seeds -> 97.5% point of Student's distribution with one degree of freedom less."""


@dataclass(frozen=True)
class Estimate:
    """A figure, and what it would have been on each bootstrap draw.

    Attributes:
        seeds: of a mean of several, such as of one figure under different seeds, the figure of each.
    """

    value: float
    draws: Floats
    seeds: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95% interval; draws without a figure (NaN) are left out."""
        low, high = np.nanquantile(self.draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(low), float(high)

    @property
    def span(self) -> str:
        """The interval as a reader sees it."""
        return "{:z.3f} to {:z.3f}".format(*self.interval)

    @property
    def p_value(self) -> float:
        """Two-sided, that it is 0: twice the share of draws on the other side of 0, itself counted among them."""
        beyond = min(int((self.draws <= 0).sum()), int((self.draws >= 0).sum()))
        return min(1.0, 2 * (beyond + 1) / (len(self.draws) + 1))

    def over(self, other: "Estimate") -> "Estimate":
        """The ratio to `other`, draw by draw."""
        return Estimate(self.value / other.value, self.draws / other.draws)

    def minus(self, other: "Estimate") -> "Estimate":
        """The difference from `other`, draw by draw."""
        return Estimate(self.value - other.value, self.draws - other.draws)

    def against(self, other: "Estimate") -> int:
        """1 where it is told to be above `other`, -1 where below, 0 where neither.

        Draws leave the seed as it is. So where one of the two is a mean over seeds, the other must also be farther from it than one more
        seed would be in 95% of cases (prediction interval of normal values).
        """
        low, high = self.minus(other).interval
        seeds = self.seeds or other.seeds
        reach = _STUDENT[len(seeds)] * float(np.std(seeds, ddof=1)) * (1 + 1 / len(seeds)) ** 0.5 if seeds else 0.0
        if (low <= 0 <= high) or abs(self.value - other.value) <= reach:
            return 0
        return 1 if low > 0 else -1


Figures = Mapping[str, Mapping[str, Estimate]]
"""Row -> figure -> estimate."""


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several, such as of one figure under different seeds."""
    values = tuple(one.value for one in estimates)
    return Estimate(float(np.mean(values)), np.mean([one.draws for one in estimates], axis=0), values if len(values) > 1 else ())


def draw(num_groups: int, seed: int = 0, num_draws: int = NUM_DRAWS) -> Floats:
    """(num_draws, num_groups): how often each group comes in each bootstrap sample of groups."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=num_draws).astype(np.float64)


def clustered_mean(values: Floats, group: npt.NDArray[np.int64], weights: Floats) -> Estimate:
    """The mean of `values`; whole groups are drawn, since answers about one concept or category go together."""
    num_groups = weights.shape[1]
    sums, counts = np.bincount(group, values, num_groups), np.bincount(group, minlength=num_groups)
    return Estimate(float(values.mean()), _ratio(weights @ sums, weights @ counts))


def weighted_mean(values: Floats, importance: Floats, weights: Floats) -> Estimate:
    """The mean of `values`, each as important as it is said; single values are drawn."""
    value = float((values * importance).sum() / importance.sum())
    return Estimate(value, _ratio(weights @ (values * importance), weights @ importance))


def clustered_ratio(numerators: Floats, denominators: Floats, group: npt.NDArray[np.int64], weights: Floats) -> Estimate:
    """The sum of `numerators` over that of `denominators`, such as bits over bytes of texts; whole groups are drawn."""
    num_groups = weights.shape[1]
    above, below = (np.bincount(group, values, num_groups) for values in (numerators, denominators))
    return Estimate(float(above.sum() / below.sum()), _ratio(weights @ above, weights @ below))


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where a draw has nothing of what is asked about."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def auc(positive: Floats, negative: Floats, positive_weights: Floats, negative_weights: Floats) -> Estimate:
    """Probability that a positive scores above a negative, ties counted half (the area under the ROC curve)."""
    _, level = np.unique(np.concatenate([positive, negative]), return_inverse=True)
    num_levels = int(level.max()) + 1
    above, below = level[: len(positive)], level[len(positive) :]
    ones = (np.ones((1, len(positive))), np.ones((1, len(negative))))
    values = [_auc(p, n, above, below, num_levels) for p, n in (ones, (positive_weights, negative_weights))]
    return Estimate(float(values[0][0]), values[1])


def _auc(p: Floats, n: Floats, above: npt.NDArray[np.int64], below: npt.NDArray[np.int64], num_levels: int) -> Floats:
    result = np.empty(len(p))
    for i, (wp, wn) in enumerate(zip(p, n, strict=True)):
        ups, downs = np.bincount(above, wp, num_levels), np.bincount(below, wn, num_levels)
        result[i] = (ups * (np.cumsum(downs) - downs / 2)).sum() / (wp.sum() * wn.sum())
    return result


def rank_correlation(x: Floats, y: Floats, weights: Floats) -> Estimate:
    """Spearman's correlation; draws use the ranks of the whole sample."""
    rx, ry = _ranks(x), _ranks(y)
    values = [_pearson(rx, ry, w) for w in (np.ones((1, len(x))), weights)]
    return Estimate(float(values[0][0]), values[1])


def _pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    total = weights.sum(1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    covariance: Floats = weights @ (x * y) / total - mean_x * mean_y
    spread = np.sqrt((weights @ x**2 / total - mean_x**2) * (weights @ y**2 / total - mean_y**2))
    correlation: Floats = covariance / np.maximum(spread, 1e-12)
    return correlation


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing their mean rank."""
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[level]
    return ranks


def false_discovery(p_values: Floats) -> Floats:
    """q-values of Benjamini and Hochberg (1995): what is at most 0.05 is chosen so that of all chosen, 5% are wrong on average.

    Example:
        >>> false_discovery(np.array([0.01, 0.04, 0.03, 0.5])).round(3).tolist()
        [0.04, 0.053, 0.053, 0.5]
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    found = np.empty(count)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return found


def holm(p_values: Floats) -> Floats:
    """p-values corrected for how many there are (Holm 1979): what is below 0.01 is all right with a probability of 99%.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03, 0.5])).round(3).tolist()
        [0.04, 0.09, 0.09, 0.5]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    found = np.empty(len(p_values))
    found[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return found
