"""Means over a suite: exact values, coverage with few items a task, and comparisons of sparse answers."""

import numpy as np
import pytest
from scipy.special import expit

from capscope.intervals import stratified_mean
from capscope.profiles import compare, suite_aggregates
from profiles.worlds import study_of


def test_one_item_a_task_is_jeffreys_interval_of_all_items() -> None:
    right = (np.arange(40) < 30).astype(float)
    for size in (1, 2, 40):
        mean = stratified_mean(right, np.arange(40) % (40 // size))
        bounds = mean.interval()
        assert (bounds.lower, bounds.upper) == pytest.approx((0.62, 0.85), abs=0.02)


def test_constant_scores_have_bounds() -> None:
    score = np.array([[1.0] * 5, [1, 1, 0, 0, 0], [0.0] * 5])
    table = suite_aggregates(study_of(score, np.zeros(5, int))).table.set_index("model")
    assert table.loc["m00", "mean_lower"] == pytest.approx(0.694, abs=0.002)
    assert table.loc["m02", "mean_upper"] == pytest.approx(0.306, abs=0.002)
    assert (table["strength_upper"] - table["strength_lower"] > 0.5).all()
    assert table.loc["m00", "strength"] - table.loc["m02", "strength"] > 2
    for constant in (0.0, 0.5, 1.0):
        bounds = stratified_mean(np.full(6, constant), np.arange(6) // 2).interval()
        assert bounds.upper - bounds.lower > 0.2


@pytest.mark.parametrize(
    ("tasks", "size", "spread", "trials"),
    [(1, 5, 1.5, 1), (40, 1, 1.5, 1), (10, 2, 0.0, 1), (5, 5, 1.5, 1), (6, 40, 4.0, 1), (8, 10, 1.5, 4)],
)
def test_means_over_tasks_are_covered(tasks: int, size: int, spread: float, trials: int) -> None:
    rng = np.random.default_rng(tasks)
    place, residual = np.repeat(np.arange(tasks), size), 0.5 * rng.standard_normal(4000)
    hits, z = [], []
    for _ in range(400):
        centre = rng.normal(0.5, spread, tasks)
        truth = expit(centre[:, None] + residual).mean()
        chance = expit(centre[place] + 0.5 * rng.standard_normal(len(place)))
        mean = stratified_mean(rng.binomial(trials, chance) / trials, place)
        bounds = mean.interval()
        hits.append(bounds.lower <= truth <= bounds.upper)
        z.append((mean.point - truth) / np.sqrt(mean.variance))
    assert 0.86 <= np.mean(hits) <= 0.98
    assert 0.7 <= np.std(z) <= 1.2


@pytest.mark.slow
def test_interquartile_means_are_covered() -> None:
    rng, place, hits = np.random.default_rng(0), np.repeat(np.arange(12), 30), []
    for _ in range(300):
        chance = expit(rng.normal(0.3, 1.2, 12))
        score = (rng.random(360) < chance[place]).astype(float)
        means = np.bincount(place, score) / 30
        bounds = stratified_mean(score, place, np.argsort(means)[3:9]).interval()
        hits.append(bounds.lower <= np.sort(chance)[3:9].mean() <= bounds.upper)
    assert 0.85 <= np.mean(hits) <= 0.97


def sparse_world(rng: np.random.Generator, models: int, items: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores with gaps and the true mean score of each model over items like these."""
    ability = rng.normal(0, 1, models)
    chance = expit(ability[:, None] - rng.normal(0, 1, items))
    score = (rng.random(chance.shape) < chance).astype(float)
    score[rng.random(chance.shape) > share] = np.nan
    truth = expit(ability[:, None] - np.random.default_rng(0).normal(0, 1, 4000)).mean(axis=1)
    return score[:, np.isfinite(score).any(axis=0)], truth


def test_sparse_answers_are_compared_by_a_model_that_is_named() -> None:
    score, _ = sparse_world(np.random.default_rng(3), 6, 60, 0.5)
    score[np.arange(score.shape[1]) % 6, np.arange(score.shape[1])] = np.nan
    score = score[:, np.isfinite(score).any(axis=0)]
    found = suite_aggregates(study_of(score, np.arange(score.shape[1]) % 3))
    assert found.rests_on == "model"
    assert "only 0 items were answered by all models" in " ".join(found.notes)
    assert found.table[["mean", "mean_lower", "strength", "iqm_upper"]].notna().all(axis=None)
    one = np.where(np.arange(20) < 10, (np.arange(20) % 2).astype(float), np.nan)
    apart = suite_aggregates(study_of(np.stack([one, one[::-1]]), np.zeros(20, int)))
    assert "share no item" in " ".join(apart.notes)
    assert apart.table["strength"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize(("models", "items", "share"), [(6, 90, 0.5), (20, 200, 0.3)])
def test_means_of_sparse_answers_are_covered(models: int, items: int, share: float) -> None:
    hits = []
    for seed in range(25):
        score, truth = sparse_world(np.random.default_rng(seed), models, items, share)
        table = suite_aggregates(study_of(score, np.zeros(score.shape[1], int))).table.sort_values("model")
        hits.append((table["mean_lower"] <= truth) & (table["mean_upper"] >= truth))
    assert 0.82 <= np.mean(hits) <= 0.97


def test_items_that_do_not_tell_models_apart_are_said_first() -> None:
    rng = np.random.default_rng(0)
    found = compare(study_of((rng.random((8, 40)) < 0.5).astype(float), np.zeros(40, int)))
    assert found.as_text().startswith("note: reliability 0.")
    chance = np.linspace(0.2, 0.8, 8)[:, None]
    clear = compare(study_of((rng.random((8, 400)) < chance).astype(float), np.zeros(400, int)))
    assert clear.reliability > 0.9
    assert clear.notes == ()


def test_models_that_all_got_everything_right_are_compared_without_claims() -> None:
    result = compare(study_of(np.ones((3, 3)), np.zeros(3, int)))
    assert "No model is ahead: m00, m01, m02 have the same mean, 1.00" in result.as_text()
    assert "no strengths: no item was won by one model over another" in result.notes


def test_no_difference_of_more_than_all_points_is_asked_for() -> None:
    text = compare(study_of(np.array([[1.0, 0, 1], [0, 0, 1]]), np.zeros(3, int))).as_text()
    assert "no difference that there can be between half of the pairs is shown four times in five" in text
