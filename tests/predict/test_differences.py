"""Paired differences: by hand, and their intervals cover."""

import numpy as np
import pytest

from capscope.intervals import cluster_interval
from capscope.predict.evaluation.result import LossSums, paired_differences
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
