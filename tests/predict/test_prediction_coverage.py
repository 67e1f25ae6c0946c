"""Intervals of chances and scores hold where truth is known: new items, new tasks, a new benchmark, missing answers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from capscope.data import Study
from capscope.predict import predict

LEVEL = 0.8
MODELS, BENCHMARKS, TASKS, ITEMS = 12, 4, 8, 12
"""Models, benchmarks, tasks of each, items of each."""


@dataclass(frozen=True)
class World:
    study: Study
    chance: pd.DataFrame
    """True chance by model (row) and item id (column)."""
    task: np.ndarray
    benchmark: np.ndarray


def world(seed: int) -> World:
    """Demands explain items up to effects of benchmarks (1.0), tasks (.6) and items (.7)."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(BENCHMARKS * TASKS), ITEMS)
    benchmark, n_items = task // TASKS, len(task)
    level = rng.normal(2.5, 1.2, (n_items, 3)) + rng.normal(0, 0.5, (BENCHMARKS * TASKS, 3))[task]
    level = level.clip(0, 5).round()
    effects = [(1.0, benchmark), (0.6, task), (0.7, np.arange(n_items))]
    item = -(level - 2.5) @ np.array([0.8, 0.4, 0]) + sum(sd * rng.standard_normal(n_items)[of] for sd, of in effects)
    chance = expit(rng.normal(0.2, 1, MODELS)[:, None] + item)
    ids, models = [f"i{number:04d}" for number in range(n_items)], [f"m{number:02d}" for number in range(MODELS)]
    score = (rng.random(chance.shape) < chance).astype(float)
    items = {"item_id": ids, "benchmark": [f"B{b}" for b in benchmark], "task": [f"t{t}" for t in task]}
    answers = {"model": np.repeat(models, n_items), "item_id": np.tile(ids, MODELS), "score": score.ravel()}
    demands = {"item_id": np.repeat(ids, 3), "rubric": np.tile(["A", "B", "C"], n_items), "level": level.ravel()}
    study = Study.of(pd.DataFrame(items), pd.DataFrame(answers), pd.DataFrame(demands).assign(annotator="true"))
    return World(study, pd.DataFrame(chance, models, ids), task, benchmark)


def held_out(found: World, split: str, rng: np.random.Generator) -> np.ndarray:
    """Which items are asked about."""
    if split == "task":
        return np.isin(found.task, rng.choice(BENCHMARKS * TASKS, 8, replace=False))
    return found.benchmark == 0 if split == "benchmark" else rng.random(len(found.task)) < 0.3


def covered(seed: int, split: str, assessor: str) -> tuple[float, float]:
    """Share of true chances, and of scores on the asked items, inside their intervals."""
    found, rng = world(seed), np.random.default_rng(seed)
    ids = found.chance.columns.to_numpy()
    asked = held_out(found, split, rng)
    answers = found.study.require("responses")
    # warm items keep the answers of half the models
    kept = ~answers["item_id"].isin(ids[asked]) | ((rng.random(len(answers)) < 0.5) & (split == "warm"))
    learnt = Study(found.study.items, answers[kept].reset_index(drop=True), found.study.demands, "learnt")
    items = found.study.keep_items(pd.Index(ids[asked]))
    settings = {"assessor": assessor, "level": LEVEL}
    predicted = predict(learnt, Study(items.items, None, items.demands, "asked"), **settings)
    table = predicted.table.set_index(["model", "item_id"])
    truth = found.chance.stack().loc[table.index]
    came = found.chance.loc[predicted.scores["model"], ids[asked]].to_numpy()
    came = (rng.random(came.shape) < came).mean(axis=1)
    chances, scores = (
        ((each["lower"].to_numpy() <= true) & (true <= each["upper"].to_numpy())).mean()
        for each, true in ((table, truth.to_numpy()), (predicted.scores, came))
    )
    return float(chances), float(scores)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "assessor", "worlds"),
    [
        ("item", "explanatory", 16),
        ("task", "explanatory", 16),
        ("warm", "explanatory", 16),
        ("item", "stacked", 6),
        ("task", "stacked", 8),
    ],
)
def test_intervals_of_chances_and_scores_cover_as_stated(split: str, assessor: str, worlds: int) -> None:
    found = np.array([covered(seed, split, assessor) for seed in range(worlds)])
    error = found.std(axis=0) / np.sqrt(worlds)
    assert (np.abs(found.mean(axis=0) - LEVEL) < 0.03 + 2 * error).all(), (found.mean(axis=0), error)
    assert error[0] < 0.05


@pytest.mark.slow
def test_scores_on_a_new_benchmark_are_covered_though_only_three_were_seen() -> None:
    found = np.array([covered(seed, "benchmark", "explanatory") for seed in range(25)])[:, 1]
    # all models are off together, so that a world is one draw, and three benchmarks hardly tell how far they depart
    assert found.mean() > LEVEL - 0.1 - 2 * found.std() / np.sqrt(len(found))
