"""Ordered grades: exact laws, recovery by both engines, and floors by marginal maximum likelihood."""

import numpy as np
import pytest
import torch
from simulated import responses
from test_asymptotes import truth_with_floors

from capscope.errors import FitError
from capscope.fit import Binary, GradedResponse, IRTSettings, fit_irt, fit_marginal, fit_marginal_extras, simulate_irt
from capscope.fit.irt.score_models.graded import count_grades

GRADED = IRTSettings(model="2pl", response="graded")


def graded_world(n_models: int, n_items: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng([seed, n_models, n_items, 7])
    ability = rng.standard_normal(n_models)
    ability = (ability - ability.mean()) / ability.std()
    truth = {"ability": ability, "slope": rng.lognormal(0.2, 0.3, n_items), "intercept": rng.normal(0, 0.8, n_items)}
    truth["log_gap"] = rng.normal(0.4, 0.4, (n_items, 2))
    logit = ability[:, None] * truth["slope"] + truth["intercept"]
    shape = [torch.from_numpy(truth["log_gap"][None, :, k]) for k in range(2)]
    generator = torch.Generator().manual_seed(seed)
    return truth, GradedResponse(4).draw(torch.from_numpy(logit), shape, generator).numpy()


def test_grades_have_chances_that_sum_to_one_and_a_mean_that_is_their_own():
    head, known = GradedResponse(4), torch.zeros(1, 1, dtype=torch.float64)
    logit = torch.linspace(-30, 30, 13, dtype=torch.float64)[:, None]
    shape = [torch.full((1, 1), value, dtype=torch.float64) for value in (0.3, -0.8)]
    one = torch.ones_like(logit)
    chances = [head.log_likelihood(one * grade / 3, one, logit, known, shape).exp() for grade in range(4)]
    assert torch.stack(chances).sum(0).numpy() == pytest.approx(1)
    mean = sum(chance * grade / 3 for grade, chance in enumerate(chances))
    assert head.expected_score(logit, shape).numpy() == pytest.approx(mean.numpy())


def test_derivatives_are_those_of_the_log_likelihood():
    rng = np.random.default_rng(0)
    head, known = GradedResponse(4), torch.zeros(1, 1, dtype=torch.float64)
    logit = torch.tensor(rng.normal(0, 2, (5, 6)), requires_grad=True)
    score = torch.tensor(rng.integers(0, 4, (5, 6)) / 3)
    trials = torch.ones_like(score)
    shape = [torch.tensor(rng.normal(0.3, 0.4, (5, 1)), requires_grad=True) for _ in range(2)]
    total = head.log_likelihood(score, trials, logit, known, shape).sum()
    by_logit, *by_shape = torch.autograd.grad(total, [logit, *shape], create_graph=True)
    second = torch.autograd.grad(by_logit.sum(), logit)[0]
    plain = [part.detach() for part in shape]
    residual, curvature = head.residuals(score, trials, logit.detach(), known, plain)
    assert residual.numpy() == pytest.approx(by_logit.detach().numpy(), abs=1e-9)
    assert curvature.numpy() == pytest.approx(-second.numpy(), abs=1e-9)
    found = head.derivatives(score, trials, logit.detach(), known, plain)
    for gradient, direct in zip(found.gradient, by_shape, strict=True):
        assert gradient.sum(1, keepdim=True).numpy() == pytest.approx(direct.detach().numpy(), abs=1e-9)


def test_slopes_intercepts_gaps_and_abilities_are_recovered():
    truth, score = graded_world(700, 25, 0)
    fast = fit_irt(responses(score), GRADED).posterior
    assert fast.extras is not None
    assert np.abs(fast.extras.mean - truth["log_gap"]).mean() < 0.08
    _assert_recovered(fast.item_mean, fast.extras.mean, truth)
    lower, upper = fast.ability_interval(0.9)
    assert 0.87 < np.mean((lower[:, 0] < truth["ability"]) & (truth["ability"] < upper[:, 0])) < 0.93
    spread = np.sqrt(np.diagonal(fast.item_cov, axis1=1, axis2=2))
    error = fast.item_mean - np.column_stack([truth["slope"], truth["intercept"]])
    assert 0.8 < np.mean(np.abs(error) < 1.645 * spread) < 0.97
    table = responses(score)
    assert abs(fast.probability(table.model_index, table.item_index).mean() - score.mean()) < 0.01


@pytest.mark.slow
def test_marginal_maximum_likelihood_recovers_grades_with_standard_errors():
    truth, score = graded_world(700, 25, 0)
    marginal = fit_marginal_extras(responses(score), GradedResponse(4), flat=True).posterior
    _assert_recovered(marginal.parameters[:, :2], marginal.parameters[:, 2:], truth)
    se = np.sqrt(np.diagonal(marginal.covariance, axis1=1, axis2=2))
    error = marginal.parameters - np.column_stack([truth["slope"], truth["intercept"], truth["log_gap"]])
    assert 0.83 < np.mean(np.abs(error) < 1.645 * se) < 0.97


def _assert_recovered(items: np.ndarray, gaps: np.ndarray, truth: dict[str, np.ndarray]) -> None:
    assert 0.87 < np.polyfit(items[:, 0], truth["slope"], 1)[0] < 1.1
    assert 0.95 < np.polyfit(items[:, 1], truth["intercept"], 1)[0] < 1.05
    assert np.corrcoef(gaps.ravel(), truth["log_gap"].ravel())[0, 1] > 0.95


def test_two_grades_are_right_and_wrong():
    truth, score = graded_world(150, 5, 1)
    binary = responses((score > 0.5).astype(float))
    plain = fit_marginal(binary).posterior
    floorless = fit_marginal_extras(binary, Binary(False, False)).posterior
    assert floorless.log_likelihood == pytest.approx(plain.log_likelihood, abs=0.01)
    assert floorless.slope == pytest.approx(plain.slope, abs=0.01)
    assert floorless.intercept == pytest.approx(plain.intercept, abs=0.01)


@pytest.mark.slow
def test_marginal_maximum_likelihood_finds_floors_with_intervals():
    truth = truth_with_floors(1200, 20, 9)
    data = simulate_irt(truth, np.random.default_rng(9))
    posterior = fit_marginal_extras(data, Binary(True, False)).posterior
    irt = posterior.as_irt("3pl")
    assert irt.floor.mean() == pytest.approx(np.mean(truth.floor), abs=0.03)
    se = np.sqrt(np.diagonal(posterior.covariance, axis1=1, axis2=2))[:, :2]
    error = posterior.parameters[:, :2] - np.column_stack([truth.slope, truth.intercept])
    assert np.mean(np.abs(error) < 1.645 * se) > 0.8
    table = irt.asymptotes(0.9)
    assert np.mean((table["floor_lower"] < truth.floor) & (truth.floor < table["floor_upper"])) > 0.75
    p = irt.probability(data.model_index, data.item_index)
    assert abs(p.mean() - data.score.mean()) < 0.01


def test_grades_are_counted_and_others_refused():
    assert count_grades(np.array([0, 1 / 3, 1.0])) == 4
    assert count_grades(np.array([0, 1.0])) == 3
    with pytest.raises(FitError, match="evenly spaced grades"):
        count_grades(np.array([0, 0.123, 1.0]))
    with pytest.raises(FitError, match="no floor"):
        IRTSettings(model="3pl", response="graded")
