"""Estimates against scikit-learn and scipy; intervals that hold what they should."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from clinical_modernbert.analysis.statistics import (
    Estimate,
    auc,
    average,
    clustered_mean,
    clustered_ratio,
    draw,
    holm,
    rank_correlation,
    weighted_mean,
)


def test_auc_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 9, 80).astype(float), rng.integers(-3, 7, 50).astype(float)
    found = auc(positive, negative, draw(80), draw(50))
    truth = np.repeat([1, 0], [80, 50])
    assert found.value == pytest.approx(roc_auc_score(truth, np.concatenate([positive, negative])))
    assert found.interval[0] < found.value < found.interval[1]


def test_one_more_seed_is_seldom_told_from_the_mean_of_the_others_and_what_is_far_away_is():
    rng = np.random.default_rng(0)

    def figure(value: float) -> Estimate:
        return Estimate(value, value + rng.normal(0, 0.01, 200))

    told = [figure(rng.normal()).against(average([figure(rng.normal()) for _ in range(3)])) for _ in range(400)]
    assert 0.02 < np.mean(np.abs(told)) < 0.09
    restarts = average([figure(value) for value in (0.9, 1.0, 1.1)])
    assert [figure(value).against(restarts) for value in (0.0, 0.95, 2.0)] == [-1, 0, 1]
    assert [restarts.against(figure(value)) for value in (0.0, 0.95, 2.0)] == [1, 0, -1]
    assert figure(0.5).against(average([figure(1.0)])) == -1  # one model has no seeds


def test_rank_correlation_is_that_of_scipy_with_ties():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 200).astype(float)
    y = x + rng.normal(size=200)
    assert rank_correlation(x, y, draw(200)).value == pytest.approx(spearmanr(x, y).statistic)


def test_what_is_0_at_three_digits_has_no_sign():
    assert Estimate(0.0, np.full(10, -1e-5)).span == "0.000 to 0.000"
    assert Estimate(0.0, np.full(10, -1e-2)).span == "-0.010 to -0.010"


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        group = np.repeat(np.arange(40), 3)
        values = rng.normal(size=40)[group] + 0.1 * rng.normal(size=120)  # answers about one concept go together
        low, high = clustered_mean(values, group, draw(40, trial, 300)).interval
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.98


def test_ratios_and_means_are_taken_draw_by_draw():
    group, weights = np.arange(30), draw(30)
    values = np.random.default_rng(0).random(30)
    one, two = clustered_mean(values, group, weights), clustered_mean(2 * values, group, weights)
    assert two.over(one).interval == pytest.approx((2, 2))
    assert average([one, two]).value == pytest.approx(1.5 * one.value)


def test_differences_are_taken_draw_by_draw_and_weighted_means_weigh():
    values, weights = np.random.default_rng(0).random(30), draw(30)
    one = clustered_mean(values, np.arange(30), weights)
    assert clustered_mean(values + 2, np.arange(30), weights).minus(one).interval == pytest.approx((2, 2))
    assert weighted_mean(values, np.ones(30), weights).interval == pytest.approx(one.interval)
    assert weighted_mean(values, np.arange(30.0), weights).value == pytest.approx(np.average(values, weights=np.arange(30)))


def test_a_ratio_of_sums_draws_whole_groups_and_differences_are_paired():
    above, below, group = np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 6.0]), np.array([0, 0, 1])
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    found = clustered_ratio(above, below, group, weights)
    assert found.value == 1
    assert found.draws.tolist() == [1, 0.5, 1.5]
    assert found.minus(clustered_ratio(above + below, below, group, weights)).interval == (-1, -1)


def test_a_draw_without_what_is_asked_about_is_no_zero():
    group, weights = np.array([0, 0, 1]), draw(30)
    found = clustered_mean(np.array([0.93, 0.95, 0.94]), group, weights)
    assert np.isnan(found.draws).any()
    assert found.interval == pytest.approx((0.94, 0.94))
    assert clustered_ratio(np.ones(3), np.full(3, 2.0), group, weights).interval == (0.5, 0.5)


def test_p_goes_with_the_interval_and_is_never_0():
    draws = np.random.default_rng(0).normal(size=1000)
    assert Estimate(1.8, draws + 1.8).p_value > 0.05 > Estimate(2.2, draws + 2.2).p_value == Estimate(-2.2, -draws - 2.2).p_value
    assert Estimate(9.0, draws + 9).p_value == 2 / 1001
    assert Estimate(0.0, 0 * draws).p_value == 1


def test_one_small_p_value_of_four_is_not_found_after_correction_and_four_are():
    assert holm(np.array([0.08, 0.63, 0.004, 0.36])).min() > 0.01
    assert holm(np.array([0.002, 0.001, 0.0024, 0.0001])).max() < 0.01
