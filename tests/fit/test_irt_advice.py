"""The status says what is odd: blocks that never meet, dimensions that part groups, and why a model was chosen."""

import numpy as np
import pytest
from simulated import responses, truth_signed, world_2pl

from capscope.data import Responses
from capscope.fit import Fit, IRTSettings, IRTTruth, fit_irt, simulate_irt
from capscope.fit.engines.variational.problem import ModelChoice
from capscope.fit.engines.variational.selection import ALL_FOLDS, FEW_FOLDS, Trial

TWO_PL = IRTSettings(model="2pl", form="signed")


def told(fit) -> str:
    return " | ".join(fit.status.advice)


def test_disconnected_blocks_are_reported_and_not_linked():
    _, data = world_2pl(60, 200)
    score = data.score.reshape(60, 200).copy()
    score[:40, 100:] = np.nan
    score[40:, :100] = np.nan
    fit = fit_irt(responses(score), TWO_PL)
    assert "2 blocks of models share no item (one of them: m040, m041, m042" in told(fit)
    score[0, 100:] = data.score.reshape(60, 200)[0, 100:]
    assert "blocks" not in told(fit_irt(responses(score), TWO_PL))


def test_a_dimension_that_parts_two_groups_is_reported():
    rng = np.random.default_rng(0)
    group = np.repeat([-1.0, 1.0], 30)[:, None] + 0.2 * rng.standard_normal((60, 1))
    truth = IRTTruth(group, rng.normal(0, 1.5, (400, 1)), rng.normal(0, 1, 400))
    advice = told(fit_irt(simulate_irt(truth, rng), TWO_PL))
    assert "dimension 1 separates the models into two groups" in advice
    assert "of items fall with ability" in advice
    one_line = truth_signed(60, 400)
    assert "two groups" not in told(fit_irt(simulate_irt(one_line, rng), TWO_PL))


def world(slope: float) -> Responses:
    rng = np.random.default_rng(1)
    truth = IRTTruth(rng.standard_normal((150, 1)), rng.lognormal(0, slope, (300, 1)), rng.normal(0, 1, 300))
    return simulate_irt(truth, rng)


@pytest.fixture(scope="module")
def steep() -> Fit:
    return fit_irt(world(0.6), IRTSettings())


def test_auto_finds_one_dimension_and_says_why(steep: Fit):
    for fit, name in ((fit_irt(world(0.0), IRTSettings()), "rasch"), (steep, "2pl")):
        assert fit.posterior.model_name == name
        assert fit.posterior.dims == 1
        assert "held-out log-loss" in told(fit)


def test_auto_finds_several_dimensions():
    rng = np.random.default_rng(2)
    slope = np.zeros((400, 3))
    slope[np.arange(400), np.arange(400) % 3] = rng.lognormal(0.2, 0.3, 400)
    truth = IRTTruth(rng.standard_normal((200, 3)), slope, rng.normal(0, 1, 400))
    fit = fit_irt(simulate_irt(truth, rng), IRTSettings())
    assert fit.posterior.dims == 3
    assert "4 dimensions not taken" in told(fit)


def test_the_form_follows_the_items():
    truth = IRTTruth(*_signed_and_steep())
    fit = fit_irt(simulate_irt(truth, np.random.default_rng(0)), IRTSettings(model="2pl"))
    assert fit.posterior.population.form == "signed"
    _, data = world_2pl(200, 400)
    assert fit_irt(data, IRTSettings(model="2pl")).posterior.population.form == "positive"


def _signed_and_steep() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((100, 1)), rng.normal(0.6, 0.8, (300, 1)), rng.normal(0, 1, 300)


def test_the_choice_is_the_same_for_one_seed(steep: Fit):
    again = fit_irt(world(0.6), IRTSettings())
    assert again.status == steep.status
    assert again.posterior.item_mean.tobytes() == steep.posterior.item_mean.tobytes()


def test_a_choice_weighs_held_out_shares_by_their_trials() -> None:
    losses = {"simple": np.array([0.1, 0.1, 0.9]), "rich": np.array([0.2, 0.2, 0.5])}
    trials = (np.array([10.0, 10.0, 1.0]),)
    simple, rich = (Trial(ModelChoice("2pl"), (), (losses[name],), trials) for name in ("simple", "rich"))
    gain, error = rich.gain_over(simple)
    assert gain == pytest.approx((-0.1 * 20 + 0.4) / 21)
    assert error > 0
    assert simple.loss(1) == pytest.approx((0.1 * 20 + 0.9) / 21)


def test_few_cells_are_each_held_out_once() -> None:
    draw = np.random.default_rng(0).random(1000)
    times = sum(ALL_FOLDS.held(draw, number).astype(int) for number in range(ALL_FOLDS.most))
    assert (times == 1).all()
    assert sum(FEW_FOLDS.held(draw, number).sum() for number in range(FEW_FOLDS.most)) == (draw < 0.45).sum()
