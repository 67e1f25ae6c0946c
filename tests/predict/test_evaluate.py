"""Assessors side by side: shared folds, no leak, the published layout."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from capscope.axes import RowIndex
from capscope.data import SPLITS, Study
from capscope.errors import InputError, JoinError
from capscope.predict import ASSESSORS, Chances, EvaluationSettings, ForestAssessor, Training, evaluate
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study()


@pytest.fixture
def small_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of few trees under the published name."""
    monkeypatch.setitem(ASSESSORS, "forest", ForestAssessor(trees=30))


@pytest.mark.usefixtures("small_forest")
def test_layout_and_order_of_assessors() -> None:
    found = evaluate(simulated_study(n_models=4, n_items=120), EvaluationSettings(split="task", folds=2)).as_dict()
    assert set(found) >= {"split", "folds", "seeds", "n_models", "n_items", "n_items_left_out", "assessors"}
    assert (found["split"], found["folds"], found["n_models"], found["n_items"]) == ("task", 2, 4, 120)
    names = {"auroc", "auroc_within_task", "log_loss", "brier", "ece", "benchmark_mae", "seconds"}
    assert set(found["assessors"]) == ASSESSORS.keys() - {"text-forest", "text-rasch"}  # the study has no texts
    assert all(names < set(row) for row in found["assessors"].values())


@pytest.mark.usefixtures("small_forest")
def test_demands_help_and_the_explanatory_model_beats_the_forest_on_new_tasks(study: Study) -> None:
    metrics = evaluate(study, EvaluationSettings(split="task"), ["mean", "forest", "explanatory"]).metrics
    assert metrics["explanatory"].log_loss < metrics["forest"].log_loss < metrics["mean"].log_loss
    assert metrics["explanatory"].auroc > metrics["forest"].auroc > 0.6
    assert metrics["explanatory"].ece < 0.06


def test_explanatory_chances_come_close_to_the_best_possible() -> None:
    # the best possible predictor knows the abilities and the weights and integrates over the residual of .6
    found = evaluate(simulated_study(1, n_models=30, n_items=1200), EvaluationSettings(split="id"), ["explanatory"])
    rng = np.random.default_rng(5)
    level = np.clip(rng.integers(0, 6, (4000, 3)) * 0.7 + (rng.integers(0, 8, 4000) % 3)[:, None], 0, 5).round()
    line = rng.standard_normal(4000) - (level @ np.array([0.5, 0.3, 0.0]) - 2)
    chance = 1 / (1 + np.exp(-line / np.sqrt(1 + np.pi / 8 * 0.36)))
    best = -np.mean(chance * np.log(chance) + (1 - chance) * np.log1p(-chance))
    assert found.metrics["explanatory"].log_loss < best + 0.02


@pytest.fixture(scope="module")
def shuffled() -> Study:
    """Answers that have nothing to do with their items."""
    found = simulated_study(n_models=12, n_items=300)
    responses = found.require("responses")
    rng = np.random.default_rng(0)
    return replace(found, responses=responses.assign(score=rng.permutation(responses["score"].to_numpy())))


@pytest.mark.parametrize("split", SPLITS)
def test_shuffled_labels_give_a_coin_flip(shuffled: Study, split: str) -> None:
    names = ["item-mean", "explanatory"]
    settings = EvaluationSettings(split=split, folds=2, families="names", known=10)
    for metrics in evaluate(shuffled, settings, names).metrics.values():
        assert metrics.auroc_within_task == pytest.approx(0.5, abs=0.05)


@pytest.mark.usefixtures("small_forest")
def test_shuffled_labels_give_the_forest_a_coin_flip(shuffled: Study) -> None:
    found = evaluate(shuffled, EvaluationSettings(split="task", folds=3), ["forest"])
    assert found.metrics["forest"].auroc_within_task == pytest.approx(0.5, abs=0.03)


@dataclass(frozen=True)
class LeakDetector:
    """Fails if a held-out item has an answer in training."""

    def fit(self, training: Training) -> "LeakDetector":
        object.__setattr__(self, "seen", set(training.responses.item_index.tolist()))
        return self

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        assert not self.seen & set(item_index.tolist()), "an answer to a held-out item was in training"
        return Chances.of(np.full(len(model_index), 0.5))


@pytest.mark.parametrize("split", ["id", "task", "benchmark"])
def test_no_answer_to_a_held_out_item_is_seen(study: Study, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASSESSORS, "leak detector", LeakDetector())
    found = evaluate(study, EvaluationSettings(split=split), ["leak detector"])
    assert found.metrics["leak detector"].log_loss == pytest.approx(np.log(2))


def test_row_order_changes_nothing(study: Study) -> None:
    rng = np.random.default_rng(3)
    shuffled = Study.of(
        study.items.sample(frac=1, random_state=1),
        study.responses.iloc[rng.permutation(len(study.responses))],
        study.demands.sample(frac=1, random_state=2),
    )
    names = ["mean", "explanatory"]
    before, after = (evaluate(each, EvaluationSettings(), names) for each in (study, shuffled))
    assert before.metrics == after.metrics
    assert before.differences == after.differences


def test_items_without_demands_are_left_out_and_counted(study: Study) -> None:
    demands = study.demands[study.demands["item_id"] != "i0007"]
    assert evaluate(replace(study, demands=demands), EvaluationSettings(), ["mean"]).n_items_left_out == 1


def test_bad_requests_are_one_line(study: Study) -> None:
    with pytest.raises(InputError, match=r"unknown assessor 'forrest' \(did you mean \"forest\"\?\)"):
        evaluate(study, EvaluationSettings(), ["forrest"])
    with pytest.raises(InputError, match=r"--reference forrest takes no part; name one of mean"):
        evaluate(study, EvaluationSettings(reference="forrest"), ["mean"])
    with pytest.raises(InputError, match="6 models have no family: m00"):
        evaluate(study, EvaluationSettings(split="family"), ["mean"])
    with pytest.raises(InputError, match="unknown split 'tasks'"):
        evaluate(study, EvaluationSettings(split="tasks"), ["mean"])
    with pytest.raises(InputError, match="no demands by annotator 'gemini'"):
        evaluate(study, EvaluationSettings(annotator="gemini"), ["mean"])
    half = study.demands[study.demands["item_id"].astype(str) < "i0200"]
    with pytest.raises(JoinError, match=r"only 50% of the item ids in responses are in demands .200 unknown: i0200"):
        evaluate(replace(study, demands=half), EvaluationSettings(), ["mean"])
    one = study.items.assign(benchmark=pd.Categorical(["B0"] * 400))
    with pytest.raises(InputError, match="one benchmark only"):
        evaluate(replace(study, items=one), EvaluationSettings(split="benchmark"), ["mean"])
