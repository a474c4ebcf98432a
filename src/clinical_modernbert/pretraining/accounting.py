"""How much noisy steps give away: sampling and noise -> epsilon, by privacy loss distributions (Google's dp-accounting, extra `private`).

Neighbours are corpora of which one has one patient more. Each step takes every patient with the same probability, by itself (Poisson
sampling), and adds Gaussian noise to the sum of their clipped gradients (Abadi et al. 2016; Koskela et al. 2020 for the accounting).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.pretraining.settings import RunSettings

NoisySteps = tuple[float, float, int]
"""Noise multiplier, sampling rate, and how many steps of them."""
_TELLING = 50.0
"""An epsilon above it promises nothing that matters: the bound by Renyi divergence will do, which takes no minutes."""
_ORDERS = (*range(2, 33), 48, 64, 128, 256)
"""Of the Renyi divergences that are tried: whole ones, whose sums are exact."""
_PRECISION = 0.01
"""A noise multiplier that was asked for by its epsilon is the smallest one within this share of itself."""


@dataclass(frozen=True)
class Guarantee:
    """What the weights of a run give away of any one of `patients`: no more than (`epsilon`, `delta`)-differential privacy allows.

    `steps` are those of each phase.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    max_grad_norm: float
    patients: int
    steps: list[NoisySteps]

    def describe(self) -> str:
        """One line for people."""
        steps = sum(count for *_, count in self.steps)
        return (
            f"epsilon {self.epsilon:.3g} at delta {self.delta:g} for each of {self.patients:,} patients: "
            f"{steps:,} steps with noise of {self.noise_multiplier:.3g} times the norm {self.max_grad_norm:g}"
        )


def guarantee(recipe: RunSettings, patients: int, noise_multiplier: float | None = None) -> Guarantee:
    """What `recipe` promises on a corpus of `patients`; `noise_multiplier` is that of a run that has begun.

    Raises:
        ConfigError: too few patients for a step or for `delta`, or dp-accounting is not installed.
    """
    private = recipe.private
    assert private.delta is not None
    if private.delta * patients >= 1:
        raise ConfigError(
            f"private.delta={private.delta:g} with {patients} patients allows to publish a whole one. Set it well below {1 / patients:.1g}."
        )
    rates = []
    for number, phase in enumerate(recipe.phases):
        if phase.rows_per_step > patients:
            raise ConfigError(
                f"phases.{number}.rows_per_step={phase.rows_per_step} patients a step, and the corpus has {patients}. Set it lower."
            )
        rates.append((phase.rows_per_step / patients, phase.full_steps))
    noise = noise_multiplier or private.noise_multiplier or smallest_noise(private.epsilon or 0.0, private.delta, rates)
    steps = [(noise, rate, count) for rate, count in rates]
    return Guarantee(epsilon(steps, private.delta), private.delta, noise, private.max_grad_norm, patients, steps)


def epsilon(steps: Sequence[Sequence[float]], delta: float) -> float:
    """The epsilon that `NoisySteps` have cost together at `delta`: an upper bound, 0 before the first.

    Raises:
        ConfigError: dp-accounting is not installed.
    """
    try:
        import dp_accounting
    except ImportError:
        raise ConfigError(
            "private training needs the package dp-accounting. Install it (pip install 'clinical-modernbert[private]')."
        ) from None
    bound = 0.0
    for accountant in (dp_accounting.rdp.RdpAccountant(_ORDERS), dp_accounting.pld.PLDAccountant()):
        for noise_multiplier, rate, count in steps:
            step = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise_multiplier))
            accountant.compose(step, int(count))
        bound = float(accountant.get_epsilon(delta))
        if bound > _TELLING:
            break
    return bound


def smallest_noise(target: float, delta: float, rates: Sequence[tuple[float, int]]) -> float:
    """The smallest noise multiplier, within a hundredth, with which steps of these sampling rates cost at most `target`."""

    def enough(noise: float) -> bool:
        return epsilon([(noise, rate, count) for rate, count in rates], delta) <= target

    high = 1.0
    while not enough(high):
        high *= 2
    while enough(high / 2):
        high /= 2
    low = high / 2
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def spend(steps: Sequence[Sequence[float]], noise_multiplier: float, rate: float) -> list[list[float]]:
    """`steps` and one more.

    Example:
        >>> spend([[1.1, 0.01, 7]], 1.1, 0.01), spend([[1.1, 0.01, 7]], 1.1, 0.02)
        ([[1.1, 0.01, 8]], [[1.1, 0.01, 7], [1.1, 0.02, 1]])
    """
    before = [list(entry) for entry in steps]
    if before and before[-1][:2] == [noise_multiplier, rate]:
        before[-1][2] += 1
        return before
    return [*before, [noise_multiplier, rate, 1]]
