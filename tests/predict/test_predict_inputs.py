"""`predict` takes studies, fits, folders, tables and texts; files of predictions are whole or not there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.errors import CapscopeError
from capscope.fit import StudyFitSettings, fit_study, save_fit
from capscope.predict import ASSESSORS, METRICS, evaluate, predict, predict_items
from capscope.predict.layout import NO_LEVELS
from pins.running import run
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study(n_items=80)


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs")
    study.save(path / "study")
    for kind in ("demand", "rasch", "curves"):
        save_fit(fit_study(study, StudyFitSettings(model=kind)), path / kind)
    (path / "new.jsonl").write_text('{"item_id": "q1", "text": "What is 2 + 2?"}\n{"item_id": "q2", "text": "Why?"}\n')
    return path


def test_a_study_a_table_and_a_path_give_the_same(study: Study, folder: Path) -> None:
    wide = study.require("demands").pivot(index="item_id", columns="rubric", values="level").reset_index()
    table = wide.astype({"item_id": str}).merge(
        study.require("items").astype({"item_id": str})[["item_id", "benchmark"]]
    )
    by_study = predict(study, study, assessor="explanatory")
    for source, items in ((folder / "study", str(folder / "study")), (str(folder / "study"), study), (study, table)):
        pd.testing.assert_frame_equal(predict(source, items, assessor="explanatory").table, by_study.table)
    # the earlier name, with the default assessor
    assert len(predict_items(study, study).table) == len(by_study.table)


def test_a_fit_is_taken_as_an_object_or_a_folder(study: Study, folder: Path) -> None:
    fit = fit_study(study, StudyFitSettings(model="demand"))
    found = [predict(source, study).table for source in (fit, fit.posterior, folder / "demand", str(folder / "demand"))]
    for table in found[1:]:
        pd.testing.assert_frame_equal(table, found[0])
    with pytest.raises(CapscopeError, match="is a fit, which predicts by itself"):
        predict(fit, study, assessor="mean")


def test_one_text_in_place_of_a_path_is_refused_with_the_fix(study: Study) -> None:
    with pytest.raises(CapscopeError, match="no such file or folder; give texts as a list"):
        predict(study, "How many primes are below 100?")


def test_a_list_of_texts_becomes_items(study: Study) -> None:
    found = predict(study, ["What is 2 + 2?", "Why?"], assessor="explanatory")
    assert found.support["item_id"].tolist() == ["question-1", "question-2"]
    assert found.notes[0] == NO_LEVELS
    assert len(repr(found).splitlines()) < 20
    assert "<table" in found._repr_html_()
    with pytest.raises(CapscopeError, match="there are no items to predict"):
        predict(study, [])


@pytest.mark.parametrize("kind", ["demand", "rasch", "study"])
def test_without_levels_the_first_line_says_so(kind: str, folder: Path) -> None:
    found = predict(folder / kind, folder / "new.jsonl")
    assert found.notes[0] == NO_LEVELS
    assert "capscope annotate" in NO_LEVELS
    assert found.table.groupby("model")["p"].std().max() < 0.05
    assert not found.support["in_support"].any()


def test_curves_cannot_predict_without_levels_and_say_what_to_do(folder: Path) -> None:
    with pytest.raises(CapscopeError, match=r"new\.jsonl: the items have no demand levels.*'capscope annotate") as told:
        predict(folder / "curves", folder / "new.jsonl")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["demand", "curves"])
def test_a_fit_fills_a_missing_level_and_says_so(kind: str, study: Study, folder: Path) -> None:
    demands = study.require("demands")
    gone = ((demands["item_id"] == "i0003") & (demands["rubric"] == "A")) | (demands["item_id"] == "i0007")
    found = predict(folder / kind, Study(study.items, None, demands[~gone].reset_index(drop=True), "asked"))
    assert len(found.support) == 80
    told = "2 items lack demand levels, where typical ones are used with their spread: i0003, i0007"
    assert found.notes == (told,)
    assert predict(folder / kind, study).notes == ()


def test_a_missing_level_of_an_answered_item_costs_little(study: Study) -> None:
    """With 3 % of the levels missing, all answers are still learnt from."""
    demands = study.require("demands")
    kept = np.random.default_rng(0).random(len(demands)) > 0.03
    gaps = Study(study.items, study.responses, demands[kept].reset_index(drop=True), "gaps")
    lines: list[str] = []
    found = predict(gaps, study, assessor="explanatory", on_start=lines.append)
    assert "480 answers" in lines[0]
    new = Study(study.items, None, study.demands, "asked")
    whole = predict(study, new, assessor="explanatory").table
    assert np.abs(found.table["p"] - whole["p"]).max() < 0.15


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_no_file_and_one_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "chances.csv"
    code, _, error = run(["predict", str(folder / "rasch"), str(folder / "study"), "--out", str(out)])
    assert code == 1
    assert error.strip().splitlines()[-1].startswith(f"error: {out}: cannot be written")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_every_member_of_the_families_says_what_it_is(study: Study) -> None:
    for family in (ASSESSORS, METRICS):
        for name, entry in family.items():
            assert entry.name == name
            assert len(entry.help) > 10
    values = evaluate(study, "id", ["mean"], folds=2).metrics["mean"]
    assert list(values) == list(METRICS)
