"""A fit keeps what is needed to make it again, shows itself, and comes back from its folder or is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Responses, Study
from capscope.errors import FitError, InputError
from capscope.fit import Fit, Posterior, StudyFitSettings, fit, fit_irt, fit_study, load_fit
from capscope.fit.irt.settings import IRTSettings
from predict.simulated_study import simulated_study

MODELS = ("rasch", "demand", "curves")


@pytest.fixture(scope="module")
def study() -> Study:
    plain = simulated_study(n_models=12, n_items=40)
    assert plain.items is not None
    return Study.of(plain.items.assign(chance=0.25), plain.responses, plain.demands)


@pytest.fixture(scope="module")
def fits(study: Study) -> dict[str, Fit]:
    return {model: fit(study, model) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_fit_has_the_same_methods(fits: dict[str, Fit], study: Study, model: str) -> None:
    one = fits[model]
    assert isinstance(one.posterior, Posterior)
    abilities = one.abilities(level=0.5)
    assert list(abilities.columns[:6]) == ["model", "dim", "ability", "sd", "lower", "upper"]
    assert len(abilities) == len(one.models) * len(one.posterior.dim_names)
    assert (abilities["upper"] - abilities["lower"] < one.abilities()["upper"] - one.abilities()["lower"]).all()
    assert (len(one.items()) > 0) == (model != "curves")
    draws = list(one.posterior.chances(study, np.random.default_rng(0), draws=20))
    assert len(draws) == len(one.models)
    assert all(((chance >= 0) & (chance <= 1)).all() for chance in draws)
    held_out = one.held_out(study, 0.2)
    assert held_out.n_training + len(held_out.chance) == len(study.require("responses"))
    assert held_out.log_loss < 0.68
    assert len(repr(one).splitlines()) < 8
    assert "<table" in one._repr_html_()
    assert set(one.posterior.reliability()) == set(one.posterior.dim_names)


@pytest.mark.parametrize("model", MODELS)
def test_settings_come_back_with_the_fit_and_old_folders_load_without(
    fits: dict[str, Fit], tmp_path: Path, model: str
) -> None:
    fits[model].save(str(tmp_path / "fit"))
    back = Fit.load(str(tmp_path / "fit"))
    assert back.settings == fits[model].settings
    manifest = json.loads((tmp_path / "fit" / "manifest.json").read_text())
    del manifest["settings"], manifest["sha256"]
    (tmp_path / "fit" / "manifest.json").write_text(json.dumps(manifest))
    old = load_fit(tmp_path / "fit")
    assert old.settings is None
    assert old.refit_settings.model == model


@pytest.mark.parametrize(
    ("model", "axis"), [("rasch", "items"), ("rasch", "models"), ("demand", "items"), ("curves", "dims")]
)
def test_names_that_do_not_fit_their_arrays_are_refused(
    fits: dict[str, Fit], tmp_path: Path, model: str, axis: str
) -> None:
    fits[model].save(tmp_path / "fit")
    path = tmp_path / "fit" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest[axis] = manifest[axis][1:]
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="damaged fit"):
        load_fit(tmp_path / "fit")


def test_numbers_of_another_fit_are_refused(fits: dict[str, Fit], study: Study, tmp_path: Path) -> None:
    fits["rasch"].save(tmp_path / "one")
    fit(study, "2pl").save(tmp_path / "other")
    shutil.copy(tmp_path / "one" / "manifest.json", tmp_path / "other")
    with pytest.raises(InputError, match="is not the one that manifest.json was written with"):
        load_fit(tmp_path / "other")


def test_a_fit_is_made_again_with_its_floor_its_scores_and_its_engine(study: Study) -> None:
    responses = Responses.of(study)
    with_floor = fit_study(study, StudyFitSettings(model="rasch", chance="use"))
    again = with_floor.held_out(study, 0.2).fit.posterior
    assert again.floor == pytest.approx(0.25)
    assert again.floor == pytest.approx(with_floor.held_out(responses, 0.2).fit.posterior.floor)
    halves = np.round(responses.score + np.random.default_rng(0).random(len(responses.score))) / 2
    columns = {"model": np.array(responses.models)[responses.model_index], "score": halves}
    graded = Study.of(responses=pd.DataFrame(columns | {"item_id": np.array(responses.items)[responses.item_index]}))
    one = fit(graded, "rasch", response="graded")
    assert one.held_out(graded, 0.2).fit.posterior.extras.code == "graded:3"
    mask = np.random.default_rng(1).random((len(responses.items), 2)) < 0.6
    confirmatory = fit_irt(responses, IRTSettings(model="mirt", dims=2), loads_on=mask)
    assert np.array_equal(confirmatory.held_out(responses, 0.2).fit.posterior.loads_on, mask)
    featured = fit_irt(responses, IRTSettings(model="2pl", form="signed"), features=mask.astype(float))
    with pytest.raises(FitError, match="item features"):
        featured.held_out(responses)


def test_what_auto_chose_is_what_is_made_again(study: Study) -> None:
    chosen = fit(study)
    assert chosen.settings is not None
    assert chosen.settings.model == "auto"
    assert chosen.refit_settings.model == chosen.model_name != "auto"


def test_tables_of_scores_are_fitted_as_they_lie_in_a_notebook() -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.integers(0, 2, (8, 12)), [f"m{i}" for i in range(8)], [f"q{i}" for i in range(12)])
    wide = wide.astype(float)
    wide.iloc[0, 0] = np.nan
    long = wide.rename_axis("model").reset_index().melt("model", var_name="item_id", value_name="score").dropna()
    one, other = fit(wide, "rasch"), fit(long, "rasch")
    pd.testing.assert_frame_equal(one.abilities(), other.abilities())
    assert fit(wide.reset_index(names="model"), "rasch").models == one.models
    with pytest.raises(InputError, match="names m0 twice"):
        fit(pd.concat([wide, wide.iloc[:1]]))
    with pytest.raises(InputError, match="model 'm1', item 'q0': 'right' is no score; write a number from 0 to 1"):
        fit(pd.DataFrame({"q0": [1, "right", 0], "q1": [1, 0, 0]}, index=["m0", "m1", "m2"]))


def test_a_manifest_with_values_of_other_kinds_is_refused(fits: dict[str, Fit], tmp_path: Path) -> None:
    folder = fits["rasch"].save(tmp_path / "fit")
    whole = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(whole | {"models": whole["models"][::-1]}))
    with pytest.raises(InputError, match="was changed after it was written"):
        load_fit(folder)
    (folder / "manifest.json").write_text('{"models": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(InputError, match="no fit here"):
        load_fit(folder)
    del whole["sha256"]
    damaged = (
        {"kind": ["irt"]},
        {"settings": whole["settings"] | {"engine": -0.0}},
        {"settings": whole["settings"] | {"dims": "x"}},
        {"models": [1, *whole["models"][1:]]},
    )
    for change in damaged:
        (folder / "manifest.json").write_text(json.dumps(whole | change))
        with pytest.raises(InputError, match=r"damaged|another version"):
            load_fit(folder)
