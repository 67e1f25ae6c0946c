"""Statistics of answers that several assessors share; every one counts the trials behind a score.

A score of 0.75 from 4 trials counts as three successes and one failure.
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import RowFloats, RowIndex
from capscope.data import Responses
from capscope.fit import PROBIT_SCALE

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
    """Answers as successes and failures, for classifiers: an answer with both becomes two weighted rows."""

    answer: RowIndex
    """Position of each row's answer."""
    success: np.ndarray
    """Whether the row stands for the successes of its answer or for the failures."""
    weight: RowFloats | None
    """Number of trials of each row; None where every answer is one success or one failure."""

    @classmethod
    def of(cls, score: RowFloats, trials: RowFloats) -> "SuccessRows":
        """Split scores with trials into weighted successes and failures.

        Args:
            score: Scores, 0 to 1.
            trials: Number of trials behind each.
        """
        mixed = np.flatnonzero((score > 0) & (score < 1))
        if not len(mixed) and (trials == 1).all():
            return cls(np.arange(len(score)), score == 1, None)
        answer = np.concatenate([np.arange(len(score)), mixed])
        success = np.concatenate([score > 0, np.zeros(len(mixed), dtype=bool)])
        share = np.where(success, score[answer], 1 - score[answer])
        return cls(answer, success, trials[answer] * share)

    @property
    def has_both(self) -> bool:
        """Whether there are successes and failures."""
        return bool(self.success.any() and not self.success.all())

    @property
    def is_split(self) -> bool:
        """Whether some answer became two rows."""
        return len(np.unique(self.answer)) < len(self.answer)


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
