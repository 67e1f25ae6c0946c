"""Accuracy of what is kept: small cases by hand."""

import numpy as np
import pytest

from capscope.predict.evaluation.metrics.rejection import (
    accuracy_when_kept,
    area_under_rejection_curve,
    predictably_valid_region,
)

SCORE = np.array([1.0, 1, 0, 1, 0])
CHANCE = np.array([0.9, 0.8, 0.7, 0.6, 0.1])


def test_the_curve_by_hand() -> None:
    np.testing.assert_allclose(accuracy_when_kept(SCORE, CHANCE), [1, 1, 2 / 3, 3 / 4, 3 / 5])
    assert area_under_rejection_curve(SCORE, CHANCE) == pytest.approx((1 + 1 + 2 / 3 + 3 / 4 + 3 / 5) / 5)


@pytest.mark.parametrize(("accuracy", "region"), [(0.95, 0.4), (0.75, 0.8), (0.6, 1.0), (0.7, 0.8)])
def test_the_largest_share_that_is_accurate_enough(accuracy: float, region: float) -> None:
    assert predictably_valid_region(SCORE, CHANCE, accuracy) == pytest.approx(region)


def test_ties_are_kept_or_rejected_together() -> None:
    # one of two tied items is right: half an item in expectation, and no cut between them
    score, chance = np.array([0.0, 1, 0]), np.array([0.9, 0.9, 0.2])
    np.testing.assert_allclose(accuracy_when_kept(score, chance), [0.5, 0.5, 1 / 3])
    assert predictably_valid_region(score, chance, 0.5) == pytest.approx(2 / 3)
    assert predictably_valid_region(score, chance, 0.8) == 0


def test_never_accurate_and_always_accurate() -> None:
    assert predictably_valid_region(np.zeros(4), CHANCE[:4], 0.8) == 0
    assert predictably_valid_region(np.ones(4), CHANCE[:4], 0.95) == 1


def test_order_of_rows_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    chance = rng.choice([0.2, 0.4, 0.6, 0.8], 60)
    score = (rng.random(60) < chance).astype(float)
    order = rng.permutation(60)
    assert predictably_valid_region(score[order], chance[order], 0.6) == predictably_valid_region(score, chance, 0.6)
    assert area_under_rejection_curve(score[order], chance[order]) == pytest.approx(
        area_under_rejection_curve(score, chance)
    )
