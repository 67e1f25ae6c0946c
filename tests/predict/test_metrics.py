"""Metrics against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from capscope.predict.evaluation.metrics import mean_values, score_models, score_outcomes
from capscope.predict.evaluation.metrics.calibration import calibration_error_by_chance, expected_calibration_error
from capscope.predict.evaluation.metrics.loss import concordance
from capscope.predict.evaluation.metrics.loss import log_loss as our_log_loss
from capscope.predict.outcomes import Outcomes


def simulated(rng: np.random.Generator, rows: int = 4000) -> Outcomes:
    chance = rng.beta(1, 1, rows)
    score = (rng.random(rows) < chance).astype(float)
    task = rng.integers(0, 6, rows)
    return Outcomes(rng.integers(0, 3, rows), task, task // 3, score, np.round(chance, 2))


def test_pooled_metrics_are_the_mean_over_models_of_scikit_learn() -> None:
    found = simulated(np.random.default_rng(0))
    metrics = score_outcomes(found)
    rows = [found.model == model for model in range(3)]
    expected = {
        "auroc": [roc_auc_score(found.score[row], found.chance[row]) for row in rows],
        "log_loss": [log_loss(found.score[row], np.clip(found.chance[row], 1e-6, 1 - 1e-6)) for row in rows],
        "brier": [brier_score_loss(found.score[row], found.chance[row]) for row in rows],
    }
    for name, values in expected.items():
        assert metrics[name] == pytest.approx(np.mean(values), abs=1e-9)


def test_within_task_auroc_ignores_differences_between_tasks() -> None:
    task = np.repeat(np.arange(10), 200)
    rng = np.random.default_rng(1)
    rate = np.linspace(0.1, 0.9, 10)[task]
    score = (rng.random(2000) < rate).astype(float)
    metrics = score_outcomes(Outcomes(np.zeros(2000, int), task, np.zeros(2000, int), score, rate))
    assert metrics["auroc"] > 0.75
    assert metrics["auroc_within_task"] == 0.5


def test_tasks_weigh_alike_within() -> None:
    # a task of 2 x 2 pairs ranked right, and one of 1 x 1 ranked wrong
    task, score = np.array([0, 0, 0, 0, 1, 1]), np.array([1.0, 1, 0, 0, 1, 0])
    chance = np.array([0.9, 0.8, 0.2, 0.1, 0.1, 0.9])
    metrics = score_outcomes(Outcomes(np.zeros(6, int), task, np.zeros(6, int), score, chance))
    assert metrics["auroc_within_task"] == 0.5


def test_benchmark_error_is_the_error_of_the_mean() -> None:
    # half right at .8 and none right at .3: the errors of single answers, .5 and .3, would give .4
    benchmark = np.repeat([0, 1], 50)
    score = np.where(benchmark == 0, np.arange(100) % 2, 0.0)
    chance = np.where(benchmark == 0, 0.8, 0.3)
    metrics = score_outcomes(Outcomes(np.zeros(100, int), benchmark, benchmark, score, chance))
    assert metrics["benchmark_mae"] == pytest.approx((0.3 + 0.3) / 2)


def test_calibration_error_of_calibrated_chances_is_small_and_of_shifted_ones_is_the_shift() -> None:
    rng = np.random.default_rng(2)
    chance = rng.uniform(0.05, 0.75, 100_000)
    score = (rng.random(100_000) < chance).astype(float)
    assert expected_calibration_error(score, chance) < 0.01
    assert expected_calibration_error(score, chance + 0.2) == pytest.approx(0.2, abs=0.01)


def test_calibration_error_by_chance_is_what_right_chances_show() -> None:
    rng = np.random.default_rng(4)
    chance = rng.beta(1, 2, 800)
    shown = [expected_calibration_error((rng.random(800) < chance).astype(float), chance) for _ in range(400)]
    assert calibration_error_by_chance(chance) == pytest.approx(np.mean(shown), rel=0.03)
    assert calibration_error_by_chance(np.tile(chance, 4)) == pytest.approx(calibration_error_by_chance(chance) / 2)


def test_fractional_scores_cost_least_at_their_own_value() -> None:
    score = np.full(1, 0.3)
    losses = [our_log_loss(score, np.array([chance])) for chance in (0.2, 0.3, 0.4)]
    assert losses[1] == min(losses)
    assert losses[1] == pytest.approx(-(0.3 * np.log(0.3) + 0.7 * np.log(0.7)))


def test_certain_and_wrong_stays_finite() -> None:
    assert our_log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(-np.log(1e-6))


def test_ties_count_half() -> None:
    assert concordance(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.1])) == (1.5, 2.0)


def test_a_model_with_one_outcome_only_has_no_auroc_and_does_not_spoil_the_mean() -> None:
    found = simulated(np.random.default_rng(3))
    score = np.where(found.model == 1, 0.0, found.score)
    metrics = score_outcomes(Outcomes(found.model, found.task, found.benchmark, score, found.chance))
    rows = [found.model == model for model in (0, 2)]
    assert metrics["auroc"] == pytest.approx(np.mean([roc_auc_score(score[row], found.chance[row]) for row in rows]))
    nothing = Outcomes(np.zeros(2, int), np.zeros(2, int), np.zeros(2, int), np.ones(2), np.full(2, 0.5))
    assert np.isnan(mean_values([score_outcomes(nothing)])["auroc"])


def test_weighted_means_weigh_models_by_their_accuracy() -> None:
    # model 0 gets 1 of 4 right, model 1 gets 3 of 4; squared errors are .25 and .01 everywhere
    model = np.repeat([0, 1], 4)
    score = np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    chance = np.where(model == 0, 0.5, np.where(score == 1, 0.9, 0.1))
    zero = np.zeros(8, int)
    found = score_models(Outcomes(model, zero, zero, score, chance))
    assert found.mean()["brier"] == pytest.approx((0.25 + 0.01) / 2)
    assert found.accuracy_weighted()["brier"] == pytest.approx((1 * 0.25 + 3 * 0.01) / 4)


def test_all_models_together_by_hand() -> None:
    # within each model the chances say nothing; between them the better model has the higher ones
    model, score = np.repeat([0, 1], 4), np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    chance = np.where(model == 0, 0.15, 0.85)
    zero = np.zeros(8, int)
    found = score_outcomes(Outcomes(model, zero, zero, score, chance))
    assert found["auroc"] == 0.5
    # of 4 x 4 pairs 9 are right, 3 + 3 tied and 1 wrong
    assert found["auroc_all_models"] == pytest.approx((9 + 3) / 16)
    assert found["ece_all_models"] == pytest.approx(0.1)


def test_rank_correlation_is_over_models_within_each_benchmark() -> None:
    # four models; on benchmark 0 the order is right, on benchmark 1 it is reversed but for one swap (Spearman -.8)
    model, benchmark = np.tile(np.arange(4), 2), np.repeat([0, 1], 4)
    score = np.array([0.1, 0.2, 0.3, 0.4] * 2)
    chance = np.array([0.2, 0.3, 0.4, 0.5, 0.5, 0.4, 0.2, 0.3])
    found = Outcomes(model, benchmark, benchmark, score, chance)
    assert score_outcomes(found)["benchmark_rank_correlation"] == pytest.approx((1.0 - 0.8) / 2)
    two = Outcomes(model % 2, benchmark, benchmark, score, chance)
    assert np.isnan(score_outcomes(two)["benchmark_rank_correlation"])
