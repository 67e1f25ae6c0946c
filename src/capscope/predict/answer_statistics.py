"""Functions that assessors share: statistics of answers, and folds inside the training part.

Every statistic counts the trials behind a score: 0.75 from 4 trials counts as three successes and one failure. The
folds imitate regimes of prediction: answered items, new items, new tasks, new benchmarks.
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import RowFloats, RowIndex
from capscope.data import Responses
from capscope.fit import PROBIT_SCALE
from capscope.predict.assessor import Training

MOST_TRIALS = 500_000
"""Largest number of trials that become rows of their own."""
ROUNDING = 1e-4
"""A score this close to a whole number of successes stands for it: scores are rounded in files."""
LARGEST_SD = 4.0
"""Standard deviations in log-odds above this make no difference: the chance is unknown."""


def base_rate(responses: Responses) -> float:
    """Return the mean score of all answers, a share from 0 to 1."""
    return float(np.average(responses.score, weights=responses.n_trials))


def base_rate_error(responses: Responses) -> float:
    """Return the standard error of the base rate in log-odds, under Jeffreys' prior; never 0.

    It is the least uncertainty of a chance that is learnt from these answers.
    """
    trials = float(responses.n_trials.sum())
    rate = (trials * base_rate(responses) + 0.5) / (trials + 1)
    return float(1 / np.sqrt((trials + 1) * rate * (1 - rate)))


def model_means(responses: Responses, strength: float = 1.0) -> np.ndarray:
    """Return each model's mean score, shrunken towards the mean of all models.

    Args:
        responses: Answers.
        strength: Number of trials that the mean of all models is worth; a model without answers gets that mean.
    """
    n_models = len(responses.models)
    overall = base_rate(responses)
    n = np.bincount(responses.model_index, weights=responses.n_trials, minlength=n_models)
    right = responses.n_trials * responses.score
    total = np.bincount(responses.model_index, weights=right, minlength=n_models)
    return (total + strength * overall) / (n + strength)


def item_sums(responses: Responses) -> tuple[np.ndarray, np.ndarray]:
    """Return each item's number of successes and of trials, over all models; fractional scores give fractions."""
    n_items = len(responses.items)
    right = np.bincount(responses.item_index, weights=responses.n_trials * responses.score, minlength=n_items)
    return right, np.bincount(responses.item_index, weights=responses.n_trials, minlength=n_items)


@dataclass(frozen=True)
class SuccessRows:
    """Answers as rows of single trials, for classifiers: a score of 0.75 from 4 trials becomes four rows."""

    answer: RowIndex
    """Position of each row's answer."""
    success: np.ndarray
    """Whether each row is a success or a failure."""
    weight: RowFloats | None
    """Weight of each row; None for equal weights."""

    @classmethod
    def of(cls, score: RowFloats, trials: RowFloats) -> "SuccessRows":
        """Split answers into successes and failures.

        Args:
            score: Scores, 0 to 1.
            trials: Number of trials behind each.

        Returns:
            One row for each trial. Where that is not possible (partial credit, or more than `MOST_TRIALS`), one row
            for the successes and one for the failures of each answer, weighted by their numbers.
        """
        right = trials * score
        counts = np.column_stack([trials - right, right])
        whole = np.round(counts)
        answer, success = np.repeat(np.arange(len(score)), 2), np.tile([False, True], len(score))
        if (np.abs(counts - whole) <= ROUNDING * trials[:, None]).all() and whole.sum() <= MOST_TRIALS:
            rows = np.repeat(np.arange(len(answer)), whole.ravel().astype(np.int64))
            return cls(answer[rows], success[rows], None)
        rows = np.flatnonzero(counts.ravel() > 0)
        return cls(answer[rows], success[rows], counts.ravel()[rows])

    @property
    def has_both(self) -> bool:
        """Whether there are successes and failures."""
        return bool(self.success.any() and not self.success.all())


def residual_sd(responses: Responses, chance: np.ndarray) -> float:
    """Estimate the standard deviation, in log-odds, of items around chances predicted without their answers.

    All models' residuals on an item share the item's effect. The variance of an item's summed residual is that effect,
    times the squared slope of the logistic, plus binomial noise (method of moments); items with one answer carry no
    information. The chances integrate over the effect, so their slope is attenuated by it (MacKay, 1992), which is
    undone at the end.

    Args:
        responses: Answers.
        chance: Predicted chance of each answer, as (row,).

    Returns:
        Standard deviation in log-odds; 0 where it cannot be estimated.
    """
    n_items = len(responses.items)
    count = np.bincount(responses.item_index, minlength=n_items)
    noise = chance * (1 - chance)
    sums = [
        np.bincount(responses.item_index, weights=values, minlength=n_items)
        for values in (responses.score - chance, noise / responses.n_trials, noise)
    ]
    several = count > 1
    slope = sums[2][several]
    excess = sums[0][several] ** 2 - sums[1][several]
    if not several.any() or slope.sum() <= 0:
        return 0.0
    seen = max(float(excess.sum() / (slope**2).sum()), 0.0)
    unattenuated = seen / max(1 - PROBIT_SCALE * seen, seen / LARGEST_SD**2, 1e-9)
    return float(np.sqrt(unattenuated))


FEWEST_TASKS = 2
"""With fewer tasks than this, none can be held out while another is learnt from."""
MANY_TASKS, FEWEST_BENCHMARKS = 4, 3
"""Tasks are held out in place of benchmarks where there are so many tasks and fewer benchmarks than the second."""


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
    return bool(_task_count(training) <= training.answered.sum() / 2)


def fold_regime(training: Training, regime: str) -> str:
    """Return what to hold out to measure predictions in a regime, as far as the training part allows.

    Args:
        training: The training part.
        regime: What is new at prediction: ``item``, ``task``, ``benchmark`` or ``warm`` (nothing).
    """
    tasks = _task_count(training) if has_tasks(training) else 0
    benchmarks = len(np.unique(training.features.benchmark[training.answered]))
    if regime == "benchmark" and benchmarks < FEWEST_BENCHMARKS and (tasks >= MANY_TASKS or benchmarks == 1):
        regime = "task"
    return "item" if regime == "task" and tasks < FEWEST_TASKS else regime


def _task_count(training: Training) -> int:
    return len(np.unique(training.features.task[training.answered]))


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
    """Return the number of independent groups that the folds of a regime consist of.

    Args:
        training: The training part.
        regime: What is new at prediction: ``item``, ``task``, ``benchmark`` or ``warm`` (nothing).
    """
    regime = fold_regime(training, regime)
    if regime == "warm":
        return len(training.responses.score)
    item = np.unique(training.responses.item_index)
    labels = {"item": item, "task": training.features.task[item], "benchmark": training.features.benchmark[item]}
    return len(np.unique(labels[regime]))
