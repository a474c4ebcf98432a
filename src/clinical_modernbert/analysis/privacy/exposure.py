"""Planted secrets -> exposure: how far up a model puts them among others of their form (Carlini et al. 2019, section 4).

A secret was drawn from its pool by chance, so that its rank is uniform for a model that never saw it: p-values of one
secret are exact. Those of several take their ranks as independent, which secrets that share their candidates are but nearly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_modernbert.analysis.privacy.hiding import Secret, log_likelihoods
from clinical_modernbert.analysis.statistics import Estimate, Floats, clustered_mean, draw
from clinical_modernbert.corpus.canaries import Canaries
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress, silent


@dataclass(frozen=True)
class Exposures:
    """Secrets in the order of the list of canaries.

    Attributes:
        repetitions: (S,), how often each was planted.
        ranks: (S,), from 1, among itself and `candidates` others; equal scores count against it.
    """

    repetitions: Sequence[int]
    ranks: Sequence[int]
    candidates: int

    @property
    def bits(self) -> Floats:
        """Exposure of each, (S,): log2 of the number of candidates, itself included, minus log2 of its rank."""
        found: Floats = np.log2(self.candidates + 1) - np.log2(self.ranks)
        return found

    @property
    def p_values(self) -> Floats:
        """Of each alone, (S,): rank / (candidates + 1)."""
        found: Floats = np.array(self.ranks) / (self.candidates + 1)
        return found

    @property
    def counts(self) -> list[int]:
        """The numbers of repetitions that there are."""
        return sorted(set(self.repetitions))

    def of(self, count: int) -> "Exposures":
        """Those that were planted so often."""
        chosen = [rank for rank, times in zip(self.ranks, self.repetitions, strict=True) if times == count]
        return Exposures([count] * len(chosen), chosen, self.candidates)

    @property
    def mean(self) -> Estimate:
        """Mean exposure in bits; secrets are drawn."""
        return clustered_mean(self.bits, np.arange(len(self.ranks)), draw(len(self.ranks)))

    @property
    def p_value(self) -> float:
        """Of all together: how probable so low a sum of ranks is if the model saw none of them."""
        return chance_of_rank_sum(sum(self.ranks), len(self.ranks), self.candidates + 1)


def chance_exposure(candidates: int) -> float:
    """What the mean exposure is, in bits, of secrets that a model never saw."""
    return float(np.log2(candidates + 1) - np.log2(np.arange(1, candidates + 2)).mean())


def chance_of_rank_sum(total: int, number: int, highest: int) -> float:
    """P(the sum of `number` independent ranks, each uniform from 1 to `highest`, is at most `total`), exact.

    Example:
        >>> chance_of_rank_sum(3, 2, 10)  # (1, 1), (1, 2), (2, 1)
        0.03
    """
    chances = np.ones(1)
    for _ in range(number):
        sums = np.concatenate([[0.0], np.cumsum(np.concatenate([chances, np.zeros(highest - 1)]))])
        chances = (sums[1:] - sums[np.maximum(np.arange(len(sums) - 1) - highest + 1, 0)]) / highest
    return float(min(1.0, chances[: max(0, total - number + 1)].sum()))


def exposures(encoder: Encoder, canaries: Canaries, progress: Progress = silent) -> Exposures:
    """Rank each planted number among the candidates of its pool, in its own sentence, by masked pseudo-log-likelihood."""
    planted, candidates = canaries.of("number"), canaries.candidates("number")
    asked = [Secret(canary.before, secret, canary.after) for canary in planted for secret in (canary.secret, *candidates)]
    scores = log_likelihoods(encoder, asked, "Ranking planted numbers", progress).reshape(len(planted), -1)
    ranks = 1 + (scores[:, 1:] >= scores[:, :1]).sum(1)
    return Exposures([canary.repetitions for canary in planted], ranks.tolist(), len(candidates))
