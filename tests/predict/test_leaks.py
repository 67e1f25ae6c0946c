"""Planted leaks are caught: copies of held-out items, and demands made from the answers."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from capscope.axes import RowIndex
from capscope.data import AGENT_SPLITS, SPLITS, ResponseFold, Responses, Study
from capscope.errors import InputError
from capscope.predict import (
    Assessor,
    Chances,
    ExplanatoryAssessor,
    FittedAssessor,
    ItemFeatures,
    Training,
    evaluate,
    item_features,
)
from capscope.predict.assessors import stacked
from capscope.predict.assessors.stacked import StackedAssessor
from capscope.predict.evaluation.folds import EvaluationData
from capscope.predict.evaluation.result import EvaluationSettings
from capscope.predict.leaks import Copies
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study(n_items=200)


def with_texts(study: Study, texts: list[str]) -> Study:
    return replace(study, items=study.require("items").assign(text=pd.Series(texts, dtype="str")))


def with_rubric(study: Study, level: pd.Series) -> Study:
    rows = pd.DataFrame({"item_id": level.index, "rubric": "LEAK", "annotator": "simulated", "level": level.to_numpy()})
    demands = pd.concat([study.require("demands").astype({"item_id": str, "rubric": str, "annotator": str}), rows])
    return Study.of(study.items, study.responses, demands)


def test_copies_differ_in_white_space_and_case_at_most() -> None:
    group = Copies.of(("A  b", "a b\n", "c", "", "")).group
    assert group[0] == group[1]
    assert len(set(group.tolist())) == 4


def test_training_answers_to_copies_of_held_out_items_are_left_out() -> None:
    # items 0 and 1 are copies; item 0 is held out
    copies = Copies(np.array([0, 0, 1, 2]))
    item = np.array([0, 1, 2, 3, 0, 1])
    test = item == 0
    fold = copies.leave_out(ResponseFold(~test, test), item)
    assert fold.train.tolist() == [False, False, True, True, False, False]
    assert fold.test.tolist() == test.tolist()


@pytest.mark.parametrize("split", ["id", "task", "benchmark", "both"])
def test_no_text_stands_on_both_sides_of_a_fold(study: Study, split: str) -> None:
    rng = np.random.default_rng(0)
    data = EvaluationData.of(with_texts(study, [f"question {n}" for n in rng.integers(0, 500, 200)]))
    item = data.layout.responses.item_index
    texts = np.array(data.layout.features.texts.texts)
    plan = data.plan(study, EvaluationSettings(split=split, folds=3, known=5))
    for fold in data.folds(plan, seed=0):
        assert not set(texts[item[fold.train]]) & set(texts[item[fold.test]])


def test_a_template_is_no_copy_and_that_is_said(study: Study) -> None:
    found = evaluate(with_texts(study, ["Answer the question."] * 200), "id", ["mean"])
    assert found.notes == ("100% of the items repeat a text, so copies were not left out",)
    assert evaluate(study, "id", ["mean"]).notes == ()


def test_a_rubric_made_from_the_mean_score_is_refused(study: Study) -> None:
    mean = study.require("responses").groupby("item_id", observed=True)["score"].mean()
    mean.index = mean.index.astype(str)
    with pytest.raises(InputError, match=r"rubric 'LEAK' ranks the items as their mean scores do \(rank correlation"):
        evaluate(with_rubric(study, 5 * (1 - mean)), "task", ["mean"])


def test_a_rubric_made_from_one_models_answers_is_refused(study: Study) -> None:
    responses = study.require("responses")
    mine = responses[responses["model"] == "m02"].set_index("item_id")["score"]
    mine.index = mine.index.astype(str)
    with pytest.raises(InputError, match=r"rubric 'LEAK' separates the successes of model 'm02' from its failures"):
        evaluate(with_rubric(study, 1 + 3 * mine), "task", ["mean"])


def test_a_good_rubric_is_no_leak(study: Study) -> None:
    rng = np.random.default_rng(1)
    mean = study.require("responses").groupby("item_id", observed=True)["score"].mean()
    mean.index = mean.index.astype(str)
    noisy = (5 * (1 - mean) + rng.normal(0, 0.7, len(mean))).clip(0, 5)
    assert evaluate(with_rubric(study, noisy), "task", ["mean"]).n_items == 200


def shuffled(n_models: int, n_items: int) -> Study:
    """Answers that have nothing to do with their items or models."""
    found = simulated_study(1, n_models=n_models, n_items=n_items)
    responses = found.require("responses")
    rng = np.random.default_rng(0)
    return replace(found, responses=responses.assign(score=rng.permutation(responses["score"].to_numpy())))


@pytest.mark.slow
@pytest.mark.parametrize("split", [split for split in SPLITS if split not in AGENT_SPLITS])
def test_shuffled_labels_give_the_stack_a_coin_flip(split: str) -> None:
    settings = {"split": split, "folds": 2, "families": "names", "known": 10}
    found = evaluate(shuffled(12, 200), assessors=["stacked"], **settings).metrics["stacked"]
    # at least three models of 100 items each: the mean of their AUROCs has a standard error of .034 at most
    assert found["auroc"] == pytest.approx(0.5, abs=0.07)
    assert found["auroc_within_task"] == pytest.approx(0.5, abs=0.07)


def test_the_coin_flip_would_catch_a_leak() -> None:
    study = shuffled(12, 200)
    mean = study.require("responses").groupby("item_id", observed=True)["score"].mean()
    mean.index = mean.index.astype(str)
    # too faint for the guards, yet made from the answers that are held out
    faint = (5 * (1 - mean) + np.random.default_rng(1).normal(0, 0.7, len(mean))).clip(0, 5)
    found = evaluate(with_rubric(study, faint), "id", ["explanatory"], folds=2)
    assert found.metrics["explanatory"]["auroc"] > 0.55


@dataclass(frozen=True)
class _Watched:
    """A member that refuses to be asked about what it has learnt from."""

    def fit(self, training: Training) -> FittedAssessor:
        return _WatchedFit(training, ExplanatoryAssessor().fit(training))


@dataclass(frozen=True)
class _WatchedFit:
    training: Training
    fitted: FittedAssessor

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        seen = self.training.responses
        learnt = set(zip(seen.model_index.tolist(), seen.item_index.tolist(), strict=True))
        assert not learnt & set(zip(model_index.tolist(), item_index.tolist(), strict=True))
        return self.fitted.predict(model_index, item_index)


@pytest.mark.parametrize("kind", ["warm", "item", "task", "benchmark"])
def test_members_of_the_stack_are_weighed_on_answers_they_have_not_seen(
    study: Study, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def members(features: ItemFeatures) -> dict[str, Assessor]:
        return {"explanatory": _Watched()} if features.n_items else {}

    monkeypatch.setattr(stacked, "members_for", members)
    items = study.require("items")
    # each task a benchmark of its own: enough of them to hold some out
    many = replace(study, items=items.assign(benchmark=items["task"])) if kind == "benchmark" else study
    responses = Responses.of(many)
    features = item_features(many, responses.items)
    held_out = {
        "warm": np.random.default_rng(0).random(len(responses.score)) < 0.2,
        "item": responses.item_index % 5 == 0,
        "task": (features.task == 0)[responses.item_index],
        "benchmark": (features.benchmark == 0)[responses.item_index],
    }[kind]
    stack = StackedAssessor(folds=2).fit(Training(responses, features, 0).without(held_out))
    assert not stack.regimes[kind].unlearnt
