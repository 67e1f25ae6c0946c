"""Which answers to label, with which chances; whether labels carry; scores from labels drawn with known chances."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.decide import JUDGE_ESTIMATORS, judge_scores, label_plan, label_sheet
from capscope.decide.judge_data import judged_answers
from capscope.decide.judge_labels import label_coverage
from capscope.errors import InputError

runner = CliRunner()


def judged(seed=0, n_items=400, labels=0, models=("a",), lean=None):
    """A judge that is sure of some answers and unsure of others, over two benchmarks; people label `labels` of them."""
    rng = np.random.default_rng(seed)
    items = [f"i{row:04d}" for row in range(n_items)]
    rows, truth = [], {}
    for model in models:
        chance = rng.beta(0.6, 0.3, n_items)
        people = (rng.random(n_items) < chance).astype(float)
        judge = np.clip(chance + 0.1 * rng.normal(size=n_items) + 0.08 * (np.arange(n_items) % 2), 0, 1)
        rows += [(model, item, "gpt", score) for item, score in zip(items, judge, strict=True)]
        weight = np.ones(n_items) if lean is None else np.where(np.arange(n_items) % 2, lean, 1.0)
        kept = rng.choice(n_items, labels, replace=False, p=weight / weight.sum())
        rows += [(model, items[row], "human", people[row]) for row in kept]
        truth[model] = pd.Series(people, items)
    table = pd.DataFrame(rows, columns=["model", "item_id", "judge", "score"])
    benchmark = [f"b{row % 2}" for row in range(n_items)]
    return Study.of(items=pd.DataFrame({"item_id": items, "benchmark": benchmark, "text": "?"}), responses=table), truth


def filled(table, truth, path):
    """Fill in the labels that people would give."""
    score = [truth[model][item] for model, item in zip(table["model"], table["item_id"], strict=True)]
    table.assign(score=score).to_csv(path, index=False)
    return path


def test_unsure_answers_are_drawn_more_often_and_chances_add_up():
    study, _ = judged(0, 600, labels=60)
    table = label_plan(study, labels=80)
    to_label = table[table["score"].isna()]
    assert len(to_label) == 80
    assert int(table["score"].notna().sum()) == 60
    unsure = (to_label["judge_score"] - 0.5).abs() < 0.3
    assert to_label.loc[unsure, "draw_chance"].mean() > 1.3 * to_label.loc[~unsure, "draw_chance"].mean()
    # every answer's chance is known, so the number of answers is found from the labelled ones
    assert (1 / table["draw_chance"]).sum() == pytest.approx(600, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 40])
def test_drawn_labels_cover_and_are_narrower_after_a_first_even_draw(first, tmp_path):
    inside, widths, even_widths = [], [], []
    for seed in range(120):
        study, truth = judged(seed, 480, labels=first)
        sheet = label_sheet(filled(label_plan(study, labels=100 - first, seed=seed), truth, tmp_path / "drawn.csv"))
        drawn = judge_scores(study, sheet=sheet).scores[0]
        inside.append(drawn.lower <= truth["a"].mean() <= drawn.upper)
        widths.append(drawn.upper - drawn.lower)
        even = judge_scores(judged(seed, 480, labels=100)[0]).scores[0]
        even_widths.append(even.upper - even.lower)
    assert 0.9 <= np.mean(inside) <= 0.99
    if first:
        assert np.mean(widths) < 0.97 * np.mean(even_widths)


def test_uneven_chances_are_weighed_by_every_estimator(tmp_path):
    errors = {name: [] for name in JUDGE_ESTIMATORS if name != "judge"}
    for seed in range(15):
        study, truth = judged(seed, 400)
        sheet = label_sheet(filled(label_plan(study, labels=150, seed=seed), truth, tmp_path / "drawn.csv"))
        answers = sheet.labelled(next(judged_answers(study, "human", may_lack_truth=True)))[0]
        for name, error in errors.items():
            error.append(JUDGE_ESTIMATORS[name].estimate(answers).value - truth["a"].mean())
    for error in errors.values():
        assert abs(np.mean(error)) < 0.02


def test_labels_drawn_with_known_chances_are_not_refused_for_the_range_of_scores(tmp_path):
    study, truth = judged(24, 480)  # 5 % of the judge's scores lie beyond those drawn
    sheet = label_sheet(filled(label_plan(study, labels=100, seed=24), truth, tmp_path / "drawn.csv"))
    assert judge_scores(study, sheet=sheet).scores[0].refused == ""


def test_a_kind_without_labels_is_refused():
    study, _ = judged(1, labels=60, lean=0.0)
    found = judge_scores(study).scores[0]
    assert found.score is None
    assert "no labels where benchmark is b1" in found.refused
    none = judge_scores(judged(1, labels=40)[0], width=0.05, models=["a"]).scores[0]
    assert none.refused == ""


def test_labels_that_lean_to_one_kind_are_weighed_and_it_is_said():
    study, truth = judged(2, 800, labels=150, lean=0.15)
    found = judge_scores(study).scores[0]
    assert "not drawn evenly over benchmark" in found.warnings[0]
    assert found.lower <= truth["a"].mean() <= found.upper
    assert judge_scores(judged(2, 800, labels=150)[0]).scores[0].warnings == ()


def test_even_labels_are_seldom_called_uneven():
    called = [
        bool(label_coverage(next(judged_answers(judged(s, 200, labels=50)[0], "human"))).warnings) for s in range(60)
    ]
    assert np.mean(called) <= 0.08


def test_a_model_without_labels_ends_in_one_line(tmp_path):
    study, _ = judged(3, labels=60, models=("a", "b"))
    rows = study.require("responses").astype({"model": str, "judge": str})
    kept = rows[(rows["model"] == "a") | (rows["judge"] != "human")]
    folder = Study.of(items=study.items, responses=kept).save(tmp_path / "study")
    result = runner.invoke(app, ["judge", "score", str(folder), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["models"]["a"]["score"] is not None
    assert "labels do not carry to 1 of 2 models (b): no labels of this model" in str(result.exception)
    assert runner.invoke(app, ["judge", "score", str(folder), "--model", "a"]).exit_code == 0


def test_plan_and_score_go_round_without_an_import(tmp_path):
    study, truth = judged(4)
    folder, sheet = str(study.save(tmp_path / "study")), str(tmp_path / "to_label.csv")
    planned = runner.invoke(app, ["judge", "plan", folder, "--width", "20pp", "--out", sheet])
    assert planned.exit_code == 0, planned.exception
    assert "answers to label: fill in column score" in planned.stdout
    table = pd.read_csv(sheet)
    assert list(table.columns) == ["model", "item_id", "judge_score", "draw_chance", "score", "text"]
    filled(table, truth, sheet)
    scored = runner.invoke(app, ["judge", "score", folder, "--draw", sheet, "--json"])
    found = json.loads(scored.stdout)["models"]["a"]
    assert found["n_labels"] == len(table)
    assert found["upper"] - found["lower"] == pytest.approx(0.2, rel=0.35)
    further = tmp_path / "more.csv"
    again = runner.invoke(app, ["judge", "plan", folder, "--draw", sheet, "--width", "10pp", "--out", str(further)])
    assert again.exit_code == 0, again.exception
    more = pd.read_csv(further)
    assert (more.loc[more["score"].notna(), "draw_chance"] == 1).all()


def test_sheets_that_do_not_fit_are_refused(tmp_path):
    study, truth = judged(5, labels=40)
    table = label_plan(study, labels=50)
    path = filled(table, truth, tmp_path / "sheet.csv")
    good = pd.read_csv(path)
    first = good["item_id"][0]
    for broken, message in (
        (good.assign(score=3), "row 1: score '3' is no label from 0 to 1"),
        (good.drop(columns="score"), "column 'score' is missing"),
        (pd.concat([good, good.head(1)]), "row 91 repeats an answer"),
        (good.replace({first: "nowhere"}), "item 'nowhere' of 'a' is no answer that the judge scored"),
        (good.replace({"a": "z"}), "'z'"),
        (good.head(50), "names no chance for item"),
        (good.assign(score=1 - good["score"]), "has another label in the study"),
    ):
        broken.to_csv(path, index=False)
        with pytest.raises(InputError, match=message.replace("(", r"\(")):
            judge_scores(study, sheet=label_sheet(path))
    both, truths = judged(5, labels=40, models=("a", "b"))
    only = label_sheet(filled(label_plan(both, labels=50, models=["a"]), truths, path))
    assert [found.n_labels for found in judge_scores(both, sheet=only).scores] == [90, 40]
    good.assign(score=good["score"].where(good.index >= 10)).to_csv(path, index=False)
    assert (
        "10 of 90 drawn answers have no label yet" in judge_scores(study, sheet=label_sheet(path)).scores[0].warnings[0]
    )
    # labels of an earlier plan count as certain and stand for themselves: drawn ones have to stand for the rest
    unfilled = good["score"].where((good["draw_chance"] == 1) | (good.index < 3))
    good.assign(draw_chance=good["draw_chance"].where(good.index < 50, 1.0), score=unfilled).to_csv(path, index=False)
    with pytest.raises(InputError, match="3 of 50 drawn answers of 'a' have a label.* of 10 or more"):
        judge_scores(study, sheet=label_sheet(path))


def test_labels_without_a_fault_of_the_judge_leave_some_doubt():
    rows = [("m", f"i{row}", "gpt", float(row % 3 > 0)) for row in range(100)]
    rows += [("m", f"i{row}", "human", float(row % 3 > 0)) for row in range(40)]
    alike = [("n", f"i{row}", judge, 1.0) for judge, n in (("gpt", 100), ("human", 40)) for row in range(n)]
    study = Study.of(responses=pd.DataFrame(rows + alike, columns=["model", "item_id", "judge", "score"]))
    for name in ("narrower", "kernel", "ppi++"):
        for found in judge_scores(study, estimator=name).scores:
            # an error rate of 7 % shows no error in 40 labels once in twenty
            assert found.upper - found.lower > 0.03
            assert found.lower <= found.judge_mean <= found.upper + 1e-9


def test_widths_that_are_none_are_refused():
    with pytest.raises(InputError, match="width 0 is no width"):
        judge_scores(judged(6)[0], width=0.0)
