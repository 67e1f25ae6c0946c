"""Scores of every kind vary and inform as their distribution says, and checks of fit use that."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from simulated import responses, truth_signed
from test_beta_scores import beta_world
from test_graded import graded_world

from capscope.data import Responses
from capscope.fit import (
    BetaResponse,
    Binary,
    GradedResponse,
    IRTPosterior,
    IRTSettings,
    fit_irt,
    information,
    local_dependence,
    mean_squares,
    replicated,
    simulate_irt,
)
from capscope.fit.irt.score_models.score_model import ScoreModel

KNOWN = torch.zeros(1, 1, dtype=torch.float64)
HEADS = {
    "asymptotes": (Binary(True, True), (-1.2, -2.5)),
    "graded": (GradedResponse(4), (0.2, 0.7)),
    "beta": (BetaResponse(), (1.5,)),
}


@pytest.mark.parametrize("name", HEADS)
def test_variance_and_information_are_those_of_drawn_scores(name: str):
    head: ScoreModel = HEADS[name][0]
    shape = [torch.full((1, 1), value, dtype=torch.float64) for value in HEADS[name][1]]
    logit = torch.linspace(-1.5, 1.5, 4, dtype=torch.float64)[:, None].expand(4, 60_000).contiguous()
    drawn = head.draw(logit, [part.expand(4, 60_000) for part in shape], torch.Generator().manual_seed(0))
    variance, told = head.score_variance(logit, shape)[:, 0], head.information(logit, shape)[:, 0]
    assert drawn.mean(1).numpy() == pytest.approx(head.expected_score(logit, shape)[:, 0].numpy(), abs=0.01)
    assert drawn.var(1).numpy() == pytest.approx(variance.numpy(), rel=0.03)
    gradient, _ = head.residuals(drawn, torch.ones_like(drawn), logit, KNOWN, shape)
    assert gradient.square().mean(1).numpy() == pytest.approx(told.numpy(), rel=0.03)


def fractions() -> Responses:
    """Shares of eight trials whose number is not told."""
    truth = truth_signed(200, 60)
    draws = [simulate_irt(truth, np.random.default_rng(seed)) for seed in range(8)]
    return replace(draws[0], score=np.mean([part.score for part in draws], 0))


def fitted(kind: str) -> tuple[Responses, IRTPosterior]:
    two = IRTSettings(model="2pl", form="signed")
    if kind == "fractions":
        data, settings = fractions(), two
    elif kind == "graded":
        data, settings = responses(graded_world(300, 60, 1)[1]), replace(two, response="graded")
    else:
        data, settings = responses(beta_world(200, 60, 1)[1]), replace(two, response="continuous")
    return data, fit_irt(data, settings).posterior


@pytest.mark.parametrize("kind", ["fractions", "graded", "continuous"])
def test_mean_squares_are_one_and_replicated_data_look_like_the_data(kind: str):
    data, posterior = fitted(kind)
    # the fit has seen these scores; and fractions count for too little rather than for too much
    least = 0.7 if kind == "fractions" else 0.9
    for found in mean_squares(posterior, data):
        assert least < found.infit.mean() < 1.04
        assert least < found.outfit.mean() < 1.1
    again = replicated(posterior, data, np.random.default_rng(0))
    assert again.score.mean() == pytest.approx(data.score.mean(), abs=0.02)
    assert again.score.std() == pytest.approx(data.score.std(), rel=0.05)
    if kind == "graded":
        assert set(np.unique(again.score)) == set(np.unique(data.score))
    assert len(local_dependence(posterior, data, np.random.default_rng(1)).pairs) <= 1


def test_continuous_scores_tell_more_about_ability_than_right_and_wrong():
    data, posterior = fitted("continuous")
    cut = replace(data, score=(data.score > 0.5).astype(float))
    plain = fit_irt(cut, IRTSettings(model="2pl", form="signed")).posterior
    at = np.zeros((1, 1))
    assert information(posterior, at).sum() > 2 * information(plain, at).sum()
    # the information of all items is the inverse of the abilities' variance, less the prior's part
    typical = np.abs(posterior.ability_mean[:, 0]) < 0.3
    expected = 1 / (1 + information(posterior, posterior.ability_mean[typical]).sum(1))
    assert (posterior.ability_sd[typical, 0] ** 2 / expected).mean() == pytest.approx(1, abs=0.15)
