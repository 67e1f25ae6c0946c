"""The full posteriors judge the fast engine's means and intervals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from simulated import responses, truth_signed, world_2pl

from capscope.errors import FitError
from capscope.fit import (
    IRTSettings,
    SampledPosterior,
    SamplerSettings,
    StudyFitSettings,
    fit_irt,
    sample_irt,
    simulate_irt,
)
from capscope.fit.engines.pyro_sampling import chain_status, search_status
from capscope.fit.irt_study import fit_answers
from capscope.fit.links import log_likelihood
from capscope.fit.tensor_links import log_likelihood_of


def test_the_differentiable_likelihood_is_the_plain_one_above_a_floor():
    logit, score = np.linspace(-30, 30, 13), np.linspace(0, 1, 13)
    none = torch.zeros(13, dtype=torch.float64)
    trials = torch.full((13,), 2.0, dtype=torch.float64)
    arguments = (torch.from_numpy(logit), torch.from_numpy(score), trials)
    assert log_likelihood_of(*arguments, none).numpy() == pytest.approx(log_likelihood(logit, score, 2.0))
    chance = 0.25 + 0.75 / (1 + np.exp(-logit))
    direct = 2 * (score * np.log(chance) + (1 - score) * (np.log(0.75) - np.logaddexp(0, logit)))
    assert log_likelihood_of(*arguments, none + 0.25).numpy() == pytest.approx(direct)


def test_svi_agrees_with_the_fast_engine_and_leaves_the_generator_alone():
    truth = truth_signed(60, 40)
    data = simulate_irt(truth, np.random.default_rng(0))
    fast = fit_irt(data, IRTSettings(model="2pl", form="signed", tolerance=1e-3)).posterior
    before = torch.get_rng_state()
    drawn = sample_irt(data, fast, SamplerSettings(engine="svi", steps=400, draws=200)).posterior
    assert torch.equal(before, torch.get_rng_state())
    short = SamplerSettings(engine="svi", steps=30, draws=200)
    first, second = (sample_irt(data, fast, short).posterior for _ in range(2))
    assert first.ability.tobytes() == second.ability.tobytes()
    assert np.corrcoef(drawn.ability.mean(0)[:, 0], fast.ability_mean[:, 0])[0, 1] > 0.99
    p = drawn.probability(data.model_index, data.item_index)
    assert np.sqrt(np.mean((p - fast.probability(data.model_index, data.item_index)) ** 2)) < 0.04


def test_draws_hold_the_slopes_of_a_mask_at_zero_and_weigh_fractions_like_the_fit():
    truth = truth_signed(30, 12)
    data = simulate_irt(truth, np.random.default_rng(0))
    mask = np.arange(12)[:, None] % 2 == np.arange(2)[None]
    start = fit_irt(data, IRTSettings(model="mirt", dims=2), loads_on=mask).posterior
    drawn = sample_irt(data, start, SamplerSettings(engine="svi", steps=20, draws=50)).posterior
    assert (drawn.item[:, :, :-1][:, ~mask] == 0).all()
    assert (drawn.item[:, :, :-1][:, mask].std(0) > 0).all()
    settings = SamplerSettings(engine="svi", steps=150, draws=200)
    wide, narrow = (sample_irt(data, replace(start, trial_weight=weight), settings).posterior for weight in (1.0, 16.0))
    assert narrow.ability.std(0).mean() < 0.6 * wide.ability.std(0).mean()


def test_scores_that_the_programs_do_not_carry_are_refused():
    data = responses(np.random.default_rng(0).uniform(0.1, 0.9, (12, 8)).round(1))
    fit = fit_irt(data, IRTSettings(model="2pl", response="continuous"))
    with pytest.raises(FitError, match="full posteriors take right and wrong answers"):
        sample_irt(data, fit.posterior)


def test_the_status_of_a_search_tells_one_that_stands_from_one_that_moves():
    noise = np.random.default_rng(0).normal(0, 5, 1000)
    standing = search_status(1000 + noise)
    assert standing.converged
    assert "SVI, 1000 steps" in standing.advice[0]
    moving = search_status(1000 + noise + np.linspace(500, 0, 1000))
    assert not moving.converged
    assert moving.code == "still-moving"
    assert "raise steps" in moving.advice[1]


def test_the_status_of_a_chain_tells_mixing_drift_and_divergence():
    draws = torch.randn(400, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fixed = torch.ones(400, 3)  # slopes that a Rasch model holds fixed do not count
    mixed = chain_status({"ability": draws, "slope": fixed}, 0)
    assert mixed.converged
    assert mixed.code == "converged"
    drift = chain_status({"ability": draws + torch.linspace(0, 4, 400, dtype=torch.float64)[:, None]}, 0)
    assert not drift.converged
    assert "has not mixed" in " ".join(drift.advice)
    diverged = chain_status({"ability": draws}, 3)
    assert not diverged.converged
    assert "3 divergent trajectories" in " ".join(diverged.advice)


@pytest.mark.slow
def test_a_study_fit_by_svi_ends_with_the_status_of_svi():
    _, data = world_2pl(30, 20)
    fit = fit_answers(data, StudyFitSettings(model="2pl", engine="svi"))
    assert "SVI, 1500 steps" in " ".join(fit.status.advice)


def test_draws_leave_difficulties_of_their_own_in_either_form():
    truth, data = world_2pl(60, 20)
    rng = np.random.default_rng(0)
    item = np.concatenate([truth.slope, truth.intercept[:, None]], 1) * rng.uniform(0.9, 1.1, (500, 20, 2))
    draws = SampledPosterior(data.models, data.items, np.tile(truth.ability, (500, 1, 1)), item, np.zeros(20))
    for form in ("signed", "positive"):
        posterior = draws.as_irt(fit_irt(data, IRTSettings(model="2pl", form=form)).posterior)
        expected = -truth.intercept / truth.slope[:, 0]
        assert posterior.difficulty()["mean"].to_numpy() == pytest.approx(expected, abs=0.05, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["signed", "positive"])
def test_nuts_agrees_with_the_fast_engine_where_the_posterior_is_near_gaussian(form):
    _, data = world_2pl(80, 60)
    fast = fit_irt(data, IRTSettings(model="2pl", form=form, tolerance=1e-3)).posterior
    nuts = sample_irt(data, fast, SamplerSettings(engine="nuts", draws=300, warmup=200)).posterior
    ability = nuts.ability[:, :, 0]
    assert np.corrcoef(ability.mean(0), fast.ability_mean[:, 0])[0, 1] > 0.998
    # the fast engine holds the scale fixed (mean 0, variance 1), so draws are put on that scale before comparing
    fixed = (ability - ability.mean(1, keepdims=True)) / ability.std(1, keepdims=True)
    ratio = fast.ability_sd[:, 0] / fixed.std(0)
    assert 0.85 < np.median(ratio) < 1.05
    rows = (data.model_index, data.item_index)
    mean, variance = fast.logit_moments(*rows)
    draws = nuts.logits(*rows)
    assert np.sqrt(np.mean((draws.mean(0) - mean) ** 2)) < 0.12
    assert 0.85 < np.median(np.sqrt(variance) / draws.std(0)) < 1.1
    p = nuts.probability(*rows)
    assert np.sqrt(np.mean((p - fast.probability(*rows)) ** 2)) < 0.012


def test_features_are_refused():
    _, data = world_2pl(20, 30)
    fast = fit_irt(data, IRTSettings(model="2pl"), np.random.default_rng(0).random((30, 2))).posterior
    with pytest.raises(FitError, match="no item features"):
        sample_irt(data, fast)
