"""Information, reliability, fit of items, local dependence, group differences and linking."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from simulated import responses, truth_2pl, world_2pl

from capscope.errors import FitError
from capscope.fit import (
    IRTSettings,
    ability_scores,
    fit_irt,
    group_difference,
    information,
    item_fit,
    local_dependence,
    marginal_reliability,
    mean_sigma,
    mean_squares,
    reliability_interval,
    scale_information,
    simulate_irt,
    stocking_lord,
)
from capscope.fit.psychometrics.s_x2 import _chances, _expectations, _nodes

TWO_PL = IRTSettings(model="2pl", form="positive")


def test_information_is_the_squared_slope_of_the_curve_over_its_variance():
    _, data = world_2pl(80, 60)
    posterior = replace(fit_irt(data, TWO_PL).posterior, floor=np.full(60, 0.2))
    ability, step = np.array([[-1.0], [0.4]]), 1e-5

    def chance(at: np.ndarray) -> np.ndarray:
        logit = at @ posterior.item_mean[:, :1].T + posterior.item_mean[:, 1]
        return 0.2 + 0.8 / (1 + np.exp(-logit))

    p = chance(ability)
    slope = (chance(ability + step) - chance(ability - step)) / (2 * step)
    assert information(posterior, ability) == pytest.approx(slope**2 / (p * (1 - p)), rel=1e-5)


def test_reliability_is_the_squared_correlation_with_the_truth():
    truth, data = world_2pl(500, 30)
    posterior = fit_irt(data, TWO_PL).posterior
    expected = np.corrcoef(truth.ability[:, 0], posterior.ability_mean[:, 0])[0, 1] ** 2
    assert marginal_reliability(posterior)[0] == pytest.approx(expected, abs=0.03)


def test_mean_squares_are_one_under_the_model_and_find_a_random_item():
    _, data = world_2pl(300, 100)
    score = data.score.reshape(300, 100).copy()
    score[:, 7] = np.random.default_rng(0).random(300) < 0.5
    score[5] = np.random.default_rng(1).random(100) < 0.5
    data = responses(score)
    rasch = fit_irt(data, IRTSettings(model="rasch")).posterior
    models, items = mean_squares(rasch, data)
    assert np.median(items.infit) == pytest.approx(1, abs=0.05)
    assert items.infit.argmax() == 7
    assert models.outfit.argmax() == 5


def test_pairs_of_items_that_copy_each_other_are_found_and_others_are_not():
    _, data = world_2pl(200, 60)
    score = data.score.reshape(200, 60).copy()
    rng = np.random.default_rng(0)
    copied = rng.random(200) < 0.8
    score[copied, 11] = score[copied, 10]
    data = responses(score)
    posterior = fit_irt(data, TWO_PL).posterior
    found = local_dependence(posterior, data, rng)
    assert found.pairs[0] == ("i00010", "i00011")
    assert len(found.pairs) <= 3
    assert found.q3[0] > found.cut
    assert found.false_alarm == pytest.approx(1 / 20)


def test_the_parallel_cut_lets_pass_no_pair_where_the_model_holds():
    alarms = 0
    for seed in range(6):
        _, data = world_2pl(60, 30, seed)
        posterior = fit_irt(data, TWO_PL).posterior
        alarms += bool(local_dependence(posterior, data, np.random.default_rng(seed)).pairs)
    assert alarms <= 2


def test_an_item_that_favours_a_family_is_found():
    truth = truth_2pl(120, 200)
    family = np.arange(120) < 40
    logit = truth.logit.copy()
    logit[family, 3] += 1.8
    score = (np.random.default_rng(0).random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float)
    data = responses(score)
    posterior = fit_irt(data, TWO_PL).posterior
    groups = {name: "ours" if family[i] else "theirs" for i, name in enumerate(posterior.models)}
    table = group_difference(posterior, data, groups, "ours").table
    assert table["z"].idxmax() == 3
    assert table.loc[3, "shift"] == pytest.approx(1.8, abs=0.7)
    assert table.loc[3, "q"] < 0.05
    assert (table["q"] < 0.05).sum() <= 4
    with pytest.raises(FitError, match="merge groups"):
        group_difference(posterior, data, dict.fromkeys(posterior.models, "ours"), "ours")


@pytest.mark.parametrize("form", ["signed", "positive"])
@pytest.mark.parametrize("link_by", [mean_sigma, stocking_lord])
def test_linking_puts_a_stronger_group_on_the_old_scale(form, link_by):
    truth = truth_2pl(400, 150)
    strong = replace(truth, ability=0.7 * truth.ability + 0.9)
    settings = IRTSettings(model="2pl", form=form)
    old = fit_irt(simulate_irt(truth, np.random.default_rng(0)), settings).posterior
    new = fit_irt(simulate_irt(strong, np.random.default_rng(1)), settings).posterior
    # flat items have a difficulty far away, so the mean-sigma link is taken on the steeper ones
    steep = np.flatnonzero((old.item_mean[:, 0] > 0.6) & (np.abs(old.item_mean[:, 1]) < 3))
    link = link_by(old.take_items(steep), new)
    assert link.scale == pytest.approx(0.7, abs=0.06 if link_by is stocking_lord else 0.09)
    assert link.shift == pytest.approx(0.9, abs=0.1)
    moved = link.apply(new)
    rows = (np.arange(100), np.arange(100))
    assert moved.probability(*rows) == pytest.approx(new.probability(*rows), abs=1e-9)
    assert moved.new_item_probability(rows[0]) == pytest.approx(new.new_item_probability(rows[0]), abs=1e-9)
    assert moved.difficulty()["mean"].to_numpy() == pytest.approx(
        link.scale * new.difficulty()["mean"].to_numpy() + link.shift, abs=1e-6
    )


def test_p_values_of_item_fit_are_uniform_under_the_model_with_and_without_gaps():
    p = []
    for shape in ((300, 40, 1.0), (250, 60, 0.5), (60, 150, 1.0)):
        _, data = world_2pl(*shape[:2], 3, shape[2])
        table = item_fit(fit_irt(data, TWO_PL).posterior, data).table
        p.append(table["p"].dropna().to_numpy())
        assert len(p[-1]) > 0.3 * shape[1]
    p = np.concatenate(p)
    assert 0.02 < (p < 0.05).mean() < 0.1
    assert 0.06 < (p < 0.1).mean() < 0.16
    assert 0.4 < np.median(p) < 0.6


def test_item_fit_finds_an_item_that_the_best_fail():
    truth, data = world_2pl(400, 40)
    score = data.score.reshape(400, 40).copy()
    bent = 2 - 2 * np.abs(truth.ability[:, 0]) ** 1.5
    score[:, 3] = np.random.default_rng(0).random(400) < 1 / (1 + np.exp(-bent))
    data = responses(score)
    table = item_fit(fit_irt(data, IRTSettings(model="2pl", form="signed")).posterior, data).table
    assert table["p"].idxmin() == 3
    assert table.loc[3, "q"] < 1e-6
    assert (table["q"] < 0.05).sum() <= 2
    with pytest.raises(FitError, match="right or wrong answers"):
        item_fit(fit_irt(data, TWO_PL).posterior, replace(data, score=data.score * 0.5))


def test_sum_score_expectations_are_those_of_counting_all_patterns():
    _, data = world_2pl(30, 6)
    posterior = fit_irt(data, TWO_PL).posterior
    score = data.score.reshape(30, 6)
    score[:10, 2] = np.nan
    expected = _expectations(posterior, score)
    node, weight = _nodes(posterior)
    chance = _chances(posterior, node)
    for model in (0, 20):
        seen = np.flatnonzero(~np.isnan(score[model]))
        total = score[model, seen].sum()
        right, all_of_it = np.zeros(len(seen)), 0.0
        for pattern in product((0, 1), repeat=len(seen)):
            if sum(pattern) == total:
                p = np.where(pattern, chance[:, seen], 1 - chance[:, seen]).prod(1) @ weight
                right, all_of_it = right + p * np.array(pattern), all_of_it + p
        assert expected[model, seen] == pytest.approx(right / all_of_it, abs=1e-9)


@pytest.mark.parametrize("gap", [0.0, 0.8])
def test_group_differences_are_calibrated_where_there_is_none(gap: float):
    p = []
    for seed in range(4):
        truth = truth_2pl(90, 150, seed)
        ability = truth.ability + gap * (np.arange(90) < 30)[:, None]
        data = simulate_irt(replace(truth, ability=ability), np.random.default_rng(seed))
        posterior = fit_irt(data, TWO_PL).posterior
        groups = {name: "ours" if i < 30 else "theirs" for i, name in enumerate(posterior.models)}
        p.append(group_difference(posterior, data, groups, "ours").table["p"])
    p = np.concatenate(p)
    assert 0.02 < (p < 0.05).mean() < 0.07
    assert 0.06 < (p < 0.1).mean() < 0.12


def test_expected_and_most_likely_abilities_agree_and_cover():
    truth, data = world_2pl(300, 60, 4)
    posterior = fit_irt(data, TWO_PL).posterior
    scores = ability_scores(posterior, data)
    assert scores.eap == pytest.approx(scores.map, abs=0.12)
    assert scores.eap_sd == pytest.approx(scores.map_se, rel=0.25)
    certain = replace(posterior, item_cov=np.zeros_like(posterior.item_cov), ability_inflation=None)
    grid = np.linspace(-6, 6, 4001)
    p = 1 / (1 + np.exp(-(grid[:, None] * posterior.item_mean[:, 0] + posterior.item_mean[:, 1])))
    density = np.exp(np.where(data.score[:60] == 1, np.log(p), np.log1p(-p)).sum(1) - grid**2 / 2)
    mean = (grid * density).sum() / density.sum()
    exact = ability_scores(certain, data)
    assert exact.eap[0, 0] == pytest.approx(mean, abs=1e-4)
    assert exact.map[0, 0] == pytest.approx(grid[density.argmax()], abs=0.004)
    assert exact.eap_sd[0, 0] == pytest.approx(((grid - mean) ** 2 @ density / density.sum()) ** 0.5, rel=1e-3)
    error = np.abs(scores.eap - truth.ability) / scores.eap_sd
    assert 0.86 < (error < 1.645).mean() < 0.94
    assert list(scores.table().columns) == ["model", "dim", "eap", "eap_sd", "map", "map_se"]


def test_information_and_reliability_come_with_intervals_that_hold_the_truth():
    truth, data = world_2pl(250, 60, 5)
    posterior = fit_irt(data, TWO_PL).posterior
    found = scale_information(posterior, np.random.default_rng(0))
    p = 1 / (1 + np.exp(-(found.ability[:, None] * truth.slope[:, 0] + truth.intercept)))
    true = (truth.slope[:, 0] ** 2 * p * (1 - p)).sum(1)
    assert ((found.lower < true) & (true < found.upper)).mean() > 0.7
    assert found.information == pytest.approx(true, rel=0.15)
    lower, upper = reliability_interval(posterior, np.random.default_rng(0))
    assert lower[0] < marginal_reliability(posterior)[0] < upper[0]
    true = np.corrcoef(truth.ability[:, 0], posterior.ability_mean[:, 0])[0, 1] ** 2
    assert lower[0] - 0.01 < true < upper[0] + 0.01
