"""Estimators: exact where everything was asked, unbiased over draws, intervals that hold, no confident wrong score."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from battery.conftest import World, make_abilities
from capscope.battery import ESTIMATORS, Bank, BatteryTrial, Estimate, ItemPool, Sample, evaluate_battery
from capscope.battery.estimators.blend import PastErrors, chance_unlike
from capscope.battery.estimators.regression import Ridge
from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError


@pytest.fixture(scope="module")
def pool(bank: Bank) -> ItemPool:
    return ItemPool.of(bank)


def draw(pool: ItemPool, score: np.ndarray, n: int, rng: np.random.Generator) -> Sample:
    index = np.sort(rng.choice(pool.size, n, replace=False))
    return Sample(pool, index, score[:, index], np.full(n, n / pool.size))


def new_scores(world: World, ability: np.ndarray, seed: int) -> np.ndarray:
    chance = world.chances(ability)
    return (np.random.default_rng(seed).random(chance.shape) < chance).astype(float)


@pytest.mark.parametrize("name", ["mean", "pirt", "gpirt", "aipw"])
def test_a_pool_that_was_answered_whole_is_known(world: World, pool: ItemPool, name: str) -> None:
    score = new_scores(world, make_abilities(5, 3), 4)
    found = ESTIMATORS[name].estimate(draw(pool, score, pool.size, np.random.default_rng(0)), 0.95)
    np.testing.assert_allclose(found.score, score.mean(1), atol=1e-6)


def test_a_ridge_regression_leaves_out_exactly() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 5))
    target = features @ rng.standard_normal(5) + rng.standard_normal(30)
    ridge = Ridge.of(features, target)
    keep = np.arange(30) != 7
    x, y = features[keep], target[keep]
    penalty = min(
        (0.3, 1, 3, 10, 30, 100, 300, 1000), key=lambda p: np.abs(_fit(features, target, p) - ridge.coefficient).max()
    )
    # the centre of the rows stays out of the row's own column of leverage, as with an intercept of its own
    gap = target[7] - (y.mean() + (features[7] - x.mean(0)) @ _fit(x, y, penalty))
    assert ridge.left_out[7] == pytest.approx(gap, rel=1e-6)


def _fit(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    centred = x - x.mean(0)
    return np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - y.mean()))


def test_a_model_is_unlike_the_past_ones_by_its_gap_and_at_the_edge_of_their_scores() -> None:
    past = np.linspace(0.3, 0.6, 20)

    def unlike(score: float, gap: float) -> float:
        one = np.array([score])
        design = Estimate(one, np.array([0.03]), one - 0.06, one + 0.06)
        return float(chance_unlike(design, one - gap, past, 0.02**2)[0])

    assert unlike(0.45, 0.0) < 0.01
    assert unlike(0.45, 0.0) < unlike(0.45, 0.04) < unlike(0.45, 0.08) < unlike(0.45, 0.12)
    assert unlike(0.45, 0.05) == pytest.approx(unlike(0.45, -0.05), rel=1e-9)
    assert unlike(0.45, 0.02) < unlike(0.58, 0.02) < unlike(0.62, 0.02)
    assert unlike(0.8, 0.0) > 0.99


def test_the_combination_for_models_like_the_past_ones_has_the_least_error() -> None:
    rng = np.random.default_rng(0)
    shared, design, regression = rng.standard_normal((3, 200)) * [[0.02], [0.04], [0.02]]
    past = PastErrors.of(shared + design, shared + regression)
    tried = np.linspace(0, 1, 1001)[:, None]
    squares = ((tried * (shared + regression) + (1 - tried) * (shared + design)) ** 2).mean(1)
    assert past.share == pytest.approx(tried[squares.argmin(), 0], abs=1e-3)
    assert past.variance == pytest.approx(squares.min(), rel=1e-4)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_intervals_hold_for_models_like_those_of_the_past(world: World, pool: ItemPool, name: str) -> None:
    rng = np.random.default_rng(5)
    score = new_scores(world, make_abilities(240, 6), 7)
    held, error, plain = [], [], []
    for start in range(0, 240, 6):
        sample = draw(pool, score[start : start + 6], 40, rng)
        found = ESTIMATORS[name].estimate(sample, 0.95)
        truth = score[start : start + 6].mean(1)
        held.append((found.lower <= truth) & (truth <= found.upper))
        error.append(found.score - truth)
        plain.append(sample.score.mean(1) - truth)
    assert 0.91 <= np.mean(held) <= 0.99
    assert np.abs(np.concatenate(error)).mean() <= 1.001 * np.abs(np.concatenate(plain)).mean()


def test_aipw_is_unbiased_and_its_interval_holds_whatever_the_model(world: World, pool: ItemPool) -> None:
    rng = np.random.default_rng(8)
    # right on what is hard and wrong on what is easy: the curves are worse than useless
    score = (world.intercept < 0.2).astype(float)[None] * np.ones((2, 1))
    truth = score.mean(1)
    found = [ESTIMATORS["aipw"].estimate(draw(pool, score, 50, rng), 0.95) for _ in range(200)]
    error = np.array([estimate.score - truth for estimate in found])[:, 0]
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(200)
    held = [estimate.lower[0] <= truth[0] <= estimate.upper[0] for estimate in found]
    assert np.mean(held) >= 0.92


@pytest.mark.parametrize("kind", ["random", "all right", "all wrong", "strong only on beta", "copies one model"])
def test_odd_models_get_intervals_that_hold_their_score(pool: ItemPool, bank: Bank, kind: str) -> None:
    rng = np.random.default_rng(9)
    n = pool.size
    answers = {
        "random": (rng.random(n) < 0.25).astype(float),
        "all right": np.ones(n),
        "all wrong": np.zeros(n),
        "strong only on beta": (np.array(bank.benchmark) == "beta").astype(float),
        "copies one model": bank.history[3],
    }[kind]
    held = []
    for _ in range(40):
        found = ESTIMATORS["blend"].estimate(draw(pool, answers[None], 50, rng), 0.95)
        held.append(found.lower[0] - 1e-12 <= answers.mean() <= found.upper[0] + 1e-12)
        assert found.upper[0] - found.lower[0] > 0.005
    assert np.mean(held) >= 0.9


def test_a_compact_bank_estimates_about_as_well(world: World, pool: ItemPool, bank: Bank) -> None:
    compact = ItemPool.of(bank.compact())
    score = new_scores(world, make_abilities(200, 11), 12)
    errors = {}
    for name, source in (("full", pool), ("compact", compact)):
        rng = np.random.default_rng(13)
        gaps = []
        for start in range(0, 200, 10):
            sample = draw(source, score[start : start + 10], 40, rng)
            gaps.append(ESTIMATORS["blend"].estimate(sample, 0.95).score - score[start : start + 10].mean(1))
        errors[name] = np.abs(np.concatenate(gaps)).mean()
    assert errors["compact"] < 1.15 * errors["full"]


def test_evaluating_is_repeatable_and_beats_the_mean_where_it_can(past: Study) -> None:
    trial = BatteryTrial(n=(20, 60), seeds=2, most_new=15)
    first, again = evaluate_battery(past, trial), evaluate_battery(past, trial)
    assert [e.as_dict() for e in first] == [e.as_dict() for e in again]
    for found in first:
        assert found.figures["blend"].mae_pp < found.figures["mean"].mae_pp
    assert first[1].figures["mean"].mae_pp < first[0].figures["mean"].mae_pp


def test_the_frontier_does_not_break_the_default(past: Study) -> None:
    (found,) = evaluate_battery(
        past, BatteryTrial(n=(40,), split="frontier", seeds=3), ["mean", "rsl", "aipw", "blend"]
    )
    assert found.figures["blend"].mae_pp < 1.1 * found.figures["mean"].mae_pp
    assert found.figures["blend"].coverage95 > 0.9


def test_bad_requests_are_one_line(past: Study) -> None:
    with pytest.raises(InputError, match=r"unknown estimator 'blent' \(did you mean \"blend\"\?\)"):
        evaluate_battery(past, BatteryTrial(), ["blent"])
    with pytest.raises(InputError, match="unknown split 'frontiers'"):
        evaluate_battery(past, BatteryTrial(split="frontiers"))


def test_the_command_prints_the_published_layout(past: Study, tmp_path) -> None:
    past.save(tmp_path / "study")
    command = [
        "battery",
        "evaluate",
        str(tmp_path / "study"),
        "-n",
        "30",
        "--seeds",
        "1",
        "--split",
        "family",
        "--json",
    ]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert (found["n"], found["split"], found["seeds"], found["default"]) == (30, "family", 1, "blend")
    for figures in found["estimators"].values():
        assert {"mae_pp", "coverage95", "width95_pp"} <= set(figures)
    assert "mean" in found["estimators"]
