"""Fractions without their number of trials: what they are worth is read off their scatter."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from simulated import truth_signed, world_2pl

from capscope.data import Responses
from capscope.fit import (
    IRTSettings,
    ability_scores,
    calibrate_items,
    fit_irt,
    group_difference,
    load_fit,
    mean_squares,
    save_fit,
    score_models,
)
from capscope.fit.cells.response_summary import MOST_TRIALS, summarise, trial_weight
from capscope.fit.engines.mml_extras import INDEPENDENT
from capscope.fit.engines.mml_extras import fit_answers as fit_mml
from capscope.fit.engines.variational.problem import ItemCovariates
from capscope.fit.engines.variational.repeats import trial_correlation
from capscope.fit.links import effective_trials

TRIALS = 10


def weight(data: Responses) -> float:
    return trial_weight(data, summarise(data))


@pytest.fixture(scope="module")
def fractions() -> tuple[np.ndarray, Responses]:
    """Means of ten trials, and the true abilities."""
    truth = truth_signed(80, 200)
    right = np.random.default_rng(2).binomial(TRIALS, expit(truth.logit))
    model, item = np.nonzero(np.ones_like(right))
    names = tuple(f"m{i:03d}" for i in range(80)), tuple(f"i{i:03d}" for i in range(200))
    return truth.ability[:, 0], Responses(*names, model, item, right[model, item] / TRIALS, np.ones(len(model)))


def test_right_or_wrong_answers_count_once():
    _, data = world_2pl(30, 40)
    assert weight(data) == 1.0
    assert fit_irt(data, IRTSettings(model="2pl")).posterior.trial_weight == 1.0


def test_stated_trials_are_believed(fractions: tuple[np.ndarray, Responses]):
    data = replace(fractions[1], n_trials=np.full(len(fractions[1].score), float(TRIALS)))
    assert weight(data) == 1.0


def test_means_of_ten_trials_count_for_several_but_never_for_more_than_ten(
    fractions: tuple[np.ndarray, Responses],
):
    assert 3 < weight(fractions[1]) < TRIALS


def test_a_constant_fraction_counts_for_a_bounded_number_of_trials():
    _, data = world_2pl(20, 30)
    assert weight(replace(data, score=np.full(len(data.score), 0.5))) == MOST_TRIALS


def test_intervals_are_narrower_and_still_honest(fractions: tuple[np.ndarray, Responses], tmp_path):
    ability, data = fractions
    fit = fit_irt(data, IRTSettings(model="2pl", form="signed"))
    once = fit_irt(replace(data, n_trials=np.full(len(data.score), 1.0001)), IRTSettings(model="2pl", form="signed"))
    posterior = fit.posterior
    assert posterior.ability_sd.mean() < 0.7 * once.posterior.ability_sd.mean()
    low, high = posterior.ability_interval(0.9)
    assert ((low[:, 0] <= ability) & (ability <= high[:, 0])).mean() > 0.85
    save_fit(fit, tmp_path / "fit")
    assert load_fit(tmp_path / "fit").posterior.trial_weight == posterior.trial_weight
    scored = score_models(posterior, data)
    np.testing.assert_allclose(scored.ability_sd, posterior.ability_sd, rtol=0.05)


def test_fractions_weigh_alike_under_floors_and_in_calibration(fractions: tuple[np.ndarray, Responses]):
    _, data = fractions
    plain = fit_irt(data, IRTSettings(model="2pl", form="signed")).posterior
    floors = fit_irt(data, IRTSettings(model="3pl", form="signed")).posterior
    assert floors.trial_weight == plain.trial_weight
    assert floors.ability_sd.mean() < 1.4 * plain.ability_sd.mean()
    np.testing.assert_allclose(score_models(floors, data).ability_sd, floors.ability_sd, rtol=0.2)
    old = fit_irt(data.rows(data.model_index < 60), IRTSettings(model="2pl", form="signed")).posterior
    known = replace(old, models=old.models[:60], ability_mean=old.ability_mean[:60], ability_cov=old.ability_cov[:60])
    later = calibrate_items(known, data).posterior
    assert np.median(later.ability_sd[60:] / plain.ability_sd[60:]) == pytest.approx(1, abs=0.15)


def test_other_scores_carry_no_weight():
    rng = np.random.default_rng(0)
    names = tuple(f"m{i}" for i in range(40)), tuple(f"i{i}" for i in range(10))
    data = Responses(*names, *np.divmod(np.arange(400), 10), rng.integers(0, 4, 400) / 3, np.ones(400))
    assert fit_irt(data, IRTSettings(model="2pl", response="graded")).posterior.trial_weight == 1.0


def repeated(spread: float) -> Responses:
    """Eight trials of each of 30 models on each of 40 items, whose log-odds scatter beyond any ability."""
    rng = np.random.default_rng(4)
    logit = rng.normal(size=(30, 1)) + rng.normal(size=40) + spread * rng.normal(size=(30, 40))
    model, item = np.nonzero(np.ones_like(logit))
    score = rng.binomial(8, expit(logit))[model, item] / 8
    names = tuple(f"m{i:03d}" for i in range(30)), tuple(f"i{i:03d}" for i in range(40))
    return Responses(*names, model, item, score, np.full(len(score), 8.0))


@pytest.mark.slow
def test_trials_that_are_alike_beyond_any_ability_count_for_fewer(tmp_path):
    data = repeated(1.5)
    fit = fit_irt(data, IRTSettings(model="2pl", form="signed"))
    assert fit.posterior.trial_correlation > 0
    assert any(line.startswith("repeated answers to an item are alike") for line in fit.status.advice)
    save_fit(fit, tmp_path / "fit")
    assert load_fit(tmp_path / "fit").posterior.trial_correlation == fit.posterior.trial_correlation
    scored = score_models(fit.posterior, data)
    assert scored.ability_sd.mean() == pytest.approx(fit.posterior.ability_sd.mean(), rel=0.1)
    assert fit_irt(repeated(0.0), IRTSettings(model="2pl", form="signed")).posterior.trial_correlation == 0


def test_correlated_trials_count_as_kish_says():
    trials = np.array([0.5, 1.0, 2.0, 10.0])
    np.testing.assert_allclose(effective_trials(trials, 0.5), [0.5, 1.0, 2 / 1.5, 10 / 5.5])
    np.testing.assert_array_equal(effective_trials(trials, 0.0), trials)
    assert (
        trial_correlation(repeated(0.0).rows(np.arange(299)), summarise(repeated(0.0)), IRTSettings(), ItemCovariates())
        == 0
    )


@pytest.mark.slow
def test_with_alike_trials_abilities_and_fit_statistics_keep_their_errors():
    errors: list[np.ndarray] = []
    for seed in (2, 3):  # the correlation is learnt in both
        rng = np.random.default_rng(seed)
        ability = rng.standard_normal(30)
        logit = ability[:, None] + rng.standard_normal(60) + rng.standard_normal((30, 60))
        model, item = np.nonzero(np.ones_like(logit))
        score = rng.binomial(5, expit(logit))[model, item] / 5
        names = tuple(f"m{i:03d}" for i in range(30)), tuple(f"i{i:03d}" for i in range(60))
        data = Responses(*names, model, item, score, np.full(len(score), 5.0))
        fit = fit_irt(data, IRTSettings(model="rasch", form="signed")).posterior
        for mean, sd in (
            (fit.ability_mean[:, 0], fit.ability_sd[:, 0]),
            ((scores := ability_scores(fit, data)).eap[:, 0], scores.eap_sd[:, 0]),
        ):
            errors.append((mean - np.polyval(np.polyfit(ability, mean, 1), ability)) / sd)
    assert 0.85 < np.std(errors[::2]) < 1.15
    assert 0.85 < np.std(errors[1::2]) < 1.15
    independent = replace(fit, trial_correlation=0.0)
    groups = {name: "ab"[place % 2] for place, name in enumerate(data.models)}
    shifts = [group_difference(each, data, groups, "a").table["z"].std() for each in (fit, independent)]
    squares = [mean_squares(each, data)[1].infit.mean() for each in (fit, independent)]
    assert fit.trial_correlation > 0
    assert shifts[0] < 1.15 < shifts[1]
    assert 0.75 < squares[0] < 1.15 < 1.3 < squares[1]


def test_mml_says_that_it_counts_repeated_answers_as_independent():
    data = repeated(0.5)
    assert INDEPENDENT in fit_mml(data, IRTSettings(model="rasch")).status.advice
    once = replace(data, score=np.round(data.score), n_trials=np.ones(len(data.score)))
    assert INDEPENDENT not in fit_mml(once, IRTSettings(model="rasch")).status.advice
