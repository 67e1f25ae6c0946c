"""Floors and ceilings: exact laws of the formulas, recovery, intervals, and what a fit does with them."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from simulated import log_loss

from capscope.errors import FitError
from capscope.fit import (
    Fit,
    IRTPosterior,
    IRTSettings,
    IRTTruth,
    fit_irt,
    information,
    load_fit,
    save_fit,
    score_models,
    simulate_irt,
)
from capscope.fit.irt.score_models.binary import Binary
from capscope.fit.links import item_information
from capscope.fit.tensor_links import answer_log_chances, asymptote_residuals, knowing_shares

THREE = IRTSettings(model="3pl", form="signed")


def truth_with_floors(n_models: int, n_items: int, seed: int, slips: bool = False) -> IRTTruth:
    rng = np.random.default_rng([seed, n_models, n_items, 3])
    ability = rng.standard_normal((n_models, 1))
    ability = (ability - ability.mean()) / ability.std()
    slope = rng.normal(1.3, 0.35, (n_items, 1))
    ceiling = 1 - rng.beta(2, 38, n_items) if slips else 1.0
    return IRTTruth(ability, slope, rng.normal(0, 1.2, n_items), rng.beta(6, 24, n_items), ceiling)


def tensors(*values: object) -> list[torch.Tensor]:
    return [torch.as_tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize(("floor", "ceiling"), [(0.25, 0.9), (0.0, 0.9), (0.25, 1.0), (0.0, 1.0)])
def test_residual_and_curvature_are_the_derivatives_of_the_log_chance(floor: float, ceiling: float):
    one = torch.tensor(1.0, dtype=torch.float64)
    c, u = tensors(floor, ceiling)
    for score in (0.0, 1.0):
        z = torch.linspace(-8, 8, 17, dtype=torch.float64, requires_grad=True)
        log_chance = answer_log_chances(z, c, u)[0 if score else 1]
        direct = floor + (ceiling - floor) * expit(z.detach().numpy())
        assert log_chance.detach().numpy() == pytest.approx(np.log(direct if score else 1 - direct), abs=1e-9)
        first = torch.autograd.grad(log_chance.sum(), z, create_graph=True)[0]
        second = torch.autograd.grad(first.sum(), z)[0]
        residual, curvature = asymptote_residuals(z.detach(), one, torch.full_like(z, score).detach(), c, u)
        assert residual.numpy() == pytest.approx(first.detach().numpy(), abs=1e-9)
        assert curvature.numpy() == pytest.approx(-second.numpy(), abs=1e-9)


def test_far_log_odds_stay_finite_and_shares_reach_their_limits():
    z = torch.tensor([-800.0, 800.0], dtype=torch.float64)
    c, u = tensors(0.0, 1.0)
    right, wrong = knowing_shares(z, torch.ones(()), c, u)
    assert (right == 1).all()
    assert (wrong == 0).all()
    assert torch.isfinite(torch.stack(answer_log_chances(z, c, u))).all()
    guess = knowing_shares(z, torch.ones(()), *tensors(0.2, 0.9))
    assert guess[0].tolist() == pytest.approx([0, 1])
    assert guess[1].tolist() == pytest.approx([0, 1])


def test_information_is_the_variance_of_the_score():
    z = np.linspace(-6, 6, 25)
    for floor, ceiling in ((0.2, 1.0), (0.0, 0.8), (0.2, 0.85)):
        chance = floor + (ceiling - floor) * expit(z)
        slope = (ceiling - floor) * expit(z) * expit(-z)
        expected = 1.7**2 * slope**2 / (chance * (1 - chance))
        assert item_information(z, np.full(25, 1.7), floor, ceiling) == pytest.approx(expected)
    assert np.isfinite(item_information(np.array([-900.0, 900.0]), np.ones(2))).all()


def test_shape_gradients_are_the_derivatives_of_the_log_likelihood():
    rng = np.random.default_rng(0)
    z, score, trials = tensors(rng.normal(0, 2, (3, 4)), rng.integers(0, 2, (3, 4)), rng.integers(1, 5, (3, 4)))
    shape = [torch.tensor(rng.normal(-1.5, 0.5, (3, 1)), requires_grad=True) for _ in range(2)]
    head = Binary(True, True)
    nothing = torch.zeros_like(z)
    total = head.log_likelihood(score, trials, z, nothing, shape).sum()
    expected = torch.autograd.grad(total, shape)
    found = head.derivatives(score, trials, z, nothing, [part.detach() for part in shape])
    for gradient, direct in zip(found.gradient, expected, strict=True):
        assert gradient.sum(1, keepdim=True).numpy() == pytest.approx(direct.numpy(), abs=1e-9)


@pytest.fixture(scope="module")
def world() -> tuple[IRTTruth, Fit[IRTPosterior]]:
    truth = truth_with_floors(1500, 120, 0)
    return truth, fit_irt(simulate_irt(truth, np.random.default_rng(0)), THREE)


def test_floors_slopes_and_difficulties_are_recovered_in_slope_and_spread(world):
    truth, fit = world
    posterior = fit.posterior
    assert fit.status.converged
    assert posterior.model_name == "3pl"
    for estimate, true in (
        (posterior.ability_mean[:, 0], truth.ability[:, 0]),
        (posterior.item_mean[:, 1], truth.intercept),
        (posterior.item_mean[:, 0], truth.slope[:, 0]),
    ):
        assert 0.9 < np.polyfit(estimate, true, 1)[0] < 1.07
        assert 0.9 < estimate.std() / true.std() < 1.1
    assert 0.85 < np.polyfit(posterior.floor, truth.floor, 1)[0] < 1.15
    assert posterior.floor.mean() == pytest.approx(truth.floor.mean(), abs=0.02)
    assert np.corrcoef(posterior.floor, truth.floor)[0, 1] > 0.6


def test_intervals_of_abilities_and_floors_cover():
    hits: dict[str, list[float]] = {"ability": [], "item": [], "floor": []}
    for seed in range(4):
        truth = truth_with_floors(400, 300, seed)
        posterior = fit_irt(simulate_irt(truth, np.random.default_rng(seed)), THREE).posterior
        lower, upper = posterior.ability_interval(0.9)
        hits["ability"].append(np.mean((lower < truth.ability) & (truth.ability < upper)))
        spread = np.sqrt(np.diagonal(posterior.item_cov, axis1=1, axis2=2))
        error = np.column_stack([truth.slope, truth.intercept]) - posterior.item_mean
        hits["item"].append(np.mean(np.abs(error) < 1.645 * spread))
        table = posterior.asymptotes(0.9)
        hits["floor"].append(np.mean((table["floor_lower"] < truth.floor) & (truth.floor < table["floor_upper"])))
    assert 0.86 < np.mean(hits["ability"]) < 0.93
    # items and models are independent in the engine's posterior: with floors that costs a little width
    assert 0.82 < np.mean(hits["item"]) < 0.93
    assert 0.82 < np.mean(hits["floor"]) < 0.94


def test_a_ceiling_is_found_too():
    truth = truth_with_floors(1500, 80, 5, slips=True)
    posterior = fit_irt(
        simulate_irt(truth, np.random.default_rng(5)), IRTSettings(model="4pl", form="signed")
    ).posterior
    table = posterior.asymptotes()
    assert table["ceiling"].mean() == pytest.approx(np.mean(truth.ceiling), abs=0.025)
    assert np.corrcoef(table["ceiling"], truth.ceiling)[0, 1] > 0.4
    assert 0.9 < np.polyfit(posterior.ability_mean[:, 0], truth.ability[:, 0], 1)[0] < 1.07


def test_predictions_beat_those_without_a_floor_and_stay_above_it():
    truth = truth_with_floors(600, 150, 1)
    data = simulate_irt(truth, np.random.default_rng(1))
    keep = np.random.default_rng(2).random(len(data.score)) < 0.8
    held = data.rows(~keep)
    rows = (held.model_index, held.item_index)
    with_floor = fit_irt(data.rows(keep), THREE).posterior
    without = fit_irt(data.rows(keep), IRTSettings(model="2pl", form="signed")).posterior
    best = log_loss(truth.probability[rows], held.score)
    loss = log_loss(with_floor.probability(*rows), held.score)
    assert loss < log_loss(without.probability(*rows), held.score)
    assert loss < best + 0.009
    assert (with_floor.probability(*rows) >= with_floor.floor[held.item_index]).all()


def test_a_known_chance_centres_the_prior_of_each_floor():
    truth = truth_with_floors(60, 40, 2)
    data = simulate_irt(truth, np.random.default_rng(2))
    low, high = (fit_irt(data, THREE, floor=np.full(40, chance)).posterior.floor for chance in (0.05, 0.4))
    assert (high > low).all()
    assert high.mean() - low.mean() > 0.15


@pytest.mark.slow
def test_auto_takes_a_floor_where_it_pays_and_not_where_nobody_guesses():
    truth = truth_with_floors(3000, 150, 3)
    told = fit_irt(simulate_irt(truth, np.random.default_rng(3))).posterior.model_name
    assert told in ("3pl", "4pl")
    plain = IRTTruth(truth.ability, truth.slope, truth.intercept)
    assert fit_irt(simulate_irt(plain, np.random.default_rng(3))).posterior.model_name in ("2pl", "rasch")


@pytest.mark.slow
def test_auto_drops_known_chances_that_do_not_hold():
    truth = truth_with_floors(150, 100, 4)
    plain = IRTTruth(truth.ability, truth.slope, truth.intercept - 1)
    fit = fit_irt(simulate_irt(plain, np.random.default_rng(4)), floor=np.full(100, 0.25))
    assert not fit.posterior.floor.any()
    assert any("known floors of guessing not taken" in line for line in fit.status.advice)
    guessed = simulate_irt(plain, np.random.default_rng(4), floor=0.25)
    assert (fit_irt(guessed, floor=np.full(100, 0.25)).posterior.floor == 0.25).all()


def test_a_fit_with_floors_survives_the_disk_scores_and_draws(world, tmp_path):
    _, fit = world
    save_fit(fit, tmp_path / "fit")
    read: Fit[IRTPosterior] = load_fit(tmp_path / "fit")
    index = np.arange(120)
    assert read.posterior.probability(index, index).tobytes() == fit.posterior.probability(index, index).tobytes()
    assert read.posterior.asymptotes().equals(fit.posterior.asymptotes())
    some = read.posterior.take_items(np.arange(100, 20, -1))
    truth = IRTTruth(np.zeros((2, 1)), np.ones((120, 1)), np.zeros(120))
    battery = simulate_irt(truth, np.random.default_rng(0), share=0.5)
    assert np.isfinite(score_models(read.posterior, battery).ability_mean).all()
    chances = next(some.draw_chances(np.arange(80), np.random.default_rng(0), 400))
    expected = some.probability(np.zeros(80, int), np.arange(80))
    assert np.abs(chances.mean(1) - expected).max() < 0.05
    assert information(some, np.array([[0.0]])).shape == (1, 80)
    new = read.posterior.new_item_probability(index)
    assert (new > 0.19).all()
    assert (read.posterior.new_item_probability(index, floor=0.0) < new).all()


def test_scoring_with_floors_returns_the_abilities_of_the_fit():
    truth = truth_with_floors(80, 200, 6)
    data = simulate_irt(truth, np.random.default_rng(6))
    posterior = fit_irt(data, THREE).posterior
    again = score_models(posterior, data)
    assert again.ability_mean == pytest.approx(posterior.ability_mean, abs=0.2)


def test_permuting_items_permutes_the_floors():
    truth = truth_with_floors(100, 30, 7)
    data = simulate_irt(truth, np.random.default_rng(7))
    order = np.random.default_rng(8).permutation(30)
    turned = IRTTruth(truth.ability, truth.slope[order], truth.intercept[order], np.asarray(truth.floor)[order])
    shuffled = simulate_irt(turned, np.random.default_rng(7))
    shuffled = type(data)(
        data.models,
        tuple(data.items[i] for i in order),
        data.model_index,
        np.argsort(order)[data.item_index],
        data.score,
        data.n_trials,
    )
    first, second = fit_irt(data, THREE).posterior, fit_irt(shuffled, THREE).posterior
    assert second.floor == pytest.approx(first.floor[order], abs=1e-4)


def test_a_fit_without_floors_has_no_table_of_them():
    truth = truth_with_floors(20, 20, 8)
    posterior = fit_irt(simulate_irt(truth, np.random.default_rng(8)), IRTSettings(model="rasch")).posterior
    with pytest.raises(FitError, match="no estimated floor"):
        posterior.asymptotes()
