"""New items come onto the scale of a fit whose own numbers stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import truth_2pl, truth_signed

from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit import IRTPosterior, IRTSettings, IRTTruth, calibrate_items, fit_irt, score_models, simulate_irt
from capscope.fit.cells.answers import PartOfAnswers, as_rows

OLD_MODELS, OLD_ITEMS = np.arange(300), np.arange(300)
NEW_MODELS, NEW_ITEMS = np.arange(300, 600), np.arange(300, 600)


def restricted(data: Responses, models: np.ndarray, items: np.ndarray) -> Responses:
    return as_rows(PartOfAnswers(data, models, items))


def stronger_newcomers(make, seed: int) -> IRTTruth:
    """The scale of the first 300 models; the others are stronger and more alike."""
    truth = make(600, 600, seed)
    ability = truth.ability.copy()
    mean, sd = ability[:300].mean(), ability[:300].std()
    ability = (ability - mean) / sd
    ability[300:] = 0.7 * ability[300:] + 0.8
    return replace(truth, ability=ability)


def old_fit(data, form: str) -> IRTPosterior:
    return fit_irt(restricted(data, OLD_MODELS, OLD_ITEMS), IRTSettings(model="2pl", form=form)).posterior


def new_item_coverage(truth: IRTTruth, posterior: IRTPosterior) -> float:
    true = np.column_stack([truth.slope, truth.intercept])[NEW_ITEMS]
    sd = np.sqrt(np.diagonal(posterior.item_cov[300:], axis1=1, axis2=2))
    return float((np.abs(true - posterior.item_mean[300:]) < 1.645 * sd).mean())


@pytest.mark.parametrize(("make", "form"), [(truth_signed, "signed"), (truth_2pl, "positive")])
def test_items_answered_by_old_models_are_recovered_and_old_rows_keep_their_bits(make, form):
    coverage = []
    for seed in range(3):
        truth = stronger_newcomers(make, seed)
        data = simulate_irt(truth, np.random.default_rng(seed))
        old = old_fit(data, form)
        fit = calibrate_items(old, restricted(data, OLD_MODELS, NEW_ITEMS))
        assert fit.status.converged
        posterior = fit.posterior
        assert posterior.items == old.items + tuple(data.items[i] for i in NEW_ITEMS)
        for name in ("ability_mean", "ability_cov"):
            assert getattr(posterior, name).tobytes() == getattr(old, name).tobytes()
        for name in ("item_mean", "item_cov", "native_mean", "native_cov"):
            assert getattr(posterior, name)[:300].tobytes() == getattr(old, name).tobytes()
        for found, true in (
            (posterior.item_mean[300:, 0], truth.slope[NEW_ITEMS, 0]),
            (posterior.item_mean[300:, 1], truth.intercept[NEW_ITEMS]),
        ):
            assert 0.92 < np.polyfit(found, true, 1)[0] < 1.08
        coverage.append(new_item_coverage(truth, posterior))
    assert 0.87 < np.mean(coverage) < 0.93


def test_items_brought_by_stronger_models_land_on_the_old_scale():
    found, true, coverage = [], [], []
    for seed in range(4):
        truth = stronger_newcomers(truth_signed, seed)
        data = simulate_irt(truth, np.random.default_rng(seed))
        posterior = calibrate_items(
            old_fit(data, "signed"), restricted(data, NEW_MODELS, np.arange(150, 600))
        ).posterior
        assert np.polyfit(posterior.ability_mean[300:, 0], truth.ability[300:, 0], 1)[0] == pytest.approx(1, abs=0.1)
        assert posterior.ability_mean[300:].mean() == pytest.approx(truth.ability[300:].mean(), abs=0.06)
        found.append(posterior.item_mean[300:])
        true.append(np.column_stack([truth.slope, truth.intercept])[NEW_ITEMS])
        coverage.append(new_item_coverage(truth, posterior))
    for param in (0, 1):
        slope, shift = np.polyfit(np.concatenate(found)[:, param], np.concatenate(true)[:, param], 1)
        assert 0.95 < slope < 1.05
        assert abs(shift) < 0.06
    assert 0.86 < np.mean(coverage) < 0.93


def test_one_new_item_is_the_posterior_mode_of_a_regression_on_known_abilities():
    truth = stronger_newcomers(truth_signed, 0)
    data = simulate_irt(truth, np.random.default_rng(0))
    old = old_fit(data, "signed")
    certain = replace(old, ability_cov=np.zeros_like(old.ability_cov))
    found = calibrate_items(certain, restricted(data, OLD_MODELS, NEW_ITEMS[:1])).posterior
    design = np.column_stack([old.ability_mean, np.ones(300)])
    score = data.score.reshape(600, 600)[:300, 300]
    population = old.population
    at = found.item_mean[300]
    chance = old_chance(design, at, found.item_cov[300])
    # one item moves the population by a twentieth at most, so the pull is that of the updated population
    mean = (20 * population.intercept + at) / 21
    moved = population.intercept - mean
    cov = 20 * (population.cov + np.outer(moved, moved)) + found.item_cov[300] + np.outer(at - mean, at - mean)
    gradient = design.T @ (score - chance) - np.linalg.solve(cov / 21, at - mean)
    assert gradient == pytest.approx(np.zeros(2), abs=0.05)


def old_chance(design: np.ndarray, item: np.ndarray, cov: np.ndarray) -> np.ndarray:
    variance = np.einsum("ni,ij,nj->n", design, cov, design)
    return 1 / (1 + np.exp(-(design @ item) / np.sqrt(1 + np.pi / 8 * variance)))


def test_rasch_keeps_its_slope_and_floors_stay_with_their_items():
    truth = stronger_newcomers(truth_signed, 1)
    data = simulate_irt(replace(truth, slope=np.ones((600, 1))), np.random.default_rng(0), floor=0.2)
    old = fit_irt(
        restricted(data, OLD_MODELS, OLD_ITEMS), IRTSettings(model="rasch"), floor=np.full(300, 0.2)
    ).posterior
    posterior = calibrate_items(old, restricted(data, OLD_MODELS, NEW_ITEMS), floor=np.full(300, 0.2)).posterior
    assert np.ptp(posterior.item_mean[:, 0]) < 1e-9
    assert (posterior.floor == 0.2).all()
    assert np.polyfit(posterior.item_mean[300:, 1], truth.intercept[300:], 1)[0] == pytest.approx(1, abs=0.05)


def test_what_meets_no_old_answer_is_refused():
    truth = stronger_newcomers(truth_signed, 2)
    data = simulate_irt(truth, np.random.default_rng(0))
    old = old_fit(data, "signed")
    with pytest.raises(FitError, match="300 new items .* share no answer with the old fit"):
        calibrate_items(old, restricted(data, NEW_MODELS, NEW_ITEMS))
    few = calibrate_items(old, restricted(data, NEW_MODELS, np.arange(298, 310)))
    assert "the scale rests on 2 old items" in " ".join(few.status.advice)


@pytest.mark.parametrize("form", ["signed", "positive"])
def test_new_models_are_scored_without_shrinkage_however_vague_the_items(form: str):
    make = truth_signed if form == "signed" else truth_2pl
    found, true, sd = [], [], []
    for seed in range(3):
        truth = make(215, 1500, seed)
        mean, spread = truth.ability[:15].mean(), truth.ability[:15].std()
        data = simulate_irt(truth, np.random.default_rng(seed))
        settings = IRTSettings(model="2pl", form=form)
        old = fit_irt(restricted(data, np.arange(15), np.arange(1500)), settings).posterior
        new = score_models(old, restricted(data, np.arange(15, 215), np.arange(1500)))
        found.append(new.ability_mean[:, 0])
        sd.append(new.ability_sd[:, 0])
        true.append((truth.ability[15:, 0] - mean) / spread)
    slope = np.polyfit(np.concatenate(found), np.concatenate(true), 1)[0]
    assert 0.95 < slope < 1.05
    z = (np.concatenate(true) - np.concatenate(found)) / np.concatenate(sd)
    assert 0.78 < (np.abs(z) < 1.645).mean() < 0.95
