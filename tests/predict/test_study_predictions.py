"""Predictions by an assessor that learns from a study: known and new items, parts, intervals, what is missing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from capscope.data import Study
from capscope.errors import CapscopeError
from capscope.fit import StudyFitSettings, fit_study, save_fit
from capscope.predict import (
    ASSESSORS,
    Predictions,
    evaluate,
    predict,
)
from capscope.predict.assessors.stacked import StackedAssessor
from capscope.predict.evaluation.metrics.loss import log_loss
from predict.simulated_study import simulated_study

QUICK = {"assessor": "explanatory"}
CELL = ["item_id", "model"]


@pytest.fixture(scope="module")
def world() -> Study:
    """Tasks t0 to t3 of benchmark B0, t4 to t7 of B1."""
    return simulated_study(2, n_models=8, n_items=240)


def items_where(study: Study, keep: pd.Series) -> Study:
    return study.keep_items(pd.Index(study.require("items").loc[keep, "item_id"].astype(str)))


def tasks(study: Study, *names: str) -> pd.Series:
    return study.require("items")["task"].astype(str).isin(names)


def only_items(study: Study) -> Study:
    """What a file of items holds."""
    return Study(study.items, None, study.demands, "asked")


@pytest.fixture(scope="module")
def learnt(world: Study) -> Study:
    """All answers but those to two tasks and to every seventh item."""
    new = tasks(world, "t1", "t6") | (np.arange(240) % 7 == 0)
    return replace(items_where(world, ~new), name="learnt")


def renamed(study: Study, benchmark: str) -> Study:
    """The same items under new ids, in a benchmark that nobody has seen."""
    items, demands = study.require("items"), study.require("demands")
    items = items.assign(item_id="n" + items["item_id"].astype(str), benchmark=benchmark)
    return Study.of(items, None, demands.assign(item_id="n" + demands["item_id"].astype(str)), "asked")


def joined(first: Study, second: Study) -> Study:
    plain = {"item_id": str, "benchmark": str, "task": str}
    items = pd.concat([each.require("items").astype(plain) for each in (first, second)])
    text = {"item_id": str, "rubric": str, "annotator": str}
    demands = pd.concat([each.require("demands").astype(text) for each in (first, second)])
    return Study.of(items, None, demands, "asked")


@pytest.fixture(scope="module")
def everything(world: Study) -> Study:
    """All items of the world, and those of a new task once more as a new benchmark."""
    return joined(only_items(world), renamed(items_where(world, tasks(world, "t6")), "new"))


@pytest.fixture(scope="module")
def few_folds() -> Iterator[None]:
    """The default assessor with two folds inside the training part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ASSESSORS, "stacked", replace(ASSESSORS["stacked"], assessor=StackedAssessor(folds=2)))
        yield


@pytest.fixture(scope="module")
def stacked(learnt: Study, everything: Study, few_folds: None) -> Predictions:  # noqa: ARG001 - patched meanwhile
    return predict(learnt, everything, level=0.8, explain=True)


def test_known_and_new_items_are_predicted_in_one_go(stacked: Predictions, learnt: Study, everything: Study) -> None:
    items = everything.require("items").sort_values("item_id")
    answered = items["item_id"].isin(learnt.require("items")["item_id"].astype(str)).to_numpy()
    task, benchmark = items["task"].isin(["t1", "t6"]).to_numpy(), (items["benchmark"] == "new").to_numpy()
    table, support = stacked.table, stacked.support
    assert support["item_id"].tolist() == items["item_id"].tolist()
    assert len(table) == 8 * len(items)
    assert ((table["lower"] < table["p"]) & (table["p"] < table["upper"])).mean() > 0.99
    np.testing.assert_array_equal(support["answers"], 8 * answered)
    np.testing.assert_array_equal(support["known"], ~task)
    assert (support.loc[benchmark, "reason"] == "a benchmark without answers").all()
    assert support.loc[~benchmark, "in_support"].all()
    counts = answered.sum(), (~answered & ~task).sum(), (task & ~benchmark).sum(), benchmark.sum()
    told = "{} have answers, {} are new in known tasks, {} are of new tasks, {} are of new benchmarks"
    assert stacked.notes == (f"of {len(items)} items, {told.format(*counts)}",)


def test_the_parts_of_the_stack_add_up_to_its_log_odds(stacked: Predictions) -> None:
    parts = stacked.parts
    assert parts is not None
    assert set(parts["part"]) == {"ability", "A", "B", "C", "task", "benchmark", "residual", "adjustment"}
    summed = parts.groupby(CELL)["log_odds"].sum()
    table = stacked.table.set_index(CELL).loc[summed.index]
    np.testing.assert_allclose(summed, (logit(table["lower"]) + logit(table["upper"])) / 2, atol=1e-6)
    assert (parts["sd"].isna() == (parts["part"] == "adjustment")).all()
    fresh = parts["item_id"].str.startswith("n") & (parts["part"] == "residual")
    assert (parts.loc[fresh, "log_odds"] == 0).all()


def test_scores_are_mean_chances_and_a_new_benchmark_is_less_certain(stacked: Predictions, everything: Study) -> None:
    means = stacked.table.groupby("model")["p"].mean()
    np.testing.assert_allclose(stacked.scores.set_index("model")["score"], means)
    scores = stacked.benchmark_scores
    assert scores is not None
    assert scores["score"].between(scores["lower"], scores["upper"]).all()
    benchmark = everything.require("items").set_index("item_id")["benchmark"]
    by_cell = stacked.table.groupby([stacked.table["item_id"].map(benchmark), "model"])["p"].mean()
    np.testing.assert_allclose(scores.set_index(["benchmark", "model"])["score"], by_cell)
    width = (scores["upper"] - scores["lower"]).groupby(scores["benchmark"]).mean()
    # the same items without the answers to their benchmark: their scores may all be off together
    assert width["new"] > 2 * width["B1"]


def test_the_order_of_rows_changes_nothing_and_the_seed_decides_all(learnt: Study, everything: Study) -> None:
    def shuffled(study: Study) -> Study:
        mixed = [None if each is None else each.sample(frac=1, random_state=1) for each in _tables(study)]
        return Study(*mixed, study.name)

    one = predict(learnt, everything, **QUICK)
    two = predict(shuffled(learnt), shuffled(everything), **QUICK)
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.scores, two.scores)
    other = predict(learnt, everything, **QUICK, seed=1)
    pd.testing.assert_frame_equal(one.table, other.table)
    assert not one.scores.equals(other.scores)


def _tables(study: Study) -> tuple[pd.DataFrame | None, pd.DataFrame | None, pd.DataFrame | None]:
    return study.items, study.responses, study.demands


def test_other_models_answers_to_an_item_are_used() -> None:
    study = simulated_study(5, n_models=20, n_items=200, residual=1.2)
    responses = study.require("responses")
    test = responses["model"].astype(str).isin(["m03", "m11"]) & (responses["item_id"].astype(str) < "i0100")
    held_out = responses[test].set_index(CELL)["score"].rename(index=str)
    learnt = Study(study.items, responses[~test].reset_index(drop=True), study.demands, "learnt")
    asked = items_where(only_items(study), study.require("items")["item_id"].astype(str) < "i0100")
    loss: list[float] = []
    for items, prefix in ((asked, ""), (renamed(asked, "B0"), "n")):
        table = predict(learnt, items, **QUICK).table.set_index(CELL)["p"]
        chance = table.loc[[(prefix + item, model) for item, model in held_out.index]]
        loss.append(log_loss(held_out.to_numpy(), chance.to_numpy()))
    assert loss[0] < loss[1] - 0.05


def test_a_gap_in_the_demands_is_told_and_widens_the_interval(learnt: Study, world: Study) -> None:
    asked = only_items(items_where(world, tasks(world, "t1")))
    demands, items = asked.require("demands"), asked.require("items")["item_id"].astype(str)
    # every new item once more, without a level on A
    again = renamed(replace(asked, demands=demands[demands["rubric"] != "A"]), "B0")
    found = predict(learnt, joined(asked, again), **QUICK)
    count = len(again.require("items"))
    told = f"{count} items lack demand levels, where typical ones are used with their spread: n{items[0]}, "
    assert found.notes[1].startswith(told)
    width = (found.table["upper"].map(logit) - found.table["lower"].map(logit)).groupby(found.table["item_id"]).mean()
    assert (width["n" + items].to_numpy() > 1.02 * width[items].to_numpy()).all()
    assert found.support["in_support"].all()
    nothing = replace(asked, demands=demands[demands["item_id"].astype(str) != items[0]])
    support = predict(learnt, nothing, **QUICK).support.set_index("item_id")
    assert support["reason"][items[0]] == "no demand levels"
    assert support["in_support"].sum() == len(support) - 1


def test_rubrics_count_that_both_have(learnt: Study, world: Study) -> None:
    asked = only_items(items_where(world, tasks(world, "t1")))
    demands = asked.require("demands").astype({"rubric": str})
    fewer = replace(asked, demands=demands[demands["rubric"] != "B"].replace({"rubric": {"C": "Z"}}))
    found = predict(learnt, fewer, **QUICK, explain=True)
    assert found.notes[1:] == (
        "rubrics left out, since no asked item has a level on them: B, C",
        "rubrics left out, since the study has no level on them: Z",
    )
    assert found.parts is not None
    assert set(found.parts["part"]) & set("ABCZ") == {"A"}
    bare = predict(learnt, replace(asked, demands=None), assessor="stacked")
    assert bare.notes[0].startswith(
        "the items have no demand levels, so easy and hard ones cannot be distinguished; make"
    )
    assert bare.notes[2].endswith("A, B, C")
    np.testing.assert_allclose(bare.table.groupby("model")["p"].std(), 0, atol=1e-12)
    assert (bare.support["reason"] == "neither demand levels nor text").all()
    with pytest.raises(CapscopeError, match="assessor 'forest' needs demands and the study has none"):
        predict(learnt, replace(asked, demands=None), assessor="forest")


def test_texts_stand_in_where_there_are_no_demands(world: Study) -> None:
    words = np.array(["plain", "some", "steep", "hard", "deep", "grim"])
    level = world.require("demands").pivot_table(index="item_id", columns="rubric", values="level", observed=True)
    text = pd.Series([" ".join(f"{words[int(each)]}{at}" for at, each in enumerate(row)) for row in level.to_numpy()])
    items = world.require("items").assign(text=text.astype("str"))
    learnt = items_where(Study(items, world.responses, world.demands, "learnt"), ~tasks(world, "t1"))
    asked = Study(items[tasks(world, "t1")].reset_index(drop=True), None, None, "asked")
    some = asked.require("items").assign(text=lambda table: table["text"].where(table.index != 0))
    settings = {"assessor": "explanatory", "embedder": "tfidf", "explain": True}
    found = predict(learnt, replace(asked, items=some), **settings)
    assert found.parts is not None
    assert {"text", "ability"} <= set(found.parts["part"])
    support = found.support.set_index("item_id")
    assert support["reason"][str(some["item_id"][0])] == "no text"
    chance = found.table.groupby("item_id")["p"].mean()[asked.require("items")["item_id"].astype(str)]
    easy = level.loc[chance.index] @ np.array([0.5, 0.3, 0])
    assert np.corrcoef(chance.iloc[1:], easy.iloc[1:])[0, 1] < -0.5


def test_what_cannot_be_predicted_is_one_line(learnt: Study, world: Study) -> None:
    asked = only_items(world)
    other_text = asked.require("items").assign(text="another")
    said = replace(learnt, items=learnt.require("items").assign(text="what it is"))
    cases = [
        (said, replace(asked, items=other_text), {}, r"item 'i0001' has another text in learnt \(\d+ such items\)"),
        (learnt, replace(asked, items=asked.require("items").assign(benchmark="C")), {}, "has another benchmark"),
        (learnt, asked, {"assessor": "stack"}, "unknown assessor 'stack' .did you mean \"stacked\"."),
        (learnt, asked, {"model": "m99"}, "there is no model 'm99'; there are m00"),
        (learnt, asked, {"annotator": "me"}, "no demands by annotator 'me'; there are simulated"),
        (learnt, asked, {"assessor": "mean", "explain": True}, "assessor 'mean' cannot say what made a chance"),
        (replace(learnt, responses=None), asked, {}, "this job needs responses.parquet"),
        (learnt, asked, {"assessor": "text-rasch"}, "assessor 'text-rasch' needs texts and no item has one"),
    ]
    for study, items, settings, message in cases:
        with pytest.raises(CapscopeError, match=message) as refused:
            predict(study, items, **settings)
        assert "\n" not in str(refused.value)


def test_residuals_and_labels_take_the_place_of_the_benchmarks_effect(
    learnt: Study, everything: Study, tmp_path: Path
) -> None:
    learnt.save(tmp_path / "study")
    everything.save(tmp_path / "asked")
    kept = {"write": tmp_path / "oof.csv"}
    evaluate(learnt, "benchmark", ["explanatory", "mean"], **kept)
    fresh = everything.require("items").loc[lambda items: items["benchmark"] == "new", "item_id"]
    labels = pd.DataFrame({"model": "m00", "item_id": fresh[:12], "score": 0.0})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    before, past, after = (
        predict(tmp_path / "study", tmp_path / "asked", **QUICK, **given)
        for given in (
            {},
            {"residuals": tmp_path / "oof.csv"},
            {"labels": tmp_path / "labels.csv", "defer_below": 0.5, "model": "m00"},
        )
    )
    cell = ("m00", "new")
    scores = [each.benchmark_scores.set_index(["model", "benchmark"]) for each in (before, past, after)]
    assert scores[2].loc[cell, "labels"] == 12
    assert scores[2].loc[cell, "score"] < scores[0].loc[cell, "score"] - 0.1
    assert scores[1].loc[cell, "score"] == pytest.approx(scores[0].loc[cell, "score"], abs=0.05)
    assert set(after.table["model"]) == {"m00"}
    np.testing.assert_array_equal(after.table["defer"], after.table["p"] < 0.5)
    alone = dict(QUICK, labels=tmp_path / "labels.csv")
    one = predict(learnt, items_where(everything, everything.require("items")["benchmark"] == "new"), **alone)
    assert one.benchmark_scores is not None
    pd.testing.assert_series_equal(one.scores["score"], one.benchmark_scores["score"])
    with pytest.raises(CapscopeError, match="oof.csv: holds explanatory, mean, not 'stacked'; write it"):
        predict(tmp_path / "study", tmp_path / "asked", residuals=tmp_path / "oof.csv")
    fit = fit_study(learnt, StudyFitSettings(model="demand"))
    save_fit(fit, tmp_path / "fit")
    found = predict(tmp_path / "fit", tmp_path / "asked", labels=tmp_path / "labels.csv")
    assert found.benchmark_scores is not None
    assert found.benchmark_scores["labels"].sum() == 12
    with pytest.raises(CapscopeError, match="is a fit, which predicts by itself; give a study for --assessor"):
        predict(tmp_path / "fit", tmp_path / "asked", **QUICK)
