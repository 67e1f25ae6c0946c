"""What an estimator is: it turns a sample of answered items with draw chances into a score with an interval."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.ability import ability_posterior, residuals
from capscope.battery.banks.bank import Index
from capscope.battery.banks.pool import ItemPool
from capscope.battery.estimators.person_fit import chance_misfit, pattern_fit

MOST_FREEDOM = 20
"""Errors over models have heavier tails than the normal, however many models or answers there are."""


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
        width = stats.t.ppf((1 + level) / 2, min(max(freedom, 1), MOST_FREEDOM)) * sd
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
    needs: str
    """What it needs beside the answers and draw chances: `nothing`, or the past models of a `bank`."""
    estimate: Callable[[Sample, float], Estimate]
    """Estimate the mean score of each new model on the pool, with intervals of a nominal coverage."""
