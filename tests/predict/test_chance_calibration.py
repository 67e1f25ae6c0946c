"""Calibration measures: small cases by hand, and what they converge to."""

import numpy as np
import pytest
from scipy.special import expit, logit

from capscope.predict.evaluation.metrics.calibration import (
    calibration_intercept,
    calibration_slope,
    debiased_calibration_error,
    expected_calibration_error,
)


def test_equal_width_bins_by_hand() -> None:
    # bins [.1, .2) and [.9, 1]: gaps of sums .3 - 1 and 1.9 - 2 over four rows
    score, chance = np.array([0.0, 1, 1, 1]), np.array([0.15, 0.15, 0.9, 1.0])
    assert expected_calibration_error(score, chance) == pytest.approx((0.7 + 0.1) / 4)


def test_debiased_error_by_hand() -> None:
    # two bins of two rows: gaps (-.2, .8) and (.4, -.6); means .3 and -.1; variances of the mean .25 and .25
    score, chance = np.array([0.0, 1, 1, 0]), np.array([0.2, 0.2, 0.6, 0.6])
    expected = (2 * (0.09 - 0.25) + 2 * (0.01 - 0.25)) / 4
    assert expected < 0
    assert debiased_calibration_error(score, chance, bins=2) == 0
    # three rows each with gap .3 and no spread: nothing to take away
    assert debiased_calibration_error(np.full(6, 0.5), np.full(6, 0.2), bins=2) == pytest.approx(0.3)


def test_debiased_error_is_unbiased_where_the_plain_one_is_not() -> None:
    rng = np.random.default_rng(0)
    squares, plain = [], []
    for _ in range(400):
        chance = rng.uniform(0.2, 0.8, 100)
        score = (rng.random(100) < chance + 0.1).astype(float)
        squares.append(debiased_calibration_error(score, chance) ** 2)
        plain.append(expected_calibration_error(score, chance))
    assert np.mean(squares) == pytest.approx(0.01, abs=0.003)
    assert np.mean(plain) > 0.12


def test_equal_chances_share_a_bin_so_that_order_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    chance = rng.choice([0.2, 0.5, 0.7], 300)
    score = (rng.random(300) < chance).astype(float)
    order = rng.permutation(300)
    before, after = (debiased_calibration_error(score[rows], chance[rows]) for rows in (np.arange(300), order))
    assert before == pytest.approx(after)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 0.0), (2.0, 0.7)])
def test_the_calibration_line_is_recovered(slope: float, shift: float) -> None:
    rng = np.random.default_rng(2)
    line = rng.normal(0, 1.5, 40_000)
    score = (rng.random(40_000) < expit(slope * line + shift)).astype(float)
    assert calibration_slope(score, expit(line)) == pytest.approx(slope, rel=0.05)


def test_the_intercept_brings_the_mean_right() -> None:
    rng = np.random.default_rng(3)
    chance = rng.uniform(0.1, 0.9, 500)
    score = (rng.random(500) < 0.7).astype(float)
    moved = expit(logit(chance) + calibration_intercept(score, chance))
    assert moved.mean() == pytest.approx(score.mean(), abs=1e-9)


def test_no_line_where_there_is_none() -> None:
    score = np.array([0.0, 0, 1, 1])
    assert np.isnan(calibration_slope(score, np.full(4, 0.5)))
    assert np.isnan(calibration_slope(score, np.array([0.1, 0.2, 0.8, 0.9])))
    assert np.isnan(calibration_intercept(np.ones(4), np.full(4, 0.5)))
