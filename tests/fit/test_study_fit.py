"""From a study to a fit by every engine, and the scores on answers held out."""

import numpy as np
import pytest

from capscope.data import Responses, Study
from capscope.errors import FitError
from capscope.fit import StudyFitSettings, fit_holdout, fit_study
from capscope.fit.demand.basis import demand_items
from capscope.fit.irt_study import fit_answers, item_chance
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study(n_models=40, n_items=30)


@pytest.mark.parametrize("engine", ["mml", pytest.param("svi", marks=pytest.mark.slow)])
def test_engines_agree_on_who_is_able(study: Study, engine: str) -> None:
    """Of SVI the fast tests look in `test_sampled`, at fewer steps."""
    responses = Responses.of(study)
    reference, posterior = (
        fit_answers(responses, StudyFitSettings(model="2pl", engine=one)).posterior for one in ("variational", engine)
    )
    assert np.corrcoef(posterior.ability_mean[:, 0], reference.ability_mean[:, 0])[0, 1] > 0.98
    assert np.median(posterior.ability_sd / reference.ability_sd) == pytest.approx(1, abs=0.25)


@pytest.mark.slow
def test_nuts_agrees_with_the_fast_engine(study: Study) -> None:
    responses = Responses.of(study)
    judge = fit_answers(responses, StudyFitSettings(model="rasch", engine="nuts")).posterior
    fast = fit_answers(responses, StudyFitSettings(model="rasch")).posterior
    rows = (responses.model_index, responses.item_index)
    assert np.sqrt(np.mean((judge.probability(*rows) - fast.probability(*rows)) ** 2)) < 0.03


def test_a_study_is_fitted_as_asked(study: Study) -> None:
    assert fit_study(study, StudyFitSettings(model="rasch")).posterior.model_name == "rasch"
    assert fit_study(study, StudyFitSettings(model="mirt", dims=2)).posterior.dims == 2


@pytest.mark.parametrize("engine", ["auto", "mml"])
def test_continuous_scores_are_fitted_as_such(engine: str) -> None:
    rng = np.random.default_rng(0)
    ability, easiness = rng.standard_normal(40), rng.normal(0, 0.7, 6)
    p = 1 / (1 + np.exp(-(ability[:, None] + easiness)))
    score = rng.beta(12 * p, 12 * (1 - p))
    names = tuple(f"m{i}" for i in range(40)), tuple(f"i{i}" for i in range(6))
    data = Responses(*names, *np.divmod(np.arange(240), 6), score.ravel(), np.ones(240))
    fit = fit_answers(data, StudyFitSettings(model="2pl", engine=engine, response="continuous"))
    assert fit.posterior.extras is not None
    assert np.exp(np.median(fit.posterior.extras.mean)) == pytest.approx(12, rel=0.3)
    assert np.corrcoef(fit.posterior.ability_mean[:, 0], ability)[0, 1] > 0.95


@pytest.mark.parametrize("engine", ["auto", "mml"])
def test_held_out_answers_are_predicted_better_than_by_a_coin(study: Study, engine: str) -> None:
    found = fit_holdout(study, StudyFitSettings(model="rasch", engine=engine), 0.2)
    assert found.engine == ("variational" if engine == "auto" else engine)
    assert found.log_loss < 0.65
    assert found.auroc > 0.65


def test_what_cannot_be_is_one_line(study: Study) -> None:
    with pytest.raises(FitError, match=r"engine 'mml' cannot fit mirt; use auto or one of variational, svi, nuts"):
        StudyFitSettings(model="mirt", dims=2, engine="mml")
    with pytest.raises(FitError, match=r"engine 'svi' cannot fit curves; use auto or one of laplace, nuts"):
        StudyFitSettings(model="curves", engine="svi")
    with pytest.raises(FitError, match=r"unknown engine 'nutz' \(did you mean \"nuts\"\?\)"):
        StudyFitSettings(engine="nutz")
    with pytest.raises(FitError, match="curves is not fitted to answers alone"):
        fit_answers(Responses.of(study), StudyFitSettings(model="curves"))
    with pytest.raises(FitError, match="--holdout 1.5 is not a share"):
        fit_holdout(study, StudyFitSettings(model="rasch"), 1.5)


def test_an_item_that_every_guess_gets_right_has_no_known_floor(study: Study) -> None:
    items = study.require("items").assign(chance=1.0)
    certain = Study.of(items, study.responses, study.demands)
    ids, dims = tuple(items["item_id"].astype(str)), ("A",)
    assert np.isnan(item_chance(certain, ids)).all()
    assert not demand_items(certain, ids, dims).floor.any()
    with pytest.raises(FitError, match="no chance of a guess"):
        fit_study(certain, StudyFitSettings(chance="use"))
