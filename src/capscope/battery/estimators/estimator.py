"""Interface of score estimators: from a sample of answered items with inclusion probabilities to a score.

The sample also has a person-fit statistic: whether a model's answers fit those of past models with its ability.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import expit, logit, stdtrit

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.ability import ItemPool, ability_posterior, residuals
from capscope.battery.banks.bank import Index

MISFIT_SD = 3.0
"""Standard deviation of a statistic for misfitting models, as a multiple of that for past models."""
MISFITS = 0.02
"""Prior probability that a model's answer pattern misfits."""
LEAST_SD = 0.5
"""Lower bound of the standard deviation of past models' pattern fit, which is about 1."""


def misfit_log_ratio(square: FloatArray) -> FloatArray:
    """Return the log likelihood ratio of a value for a misfitting model against a fitting one.

    Args:
        square: Square of the value over the mean square of past models.
    """
    wide = MISFIT_SD**2 / (1 + MISFIT_SD**2)
    return 0.5 * wide * square - 0.5 * np.log1p(MISFIT_SD**2)


def pattern_fit(score: FloatArray, residual: FloatArray) -> RowFloats:
    """Return the standardised log-likelihood of each model's answers (Drasgow, Levine & Williams, 1985).

    Low values mean answers that the model's ability does not explain.

    Args:
        score: Scores (model, drawn).
        residual: Scores minus their chances.
    """
    odds = logit(np.clip(score - residual, 1e-6, 1 - 1e-6))
    spread = (expit(odds) * expit(-odds) * odds**2).sum(1)
    return (residual * odds).sum(1) / np.sqrt(np.maximum(spread, 1e-9))


def chance_misfit(new: RowFloats, past: FloatArray) -> RowFloats:
    """Return the probability that each new model's pattern is unlike that of every past model, such as guesses.

    Args:
        new: Pattern fit of the new models.
        past: Pattern fit of the past models on the same items.
    """
    low = np.minimum((new - past.mean()) / max(float(past.std()), LEAST_SD), 0)
    return expit(logit(MISFITS) + misfit_log_ratio(low**2))


MOST_FREEDOM = 20
"""Largest degrees of freedom of intervals: errors over models have heavier tails than the normal."""


@dataclass(frozen=True)
class Fitted:
    """Predictions of success curves for models, given the models' answers to a sample."""

    filled: RowFloats
    """Mean over the pool of answers where drawn, chances elsewhere."""
    corrected: RowFloats
    """The same, with the chances of items not drawn shifted by the weighted residuals of the items drawn."""
    left_out: FloatArray
    """Answer minus the chance fitted without that answer, as (model, drawn)."""
    pattern: RowFloats
    """Fit of each model's answers to its chances; see `pattern_fit`."""


@dataclass(frozen=True)
class Sample:
    """Items drawn from a pool and the scores of new models on them."""

    pool: ItemPool
    """The items whose mean score is wanted."""
    index: Index
    """Positions of the drawn items in the pool."""
    score: FloatArray
    """Scores of the new models, as (model, drawn)."""
    chance: RowFloats
    """Chance of each drawn item to be drawn."""

    @property
    def n(self) -> int:
        """Number of items drawn."""
        return len(self.index)

    @cached_property
    def weight(self) -> RowFloats:
        """Share of the pool that each drawn item represents (Hajek, 1971); sums to 1."""
        inverse = 1 / self.chance
        return inverse / inverse.sum()

    @property
    def unequal(self) -> float:
        """Variance inflation of unequal weights: 1 for equal ones (Kish, 1965)."""
        return float(self.n * (self.weight**2).sum())

    @cached_property
    def past(self) -> FloatArray:
        """Scores of the past models on the drawn items."""
        return self.pool.past[:, self.index]

    @cached_property
    def fitted(self) -> Fitted:
        """The new models, fitted with the curves of the pool."""
        return self.fit(self.score)

    @cached_property
    def misfit(self) -> RowFloats:
        """Probability that each new model's answer pattern is unlike that of every past model."""
        return chance_misfit(self.fitted.pattern, self.past_fitted.pattern)

    @cached_property
    def past_fitted(self) -> Fitted:
        """The past models, fitted with the curves of the pool as if they were new."""
        return self.fit(self.past)

    def fit(self, score: FloatArray) -> Fitted:
        """Fit abilities to scores on the drawn items and predict the rest of the pool.

        Args:
            score: Array (model, drawn).
        """
        drawn = self.pool.curves.take(self.index)
        ability = ability_posterior(drawn, score)
        residual, left_out = residuals(drawn, ability, score)
        filled = self.pool.curves.chances(ability.mean).mean(1) + residual.sum(1) / self.pool.size
        shift = (1 - self.n / self.pool.size) * (residual * self.weight).sum(1)
        return Fitted(filled, filled + shift, left_out, pattern_fit(score, residual))

    def design_sd(self, residual: FloatArray) -> RowFloats:
        """Return each model's standard deviation of the weighted mean of residuals over draws without replacement.

        Args:
            residual: Array (model, drawn).
        """
        centred = residual - (residual * self.weight).sum(1, keepdims=True)
        terms = (self.weight**2 * (1 - self.chance)) * centred**2
        return np.sqrt(self.n / max(self.n - 1, 1) * terms.sum(1))


@dataclass(frozen=True)
class Estimate:
    """Estimated scores on the pool, one for each new model, all in shares of 1."""

    score: RowFloats
    """Estimates."""
    sd: RowFloats
    """Their standard deviations."""
    lower: RowFloats
    """Lower bounds, at least 0."""
    upper: RowFloats
    """Upper bounds, at most 1."""

    @classmethod
    def student(cls, score: RowFloats, sd: RowFloats, freedom: int, level: float) -> "Estimate":
        """Return Student intervals around scores; scores and bounds are clipped to 0 and 1.

        Args:
            score: Estimates.
            sd: Their standard deviations.
            freedom: Degrees of freedom, used from 1 to 20.
            level: Nominal coverage.
        """
        width = stdtrit(min(max(freedom, 1), MOST_FREEDOM), (1 + level) / 2) * sd
        clipped = np.clip(score, 0, 1)
        return cls(clipped, sd, np.clip(score - width, 0, 1), np.clip(score + width, 0, 1))

    def reaching(self, answers: FloatArray) -> "Estimate":
        """Return the estimate with bounds that reach 1 where every answer is right, and 0 where every one is wrong.

        Args:
            answers: Array (model, drawn).
        """
        lower = np.where(answers.max(1) <= 0, 0.0, self.lower)
        upper = np.where(answers.min(1) >= 1, 1.0, self.upper)
        return Estimate(self.score, self.sd, lower, upper)


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """A member of the family of score estimators."""

    name: str
    """Name on the command line and in JSON."""
    help: str
    """What it is, in one line."""
    needs: Literal["nothing", "bank"]
    """What it needs besides the answers and draw chances; `bank` for past models and fitted curves."""
    estimate: Callable[[Sample, float], Estimate]
    """Function of a sample and a nominal coverage that returns the mean score of each new model on the pool."""
