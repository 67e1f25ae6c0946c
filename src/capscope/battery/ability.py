"""Abilities from few answers, fast: a Laplace posterior for many models at once, with the items of a bank.

Only numpy, because the next item of an adaptive battery is chosen after every answer. Item parameters enter by their
means; what is unknown about them enters as variance of the log-odds at the prior abilities.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, ModelDim, RowFloats
from capscope.battery.banks.bank import Bank, Index
from capscope.fit import PROBIT_SCALE, success_probability

ITERATIONS = 25
MOST_LEVERAGE = 0.5
"""A residual is at most doubled by leaving its answer out; the first-order formula does not hold beyond."""
Cov = Float[np.ndarray, "model dim dim"]


@dataclass(frozen=True)
class Curves:
    """Success curves of items, and the abilities expected before any answer."""

    slope: FloatArray
    """Slopes (item, dim)."""
    intercept: RowFloats
    """Intercepts."""
    variance: RowFloats
    """Variance of the log-odds that item parameters leave, at abilities as past models have them."""
    prior_mean: Float[np.ndarray, " dim"]
    """Mean of the prior of abilities."""
    prior_cov: Float[np.ndarray, "dim dim"]
    """Covariance of the prior."""

    @classmethod
    def of(cls, bank: Bank) -> "Curves":
        """The curves of a bank's items."""
        mean, cov = bank.ability_prior()
        items, item_cov = bank.posterior.item_mean, bank.posterior.item_cov
        at = np.append(mean, 1.0)
        variance = np.einsum("d,nde,e->n", at, item_cov, at) + np.einsum("nde,ed->n", item_cov[:, :-1, :-1], cov)
        return cls(items[:, :-1], items[:, -1], variance, mean, cov)

    def take(self, index: Index) -> "Curves":
        """The curves of some items."""
        return Curves(self.slope[index], self.intercept[index], self.variance[index], self.prior_mean, self.prior_cov)

    def chances(self, ability: ModelDim) -> FloatArray:
        """Chances of success at these abilities, as (model, item)."""
        return success_probability(ability @ self.slope.T + self.intercept, self.variance)


@dataclass(frozen=True)
class Abilities:
    """Gaussian posteriors of the abilities of several models."""

    mean: ModelDim
    """Posterior means."""
    cov: Cov
    """Posterior covariances."""


def ability_posterior(curves: Curves, score: FloatArray, start: ModelDim | None = None) -> Abilities:
    """Abilities of models from their scores on the same items.

    The mode is found by bounding the logistic from below (Jaakkola & Jordan, 2000), which never overshoots, however
    one-sided the answers; the covariance is that of the Laplace approximation.

    Args:
        curves: Curves of the items answered.
        score: Scores (model, item) in [0, 1].
        start: Where to start; the prior mean by default.
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
    """Answers less their chances, as fitted and as they would be without each answer.

    Leaving out one answer is done to first order: its residual grows by ``1 / (1 - h)``, h its leverage.

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
    """Curvature of the quadratic bound of the logistic at these log-odds: tanh(z / 2) / 2z, 1/4 at 0."""
    safe = np.where(np.abs(logit) < 1e-4, 1.0, logit)
    return np.where(np.abs(logit) < 1e-4, 0.25, np.tanh(safe / 2) / (2 * safe))
