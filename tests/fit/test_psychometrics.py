"""Information, reliability, fit of items, local dependence, group differences and linking."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import responses, truth_2pl, world_2pl

from capscope.errors import FitError
from capscope.fit import (
    IRTSettings,
    fit_irt,
    group_difference,
    information,
    local_dependence,
    marginal_reliability,
    mean_sigma,
    mean_squares,
    simulate_irt,
    stocking_lord,
)

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
