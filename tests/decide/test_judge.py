"""Judge-corrected scores: exact laws, coverage and width against the naive interval, refusals, the command."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.decide import JUDGE_ESTIMATORS, evaluate_judge, judge_scores
from capscope.decide.judge_correction import further_labels
from capscope.decide.judge_data import JudgedAnswers, judged_answers
from capscope.errors import InputError

runner = CliRunner()


def judged_study(seed=0, n_items=300, models=("a", "b"), labels=None, second_judge=False):
    """A lenient judge that follows people loosely: .84 where people say about .75, correlation about .4."""
    rng = np.random.default_rng(seed)
    items = [f"i{row:04d}" for row in range(n_items)]
    rows = []
    for model in models:
        human = (rng.random(n_items) < 0.75).astype(float)
        judge = (rng.random(n_items) < np.where(human > 0, 0.92, 0.61)).astype(float)
        rows += [(model, item, "gpt", score) for item, score in zip(items, judge, strict=True)]
        if second_judge:
            other = np.where(rng.random(n_items) < 0.85, human, 1 - human)
            rows += [(model, item, "second", score) for item, score in zip(items, other, strict=True)]
        kept = rng.permutation(n_items)[: labels or n_items]
        rows += [(model, items[row], "human", human[row]) for row in kept]
    table = pd.DataFrame(rows, columns=["model", "item_id", "judge", "score"])
    tasks = [f"t{row % 5}" for row in range(n_items)]
    return Study.of(items=pd.DataFrame({"item_id": items, "task": tasks, "text": "?"}), responses=table)


def test_with_every_label_the_mean_is_that_of_the_labels():
    study = judged_study()
    answers = next(judged_answers(study, "human", "gpt"))
    for name, estimator in JUDGE_ESTIMATORS.items():
        if name != "judge":
            found = estimator.estimate(answers)
            assert found.value == pytest.approx(answers.label.mean(), abs=1e-9)
            assert found.se == 0


def test_a_judge_that_says_the_truth_leaves_no_error():
    study = judged_study()
    answers = next(judged_answers(study, "human", "gpt"))
    told = type(answers)("a", answers.label, answers.label, answers.label[:, None] - answers.label.mean())
    shown = told.with_labels_at(np.arange(60))
    assert JUDGE_ESTIMATORS["ppi++"].estimate(shown).value == pytest.approx(answers.label.mean())
    assert JUDGE_ESTIMATORS["kernel"].estimate(shown).value == pytest.approx(answers.label.mean(), abs=0.01)


def test_intervals_cover_where_the_naive_one_does_not():
    study = judged_study(1, 480, ("a", "b", "c", "d"))
    found = evaluate_judge(study, labels=0.1, seeds=40)
    errors = found.errors
    assert 0.90 <= errors["kernel"]["coverage"] <= 0.99
    assert errors["judge"]["coverage"] < 0.2
    assert errors["kernel"]["width"] <= 1.05 * errors["ppi++"]["width"]
    assert errors["kernel"]["error"] < errors["judge"]["error"]


def test_further_judges_make_intervals_narrower():
    found = evaluate_judge(judged_study(2, 480, second_judge=True), judge="gpt", labels=0.15, seeds=25)
    assert found.errors["kernel"]["width"] < 0.9 * found.errors["ppi++"]["width"]
    assert found.errors["kernel"]["coverage"] >= 0.88


def test_severity_and_correction_are_found():
    scores = judge_scores(judged_study(3, 2000, labels=400)).scores
    for model in scores:
        assert model.judge_mean == pytest.approx(0.84, abs=0.03)
        assert model.severity == pytest.approx(0.09, abs=0.06)
        assert model.lower is not None
        assert model.lower <= 0.75 + 0.03
        assert model.upper is not None
        assert model.upper >= 0.75 - 0.03


def test_a_plan_reaches_the_width_it_names():
    study = judged_study(4, 1500, ("a",))
    answers = next(judged_answers(study, "human", "gpt"))
    rng = np.random.default_rng(0)
    first = JUDGE_ESTIMATORS["kernel"].estimate(answers.with_labels_at(rng.permutation(1500)[:100]))
    more = further_labels(first, 100, 1500, 0.08, 0.95)
    then = JUDGE_ESTIMATORS["kernel"].estimate(answers.with_labels_at(rng.permutation(1500)[: 100 + more]))
    low, high = then.interval()
    assert high - low == pytest.approx(0.08, rel=0.15)
    assert further_labels(first, 1500, 1500, 0.08, 0.95) == 0


def test_thin_or_one_sided_labels_are_refused():
    thin = judge_scores(judged_study(5, labels=20)).scores[0]
    assert thin.score is None
    assert "20 labels of this model" in thin.refused
    study = judged_study(6, labels=80)
    rows = study.require("responses").astype({"model": str, "item_id": str, "judge": str})
    judged = rows[rows["judge"] == "gpt"].set_index(["model", "item_id"])["score"]
    high = judged.reindex(pd.MultiIndex.from_frame(rows[["model", "item_id"]])).to_numpy() > 0.5
    one_sided = Study.of(responses=rows[(rows["judge"] != "human") | high])
    assert "beyond the labelled ones" in judge_scores(one_sided).scores[0].refused


def test_studies_without_judges_are_refused():
    study = judged_study(7)
    with pytest.raises(InputError, match=r"no responses by judge 'humn' \(did you mean \"human\"\?\)"):
        judge_scores(study, "humn")
    plain = Study.of(responses=study.require("responses").drop(columns="judge").drop_duplicates(["model", "item_id"]))
    with pytest.raises(InputError, match="no column judge"):
        judge_scores(plain)
    with pytest.raises(InputError, match="unknown estimator 'pp'"):
        judge_scores(study, estimator="pp")


def test_the_commands_answer(tmp_path):
    folder = judged_study(8, labels=120).save(tmp_path / "study")
    scored = runner.invoke(app, ["judge", "score", str(folder), "--json"])
    assert json.loads(scored.stdout)["models"]["a"]["n_labels"] == 120
    planned = runner.invoke(app, ["judge", "plan", str(folder), "--width", "4pp"])
    assert "more labels needed" in planned.stdout
    measured = json.loads(
        runner.invoke(app, ["judge", "evaluate", str(folder), "--labels", "0.3", "--seeds", "3", "--json"]).stdout
    )
    assert {"labels", "estimators", "default"} <= measured.keys()
    assert {"mae_pp", "coverage95", "width95_pp"} <= measured["estimators"][measured["default"]].keys()


def test_a_judge_that_is_rarely_wrong_gets_intervals_as_narrow_as_ppi_and_they_cover():
    rng, rows = np.random.default_rng(3), []
    truth = (rng.random(1200) < 0.55).astype(float)
    judge = np.where(rng.random(1200) < np.where(truth > 0, 0.0, 0.1), 1.0, truth)
    answers = JudgedAnswers("a", judge, truth, judge[:, None] - judge.mean())
    for _ in range(150):
        shown = answers.with_labels_at(rng.permutation(1200)[:120])
        bounds = [JUDGE_ESTIMATORS[name].estimate(shown).interval() for name in ("narrower", "ppi++")]
        rows.append([bound for pair in bounds for bound in pair])
    (lower, upper), (plain_lower, plain_upper) = np.array(rows).T.reshape(2, 2, -1)
    assert ((lower <= truth.mean()) & (truth.mean() <= upper)).mean() > 0.91
    assert (upper - lower <= plain_upper - plain_lower + 1e-9).all()
