import math
import sys
from statistics import NormalDist

import numpy as np
import pytest

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.pretraining import accounting

pytest.importorskip("dp_accounting", reason="private training needs the extra `private`")

phi = NormalDist().cdf


def analytic_epsilon(noise: float, delta: float) -> float:
    """Of one step with everybody in it: the Gaussian mechanism in closed form (Balle and Wang 2018, theorem 8)."""
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        wanted = phi(1 / (2 * noise) - middle * noise) - math.exp(middle) * phi(-1 / (2 * noise) - middle * noise)
        low, high = (middle, high) if wanted > delta else (low, middle)
    return high


def plain_epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    """By convolution of privacy losses on a grid, for a patient who is added and for one who is removed; the worse of both."""
    grid, x = 2e-3, np.linspace(-12 * noise, 1 + 12 * noise, 400_001)
    without = np.exp(-(x**2) / (2 * noise**2))
    ratio = 1 - rate + rate * np.exp((2 * x - 1) / (2 * noise**2))
    found = []
    for density, loss in ((without * ratio, np.log(ratio)), (without, -np.log(ratio))):
        places = np.round(loss / grid).astype(int)
        one = np.bincount(places - places.min(), density / density.sum())
        all_steps, least = np.ones(1), steps * places.min()
        for _ in range(steps):
            all_steps = np.convolve(all_steps, one)
        losses = grid * (least + np.arange(len(all_steps)))
        epsilons = np.linspace(0, 30, 3001)
        deltas = [float((all_steps * -np.expm1(np.minimum(epsilon - losses, 0))).sum()) for epsilon in epsilons]
        found.append(float(epsilons[np.searchsorted(-np.array(deltas), -delta)]))
    return max(found)


@pytest.mark.parametrize(("noise", "delta"), [(1.0, 1e-5), (5.0, 1e-5), (0.5, 1e-6)])
def test_one_step_with_everybody_costs_what_the_closed_form_says(noise, delta):
    assert accounting.epsilon([(noise, 1.0, 1)], delta) == pytest.approx(analytic_epsilon(noise, delta), abs=1e-3)


def test_steps_with_everybody_are_one_step_with_less_noise():
    assert accounting.epsilon([(4.0, 1.0, 16)], 1e-5) == pytest.approx(analytic_epsilon(1.0, 1e-5), abs=1e-2)


@pytest.mark.parametrize(("noise", "rate", "steps", "delta"), [(0.6, 0.12, 6, 1e-3), (1.0, 0.3, 5, 1e-4)])
def test_sampled_steps_cost_what_a_plain_composition_says_of_either_neighbour(noise, rate, steps, delta):
    assert accounting.epsilon([(noise, rate, steps)], delta) == pytest.approx(plain_epsilon(noise, rate, steps, delta), abs=0.02)


def test_the_published_bound_of_the_moments_accountant_is_not_exceeded():
    """Abadi et al. 2016, section 3.2: q = 0.01, sigma = 4, delta = 1e-5, 10,000 steps cost 1.26; newer accounting is tighter."""
    assert 0.8 * 1.26 > accounting.epsilon([(4.0, 0.01, 10_000)], 1e-5) > 0.6 * 1.26


def test_phases_add_up_and_nothing_costs_nothing():
    apart = [accounting.epsilon([(1.0, rate, 40)], 1e-5) for rate in (0.01, 0.05)]
    together = accounting.epsilon([(1.0, 0.01, 40), (1.0, 0.05, 40)], 1e-5)
    assert max(apart) < together < sum(apart)
    assert accounting.epsilon([(1.0, 0.05, 20), (1.0, 0.05, 20)], 1e-5) == pytest.approx(apart[1], abs=1e-3)
    assert accounting.epsilon([], 1e-5) == 0


def test_the_noise_for_an_epsilon_is_enough_and_hardly_more():
    rates = [(0.02, 100), (0.05, 20)]
    noise = accounting.smallest_noise(4.0, 1e-4, rates)
    assert 3.8 < accounting.epsilon([(noise, *rate) for rate in rates], 1e-4) <= 4.0


def test_what_promises_nothing_is_told_quickly():
    assert accounting.epsilon([(0.01, 0.5, 100_000)], 1e-6) > 1e6


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ConfigError, match=r"pip install 'clinical-modernbert\[private\]'"):
        accounting.epsilon([(1.0, 0.1, 1)], 1e-5)
