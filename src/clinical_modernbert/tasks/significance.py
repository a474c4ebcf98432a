"""In: outcomes of models on the same documents. Out: intervals, and whether one is better. Next: `results`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.tasks.card import Metric
from clinical_modernbert.tasks.metrics import Floats, Outcome

NUM_DRAWS = 2000


@dataclass(frozen=True)
class Comparison:
    """Difference of a figure, its 95% interval, and the two-sided probability of one as large if the models were alike."""

    difference: float
    low: float
    high: float
    p_value: float


def draws(documents: int, seed: int = 0) -> Floats:
    """(draws, documents): how often each document is in a sample of as many with replacement (Efron and Tibshirani 1993)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(documents, np.full(documents, 1 / documents), size=NUM_DRAWS).astype(np.float64)


def interval(outcome: Outcome, metric: Metric) -> tuple[float, float]:
    """95% interval of a figure over documents."""
    low, high = np.nanquantile(outcome.figure(metric, draws(outcome.num_documents)), [0.025, 0.975])
    return float(low), float(high)


def compare(ones: Sequence[Outcome], others: Sequence[Outcome], metric: Metric) -> Comparison:
    """Paired bootstrap over documents (Koehn 2004): both models answer for the same draws, each with the mean of its seeds.

    To each draw is added what other seeds might have changed: Student's distribution, as wide as the seeds of both lie apart (Welch
    1947). Of a model with one seed that is not known, and taken for nothing. The p-value is twice the share of draws on the other side
    of 0, one added so that it is never 0. Draws without a figure are left out, such as those of AUROC in which all documents have one
    label.
    """
    weights = draws(ones[0].num_documents)

    def mean(outcomes: Sequence[Outcome], weights: Floats | None) -> Floats:
        return np.asarray(np.mean([outcome.figure(metric, weights) for outcome in outcomes], axis=0))

    by_seed = [np.array([float(outcome.figure(metric)) for outcome in outcomes]) for outcomes in (ones, others)]
    differences = mean(ones, weights) - mean(others, weights) + _of_other_seeds(by_seed)
    differences = differences[~np.isnan(differences)]
    low, high = np.quantile(differences, [0.025, 0.975])
    beyond = min((differences <= 0).sum(), (differences >= 0).sum())
    difference = float(mean(ones, None) - mean(others, None))
    return Comparison(difference, float(low), float(high), float(min(1.0, 2 * (beyond + 1) / (len(differences) + 1))))


def _of_other_seeds(by_seed: Sequence[Floats]) -> Floats:
    """(draws,): how far a difference of means may lie from that of endlessly many seeds; `by_seed`: figures of each model."""
    several = [figures for figures in by_seed if len(figures) > 1]
    variances = np.array([figures.var(ddof=1) / len(figures) for figures in several])
    if not variances.any():
        return np.zeros(NUM_DRAWS)
    freedom = variances.sum() ** 2 / (variances**2 / [len(figures) - 1 for figures in several]).sum()
    return np.asarray(np.sqrt(variances.sum()) * np.random.default_rng(1).standard_t(freedom, NUM_DRAWS))
