"""The spread of items around chances that were predicted without their answers is recovered, none, small or large."""

import numpy as np
import pytest
from scipy.special import expit

from capscope.data import Responses
from capscope.fit.links import attenuated
from capscope.predict.answer_statistics import LARGEST_SD, SuccessRows, residual_sd


def responses(score: np.ndarray) -> Responses:
    n_models, n_items = score.shape
    model, item = np.indices(score.shape).reshape(2, -1)
    names = tuple(f"m{number:02d}" for number in range(n_models)), tuple(f"i{number:04d}" for number in range(n_items))
    return Responses(*names, model, item, score.ravel(), np.ones(score.size))


@pytest.mark.parametrize("sd", [0.3, 0.6, 0.9, 1.2, 1.6, 2.2])
def test_the_spread_of_items_is_recovered(sd: float) -> None:
    rng = np.random.default_rng(0)
    line = rng.normal(0, 1.2, (30, 1)) + rng.normal(0, 1, 4000)
    score = (rng.random(line.shape) < expit(line + sd * rng.standard_normal(4000))).astype(float)
    # 4,000 items tell a standard deviation to 2 %; the approximation of the logistic adds up to as much again, and
    # for the widest, whose answers are nearly certain, more
    assert residual_sd(responses(score), expit(attenuated(line, sd**2)).ravel()) == pytest.approx(sd, rel=0.12)


def test_no_spread_and_a_boundless_one() -> None:
    rng = np.random.default_rng(1)
    score = (rng.random((10, 500)) < 0.5).astype(float)
    assert residual_sd(responses(score), np.full(score.size, 0.5)) < 0.15
    alike = np.tile(score[:1], (10, 1))
    assert residual_sd(responses(alike), np.full(score.size, 0.5)) == pytest.approx(LARGEST_SD)
    assert residual_sd(responses(score[:1]), np.full(500, 0.5)) == 0


def test_trials_become_rows_and_partial_credit_becomes_weights() -> None:
    rows = SuccessRows.of(np.array([0.75, 1.0, 0.0, 0.333333]), np.array([4.0, 1, 2, 3]))
    assert rows.answer.tolist() == [0, 0, 0, 0, 1, 2, 2, 3, 3, 3]
    assert rows.success.tolist() == [False, True, True, True, True, False, False, False, False, True]
    assert rows.weight is None
    credit = SuccessRows.of(np.array([0.7, 1.0]), np.ones(2))
    assert credit.answer.tolist() == [0, 0, 1]
    assert credit.success.tolist() == [False, True, True]
    np.testing.assert_allclose(credit.weight, [0.3, 0.7, 1.0])
