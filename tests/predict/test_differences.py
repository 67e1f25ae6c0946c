"""Paired differences: by hand, and their intervals cover."""

import numpy as np
import pytest

from capscope.intervals import Interval, cluster_interval
from capscope.predict.evaluation.result import Differences, Evaluation, EvaluationSettings, LossSums, paired_differences
from capscope.predict.outcomes import Outcomes


def entered(chances: dict[str, np.ndarray], score: np.ndarray, model: np.ndarray) -> LossSums:
    zero = np.zeros(len(score), int)
    book = LossSums(len(score))
    for name, chance in chances.items():
        book.add(name, np.arange(len(score)), Outcomes(model, zero, zero, score, chance))
    return book


def answers(model: np.ndarray, task: np.ndarray) -> Outcomes:
    nothing = np.zeros(len(model))
    return Outcomes(model, task, task, nothing, nothing)


def test_differences_by_hand_weigh_models_alike() -> None:
    # model 0 has two answers, model 1 one; Brier losses .25 against .01 and .25 against .04
    model, task, score = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([1.0, 1, 0])
    book = entered({"a": np.full(3, 0.5), "b": np.array([0.9, 0.9, 0.2])}, score, model)
    found = paired_differences(book, "a", answers(model, task), np.random.default_rng(0))
    assert found.reference == "a"
    assert set(found.of) == {"b"}
    assert found.of["b"]["brier"].point == pytest.approx(((0.01 - 0.25) + (0.04 - 0.25)) / 2)
    assert found.of["b"]["log_loss"].point == pytest.approx((-np.log(0.9 / 0.5) - np.log(0.8 / 0.5)) / 2)


def test_equal_assessors_differ_by_nothing() -> None:
    rng = np.random.default_rng(0)
    chance, model, task = rng.random(50), rng.integers(0, 3, 50), rng.integers(0, 5, 50)
    book = entered({"a": chance, "b": chance}, (rng.random(50) < chance).astype(float), model)
    gap = paired_differences(book, "a", answers(model, task), rng).of["b"]["log_loss"]
    assert (gap.point, gap.lower, gap.upper) == (0, 0, 0)


def test_one_task_has_no_interval() -> None:
    found = cluster_interval(np.arange(4.0), np.zeros(4), np.random.default_rng(0))
    assert found.point == 1.5
    assert np.isnan(found.lower)


@pytest.mark.parametrize("n_clusters", [5, 12])
def test_intervals_cover_the_mean_even_with_few_tasks(n_clusters: int) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(600):
        cluster = rng.integers(0, n_clusters, 120)
        values = 0.3 + rng.standard_normal(n_clusters)[cluster] + rng.standard_normal(120)
        found = cluster_interval(values, cluster, rng, 0.9)
        hits += found.lower <= 0.3 <= found.upper
    assert hits / 600 == pytest.approx(0.9, abs=0.04)


VERDICTS = {
    # log-loss of a and b, then b less a with its bounds
    "clear": ((0.60, 0.59), (-0.0064, -0.0104, -0.0024), "use b; on new tasks it is ahead of a by .006 +- .004"),
    "the reference": ((0.60, 0.65), (0.05, 0.03, 0.07), "use a; on new tasks it is ahead of b by .050 +- .020"),
    "doubtful": (
        (0.60, 0.59),
        (-0.01, -0.03, 0.01),
        "b and a cannot be distinguished: 6 models, 34 items (ahead by .010 +- .020",
    ),
    "one task": (
        (0.60, 0.59),
        (-0.01, np.nan, np.nan),
        "too little data to compare b with a: 6 models, 34 items of one",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_an_evaluation_ends_with_its_verdict(case: str) -> None:
    (first, second), (point, lower, upper), verdict = VERDICTS[case]
    names = ("auroc", "auroc_within_task", "brier", "ece", "calibration_slope", "pvr_90", "benchmark_mae")
    metrics = {name: {"log_loss": loss, **dict.fromkeys(names, 0.5)} for name, loss in (("a", first), ("b", second))}
    gap = Interval(point, lower, upper, 0.95)
    found = Evaluation(
        settings=EvaluationSettings(),
        folds=5,
        n_models=6,
        n_items=34,
        n_items_left_out=0,
        metrics=metrics,
        accuracy_weighted=metrics,
        seconds={"a": 1.0, "b": 1.0},
        differences=Differences("a", 0.95, {"b": {"log_loss": gap, "brier": gap}}),
    )
    assert found.verdict.startswith(verdict)
    assert found.verdict == found.as_dict()["verdict"]
    assert found.as_text().endswith(f"Verdict: {found.verdict}.")
    assert "log-loss: mean surprise" in found.as_text()
    assert "AUROC: chance that" in found.as_text()
