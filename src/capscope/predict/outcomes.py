"""Predictions beside the observed scores, one row for each answer, and the interface of metrics computed on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from capscope.axes import RowFloats, RowIndex
from capscope.fit import log_loss, log_odds_of


@dataclass(frozen=True)
class Outcomes:
    """Out-of-fold predictions and observed scores, one row for each answer."""

    model: RowIndex
    """Position of each row's model."""
    task: RowIndex
    """Position of each row's task."""
    benchmark: RowIndex
    """Position of each row's benchmark."""
    score: RowFloats
    """Observed score, a share from 0 to 1."""
    chance: RowFloats
    """Predicted chance of success, 0 to 1."""
    trials: RowFloats | None = None
    """Number of trials behind each score; None for one trial each."""
    intervals: pd.DataFrame | None = None
    """Intervals of the benchmark scores, see `scores.benchmark.benchmark_intervals`; None where there are none."""

    @property
    def weight(self) -> RowFloats:
        """Number of trials of each row, as an array."""
        return np.ones(len(self.score)) if self.trials is None else self.trials

    def rows(self, keep: np.ndarray) -> "Outcomes":
        """Select rows by index or mask; the intervals, which belong to all rows together, are dropped."""
        trials = None if self.trials is None else self.trials[keep]
        model, task, benchmark = self.model[keep], self.task[keep], self.benchmark[keep]
        return Outcomes(model, task, benchmark, self.score[keep], self.chance[keep], trials)

    def with_intervals(self, intervals: pd.DataFrame) -> "Outcomes":
        """Add the intervals of the benchmark scores."""
        return replace(self, intervals=intervals)


def row_groups(label: RowIndex) -> Iterator[np.ndarray]:
    """Yield the row positions of each label, labels in ascending order."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order])) + 1
    yield from np.split(order, starts)


def cross_entropy(score: RowFloats, chance: RowFloats) -> RowFloats:
    """Return the Bernoulli loss of each chance against its score, in nats; a score of 0.5 costs least at 0.5.

    Args:
        score: Outcomes (row,), 0 to 1.
        chance: Predicted chances of success (row,).
    """
    return log_loss(log_odds_of(chance), score)


def weighted_mean(values: np.ndarray, weight: RowFloats) -> float:
    """Return the mean of values, each counted as often as its weight (number of trials) says.

    Args:
        values: Values (row,).
        weight: Weight of each (row,).
    """
    return float(np.average(values, weights=weight))


UNDEFINED = float("nan")
"""Value of a metric that the data do not determine, such as the AUROC of a model without failures."""
Better = Literal["lower", "higher", "closer to 0", "closer to 1", "closer to its level", "for reference"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A member of the family of metrics."""

    name: str
    """Key in JSON and column of tables."""
    help: str
    """One line for help texts and tables."""
    better: Better
    """Which values are good."""
    of: Callable[[Outcomes], float]
    """Computes the metric from answers; every answer counts as often as it has trials."""
    over: Literal["one model", "all models"] = "one model"
    """`one model`: computed from each model's answers, then averaged; `all models`: computed from all answers."""
