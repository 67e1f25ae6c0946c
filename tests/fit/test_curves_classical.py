"""The classical curves against ADeLe's published abilities, and the laws they keep."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, LevelCounts, Responses, read_level_counts, shipped
from capscope.errors import FitError
from capscope.fit import dominant_slices, fit_classical
from capscope.fit.curves.classical import level_targets

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "adele_v1_abilities.csv"


@pytest.fixture(scope="module")
def published() -> LevelCounts:
    return read_level_counts(shipped("artifacts/adele-v1") / "level_counts.csv")


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the published abilities are not at ../shared/golden")
def test_all_published_abilities_are_reproduced(published: LevelCounts) -> None:
    golden = pd.read_csv(GOLDEN).pivot(index="model", columns="rubric", values="ability")
    found = fit_classical(published)
    assert golden.size == 270
    expected = golden.loc[list(found.models), list(found.dims)].to_numpy()
    np.testing.assert_allclose(found.ability, expected, atol=0.005, rtol=0)


def test_a_hand_checked_ability(published: LevelCounts) -> None:
    # GPT-4o on quantitative reasoning: 84/633/647/546/51 items, 84/619/514/205/17 right (published: 3.78)
    found = fit_classical(published.take_models(["GPT-4o"]))
    assert found.ability[0, found.dims.index("QLq")] == pytest.approx(3.78, abs=0.005)


def test_level_targets_follow_the_published_rule() -> None:
    # levels 2 and 3 are eligible and get the larger count; the others keep their share of the total weight
    targets = level_targets(np.array([50.0, 20, 100, 300, 60, 20]))
    whole = 600 / (1 - 100 / 500)
    np.testing.assert_allclose(targets, [0, 20 / 500 * whole, 300, 300, 60 / 500 * whole, 20 / 500 * whole])


def test_dropping_a_model_leaves_the_others_bit_equal(published: LevelCounts) -> None:
    everyone = fit_classical(published)
    rest = fit_classical(published.take_models(list(published.models[1:])))
    assert np.array_equal(everyone.ability[1:], rest.ability)


def test_a_model_with_no_success_has_no_ability_and_stays_finite() -> None:
    n = np.zeros((1, 1, 6))
    n[0, 0, 1:] = 120
    found = fit_classical(LevelCounts(("none right",), ("X",), n, np.zeros_like(n)))
    assert found.ability[0, 0] == 0.0


def small_study(rng: np.random.Generator) -> tuple[Responses, Demands]:
    items = tuple(f"item-{number:03d}" for number in range(300))
    models = ("alpha", "beta", "gamma")
    level = rng.integers(0, 6, (300, 4)).astype(float)
    model, item = (index.ravel() for index in np.meshgrid(np.arange(3), np.arange(300), indexing="ij"))
    chance = 1 / (1 + np.exp(level.max(axis=1)[item] - 2 - model))
    score = (rng.random(len(model)) < chance).astype(float)
    responses = Responses(models, items, model, item, score, np.ones(len(model)))
    return responses, Demands(items, ("A", "B", "C", "D"), level)


def test_permuting_items_and_renaming_ids_changes_no_ability() -> None:
    rng = np.random.default_rng(1)
    responses, demands = small_study(rng)
    before = fit_classical(dominant_slices(responses, demands).counts)
    order = rng.permutation(len(demands.items))
    renamed = tuple(f"x{position:04d}" for position in range(len(order)))
    position = np.argsort(order)
    shuffled = Responses(
        responses.models,
        renamed,
        responses.model_index,
        position[responses.item_index],
        responses.score,
        responses.n_trials,
    )
    after = fit_classical(dominant_slices(shuffled, Demands(renamed, demands.dims, demands.level[order])).counts)
    np.testing.assert_array_equal(before.ability, after.ability)


def test_slices_hold_the_items_that_a_dimension_dominates() -> None:
    responses, demands = small_study(np.random.default_rng(2))
    counts = dominant_slices(responses, demands).counts
    for dim in range(4):
        for level in range(6):
            mask = (demands.level[:, dim] == level) & (demands.level.max(axis=1) == level)
            assert counts.n[0, dim, level] == mask.sum()


def test_unrated_and_guessable_items_are_left_out_and_counted_and_partly_rated_ones_are_used() -> None:
    responses, demands = small_study(np.random.default_rng(3))
    level = demands.level.copy()
    level[:4] = np.nan
    level[4:7, 2] = np.nan
    chance = np.zeros(300)
    chance[7:17] = 0.5
    chance[20] = np.nan
    slices = dominant_slices(responses, Demands(demands.items, demands.dims, level), chance)
    assert (slices.n_unrated, slices.n_guessable, slices.n_items, slices.n_partly_rated) == (4, 10, 286, 3)


def test_a_few_missing_levels_cost_few_answers_and_leave_slope_and_spread() -> None:
    # 3 % of the levels on 18 rubrics used to cost 43 % of the answers: every item that lacked one was dropped
    rng = np.random.default_rng(5)
    names, items = tuple("abcd"), tuple(f"i{number:04d}" for number in range(4000))
    level = rng.binomial(5, 0.4, (len(items), 18)).astype(float)
    model, item = (index.ravel() for index in np.meshgrid(np.arange(4), np.arange(len(items)), indexing="ij"))
    chance = 1 / (1 + np.exp(1.5 * (level.max(axis=1)[item] - 3.0 - 0.5 * model)))
    score = (rng.random(len(model)) < chance).astype(float)
    answers = Responses(names, items, model, item, score, np.ones(len(model)))
    gappy = np.where(rng.random(level.shape) < 0.03, np.nan, level)
    assert np.isnan(gappy).any(axis=1).mean() == pytest.approx(0.42, abs=0.03)
    dims = tuple(f"D{number:02d}" for number in range(18))
    whole = dominant_slices(answers, Demands(items, dims, level)).counts
    slices = dominant_slices(answers, Demands(items, dims, gappy))
    assert slices.n_unrated == 0
    assert slices.counts.n.sum() == pytest.approx(0.97 * whole.n.sum(), rel=0.03)
    pooled = [
        LevelCounts(names, ("all",), each.n.sum(1, keepdims=True), each.correct.sum(1, keepdims=True))
        for each in (whole, slices.counts)
    ]
    full, partly = (fit_classical(each) for each in pooled)
    np.testing.assert_allclose(partly.slope, full.slope, rtol=0.06)
    np.testing.assert_allclose(partly.ability, full.ability, atol=0.05)
    share = [each.correct[..., 3:].sum(1) / each.n[..., 3:].sum(1) for each in (whole, slices.counts)]
    np.testing.assert_allclose(share[1], share[0], atol=0.02)


def test_nothing_rated_is_one_line() -> None:
    responses, demands = small_study(np.random.default_rng(4))
    empty = Demands(demands.items, demands.dims, np.full_like(demands.level, np.nan))
    with pytest.raises(FitError, match=r"no answered item is rated on all 4 rubrics .*300 unrated.*annotate more"):
        dominant_slices(responses, empty)
