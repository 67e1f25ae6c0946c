"""The engine finds the truth it was given, with intervals that hold."""

import numpy as np
import pytest
from simulated import log_loss, responses, truth_2pl, truth_signed, world_2pl

from capscope.fit import IRTSettings, IRTTruth, fit_irt, simulate_irt

TWO_PL = IRTSettings(model="2pl", form="signed")


def standardised(ability: np.ndarray) -> np.ndarray:
    return (ability - ability.mean(0)) / ability.std(0)


@pytest.mark.parametrize(("make", "form"), [(truth_signed, "signed"), (truth_2pl, "positive")])
def test_abilities_and_items_are_recovered_in_slope_and_spread(make, form):
    truth = make(400, 600)
    fit = fit_irt(simulate_irt(truth, np.random.default_rng(0)), IRTSettings(model="2pl", form=form))
    posterior = fit.posterior
    assert fit.status.converged
    slope = np.polyfit(posterior.ability_mean[:, 0], truth.ability[:, 0], 1)[0]
    assert 0.95 < slope < 1.05
    second_moment = posterior.ability_mean[:, 0] ** 2 + posterior.ability_cov[:, 0, 0]
    assert second_moment.mean() == pytest.approx(1, abs=1e-6)
    for estimate, true in (
        (posterior.item_mean[:, 0], truth.slope[:, 0]),
        (posterior.item_mean[:, 1], truth.intercept),
    ):
        assert 0.95 < np.polyfit(estimate, true, 1)[0] < 1.05
        assert 0.9 < estimate.std() / true.std() < 1.05


@pytest.mark.parametrize(("make", "form"), [(truth_signed, "signed"), (truth_2pl, "positive")])
@pytest.mark.parametrize("shape", [(300, 300, 1.0), (400, 400, 0.3)])
def test_intervals_of_abilities_and_items_cover(shape: tuple[int, int, float], make, form):
    n_models, n_items, share = shape
    ability_hits, item_hits = [], []
    for seed in range(6):
        truth = make(n_models, n_items, seed)
        data = simulate_irt(truth, np.random.default_rng(seed), share)
        posterior = fit_irt(data, IRTSettings(model="2pl", form=form)).posterior
        lower, upper = posterior.ability_interval(0.9)
        ability_hits.append((lower < truth.ability) & (truth.ability < upper))
        spread = np.sqrt(np.diagonal(posterior.item_cov, axis1=1, axis2=2))
        error = np.column_stack([truth.slope, truth.intercept]) - posterior.item_mean
        item_hits.append(np.abs(error) < 1.645 * spread)
    assert 0.87 < np.mean(ability_hits) < 0.93
    assert 0.87 < np.mean(item_hits) < 0.93


@pytest.mark.parametrize(("make", "form"), [(truth_signed, "signed"), (truth_2pl, "positive")])
def test_intervals_cover_in_worlds_of_fifteen_models(make, form):
    ability_hits, item_hits = [], []
    for seed in range(12):
        truth = make(15, 1000, seed)
        posterior = fit_irt(
            simulate_irt(truth, np.random.default_rng(seed)), IRTSettings(model="2pl", form=form)
        ).posterior
        ability_hits.append(np.abs(truth.ability - posterior.ability_mean) < 1.645 * posterior.ability_sd)
        spread = np.sqrt(np.diagonal(posterior.item_cov, axis1=1, axis2=2))
        error = np.column_stack([truth.slope, truth.intercept]) - posterior.item_mean
        item_hits.append(np.abs(error) < 1.645 * spread)
    # 180 abilities leave a standard error of .022
    assert 0.84 < np.mean(ability_hits) < 0.95
    assert 0.87 < np.mean(item_hits) < 0.93


@pytest.mark.parametrize(("make", "form"), [(truth_signed, "signed"), (truth_2pl, "positive")])
def test_a_tenth_of_the_cells_leaves_honest_intervals_and_unshrunk_slopes(make, form):
    ability_hits, item_hits, found, true = [], [], [], []
    for seed in range(3):
        truth = make(600, 800, seed)
        data = simulate_irt(truth, np.random.default_rng(seed), 0.1)
        posterior = fit_irt(data, IRTSettings(model="2pl", form=form)).posterior
        ability_hits.append(np.abs(truth.ability - posterior.ability_mean) < 1.645 * posterior.ability_sd)
        spread = np.sqrt(np.diagonal(posterior.item_cov, axis1=1, axis2=2))
        true.append(np.column_stack([truth.slope, truth.intercept]))
        found.append(posterior.item_mean)
        item_hits.append(np.abs(true[-1] - found[-1]) < 1.645 * spread)
    assert 0.87 < np.mean(ability_hits) < 0.93
    assert 0.87 < np.mean(item_hits) < 0.93
    for param in (0, 1):
        assert 0.95 < np.polyfit(np.concatenate(found)[:, param], np.concatenate(true)[:, param], 1)[0] < 1.05


def test_predictions_are_near_the_truth_and_beat_plug_in_where_models_are_few():
    truth, data = world_2pl(12, 3000, 5)
    keep = np.random.default_rng(0).random(len(data.score)) < 0.8
    posterior = fit_irt(data.rows(keep), TWO_PL).posterior
    held = data.rows(~keep)
    predictive = posterior.probability(held.model_index, held.item_index)
    mean, _ = posterior.logit_moments(held.model_index, held.item_index)
    plug_in = 1 / (1 + np.exp(-mean))
    truth_loss = log_loss(1 / (1 + np.exp(-truth.logit[held.model_index, held.item_index])), held.score)
    assert log_loss(predictive, held.score) < log_loss(plug_in, held.score) - 1e-3
    assert log_loss(predictive, held.score) < truth_loss + 0.055


def test_several_abilities_predict_as_well_as_the_truth_allows():
    rng = np.random.default_rng(2)
    slope = np.abs(rng.normal(0, 0.2, (600, 2)))
    slope[np.arange(600), rng.integers(0, 2, 600)] = rng.lognormal(0, 0.3, 600)
    truth = IRTTruth(rng.standard_normal((400, 2)), slope, rng.normal(0, 1, 600))
    data = simulate_irt(truth, rng)
    keep = rng.random(len(data.score)) < 0.8
    held = data.rows(~keep)
    posterior = fit_irt(data.rows(keep), IRTSettings(model="mirt", dims=2)).posterior
    one = fit_irt(data.rows(keep), TWO_PL).posterior
    loss = log_loss(posterior.probability(held.model_index, held.item_index), held.score)
    true_loss = log_loss(1 / (1 + np.exp(-truth.logit[held.model_index, held.item_index])), held.score)
    assert loss < true_loss + 0.008
    assert loss < log_loss(one.probability(held.model_index, held.item_index), held.score) - 0.02
    # simple structure: after varimax each dimension follows one true ability
    match = np.abs(np.corrcoef(posterior.ability_mean.T, truth.ability.T)[:2, 2:])
    assert match.max(1).min() > 0.95
    assert (posterior.item_mean[:, :-1].mean(0) > 0).all()


def test_rasch_finds_one_slope():
    rng = np.random.default_rng(4)
    ability = standardised(rng.standard_normal((300, 1)))
    truth = IRTTruth(ability, np.full((300, 1), 1.4), rng.normal(0, 1, 300))
    posterior = fit_irt(simulate_irt(truth, rng), IRTSettings(model="rasch")).posterior
    assert np.ptp(posterior.item_mean[:, 0]) < 1e-9
    assert posterior.item_mean[0, 0] == pytest.approx(1.4, abs=0.04)
    assert np.allclose(posterior.item_cov[:, 0], 0)


def test_features_predict_items_never_seen_with_their_uncertainty():
    rng = np.random.default_rng(6)
    features = rng.integers(0, 6, (1500, 18)).astype(float)
    effect = rng.normal(0, 0.25, 18)
    intercept = (features - 2.5) @ effect + rng.normal(0, 0.6, 1500)
    truth = IRTTruth(standardised(rng.standard_normal((40, 1))), rng.lognormal(0, 0.3, (1500, 1)), intercept)
    data = simulate_irt(truth, rng)
    seen = data.item_index < 1000
    train = data.rows(seen)
    train = responses(train.score.reshape(40, 1000))
    posterior = fit_irt(train, TWO_PL, features[:1000]).posterior
    test = data.rows(~seen)
    mean, variance = posterior.new_item_moments(test.model_index, features[test.item_index])
    true = truth.logit[test.model_index, test.item_index]
    assert 0.87 < (np.abs(true - mean) < 1.645 * np.sqrt(variance)).mean() < 0.93
    loss = log_loss(posterior.new_item_probability(test.model_index, features[test.item_index]), test.score)
    plain = fit_irt(train, TWO_PL).posterior
    assert loss < log_loss(plain.new_item_probability(test.model_index), test.score) - 0.03


def test_a_known_floor_lifts_the_bias_from_difficulty():
    truth, _ = world_2pl(400, 300, 7)
    data = simulate_irt(truth, np.random.default_rng(8), floor=0.25)
    positive = IRTSettings(model="2pl", form="positive")
    with_floor = fit_irt(data, positive, floor=np.full(300, 0.25)).posterior
    slope = np.polyfit(with_floor.item_mean[:, 1], truth.intercept, 1)
    assert 0.95 < slope[0] < 1.08
    assert abs(slope[1]) < 0.06
    without = fit_irt(data, positive).posterior
    assert without.item_mean[:, 1].mean() > truth.intercept.mean() + 0.3
    assert with_floor.probability(np.zeros(300, int), np.arange(300)).min() >= 0.25


@pytest.mark.parametrize(("make", "form"), [(truth_signed, "signed"), (truth_2pl, "positive")])
@pytest.mark.parametrize("shape", [(15, 1000), (400, 300)])
def test_fits_above_a_known_floor_settle_and_find_the_abilities(shape: tuple[int, int], make, form):
    for seed in range(3):
        truth = make(*shape, seed)
        data = simulate_irt(truth, np.random.default_rng(seed), floor=0.25)
        fit = fit_irt(data, IRTSettings(model="2pl", form=form), floor=np.full(shape[1], 0.25))
        assert fit.status.converged
        assert len(fit.history) < 20
        assert 0.95 < np.polyfit(fit.posterior.ability_mean[:, 0], truth.ability[:, 0], 1)[0] < 1.05
