"""Slopes that a mask holds at 0, and rows that anchors hold where they are."""

import numpy as np
import pytest
from simulated import responses, truth_signed

from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit import IRTSettings, IRTTruth, fit_irt, simulate_irt
from capscope.fit.cells.answers import PartOfAnswers, as_rows

MIRT = IRTSettings(model="mirt", dims=3)


@pytest.fixture(scope="module")
def masked():
    """Three correlated abilities; each item loads on one of them, every fifth on two."""
    rng = np.random.default_rng(0)
    ability = rng.standard_normal((400, 3)) @ np.linalg.cholesky(0.6 * np.eye(3) + 0.4).T
    ability = (ability - ability.mean(0)) / ability.std(0)
    mask = np.zeros((300, 3), bool)
    mask[np.arange(300), np.arange(300) % 3] = True
    mask[::5, 1] = True
    slope = rng.lognormal(0.2, 0.3, (300, 3)) * mask
    truth = IRTTruth(ability, slope, rng.normal(0.2, 1, 300))
    data = simulate_irt(truth, rng)
    return truth, mask, data, fit_irt(data, MIRT, loads_on=mask)


def test_masked_slopes_are_exactly_zero_and_certain(masked):
    _, mask, _, fit = masked
    assert fit.status.converged
    posterior = fit.posterior
    assert (posterior.item_mean[:, :-1][~mask] == 0).all()
    assert (np.diagonal(posterior.item_cov, axis1=1, axis2=2)[:, :-1][~mask] == 0).all()
    assert (np.diagonal(posterior.item_cov, axis1=1, axis2=2)[:, :-1][mask] > 0).all()


def test_dimensions_are_those_of_the_mask_in_slope_spread_and_coverage(masked):
    truth, mask, _, fit = masked
    posterior = fit.posterior
    for dim in range(3):
        assert 0.95 < np.polyfit(posterior.ability_mean[:, dim], truth.ability[:, dim], 1)[0] < 1.05
        found, true = posterior.item_mean[mask[:, dim], dim], truth.slope[mask[:, dim], dim]
        assert 0.85 < np.polyfit(found, true, 1)[0] < 1.15
        assert found.mean() == pytest.approx(true.mean(), rel=0.08)
    # abilities correlate although their prior does not say so
    assert np.corrcoef(posterior.ability_mean.T)[0, 1] == pytest.approx(np.corrcoef(truth.ability.T)[0, 1], abs=0.1)
    inside = np.abs(posterior.ability_mean - truth.ability) < 1.645 * posterior.ability_sd
    assert 0.84 < inside.mean() < 0.94


def test_a_mask_beats_none_only_where_it_is_true(masked):
    _, mask, data, fit = masked
    wrong = fit_irt(data, MIRT, loads_on=np.roll(mask, 1, axis=0)).posterior
    rows = (data.model_index, data.item_index)

    def loss(posterior):
        p = posterior.probability(*rows)
        return -np.mean(data.score * np.log(p) + (1 - data.score) * np.log1p(-p))

    assert loss(fit.posterior) < loss(wrong) - 0.003


def test_permuting_the_dimensions_of_a_mask_permutes_the_answer(masked):
    _, mask, data, fit = masked
    order = [2, 0, 1]
    turned = fit_irt(data, MIRT, loads_on=mask[:, order]).posterior
    assert turned.ability_mean == pytest.approx(fit.posterior.ability_mean[:, order], abs=0.01)


def test_masks_that_cannot_be_are_refused(masked):
    _, mask, data, _ = masked
    with pytest.raises(FitError, match="under 3 items load on dimension 3"):
        fit_irt(data, MIRT, loads_on=mask & np.array([True, True, False]))
    with pytest.raises(FitError, match="each of 300 items"):
        fit_irt(data, MIRT, loads_on=mask[:10])
    with pytest.raises(FitError, match="model 'mirt'"):
        fit_irt(data, IRTSettings(model="2pl"), loads_on=mask)


def test_items_without_answers_keep_their_zeros(masked):
    _, mask, data, _ = masked
    some = data.rows(data.item_index >= 6)
    posterior = fit_irt(some, MIRT, loads_on=mask).posterior
    assert (posterior.item_mean[:6, :-1][~mask[:6]] == 0).all()
    assert (posterior.item_mean[:6, :-1][mask[:6]] != 0).all()


def part(data: Responses, models: np.ndarray, items: np.ndarray) -> Responses:
    return as_rows(PartOfAnswers(data, models, items))


def test_anchored_rows_are_unchanged_bit_for_bit_and_set_the_scale():
    truth = truth_signed(200, 200)
    data = simulate_irt(truth, np.random.default_rng(0))
    old = fit_irt(part(data, np.arange(120), np.arange(150)), IRTSettings(model="2pl", form="signed")).posterior
    fit = fit_irt(part(data, np.arange(40, 200), np.arange(50, 200)), anchors=old)
    posterior = fit.posterior
    assert posterior.models == tuple(f"m{i:05d}" for i in range(40, 200))
    assert posterior.item_mean[:100].tobytes() == old.item_mean[50:].tobytes()
    assert posterior.item_cov[:100].tobytes() == old.item_cov[50:].tobytes()
    assert posterior.ability_mean[:80].tobytes() == old.ability_mean[40:].tobytes()
    mean, sd = truth.ability[:120].mean(), truth.ability[:120].std()
    assert 0.95 < np.polyfit(posterior.ability_mean[80:, 0], (truth.ability[120:, 0] - mean) / sd, 1)[0] < 1.05
    other = responses(np.random.default_rng(0).integers(0, 2, (5, 8)).astype(float))
    with pytest.raises(FitError, match="share no answer with the old fit"):
        fit_irt(other, anchors=old)
