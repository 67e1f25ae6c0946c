"""Continuous scores between 0 and 1: exact laws, recovery in slope and spread, coverage, predictions, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from simulated import responses

from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit import BetaResponse, IRTSettings, fit_irt, fit_marginal_extras, load_fit, save_fit, score_models
from capscope.fit.irt.score_models.beta import edge_of

CONTINUOUS = IRTSettings(model="2pl", response="continuous")
KNOWN = torch.zeros(1, 1, dtype=torch.float64)


def beta_world(n_models: int, n_items: int, seed: int, share: float = 1.0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """True parameters, and scores with NaN where nothing was administered."""
    rng = np.random.default_rng([seed, n_models, n_items, 11])
    ability = rng.standard_normal(n_models)
    ability = (ability - ability.mean()) / ability.std()
    truth = {"ability": ability, "slope": rng.normal(0.8, 0.4, n_items), "intercept": rng.normal(0.3, 1, n_items)}
    truth["log_precision"] = rng.normal(1.8, 0.6, n_items)
    p = 1 / (1 + np.exp(-(ability[:, None] * truth["slope"] + truth["intercept"])))
    precision = np.exp(truth["log_precision"])
    score = rng.beta(p * precision, (1 - p) * precision).clip(1e-9, 1 - 1e-9)
    return truth, np.where(rng.random(p.shape) < share, score, np.nan)


@pytest.fixture(scope="module")
def world():
    truth, score = beta_world(200, 60, 0)
    return truth, responses(score), fit_irt(responses(score), CONTINUOUS)


def test_the_density_is_that_of_the_beta_distribution():
    rng = np.random.default_rng(0)
    logit, log_precision, score = rng.normal(0, 1.5, (4, 5)), rng.normal(2, 1, (4, 1)), rng.uniform(0.02, 0.98, (4, 5))
    p, f = 1 / (1 + np.exp(-logit)), np.exp(log_precision)
    one, shape = torch.ones(4, 5, dtype=torch.float64), [torch.from_numpy(log_precision)]
    found = BetaResponse().log_likelihood(torch.from_numpy(score), one, torch.from_numpy(logit), KNOWN, shape)
    assert found.numpy() == pytest.approx(stats.beta.logpdf(score, p * f, (1 - p) * f))


def test_derivatives_are_those_of_the_log_density_and_information_its_expectation():
    rng = np.random.default_rng(1)
    head = BetaResponse()
    logit = torch.tensor(rng.normal(0, 1.5, (5, 6)), requires_grad=True)
    score, trials = torch.tensor(rng.uniform(0.02, 0.98, (5, 6))), torch.ones(5, 6, dtype=torch.float64)
    shape = torch.tensor(rng.normal(2, 0.8, (5, 1)), requires_grad=True)
    total = head.log_likelihood(score, trials, logit, KNOWN, [shape]).sum()
    by_logit, by_shape = torch.autograd.grad(total, [logit, shape])
    known = (logit.detach(), KNOWN, [shape.detach()])
    residual, _ = head.residuals(score, trials, *known)
    assert residual.numpy() == pytest.approx(by_logit.detach().numpy())
    found = head.derivatives(score, trials, *known)
    assert found.gradient[0].sum(1, keepdim=True).numpy() == pytest.approx(by_shape.detach().numpy())
    one = torch.full((1, 200_000), 0.7, dtype=torch.float64)
    log_precision = [torch.full((1, 1), 1.5, dtype=torch.float64)]
    drawn = head.draw(one, log_precision, torch.Generator().manual_seed(0))
    scores, information = head.residuals(drawn, torch.ones_like(one), one, KNOWN, log_precision)
    at = head.derivatives(drawn, torch.ones_like(one), one, KNOWN, log_precision)
    assert scores.mean() == pytest.approx(0, abs=0.02)
    assert (scores**2).mean() == pytest.approx(float(information.mean()), rel=0.03)
    assert (at.gradient[0] ** 2).mean() == pytest.approx(float(at.information[0][0].mean()), rel=0.03)
    assert (at.gradient[0] * scores).mean() == pytest.approx(float(at.cross[0].mean()), abs=0.02)


def test_expected_residuals_are_means_over_uncertain_log_odds():
    rng = np.random.default_rng(2)
    mean, variance = torch.tensor(rng.normal(0, 1, (3, 4))), torch.full((3, 4), 0.15, dtype=torch.float64)
    score, one = torch.tensor(rng.uniform(0.05, 0.95, (3, 4))), torch.ones(3, 4, dtype=torch.float64)
    shape = [torch.full((3, 1), 1.7, dtype=torch.float64)]
    draws = mean + variance.sqrt() * torch.tensor(rng.standard_normal((20_000, 3, 4)))
    direct = torch.stack(BetaResponse().residuals(score, one, draws, torch.zeros(1, dtype=torch.float64), shape)).mean(
        1
    )
    found = torch.stack(BetaResponse().residuals(score, one, mean, variance, shape))
    assert found.numpy() == pytest.approx(direct.numpy(), abs=0.05)


def test_slopes_intercepts_precisions_and_abilities_are_recovered(world):
    truth, _, fit = world
    posterior = fit.posterior
    assert fit.status.converged
    assert posterior.extras is not None
    for found, true in (
        (posterior.ability_mean[:, 0], truth["ability"]),
        (posterior.item_mean[:, 0], truth["slope"]),
        (posterior.item_mean[:, 1], truth["intercept"]),
        (posterior.extras.mean[:, 0], truth["log_precision"]),
    ):
        assert 0.95 < np.polyfit(found, true, 1)[0] < 1.06
        assert 0.93 < found.std() / true.std() < 1.05


@pytest.mark.parametrize("shape", [(100, 80, 1.0), (120, 150, 0.3), (15, 400, 1.0)])
def test_intervals_of_abilities_items_and_precisions_cover(shape: tuple[int, int, float]):
    hits: dict[str, list[np.ndarray]] = {"ability": [], "item": [], "precision": []}
    for seed in range(4):
        truth, score = beta_world(shape[0], shape[1], seed, shape[2])
        posterior = fit_irt(responses(score), CONTINUOUS).posterior
        assert posterior.extras is not None
        hits["ability"].append(
            np.abs(truth["ability"] - posterior.ability_mean[:, 0]) < 1.645 * posterior.ability_sd[:, 0]
        )
        spread = np.sqrt(np.diagonal(posterior.item_cov, axis1=1, axis2=2))
        error = np.column_stack([truth["slope"], truth["intercept"]]) - posterior.item_mean
        hits["item"].append((np.abs(error) < 1.645 * spread).ravel())
        miss = np.abs(truth["log_precision"] - posterior.extras.mean[:, 0])
        hits["precision"].append(miss < 1.645 * np.sqrt(posterior.extras.cov[:, 0, 0]))
    found = {name: float(np.mean(np.concatenate(parts))) for name, parts in hits.items()}
    assert 0.86 < found["ability"] < 0.95, found
    assert 0.86 < found["item"] < 0.93, found
    # the precision does not know that slope and intercept were fitted to the same few scores
    assert (0.86 if shape[0] > 20 else 0.8) < found["precision"] < 0.93, found


def test_predictions_are_near_the_truth_and_intervals_narrower_than_by_right_and_wrong():
    truth, score = beta_world(60, 80, 3)
    data = responses(score)
    keep = np.random.default_rng(0).random(len(data.score)) < 0.7
    held = data.rows(~keep)
    rows = (held.model_index, held.item_index)
    true = 1 / (1 + np.exp(-(truth["ability"][:, None] * truth["slope"] + truth["intercept"])))[rows]
    found = fit_irt(data.rows(keep), CONTINUOUS).posterior
    plain = fit_irt(data.rows(keep), IRTSettings(model="2pl", form="signed")).posterior
    errors = [np.sqrt(np.square(fit.probability(*rows) - true).mean()) for fit in (found, plain)]
    assert errors[0] < 0.05
    assert errors[0] < errors[1] + 0.002
    assert found.ability_sd.mean() < plain.ability_sd.mean()


@pytest.mark.slow
def test_marginal_maximum_likelihood_agrees():
    _, score = beta_world(150, 12, 4)
    data = responses(score)
    marginal = fit_marginal_extras(data, BetaResponse(), flat=True).posterior
    fast = fit_irt(data, CONTINUOUS).posterior
    assert fast.extras is not None
    assert marginal.slope == pytest.approx(fast.item_mean[:, 0], abs=0.1)
    assert marginal.intercept == pytest.approx(fast.item_mean[:, 1], abs=0.1)
    apart = marginal.parameters[:, 2] - fast.extras.mean[:, 0]
    assert (np.abs(apart) < 2 * np.sqrt(fast.extras.cov[:, 0, 0])).all()
    assert np.corrcoef(marginal.ability_mean, fast.ability_mean[:, 0])[0, 1] > 0.999


def test_a_fit_survives_the_disk_and_scores_its_own_models(world, tmp_path: Path):
    _, data, fit = world
    save_fit(fit, tmp_path / "fit")
    read = load_fit(tmp_path / "fit").posterior
    rows = (data.model_index[:50], data.item_index[:50])
    assert read.probability(*rows) == pytest.approx(fit.posterior.probability(*rows))
    again = score_models(read, data)
    assert again.ability_mean == pytest.approx(read.ability_mean, abs=0.02)


def test_ends_stay_finite_and_right_and_wrong_answers_are_refused():
    _, score = beta_world(40, 30, 5)
    score[:5, :5], score[5:8, 3:9], score[9] = 0.0, 1.0, 1.0
    assert edge_of(np.array([0.0, 0.02, 0.5, 0.996, 1.0])) == pytest.approx(0.002)
    fit = fit_irt(responses(score), CONTINUOUS)
    assert np.isfinite(fit.posterior.ability_mean).all()
    assert np.isfinite(fit.posterior.item_mean).all()
    assert fit.posterior.ability_mean.argmax() == 9
    binary: Responses = responses((score > 0.5).astype(float))
    with pytest.raises(FitError, match="100% of the scores are exactly 0 or 1"):
        fit_irt(binary, CONTINUOUS)
    with pytest.raises(FitError, match="continuous scores have no floor"):
        IRTSettings(model="3pl", response="continuous")
