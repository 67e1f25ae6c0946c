"""Folds inside the training part, and the regimes that they imitate: warm items, new items, tasks or benchmarks."""

import numpy as np

from capscope.predict.assessor import Training

FEWEST_TASKS = 4
FEWEST_BENCHMARKS = 3
"""With fewer benchmarks than this, tasks are held out instead: too little would be left to learn from."""


def regime_of_items(training: Training) -> np.ndarray:
    """Return each item's regime: `warm` (has answers), `item` (new, of a known task), new `task` or `benchmark`."""
    answered, features = training.answered, training.features
    known_task = np.isin(features.task, features.task[answered])
    known_benchmark = np.isin(features.benchmark, features.benchmark[answered])
    new = np.where(known_benchmark, np.where(known_task, "item", "task"), "benchmark")
    if not has_tasks(training):
        new = np.where(known_benchmark, "item", "benchmark")
    return np.where(answered, "warm", new)


def has_tasks(training: Training) -> bool:
    """Return whether tasks are groups of several items, rather than one name for each item."""
    count = len(np.unique(training.features.task[training.answered]))
    return bool(FEWEST_TASKS <= count <= training.answered.sum() / 2)


def fold_regime(training: Training, regime: str) -> str:
    """Return what to hold out to measure predictions in a regime, as far as the training part allows."""
    benchmarks = len(np.unique(training.features.benchmark[training.answered]))
    if regime == "benchmark" and benchmarks < FEWEST_BENCHMARKS:
        regime = "task"
    return "item" if regime == "task" and not has_tasks(training) else regime


def group_folds(training: Training, regime: str, folds: int) -> list[np.ndarray]:
    """Cut the training rows into folds: masks of rows that are held out together.

    Args:
        training: The training part.
        regime: `warm` holds out single answers, `item` items, `task` and `benchmark` whole groups.
        folds: Number of folds at most.
    """
    regime = fold_regime(training, regime)
    rng = np.random.default_rng(training.seed)
    item = training.responses.item_index
    labels = {
        "warm": np.arange(len(item)),
        "item": item,
        "task": training.features.task[item],
        "benchmark": training.features.benchmark[item],
    }[regime]
    groups, position = np.unique(labels, return_inverse=True)
    fold = rng.permutation(np.arange(len(groups)) % min(folds, len(groups)))[position]
    return [fold == number for number in range(fold.max() + 1)]


def group_count(training: Training, regime: str) -> int:
    """Return the number of independent groups that the folds of a regime consist of."""
    regime = fold_regime(training, regime)
    if regime == "warm":
        return len(training.responses.score)
    item = np.unique(training.responses.item_index)
    labels = {"item": item, "task": training.features.task[item], "benchmark": training.features.benchmark[item]}
    return len(np.unique(labels[regime]))
