"""Past models make adaptive scores better and intervals narrower, and never a confident wrong score."""

from dataclasses import replace

import numpy as np
import pytest

from battery.conftest import World, make_abilities
from capscope.battery import AdaptiveBattery, Bank, ItemPool, Sample
from capscope.battery.adaptive.adaptive_battery import Targets
from capscope.battery.adaptive.estimate import FEWEST_MODELS, PastModels
from capscope.battery.banks.ability import Curves

N_NEW, N_ASKED = 40, 30


@pytest.fixture(scope="module")
def pool(bank: Bank) -> ItemPool:
    return ItemPool.of(bank)


def run_of(
    pool: ItemPool, answers: np.ndarray, rng: np.random.Generator, targets: Targets | None = None
) -> AdaptiveBattery:
    run = AdaptiveBattery.start(pool, targets)
    for _ in range(N_ASKED):
        item, chance = run.draw(rng)
        run = run.with_answer(item, chance, float(answers[item]))
    return run


Runs = list[tuple[AdaptiveBattery, float]]


@pytest.fixture(scope="module")
def runs(world: World, pool: ItemPool) -> Runs:
    rng = np.random.default_rng(31)
    score = (rng.random((N_NEW, pool.size)) < world.chances(make_abilities(N_NEW, 32))).astype(float)
    return [(run_of(pool, answers, rng), float(answers.mean())) for answers in score]


def figures(runs: Runs) -> np.ndarray:
    """Error, width and whether the interval holds, (run, 3)."""
    rows = []
    for run, truth in runs:
        found = run.estimate(0.95)
        inside = found.lower[0] <= truth <= found.upper[0]
        rows.append((found.score[0] - truth, found.upper[0] - found.lower[0], inside))
    return np.array(rows, dtype=float)


def test_past_models_narrow_intervals_that_still_hold(runs: Runs) -> None:
    with_past, alone = figures(runs), figures([(replace(run, past=None), truth) for run, truth in runs])
    assert 0.9 <= with_past[:, 2].mean() <= 1.0
    assert abs(with_past[:, 0].mean()) < 3 * with_past[:, 0].std() / np.sqrt(N_NEW)
    assert with_past[:, 1].mean() < 0.9 * alone[:, 1].mean()
    assert (with_past[:, 0] ** 2).mean() < 1.05 * (alone[:, 0] ** 2).mean()
    even = 2 * 1.96 * np.sqrt(np.mean([truth * (1 - truth) for _, truth in runs]) / N_ASKED)
    assert (even / with_past[:, 1].mean()) ** 2 > 1.5  # worth so many even draws


@pytest.mark.parametrize("kind", ["random", "all right", "all wrong", "strong only on beta", "hard ones only"])
def test_odd_models_get_intervals_that_hold_their_score(pool: ItemPool, bank: Bank, kind: str) -> None:
    rng = np.random.default_rng(33)
    easy = pool.past.mean(0)
    held = []
    for _ in range(10):
        answers = {
            "random": (rng.random(pool.size) < 0.25) * 1.0,
            "all right": np.ones(pool.size),
            "all wrong": np.zeros(pool.size),
            "strong only on beta": (np.array(bank.benchmark) == "beta") * 1.0,
            "hard ones only": (easy < np.median(easy)) * 1.0,
        }[kind]
        found = run_of(pool, answers, rng).estimate(0.95)
        held.append(found.lower[0] - 1e-9 <= answers.mean() <= found.upper[0] + 1e-9)
        assert found.upper[0] - found.lower[0] > 0.005
    assert np.mean(held) >= 0.85


def test_every_target_has_its_own_interval_and_the_first_may_stand_alone(
    world: World, bank: Bank, pool: ItemPool
) -> None:
    names = np.array(bank.benchmark)
    member = np.stack([np.ones(pool.size), names == "alpha", names == "beta"])
    targets = Targets(("all", "alpha", "beta"), member / member.sum(1, keepdims=True))
    rng = np.random.default_rng(34)
    score = (rng.random((24, pool.size)) < world.chances(make_abilities(24, 35))).astype(float)
    held = []
    for answers in score:
        run = run_of(pool, answers, rng, targets)
        found, first = run.estimate(0.95), run.estimate(0.95, 1)
        assert first.score.shape == (1,)
        assert (first.score[0], first.upper[0]) == pytest.approx((found.score[0], found.upper[0]), abs=1e-12)
        truth = targets.member @ answers
        held.append((found.lower <= truth) & (truth <= found.upper))
    assert np.mean(held) >= 0.87


def test_the_order_of_past_models_changes_nothing_and_too_few_are_not_asked(runs: Runs, pool: ItemPool) -> None:
    run, past = runs[0][0], PastModels.of(pool, Targets.everything(pool.size).member)
    order = np.random.default_rng(0).permutation(len(past.answers))
    shuffled = replace(run, past=PastModels(past.answers[order], past.truth[order]))
    np.testing.assert_allclose(shuffled.estimate().lower, run.estimate().lower, atol=1e-9)
    few = replace(run, past=PastModels(past.answers[: FEWEST_MODELS - 1], past.truth[: FEWEST_MODELS - 1]))
    assert few.estimate().upper[0] == replace(run, past=None).estimate().upper[0]


def test_a_large_pool_is_thinned_evenly_over_scores(pool: ItemPool) -> None:
    many = ItemPool(pool.curves, np.tile(pool.past, (6, 1)), np.tile(pool.expected, (6, 1)))
    kept = PastModels.of(many, Targets.everything(pool.size).member)
    assert len(kept.answers) == 300
    assert np.quantile(kept.truth, [0, 0.5, 1]) == pytest.approx(np.quantile(pool.scores, [0, 0.5, 1]), abs=0.01)


def test_guesses_are_a_pattern_of_their_own_and_ability_is_not(pool: ItemPool, world: World) -> None:
    rng = np.random.default_rng(36)
    index = np.sort(rng.choice(pool.size, 60, replace=False))
    usual = (rng.random((200, pool.size)) < world.chances(make_abilities(200, 37))).astype(float)
    able = (rng.random((200, pool.size)) < world.chances(np.full((200, 2), 2.5))).astype(float)
    guessed = (rng.random((200, pool.size)) < 0.25).astype(float)
    likely = {}
    for name, score in (("usual", usual), ("able", able), ("guessed", guessed)):
        likely[name] = Sample(pool, index, score[:, index], np.full(60, 60 / pool.size)).misfit
    assert likely["usual"].mean() < 0.04
    assert likely["able"].mean() < 0.04
    assert likely["guessed"].mean() > 0.6


def test_sums_of_chances_are_those_of_all_chances_at_once(monkeypatch):
    rng = np.random.default_rng(3)
    slope, member = rng.normal(0.5, 1.0, (37, 2)), rng.random((3, 37))
    curves = Curves(slope, 2000 * rng.normal(size=37), rng.random(37), np.zeros(2), np.eye(2))
    curves = replace(curves, intercept=np.where(np.arange(37) % 3, rng.normal(size=37), curves.intercept))
    ability = rng.normal(size=(5, 2))
    monkeypatch.setattr("capscope.battery.banks.ability.CELLS_AT_ONCE", 40)
    expected = curves.chances(ability) @ member.T
    np.testing.assert_allclose(curves.mean_chances(ability, member), expected, rtol=1e-12, atol=1e-12)
