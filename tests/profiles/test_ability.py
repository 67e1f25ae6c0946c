"""Profiles of every kind of fit, expected scores and the names of dimensions."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from capscope.data import Study
from capscope.errors import InputError
from capscope.fit import StudyFitSettings, fit_study, save_fit
from capscope.profiles import (
    ability_profiles,
    dimension_abilities,
    expected_scores,
    general_ability,
    named_dimensions,
    profile,
)
from profiles.worlds import demand_world, study_of

KINDS = ("rasch", "2pl", "mirt", "demand", "curves")


@pytest.fixture(scope="module")
def world():
    return demand_world(0, n_items=120, n_tasks=6, n_models=10)[0]


@pytest.fixture(scope="module")
def fits(world):
    return {name: fit_study(world, StudyFitSettings(model=name, dims=2 if name == "mirt" else 1)) for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_fit_has_a_profile(fits, world, name: str, tmp_path) -> None:
    found = profile(fits[name])
    assert ability_profiles(fits[name]).table.equals(found.table)
    assert list(found.table.columns[:6]) == ["model", "dim", "ability", "sd", "lower", "upper"]
    assert (found.table["lower"] < found.table["upper"]).all()
    assert len(found.general) == 10
    assert found.unit in found.as_text()
    assert len(repr(found)) < 200
    observed = world.responses.groupby("model", observed=True)["score"].mean()
    general = found.general.set_index("model")["ability"]
    assert general.corr(observed.rename(str), "spearman") > 0.9
    save_fit(fits[name], tmp_path / "fit")
    one = profile(str(tmp_path / "fit"), "m03")
    assert set(one.table["model"]) == {"m03"}
    pd.testing.assert_frame_equal(one.table, found.table[found.table["model"] == "m03"])
    with pytest.raises(InputError, match=r"the fit has no model 'm3' \(did you mean"):
        profile(fits[name], "m3")


@pytest.mark.parametrize("name", KINDS)
def test_expected_scores_are_those_observed_on_the_same_items(fits, world, name: str) -> None:
    table = expected_scores(fits[name], world)
    whole = table[table["scope"] == "all"]
    assert whole["items"].unique().tolist() == [120]
    assert (whole["expected"] - whole["observed"]).abs().max() < (0.12 if name == "curves" else 0.06)
    assert ((whole["lower"] < whole["expected"]) & (whole["expected"] < whole["upper"])).all()
    assert whole["expected"].is_monotonic_decreasing
    assert set(table.loc[table["scope"] == "benchmark", "name"]) == {"W"}


@pytest.mark.slow
def test_expected_scores_are_covered() -> None:
    hits, z = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        chance = expit(rng.normal(0, 1, (12, 1)) - rng.normal(0, 1, 80))
        study = study_of((rng.random(chance.shape) < chance).astype(float), np.arange(80) % 4)
        table = expected_scores(fit_study(study, StudyFitSettings(model="2pl")), study).set_index("model")
        table = table[table["scope"] == "all"].sort_index()
        truth = chance.mean(axis=1)
        hits.append((table["lower"] <= truth) & (table["upper"] >= truth))
        z.append((table["expected"] - truth) / ((table["upper"] - table["lower"]) / 3.29))
    assert 0.82 <= np.mean(hits) <= 0.98
    assert 0.7 <= np.std(z) <= 1.2


def test_items_that_do_not_tell_models_apart_are_said_first() -> None:
    rng = np.random.default_rng(1)
    study = study_of((rng.random((12, 30)) < 0.5).astype(float), np.zeros(30, int))
    assert profile(fit_study(study, StudyFitSettings(model="rasch"))).as_text().startswith("note: reliability 0.")


def test_dimensions_are_named_by_the_tasks_they_load_on() -> None:
    rng = np.random.default_rng(0)
    task = np.arange(240) % 4
    gift = 2.0 * rng.standard_normal((60, 1)) * (task == 2)
    chance = expit(1.2 * rng.standard_normal((60, 1)) + gift - rng.normal(0, 1, 240))
    study = study_of((rng.random(chance.shape) < chance).astype(float), task)
    posterior = fit_study(study, StudyFitSettings(model="mirt", dims=2)).posterior
    general, special = named_dimensions(posterior, study)
    assert general.name == "general"
    assert "t02" in special.name
    assert special.evidence.startswith("loads ")
    assert general.direction @ special.direction == pytest.approx(0, abs=1e-6)
    table = dimension_abilities(posterior, (general, special)).set_index(["dim", "model"])
    assert table.loc[special.name, "ability"].sort_index().corr(pd.Series(gift[:, 2], table.loc["general"].index)) > 0.7
    along = general_ability(posterior).set_index("model")["ability"]
    assert table.loc["general", "ability"].to_numpy() == pytest.approx(along.to_numpy())
    plain = Study.of(responses=study.responses)
    assert named_dimensions(posterior, plain)[1].name == "unnamed 1"
