"""Success curves of a bank's items, the abilities of new models from few answers, and the pool of items to estimate.

Abilities are Laplace posteriors of many models at once, in numpy alone, because an adaptive battery computes one after
every answer. Item parameters enter by their means; their uncertainty enters as a variance of the log-odds at the prior
abilities.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, ModelDim, RowFloats
from capscope.battery.banks.bank import Bank, Index
from capscope.errors import counted
from capscope.fit import PROBIT_SCALE, success_probability

CELLS_AT_ONCE = 1 << 16
"""Chances computed at a time, where only their sums are wanted."""
ITERATIONS = 25
MOST_LEVERAGE = 0.5
"""Leaving an answer out at most doubles its residual; the first-order formula does not hold beyond that."""
Cov = Float[np.ndarray, "model dim dim"]


@dataclass(frozen=True, repr=False)
class Curves:
    """Success curves of items, and the prior of abilities."""

    slope: FloatArray
    """Slopes (item, dim)."""
    intercept: RowFloats
    """Intercepts."""
    variance: RowFloats
    """Variance of the log-odds that the uncertainty of item parameters leaves, at abilities as in the prior."""
    prior_mean: Float[np.ndarray, " dim"]
    """Mean of the prior of abilities."""
    prior_cov: Float[np.ndarray, "dim dim"]
    """Covariance of the prior."""

    @classmethod
    def of(cls, bank: Bank) -> "Curves":
        """Return the curves of a bank's items."""
        mean, cov = bank.ability_prior()
        items, item_cov = bank.posterior.item_mean, bank.posterior.item_cov
        at = np.append(mean, 1.0)
        variance = np.einsum("d,nde,e->n", at, item_cov, at) + np.einsum("nde,ed->n", item_cov[:, :-1, :-1], cov)
        return cls(items[:, :-1], items[:, -1], variance, mean, cov)

    def take(self, index: Index) -> "Curves":
        """Return the curves of some items."""
        return Curves(self.slope[index], self.intercept[index], self.variance[index], self.prior_mean, self.prior_cov)

    def chances(self, ability: ModelDim) -> FloatArray:
        """Return the chances of success at these abilities, as (model, item)."""
        return success_probability(ability @ self.slope.T + self.intercept, self.variance)

    def mean_chances(self, ability: ModelDim, member: FloatArray) -> FloatArray:
        """Return weighted sums of the chances of success, as (model, target).

        Items are taken some at a time, so that the arrays stay in the processor's cache.

        Args:
            ability: Abilities of the models.
            member: Weights (target, item).
        """
        total = np.zeros((len(ability), len(member)))
        shrink = -1 / np.sqrt(1 + PROBIT_SCALE * self.variance)
        step = max(1, CELLS_AT_ONCE // max(len(ability), 1))
        with np.errstate(over="ignore"):  # the chance is then 0
            for start in range(0, len(shrink), step):
                part = slice(start, start + step)
                chance = (ability @ self.slope[part].T + self.intercept[part]) * shrink[part]
                np.exp(chance, out=chance)
                chance += 1
                np.reciprocal(chance, out=chance)
                total += chance @ member[:, part].T
        return total

    def response_variance(self, ability: ModelDim) -> tuple[FloatArray, FloatArray]:
        """Return the variance of an answer and its curvature in the log-odds, both (model, item)."""
        chance = self.chances(ability)
        spread = chance * (1 - chance)
        return spread, spread / (1 + PROBIT_SCALE * self.variance)

    def __repr__(self) -> str:
        return f"Curves({counted(len(self.intercept), 'item')}, {self.slope.shape[1]} abilities)"


@dataclass(frozen=True)
class Abilities:
    """Gaussian posteriors of the abilities of several models."""

    mean: ModelDim
    """Posterior means."""
    cov: Cov
    """Posterior covariances."""


def ability_posterior(curves: Curves, score: FloatArray, start: ModelDim | None = None) -> Abilities:
    """Estimate the abilities of models from their scores on the same items.

    The mode is found by bounding the logistic from below (Jaakkola & Jordan, 2000), which never overshoots, however
    one-sided the answers are; the covariance is that of the Laplace approximation.

    Args:
        curves: Curves of the items answered.
        score: Scores (model, item) in [0, 1].
        start: Start values (model, dim); the prior mean by default.

    Returns:
        Mean and covariance of each model's abilities, in log-odds.
    """
    shrink = 1 / np.sqrt(1 + PROBIT_SCALE * curves.variance)
    slope, intercept = curves.slope * shrink[:, None], curves.intercept * shrink
    dims = slope.shape[1]
    squares = (slope[:, :, None] * slope[:, None, :]).reshape(len(slope), dims * dims)
    precision = np.linalg.inv(curves.prior_cov)
    fixed = (score - 0.5) @ slope + precision @ curves.prior_mean
    ability = np.tile(curves.prior_mean, (len(score), 1)) if start is None else start
    for _ in range(ITERATIONS):
        weight = _bound(ability @ slope.T + intercept)
        matrix = (weight @ squares).reshape(-1, dims, dims) + precision
        before, ability = ability, np.linalg.solve(matrix, (fixed - (weight * intercept) @ slope)[..., None])[..., 0]
        if np.abs(ability - before).max() < 1e-4:
            break
    chance = success_probability(ability @ slope.T + intercept, np.zeros(len(slope)))
    curvature = (chance * (1 - chance)) @ squares
    return Abilities(ability, np.linalg.inv(curvature.reshape(-1, dims, dims) + precision))


def residuals(curves: Curves, ability: Abilities, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return answers minus their chances: as fitted, and as they would be if each answer had been left out.

    Leaving one answer out is done to first order: its residual grows by ``1 / (1 - h)``, with h its leverage.

    Args:
        curves: Curves of the items answered.
        ability: Abilities fitted to the answers.
        score: Scores (model, item).
    """
    chance = curves.chances(ability.mean)
    spread = np.einsum("nd,mde,ne->mn", curves.slope, ability.cov, curves.slope)
    leverage = np.minimum(chance * (1 - chance) * spread, MOST_LEVERAGE)
    fitted = score - chance
    return fitted, fitted / (1 - leverage)


def _bound(logit: FloatArray) -> FloatArray:
    """Return the curvature of the quadratic bound of the logistic at log-odds z: tanh(z / 2) / 2z, 1/4 at 0."""
    safe = np.where(np.abs(logit) < 1e-4, 1.0, logit)
    return np.where(np.abs(logit) < 1e-4, 0.25, np.tanh(safe / 2) / (2 * safe))


MOST_MODELS = 2000
"""Regressions learn from at most so many past models, drawn at random."""


@dataclass(frozen=True, repr=False)
class ItemPool:
    """Items whose mean score is wanted."""

    curves: Curves
    """Success curves of the items."""
    past: FloatArray
    """Scores of past models (model, item); a missing score is drawn from the model's fitted chance."""
    expected: FloatArray
    """Scores of past models (model, item); a missing score is the model's fitted chance."""

    @classmethod
    def of(cls, bank: Bank, *, seed: int = 0, most: int = MOST_MODELS) -> "ItemPool":
        """Return the pool of all items of a bank.

        Missing answers are drawn, not replaced by chances: a regression on chances would take single answers to be
        free of noise.

        Args:
            bank: The bank.
            seed: Seed of the draws.
            most: Largest number of past models; with more, as many are drawn at random.
        """
        rng = np.random.default_rng(seed)
        curves = Curves.of(bank)
        models = np.arange(len(bank.models))
        if len(models) > most:
            models = np.sort(rng.choice(models, most, replace=False))
        chance = curves.chances(bank.posterior.ability_mean[models])
        drawn = (rng.random(chance.shape) < chance).astype(float)
        if bank.history is None:
            return cls(curves, drawn, chance)
        known = bank.history[models]
        missing = np.isnan(known)
        return cls(curves, np.where(missing, drawn, known), np.where(missing, chance, known))

    @classmethod
    def without_models(cls, size: int) -> "ItemPool":
        """Return a pool of so many items of which nothing else is known."""
        curves = Curves(np.zeros((size, 1)), np.zeros(size), np.zeros(size), np.zeros(1), np.eye(1))
        return cls(curves, np.zeros((0, size)), np.zeros((0, size)))

    @property
    def size(self) -> int:
        """Number of items."""
        return self.past.shape[1]

    @cached_property
    def scores(self) -> RowFloats:
        """Mean score of each past model on the pool."""
        return self.expected.mean(axis=1)

    def take(self, index: Index) -> "ItemPool":
        """Return the pool of some of the items, such as those of one benchmark."""
        return ItemPool(self.curves.take(index), self.past[:, index], self.expected[:, index])

    def __repr__(self) -> str:
        return f"ItemPool({counted(self.size, 'item')}, {len(self.past)} past models)"
