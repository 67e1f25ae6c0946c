"""Assessors side by side: shared folds, no leak, the published layout."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.axes import RowIndex
from capscope.data import AGENT_SPLITS, SPLITS, Study
from capscope.errors import InputError, JoinError
from capscope.predict import ASSESSORS, AssessorEntry, Chances, ForestAssessor, Training, evaluate
from capscope.predict.assessors.stacked import StackedAssessor
from capscope.predict.layout import Layout
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study()


@pytest.fixture
def small_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of few trees and a stack of few folds under the published names."""
    small = {"forest": ForestAssessor(trees=30), "stacked": StackedAssessor(folds=2)}
    for name, assessor in small.items():
        monkeypatch.setitem(ASSESSORS, name, replace(ASSESSORS[name], assessor=assessor))


@pytest.mark.usefixtures("small_forest")
def test_layout_and_order_of_assessors() -> None:
    found = evaluate(simulated_study(n_models=3, n_items=80), "task", folds=2).as_dict()
    assert set(found) >= {"split", "folds", "seeds", "n_models", "n_items", "n_items_left_out", "assessors"}
    assert (found["split"], found["folds"], found["n_models"], found["n_items"]) == ("task", 2, 3, 80)
    names = {"auroc", "auroc_within_task", "log_loss", "brier", "ece", "benchmark_mae", "seconds"}
    assert set(found["assessors"]) == ASSESSORS.keys() - {
        "text-forest",
        "text-rasch",
        "agents",
        "confidence",
        "monotone",
        "neighbours",
        "text-head",
        "text-encoder",
    }  # no texts, no scaffolds, no confidences; some on request
    assert all(names < set(row) for row in found["assessors"].values())


@pytest.mark.usefixtures("small_forest")
def test_demands_help_and_the_explanatory_model_beats_the_forest_on_new_tasks(study: Study) -> None:
    metrics = evaluate(study, "task", ["mean", "forest", "explanatory"]).metrics
    assert metrics["explanatory"]["log_loss"] < metrics["forest"]["log_loss"] < metrics["mean"]["log_loss"]
    assert metrics["explanatory"]["auroc"] > metrics["forest"]["auroc"] > 0.6
    assert metrics["explanatory"]["ece"] < 0.06


def test_explanatory_chances_come_close_to_the_best_possible() -> None:
    # the best possible predictor knows the abilities and the weights and integrates over the residual of .6
    found = evaluate(simulated_study(1, n_models=30, n_items=1200), "id", ["explanatory"])
    rng = np.random.default_rng(5)
    level = np.clip(rng.integers(0, 6, (4000, 3)) * 0.7 + (rng.integers(0, 8, 4000) % 3)[:, None], 0, 5).round()
    line = rng.standard_normal(4000) - (level @ np.array([0.5, 0.3, 0.0]) - 2)
    chance = 1 / (1 + np.exp(-line / np.sqrt(1 + np.pi / 8 * 0.36)))
    best = -np.mean(chance * np.log(chance) + (1 - chance) * np.log1p(-chance))
    assert found.metrics["explanatory"]["log_loss"] < best + 0.02


@pytest.fixture(scope="module")
def shuffled() -> Study:
    """Answers that have nothing to do with their items."""
    found = simulated_study(n_models=12, n_items=300)
    responses = found.require("responses")
    rng = np.random.default_rng(0)
    return replace(found, responses=responses.assign(score=rng.permutation(responses["score"].to_numpy())))


@pytest.mark.parametrize("split", [split for split in SPLITS if split not in AGENT_SPLITS])
def test_shuffled_labels_give_a_coin_flip(shuffled: Study, split: str) -> None:
    names = ["item-mean", "explanatory"]
    settings = {"split": split, "folds": 2, "families": "names", "known": 10}
    for metrics in evaluate(shuffled, assessors=names, **settings).metrics.values():
        assert metrics["auroc_within_task"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.usefixtures("small_forest")
@pytest.mark.slow
def test_shuffled_labels_give_the_forest_a_coin_flip(shuffled: Study) -> None:
    found = evaluate(shuffled, "task", ["forest"], folds=3)
    assert found.metrics["forest"]["auroc_within_task"] == pytest.approx(0.5, abs=0.03)


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
    entry = AssessorEntry(name="leak detector", help="fails on a leak", assessor=LeakDetector())
    monkeypatch.setitem(ASSESSORS, entry.name, entry)
    found = evaluate(study, split, ["leak detector"])
    assert found.metrics["leak detector"]["log_loss"] == pytest.approx(np.log(2))


def test_row_order_changes_nothing(study: Study) -> None:
    rng = np.random.default_rng(3)
    shuffled = Study.of(
        study.items.sample(frac=1, random_state=1),
        study.responses.iloc[rng.permutation(len(study.responses))],
        study.demands.sample(frac=1, random_state=2),
    )
    names = ["mean", "explanatory"]
    before, after = (evaluate(each, "task", names) for each in (study, shuffled))
    assert before.metrics == after.metrics
    assert before.differences == after.differences


def test_items_with_a_missing_level_are_used_and_counted(study: Study) -> None:
    demands = study.demands
    missing = (demands["item_id"].astype(str) < "i0020") & (demands["rubric"] == "B")
    gaps = replace(study, demands=demands[~missing & (demands["item_id"] != "i0077")].reset_index(drop=True))
    found, whole = (evaluate(each, "task", ["explanatory"]) for each in (gaps, study))
    assert (found.n_items, found.n_items_left_out) == (400, 0)
    told = "21 items lack demand levels, where typical ones are used with their spread: i0000, i0001, "
    assert found.notes[0].startswith(told)
    assert whole.notes == ()
    # a gap in one item of twenty costs little
    assert abs(found.metrics["explanatory"]["log_loss"] - whole.metrics["explanatory"]["log_loss"]) < 0.01


def test_evaluate_and_predict_lay_a_study_out_alike(study: Study) -> None:
    demands = study.demands
    gaps = replace(study, demands=demands[np.arange(len(demands)) % 11 != 0].reset_index(drop=True))
    ours = Layout.of_study(gaps)
    theirs = Layout.of(gaps, Study(gaps.items, None, gaps.demands, "asked"))
    for name in ("demands", "demand_sd", "task", "benchmark", "floor"):
        np.testing.assert_array_equal(getattr(ours.features, name), getattr(theirs.features, name))
    np.testing.assert_array_equal(ours.responses.item_index, theirs.responses.item_index)
    assert ours.features.dims == theirs.features.dims == ("A", "B", "C")
    sd = ours.features.demand_sd
    assert sd is not None
    assert (sd > 0).sum() == len(demands) - len(gaps.demands)


def test_any_number_of_workers_gives_the_same_numbers(tmp_path: Path) -> None:
    small = simulated_study(n_models=4, n_items=80)
    names = ["mean", "rasch"]
    one = evaluate(small, "id", names, folds=2, write=tmp_path / "one.csv")
    several = evaluate(small, "id", names, folds=2, write=tmp_path / "several.csv", workers=2)
    assert several.metrics == one.metrics
    assert several.differences == one.differences
    assert (tmp_path / "several.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


@pytest.mark.usefixtures("small_forest")
def test_trials_count_as_so_many_answers() -> None:
    """A score of .75 from 4 trials is the same as three successes and a failure, for metrics and assessors."""
    study = simulated_study(3, n_models=4, n_items=80)
    rng = np.random.default_rng(0)
    trials = rng.integers(2, 6, len(study.responses))
    right = rng.binomial(trials, 0.2 + 0.6 * study.responses["score"].to_numpy(dtype=float))
    pooled = study.responses.assign(score=right / trials, n_trials=trials)
    rows = np.repeat(np.arange(len(pooled)), trials)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(trials) - trials, trials)
    single = pooled.iloc[rows].reset_index(drop=True)
    single = single.assign(score=(number < right[rows]).astype(float), n_trials=1, prompt=[f"p{n}" for n in number])
    studies = (Study.of(study.items, each, study.demands) for each in (pooled, single))
    names = ["base-rate", "mean", "item-mean", "rasch", "explanatory", "forest", "pooled-forest"]
    found = [evaluate(each, "id", names, folds=2) for each in studies]
    for name, values in found[0].metrics.items():
        for metric in ("log_loss", "auroc", "ece", "benchmark_mae", "calibration_slope", "pvr_80"):
            assert values[metric] == pytest.approx(found[1].metrics[name][metric], abs=1e-3), (name, metric)


@pytest.mark.usefixtures("small_forest")
@pytest.mark.parametrize("name", ["forest", "pooled-forest", "boosted"])
def test_a_fractional_score_is_no_success(name: str) -> None:
    # every item is right in 3 of 4 trials: the benchmark's score is .75, not 1
    study = simulated_study(3, n_models=3, n_items=120)
    rng = np.random.default_rng(0)
    score = rng.binomial(4, 0.75, len(study.responses)) / 4
    found = evaluate(
        Study.of(study.items, study.responses.assign(score=score, n_trials=4), study.demands), "id", [name, "mean"]
    )
    assert found.metrics[name]["benchmark_mae"] < 0.04
    assert found.metrics[name]["log_loss"] < found.metrics["mean"]["log_loss"] + 0.02


@pytest.mark.parametrize("name", ["forest", "boosted"])
def test_ten_trials_of_an_item_are_no_ten_items(name: str) -> None:
    # trials of one item share its residual: trees that take them for items fit that residual, and chances go too far
    world = simulated_study(2, n_models=3, n_items=300, residual=0.8)
    rng = np.random.default_rng(0)
    score = rng.binomial(10, 0.15 + 0.7 * world.responses["score"].to_numpy(float)) / 10
    entry = replace(ASSESSORS["forest"], assessor=ForestAssessor(trees=30)) if name == "forest" else ASSESSORS[name]
    chances = []
    for n_trials in (10, 1):
        answers = world.responses.assign(score=score, n_trials=n_trials)
        fitted = entry.assessor.fit(Layout.of_study(Study.of(world.items, answers, world.demands)).training(0))
        model, item = np.divmod(np.arange(900), 300)
        chances.append(fitted.predict(model, item).probability)
    if name == "forest":
        np.testing.assert_allclose(chances[0], chances[1], atol=1e-12)
    slopes = [np.polyfit(chance, score, 1)[0] for chance in chances]
    assert slopes[0] == pytest.approx(slopes[1], abs=0.15)  # by trials it was .25 less


def test_bad_requests_are_one_line(study: Study) -> None:
    with pytest.raises(InputError, match=r"unknown assessor 'forrest' \(did you mean \"forest\"\?\)"):
        evaluate(study, "task", ["forrest"])
    with pytest.raises(InputError, match=r"--reference forrest takes no part; name one of mean"):
        evaluate(study, "task", ["mean"], reference="forrest")
    with pytest.raises(InputError, match="6 models have no family: m00"):
        evaluate(study, "family", ["mean"])
    with pytest.raises(InputError, match="unknown split 'tasks'"):
        evaluate(study, "tasks", ["mean"])
    with pytest.raises(InputError, match="no demands by annotator 'gemini'"):
        evaluate(study, "task", ["mean"], annotator="gemini")
    foreign = study.demands["item_id"].astype(str)
    foreign = study.demands.assign(item_id=foreign.where(foreign < "i0200", "q" + foreign))
    with pytest.raises(JoinError, match=r"only 50% of the item ids in responses are in demands .200 unknown: i0200"):
        evaluate(replace(study, demands=foreign), "task", ["mean"])
    one = study.items.assign(benchmark=pd.Categorical(["B0"] * 400))
    with pytest.raises(InputError, match="one benchmark only"):
        evaluate(replace(study, items=one), "benchmark", ["mean"])


def test_a_study_of_which_a_part_is_rated_is_evaluated_and_the_gap_is_named(study: Study) -> None:
    half = study.demands[study.demands["item_id"].astype(str) < "i0200"]
    found = evaluate(replace(study, demands=half), "id", ["mean", "ridge"], folds=2)
    assert set(found.metrics) == {"mean", "ridge"}
    assert "200 items lack demand levels, where typical ones are used" in found.notes[0]


def test_ids_of_items_are_enough(study: Study) -> None:
    found = evaluate(replace(study, items=None, demands=None), "id", ["mean", "rasch"], folds=2)
    assert found.n_items == 400
    assert ("AUROC of 'mean' is below 0.5 only because" in found.as_text()) == (found.metrics["mean"]["auroc"] < 0.5)
    assert found.metrics["mean"]["auroc"] < 0.5
