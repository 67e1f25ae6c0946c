"""Self-knowledge: laws of its measures, coverage of their intervals, and where profiles show it."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from capscope.data import Study, check_study
from capscope.errors import InputError
from capscope.fit import fit
from capscope.profiles import profile, self_knowledge
from capscope.profiles.own_confidence import auroc_interval, calibration_error


def answers(seed: int, items: int = 60, models: int = 4, shift: float = 0.0, known: float = 1.0) -> Study:
    """Models that know a share of their chances, and state them higher by `shift` log-odds."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1, items) + rng.normal(0.3, 1.2, (models, items))
    score = (rng.random(odds.shape) < expit(odds)) * 1.0
    own = expit(known * odds + shift)
    m, i = np.indices(odds.shape).reshape(2, -1)
    columns = {"model": [f"m{k}" for k in m], "item_id": [f"q{k:02d}" for k in i], "score": score.ravel()}
    return Study.of(responses=pd.DataFrame({**columns, "confidence": own.ravel()}), name="logs")


def test_who_states_the_true_chance_is_calibrated_and_who_boasts_is_not() -> None:
    honest, boasting = self_knowledge(answers(0, 300)), self_knowledge(answers(0, 300, shift=1.5))
    assert honest is not None
    assert boasting is not None
    assert (honest["calibration_error"] < 0.09).all()
    assert (boasting["overconfidence_lower"] > 0.05).all()
    assert (boasting["calibration_error_lower"] > 0.05).all()
    # ranks do not change with a shift of all confidences
    np.testing.assert_allclose(honest["auroc"], boasting["auroc"])
    assert (honest["gain_lower"] > 0).all()


def test_confidence_that_knows_nothing_gains_nothing() -> None:
    blind = self_knowledge(answers(1, known=0.0))
    assert blind is not None
    assert (blind["auroc"] == 0.5).all()
    assert (blind["gain"].abs() < 0.02).all()


def test_the_area_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(2)
    own, score, trials = rng.integers(0, 5, 40) / 4, rng.integers(0, 2, 40) * 1.0, rng.integers(1, 4, 40) * 1.0
    area = auroc_interval(own, score, trials, np.arange(40), 0.9).point
    weight = np.outer(trials * score, trials * (1 - score))
    ahead = (own[:, None] > own) + 0.5 * (own[:, None] == own)
    assert area == pytest.approx((weight * ahead).sum() / weight.sum())


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_intervals_cover(shift: float) -> None:
    """Truth from a million answers; confidence takes ten values, so that bins are those of the measure."""
    rng, inside = np.random.default_rng(3), np.zeros(2)
    stated = np.linspace(0.05, 0.95, 10)
    chance = expit(logit(stated) * 0.8 - shift)
    error = float(np.sqrt(((stated - chance) ** 2).mean()))
    right, wrong = chance / chance.sum(), (1 - chance) / (1 - chance).sum()
    area = float((np.outer(right, wrong) * ((stated[:, None] > stated) + 0.5 * np.eye(10))).sum())
    for _ in range(600):
        number = rng.permutation(np.arange(120) % 10)
        score, ones = (rng.random(120) < chance[number]) * 1.0, np.ones(120)
        bounds = calibration_error(stated[number], score, ones, 0.9)
        inside[0] += bounds.lower <= error <= bounds.upper
        bounds = auroc_interval(stated[number], score, ones, np.arange(120), 0.9)
        inside[1] += bounds.lower <= area <= bounds.upper
    assert (inside / 600 > 0.86).all()
    assert inside[1] / 600 < 0.96
    assert inside[0] / 600 < (0.97 if shift else 1)  # bounds at an error of nearly 0 are wide


def test_profiles_show_it_where_the_study_holds_it() -> None:
    study = answers(4)
    fitted = fit(study, "rasch")
    profiles = profile(fitted, study=study)
    assert profiles.self_knowledge is not None
    assert "Self-knowledge" in profiles.as_text()
    assert profiles.only("m1").as_dict()["self_knowledge"][0]["model"] == "m1"
    table = study.require("responses")
    bare = Study.of(responses=table.drop(columns="confidence"))
    assert "self_knowledge" not in profile(fitted, study=bare).as_dict()
    wrong = Study.of(responses=table.assign(confidence=100 * table["confidence"]), name="logs")
    with pytest.raises(InputError, match="it must be a number from 0 to 1"):
        self_knowledge(wrong)
    agreeing = Study.of(responses=table.rename(columns={"confidence": "agreement"}))
    found = self_knowledge(agreeing)
    assert found is not None
    assert found["source"].eq("agreement").all()


def test_bounds_of_a_perfect_area_include_it_and_stay_wide() -> None:
    score = np.arange(30) >= 27
    for right in (score, ~score):
        own = np.where(right, 0.9, 0.1)
        area = auroc_interval(own, right * 1.0, np.ones(30), np.arange(30), 0.9)
        assert (area.point, area.upper) == (1.0, 1.0)
        assert 0.3 < area.lower < 0.8
    area = auroc_interval(np.where(score, 0.1, 0.9), score * 1.0, np.ones(30), np.arange(30), 0.9)
    assert (area.point, area.lower) == (0.0, 0.0)
    assert 0.2 < area.upper < 0.7


def test_runs_of_one_item_are_too_few_items() -> None:
    table = answers(7, items=24, models=1).require("responses")
    repeated = table.assign(item_id="q", run=[f"r{number}" for number in range(24)])
    assert self_knowledge(Study.of(responses=repeated)) is None


def test_percent_confidences_are_named_by_the_check_and_leave_the_page_standing() -> None:
    table = answers(4, items=12).require("responses")
    wrong = Study.of(responses=table.assign(confidence=100 * table["confidence"]), name="logs")
    assert any("divide by 100" in remark for remark in check_study(wrong).odd)
    assert not any("confidence" in remark for remark in check_study(Study.of(responses=table)).odd)
    profiles = profile(fit(wrong, "rasch"), study=wrong)
    assert profiles.self_knowledge is None
    assert "note: self-knowledge is left out: logs" in profiles.as_text()
