"""A grid of item curves: chances of a right mark by ability, for every slope, difficulty and floor."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.fit import success_probability

LOG_SLOPES = np.log([0.15, 0.3, 0.5, 0.75, 1.1, 1.6, 2.4, 3.6])
DIFFICULTIES = np.linspace(-6, 6, 25)
FLOORS = (0.0, 0.1, 0.25, 0.5)
SMALLEST = 1e-37
"""Keeps the logarithm of a likelihood finite."""
WEAK_SLOPES = np.array([-0.3, -0.15])
"""Slopes of items that better models fail without a wrong key: they ask for something that goes against ability."""


@dataclass(frozen=True)
class Curves:
    """A grid of item curves at the models' abilities."""

    chance: Float[np.ndarray, "curve model"]
    """Chance of a right mark, over the uncertainty of the ability."""
    low: Float[np.ndarray, " curve"]
    """Chance of a model at the tenth percentile of ability."""
    high: Float[np.ndarray, " curve"]
    """Chance of a model at the ninetieth."""


@dataclass(frozen=True)
class Abilities:
    """Abilities of the models on one benchmark, in standard deviations."""

    mean: Float[np.ndarray, " model"]
    variance: Float[np.ndarray, " model"]


def ordinary_curves(ability: Abilities, floors: tuple[float, ...] = FLOORS) -> Curves:
    """Curves that rise with ability, over (slope, difficulty, floor)."""
    grid = np.meshgrid(np.exp(LOG_SLOPES), DIFFICULTIES, floors, indexing="ij")
    slope, difficulty, floor = (axis.ravel() for axis in grid)
    return _curves(ability, slope, difficulty, floor)


def falling_curves(ability: Abilities) -> Curves:
    """Curves that fall a little with ability, over (slope, level, floor)."""
    return _around(ability, WEAK_SLOPES, np.linspace(-4, 4, 17))


def flat_curves(ability: Abilities) -> Curves:
    """Curves that do not depend on ability, over (level, floor)."""
    return _around(ability, np.array([1e-6]), np.linspace(-5, 5, 31))


def _around(ability: Abilities, slopes: FloatArray, levels: FloatArray) -> Curves:
    """Curves with these log-odds of the average model, whatever the slope, above each of the floors."""
    grid = np.meshgrid(slopes, levels, FLOORS, indexing="ij")
    slope, level, floor = (axis.ravel() for axis in grid)
    return _curves(ability, slope, -level / slope, floor)


def _curves(ability: Abilities, slope: FloatArray, difficulty: FloatArray, floor: FloatArray) -> Curves:
    mean = slope[:, None] * (ability.mean - difficulty[:, None])
    variance = slope[:, None] ** 2 * ability.variance
    ends = np.quantile(ability.mean, [0.1, 0.9])
    low, high = (floor + (1 - floor) * expit(slope * (end - difficulty)) for end in ends)
    return Curves(success_probability(mean, variance, floor[:, None]), low, high)


@dataclass(frozen=True)
class Likelihoods:
    """Likelihoods of items under curves, each item's largest taken out, so that mixing curves is one product."""

    scaled: Float[np.ndarray, "item curve"]
    top: Float[np.ndarray, " item"]
    """Log of what was taken out."""

    def take(self, items: np.ndarray) -> "Likelihoods":
        """Return some of the items."""
        return Likelihoods(self.scaled[items], self.top[items])

    def mixed(self, weights: FloatArray) -> FloatArray:
        """Log-likelihood of each item over curves as frequent as these weights say."""
        chance = self.scaled @ weights.ravel().astype(self.scaled.dtype)
        return self.top + np.log(np.maximum(chance, SMALLEST))


def likelihoods(log_likelihood: Float[np.ndarray, "item curve"]) -> Likelihoods:
    """Take each item's largest likelihood out."""
    top = log_likelihood.max(axis=1)
    return Likelihoods(np.exp(log_likelihood - top[:, None]).astype(np.float32), top.astype(float))


@dataclass(frozen=True)
class Marks:
    """Right and wrong marks of models on items."""

    right: Float[np.ndarray, "item model"]
    wrong: Float[np.ndarray, "item model"]
    discount: float
    """Share of the models that are worth an independent witness."""

    def log_likelihood(self, chance: Float[np.ndarray, "curve model"]) -> Float[np.ndarray, "item curve"]:
        """Log-likelihood of each item under each curve."""
        bounded = np.clip(chance, 1e-6, 1 - 1e-6)
        up, down = np.log(bounded).T.astype(np.float32), np.log1p(-bounded).T.astype(np.float32)
        return self.discount * (self.right.astype(np.float32) @ up + self.wrong.astype(np.float32) @ down)


def marks_of(responses: Responses, discount: float) -> Marks:
    """Count right and wrong marks as dense tables."""
    shape = (len(responses.items), len(responses.models))
    place = responses.item_index * shape[1] + responses.model_index
    right = np.bincount(place, responses.score * responses.n_trials, shape[0] * shape[1]).reshape(shape)
    trials = np.bincount(place, responses.n_trials, shape[0] * shape[1]).reshape(shape)
    return Marks(right.astype(float), (trials - right).astype(float), discount)
