"""What a prediction carries: parts that add up, benchmark effects, labels, items to defer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, Responses
from capscope.errors import InputError
from capscope.fit import IRTSettings, StudyFitSettings, fit_irt, fit_study, load_fit, save_fit
from capscope.predict import PredictionSettings, evaluate, predict
from capscope.predict.scores.benchmark import read_past_effects
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predict")
    study = simulated_study(n_items=200)
    study.save(path / "study")
    save_fit(fit_study(study, StudyFitSettings(model="curves")), path / "curves")
    evaluate(study, "benchmark", ["mean"], write=path / "oof.csv")
    return path


def test_parts_of_curves_add_up_to_the_log_odds(folder: Path) -> None:
    study = simulated_study(n_items=200)
    posterior = load_fit(folder / "curves").posterior
    demands = Demands.of(study)
    parts = posterior.contributions(study)
    total = parts.pivot_table(index="model", columns="item_id", values="log_odds", aggfunc="sum").to_numpy()
    drawn = posterior.item_log_odds(demands.level, np.random.default_rng(0))
    spread = drawn.std(axis=-1) / np.sqrt(drawn.shape[-1])
    assert (np.abs(total - drawn.mean(axis=-1)) < 5 * spread).mean() > 0.99
    cost = parts[parts["part"].str.startswith("demand")]
    assert (cost["log_odds"] <= 0).all()
    assert set(parts["part"]) == {"residual", *(f"{what} {code}" for what in ("ability", "demand") for code in "ABC")}


def test_parts_of_item_response_fits_add_up_to_the_log_odds() -> None:
    study = simulated_study(n_items=80)
    posterior = fit_irt(Responses.of(study), IRTSettings(model="2pl")).posterior
    items = (*posterior.items[:5], "unseen")
    parts = posterior.contributions(study, items)
    total = parts.pivot_table(index="model", columns="item_id", values="log_odds", aggfunc="sum")[list(items)]
    model, item = np.indices((6, 5)).reshape(2, -1)
    expected, _ = posterior.logit_moments(model, item)
    np.testing.assert_allclose(total.to_numpy()[:, :5].ravel(), expected)
    new, _ = posterior.new_item_moments(np.arange(6))
    np.testing.assert_allclose(total["unseen"], new)


def test_labels_move_the_score_towards_what_came_and_narrow_its_interval(folder: Path) -> None:
    rng = np.random.default_rng(0)
    study = simulated_study(n_items=200)
    picked = study.require("items").loc[lambda items: items["benchmark"] == "B0", "item_id"].astype(str)
    labels = folder / "labels.csv"
    rows = pd.DataFrame({"model": "m00", "item_id": rng.choice(picked, 30, replace=False), "score": 0})
    rows.to_csv(labels, index=False)
    before, after = (
        predict(folder / "curves", folder / "study", residuals=folder / "oof.csv", labels=given)
        for given in (None, labels)
    )
    scores = [each.benchmark_scores.set_index(["model", "benchmark"]) for each in (before, after)]
    cell = ("m00", "B0")
    assert scores[1].loc[cell, "score"] < scores[0].loc[cell, "score"] - 0.05
    widths = [table.loc[cell, "upper"] - table.loc[cell, "lower"] for table in scores]
    assert widths[1] < widths[0] / 2
    assert scores[1].loc[cell, "labels"] == 30
    chances = [each.table.set_index(["model", "item_id"])["p"] for each in (before, after)]
    moved = chances[1] - chances[0]
    assert (moved.loc["m00"][list(picked)] < 0).all()
    assert before.table["p"].between(before.table["lower"], before.table["upper"]).mean() > 0.95


def test_deferred_are_the_chances_below_and_one_model_is_one_model(folder: Path) -> None:
    settings = {"model": "m03", "defer_below": 0.6, "explain": True, "residuals": folder / "oof.csv"}
    found = predict(folder / "curves", folder / "study", **settings)
    np.testing.assert_array_equal(found.table["defer"], found.table["p"] < 0.6)
    assert 0 < found.table["defer"].mean() < 1
    for table in (found.table, found.scores, found.benchmark_scores, found.parts):
        assert set(table["model"]) == {"m03"}


def test_nothing_known_of_benchmarks_is_said_by_a_wide_interval(folder: Path) -> None:
    seen, unseen = read_past_effects(folder / "oof.csv"), read_past_effects(None)
    assert (unseen.groups, seen.groups) == (0, 2)
    assert unseen.cautious().benchmark > seen.cautious().benchmark > seen.benchmark


def test_bad_files_are_one_line(folder: Path, tmp_path: Path) -> None:
    oof = pd.read_csv(folder / "oof.csv")
    cases = {
        "two.csv": (pd.concat([oof, oof.assign(assessor="forest")]), "holds forest, mean; write one with"),
        "cut.csv": (oof.assign(fold=np.arange(len(oof)) % 3), "was not left out whole; write it with"),
        "bare.csv": (oof.drop(columns="chance"), "column 'chance' is missing; write it with"),
        "word.csv": (oof.astype({"seed": object}).assign(seed="x"), "row 1: seed is 'x'"),
        "gap.csv": (
            oof.assign(log_odds_sd=np.where(np.arange(len(oof)) == 3, np.nan, 1.0)),
            "row 4: log_odds_sd is mis",
        ),
    }
    for name, (table, message) in cases.items():
        table.to_csv(tmp_path / name, index=False)
        with pytest.raises(InputError, match=message):
            read_past_effects(tmp_path / name)
    bad = tmp_path / "labels.csv"
    for row, message in {
        ("m99", "i0001"): "1 model values are no model that is predicted: m99",
        ("m00", "elsewhere"): "1 item_id values are no item to predict: elsewhere",
    }.items():
        pd.DataFrame([(*row, 1)], columns=["model", "item_id", "score"]).to_csv(bad, index=False)
        with pytest.raises(InputError, match=message):
            predict(folder / "curves", folder / "study", labels=bad)
    with pytest.raises(InputError, match="--defer-below 80 is not a chance"):
        PredictionSettings(defer_below=80.0)
    with pytest.raises(InputError, match="there is no model 'm99'"):
        predict(folder / "curves", folder / "study", model="m99")


def test_order_of_items_changes_no_prediction(folder: Path, tmp_path: Path) -> None:
    study = simulated_study(n_items=200)
    rows = study.require("demands").pivot(index="item_id", columns="rubric", values="level").reset_index()
    rows = rows.merge(study.require("items")[["item_id", "benchmark"]]).assign(text="?")
    found = []
    for name, table in {"a": rows, "b": rows.sample(frac=1, random_state=1)}.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        settings = {"residuals": folder / "oof.csv", "explain": True}
        found.append(predict(folder / "curves", tmp_path / f"{name}.csv", **settings))
    pd.testing.assert_frame_equal(found[0].table, found[1].table)
    pd.testing.assert_frame_equal(found[0].benchmark_scores, found[1].benchmark_scores)
    pd.testing.assert_frame_equal(found[0].parts, found[1].parts)


def test_labels_of_one_model_move_no_other_where_the_fit_knows_the_items(folder: Path, tmp_path: Path) -> None:
    study, labels = simulated_study(n_items=200), tmp_path / "labels.csv"
    save_fit(fit_study(study, StudyFitSettings(model="rasch")), tmp_path / "rasch")
    plain = predict(tmp_path / "rasch", folder / "study").table
    for score, way in ((1, 1), (0, -1)):
        items = study.require("items")["item_id"].astype(str)[:20]
        pd.DataFrame({"model": "m00", "item_id": items, "score": score}).to_csv(labels, index=False)
        moved = predict(tmp_path / "rasch", folder / "study", labels=labels).table
        by_model = (moved["p"] - plain["p"]).groupby(plain["model"]).mean()
        assert by_model["m00"] * way > 0.1
        assert by_model.drop("m00").abs().max() < 0.02
