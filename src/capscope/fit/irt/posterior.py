"""The posterior of an item response model: abilities, items and what they predict."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import expit, ndtri

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.errors import FitError, first_few, nearest
from capscope.fit.irt.item_extras import ItemShape
from capscope.fit.irt.population import ItemParam, ItemParamParam, ItemPopulation
from capscope.fit.links import success_probability

ROWS_AT_ONCE = 1 << 17
"""Predictions are made this many rows at a time, so that memory stays small."""

Moments = tuple[RowFloats, RowFloats]


@dataclass(frozen=True)
class IRTPosterior:
    """Gaussian posteriors of all models and items; log-odds are ``a_i . theta_m + d_i``.

    Abilities have mean 0 and variance 1 over the models of the fit.
    """

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    ability_mean: Float[np.ndarray, "model dim"]
    """Posterior means of the abilities."""
    ability_cov: Float[np.ndarray, "model dim dim"]
    """Posterior covariances of the abilities of each model."""
    item_mean: ItemParam
    """Posterior means of ``(a_1..a_D, d)``."""
    item_cov: ItemParamParam
    """Posterior covariances of ``(a_1..a_D, d)`` of each item, over what is unknown of its shape."""
    native_mean: ItemParam
    """Posterior means in the population's form: ``(log a, b)`` where it is positive, else as `item_mean`."""
    native_cov: ItemParamParam
    """Posterior covariances in the population's form."""
    population: ItemPopulation
    """Where new items come from."""
    floor: Float[np.ndarray, " item"]
    """Chance of a right guess, known or expected; 0 for none."""
    model_name: str = "2pl"
    """The model fitted: ``rasch``, ``2pl``, ``3pl``, ``4pl`` or ``mirt``."""
    shape: ItemShape | None = None
    """What else is estimated of each item: its floor and ceiling; None where there is nothing."""
    trial_weight: float = 1.0
    """Right or wrong answers that one row was worth: more than 1 where rows are fractions without their trials."""

    @property
    def dims(self) -> int:
        """Number of abilities."""
        return self.ability_mean.shape[1]

    @property
    def ability_sd(self) -> Float[np.ndarray, "model dim"]:
        """Posterior standard deviations of the abilities."""
        return np.sqrt(np.diagonal(self.ability_cov, axis1=1, axis2=2))

    def ability_interval(
        self, level: float = 0.9
    ) -> tuple[Float[np.ndarray, "model dim"], Float[np.ndarray, "model dim"]]:
        """Lower and upper bounds of the abilities.

        Args:
            level: Nominal coverage.
        """
        width = ndtri((1 + level) / 2) * self.ability_sd
        return self.ability_mean - width, self.ability_mean + width

    def difficulty(self) -> pd.DataFrame:
        """Difficulty of each item: the ability at even log-odds, ``b = -d / a`` (``-d / |a|`` with several abilities).

        Returns:
            Columns ``item, mean, sd``; by the delta method where the fit is on ``(a, d)``, so the standard deviation
            of a nearly flat item is large.
        """
        if self.population.form == "positive":
            return self._table(self.native_mean[:, 1], self.native_cov[:, 1, 1])
        slope, intercept = self._slope(), self.item_mean[:, -1]
        # the slope changes with a as a / slope does: its sign, or the unit vector along several slopes
        direction = self.item_mean[:, :-1] / slope[:, None]
        gradient = np.concatenate([direction * (intercept / slope**2)[:, None], -1 / slope[:, None]], 1)
        return self._table(-intercept / slope, _quadratic(gradient, self.item_cov))

    def discrimination(self) -> pd.DataFrame:
        """Discrimination of each item: its slope, or the length of its slopes with several abilities (Reckase, 1985).

        Returns:
            Columns ``item, mean, sd``.
        """
        if self.dims == 1:
            return self._table(self.item_mean[:, 0], self.item_cov[:, 0, 0])
        size = np.linalg.norm(self.item_mean[:, :-1], axis=1)
        direction = self.item_mean[:, :-1] / np.maximum(size, 1e-12)[:, None]
        return self._table(size, _quadratic(direction, self.item_cov[:, :-1, :-1]))

    def logit_moments(self, model_index: RowIndex, item_index: RowIndex) -> Moments:
        """Mean and variance of the log-odds of models on items of the fit.

        Args:
            model_index: Position of each row's model.
            item_index: Position of each row's item.
        """
        mean, variance = np.empty(len(model_index)), np.empty(len(model_index))
        for start in range(0, len(model_index), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            model, item = model_index[rows], item_index[rows]
            mean[rows], variance[rows] = _product_moments(
                self.ability_mean[model], self.ability_cov[model], self.item_mean[item], self.item_cov[item]
            )
        return mean, variance

    def probability(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Posterior predictive chance of success (mean score) of models on items of the fit, row by row."""
        if self.shape is None:
            mean, variance = self.logit_moments(model_index, item_index)
            return success_probability(mean, variance, self.floor[item_index])
        mean, variance = replace(self, item_cov=self.answer_cov).logit_moments(model_index, item_index)
        return self.shape.expected(mean, variance, item_index)

    def score_variance(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Posterior predictive variance of one trial's score, row by row; see `probability`."""
        if self.shape is None:
            chance = self.probability(model_index, item_index)
            return chance * (1 - chance) / self.trial_weight
        mean, variance = replace(self, item_cov=self.answer_cov).logit_moments(model_index, item_index)
        return self.shape.score_variance(mean, variance, item_index) / self.trial_weight

    @property
    def answer_cov(self) -> ItemParamParam:
        """Covariances of ``(a_1..a_D, d)`` given the shapes' means, which predict answers; see `ItemShape.widening`."""
        return self.item_cov if self.shape is None else self.item_cov - self.shape.widening

    def asymptotes(self, level: float = 0.9) -> pd.DataFrame:
        """Floor and ceiling of each item with intervals.

        Args:
            level: Nominal coverage.

        Returns:
            Columns ``item, floor, floor_sd, floor_lower, floor_upper`` and the same for ``ceiling``.

        Raises:
            FitError: The fit estimated none.
        """
        if self.shape is None or self.shape.head != "asymptotes":
            raise FitError("this fit has no estimated floor; fit model '3pl' or '4pl'")
        return self.shape.asymptotes(self.items, level)

    def new_item_moments(self, model_index: RowIndex, features: np.ndarray | None = None) -> Moments:
        """Mean and variance of the log-odds on items never seen, row by row.

        Args:
            model_index: Position of each row's model.
            features: Array (row, feature) of each row's item; None where the fit has no features.

        Raises:
            FitError: The features do not fit those of the fit.
        """
        item_mean, item_cov = self.population.moments(features, len(model_index))
        return _product_moments(self.ability_mean[model_index], self.ability_cov[model_index], item_mean, item_cov)

    def new_item_probability(
        self, model_index: RowIndex, features: np.ndarray | None = None, floor: RowFloats | float | None = None
    ) -> RowFloats:
        """Chance of success on items never seen, over item residuals and abilities; see `new_item_moments`.

        Args:
            model_index: Position of each row's model.
            features: Array (row, feature) of each row's item; None where the fit has no features.
            floor: Chance of a right guess; by default 0, or that of a typical item where floors were estimated.
        """
        mean, variance = self.new_item_moments(model_index, features)
        if self.shape is None:
            return success_probability(mean, variance, 0.0 if floor is None else floor)
        typical = self.shape.typical_items(len(mean))
        if floor is not None:
            typical = typical.with_floor(floor)
        return typical.expected(mean, variance, np.arange(len(mean)))

    def take_items(self, index: Int[np.ndarray, " chosen"]) -> "IRTPosterior":
        """The same fit with some of its items, in this order; abilities stay."""
        return replace(
            self,
            items=tuple(self.items[i] for i in index),
            item_mean=self.item_mean[index],
            item_cov=self.item_cov[index],
            native_mean=self.native_mean[index],
            native_cov=self.native_cov[index],
            floor=self.floor[index],
            shape=None if self.shape is None else self.shape.take(index),
        )

    def model_index(self, names: tuple[str, ...]) -> Int[np.ndarray, " name"]:
        """Positions of models by name.

        Raises:
            FitError: A name is not in the fit.
        """
        return positions(names, self.models, "model")

    def item_index(self, names: tuple[str, ...]) -> Int[np.ndarray, " name"]:
        """Positions of items by id.

        Raises:
            FitError: An id is not in the fit.
        """
        return positions(names, self.items, "item")

    def _slope(self) -> Float[np.ndarray, " item"]:
        if self.dims > 1:
            return np.maximum(np.linalg.norm(self.item_mean[:, :-1], axis=1), 1e-6)
        slope = self.item_mean[:, 0]
        return np.where(np.abs(slope) < 1e-6, np.where(slope < 0, -1e-6, 1e-6), slope)

    def _table(self, mean: np.ndarray, variance: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"item": self.items, "mean": mean, "sd": np.sqrt(variance)})


def _quadratic(vectors: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    return np.einsum("ni,nij,nj->n", vectors, matrices, vectors)


def _product_moments(
    ability: np.ndarray, ability_cov: np.ndarray, item: np.ndarray, item_cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of ``a . theta + d`` with both sides Gaussian and independent."""
    slope, slope_cov = item[:, :-1], item_cov[:, :-1, :-1]
    mean = (slope * ability).sum(1) + item[:, -1]
    from_item = _quadratic(ability, slope_cov) + 2 * (ability * item_cov[:, :-1, -1]).sum(1) + item_cov[:, -1, -1]
    variance = from_item + _quadratic(slope, ability_cov) + np.einsum("nij,nij->n", slope_cov, ability_cov)
    return mean, variance


def positions(names: tuple[str, ...], known: tuple[str, ...], what: str) -> np.ndarray:
    """Positions of names among those known.

    Raises:
        FitError: A name is not known.
    """
    index = pd.Index(known).get_indexer(pd.Index(names))
    missing = [name for name, position in zip(names, index, strict=True) if position < 0]
    if missing:
        hint = nearest(missing[0], known)
        raise FitError(f"the fit has no {what} {first_few(missing)}{hint}; fit again with it, or leave it out")
    return index


NEW_ITEM = -1
"""Position that stands for an item the fit does not know: one drawn from the population of items."""


def draw_chances(
    posterior: IRTPosterior, item_index: RowIndex, rng: np.random.Generator, draws: int = 200
) -> Iterator[FloatArray]:
    """Yield for each model in turn its chances on the items, as (item, draw).

    A model's ability is the same for all items of a draw, an item's parameters the same for all models.

    Args:
        posterior: A fit without item features.
        item_index: Positions of the items in the fit, or `NEW_ITEM`.
        rng: Source of randomness.
        draws: Number of draws.
    """
    known = item_index != NEW_ITEM
    new_mean, new_cov = posterior.population.moments(None)
    mean = np.where(known[:, None], posterior.item_mean[item_index], new_mean)
    cov = np.where(known[:, None, None], posterior.answer_cov[item_index], new_cov)
    floor, ceiling = _asymptotes(posterior, item_index)
    params = gaussian_draws(mean, cov, rng, draws)  # (item, param, draw)
    for model in range(len(posterior.models)):
        ability = gaussian_draws(
            posterior.ability_mean[model : model + 1], posterior.ability_cov[model : model + 1], rng, draws
        )
        log_odds = (params[:, :-1] * ability).sum(axis=1) + params[:, -1]
        yield floor + (ceiling - floor) * expit(log_odds)


def _asymptotes(posterior: IRTPosterior, item_index: RowIndex) -> tuple[FloatArray, FloatArray]:
    """Expected floors and ceilings as columns; those of a typical item where the fit does not know it."""
    known = item_index != NEW_ITEM
    shape = posterior.shape
    if shape is None:
        return np.where(known, posterior.floor[item_index], 0.0)[:, None], np.ones((len(item_index), 1))
    new = shape.typical_items(1)
    floor = np.where(known, shape.floor[item_index], new.floor)
    return floor[:, None], np.where(known, shape.ceiling[item_index], new.ceiling)[:, None]


def gaussian_draws(mean: FloatArray, cov: FloatArray, rng: np.random.Generator, draws: int) -> FloatArray:
    """Draw from many small Gaussians, as (row, param, draw)."""
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    return mean[..., None] + root @ rng.standard_normal((*mean.shape, draws))
