"""Statistics of answers that several assessors share; every one counts the trials behind a score.

A score of 0.75 from 4 trials counts as three successes and one failure.
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import RowFloats, RowIndex
from capscope.data import Responses
from capscope.fit import PROBIT_SCALE

MOST_TRIALS = 500_000
"""Largest number of trials that become rows of their own."""
ROUNDING = 1e-4
"""A score this close to a whole number of successes stands for it: scores are rounded in files."""
LARGEST_SD = 4.0
"""Standard deviations in log-odds above this make no difference: the chance is unknown."""


def base_rate(responses: Responses) -> float:
    """Return the mean score of all answers, a share from 0 to 1."""
    return float(np.average(responses.score, weights=responses.n_trials))


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
