"""One ability scale from two fits that share items: mean-sigma and Stocking-Lord."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.errors import FitError, counted
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import logit_mean

LEAST_COMMON = 5
"""Fewest common items of a link."""


@dataclass(frozen=True)
class Link:
    """``theta_old = scale * theta_new + shift``, for one ability."""

    scale: float
    """Standard deviation of the new scale in units of the old."""
    shift: float
    """Zero of the new scale on the old."""
    common: int
    """Number of common items."""

    def apply(self, new: IRTPosterior) -> IRTPosterior:
        """The new fit on the old scale; no log-odds change."""
        matrix = np.array([[1 / self.scale, 0.0], [-self.shift / self.scale, 1.0]])
        population = new.population
        if population.form == "positive":
            native = np.diag([1.0, self.scale])
            offset = np.array([-np.log(self.scale), self.shift])
        else:
            native, offset = matrix, np.zeros(2)
        moved = replace(
            population,
            intercept=native @ population.intercept + offset,
            weight=native @ population.weight,
            cov=native @ population.cov @ native.T,
        )
        return replace(
            new,
            ability_mean=self.scale * new.ability_mean + self.shift,
            ability_cov=self.scale**2 * new.ability_cov,
            item_mean=new.item_mean @ matrix.T,
            item_cov=matrix @ new.item_cov @ matrix.T,
            native_mean=new.native_mean @ native.T + offset,
            native_cov=native @ new.native_cov @ native.T,
            population=moved,
            ability_inflation=None if new.ability_inflation is None else matrix @ new.ability_inflation @ matrix.T,
            extras=None if new.extras is None else new.extras.moved(matrix),
        )


def mean_sigma(old: IRTPosterior, new: IRTPosterior) -> Link:
    """Link by mean and standard deviation of the common items' difficulties (Marco, 1977).

    Args:
        old: The fit whose scale is kept.
        new: The fit to bring onto it.

    Returns:
        Slope and constant of the linear map of abilities.

    Raises:
        FitError: A fit has several abilities, or too few items are common.
    """
    first, second = _common(old, new)
    difficulty_old = old.difficulty()["mean"].to_numpy()[first]
    difficulty_new = new.difficulty()["mean"].to_numpy()[second]
    scale = float(difficulty_old.std() / difficulty_new.std())
    return Link(scale, float(difficulty_old.mean() - scale * difficulty_new.mean()), len(first))


def stocking_lord(old: IRTPosterior, new: IRTPosterior) -> Link:
    """Link by the least squared distance of the test characteristic curves (Stocking & Lord, 1983).

    Flat items, whose difficulty is not identified, have no weight here; `mean_sigma` needs steep items.

    Args:
        old: The fit whose scale is kept.
        new: The fit to bring onto it.

    Returns:
        Slope and constant of the linear map of abilities.

    Raises:
        FitError: A fit has several abilities, or too few items are common.
    """
    from scipy.optimize import minimize

    at_old, at_new = _common(old, new)
    first, second = old.item_mean[at_old], new.item_mean[at_new]
    ability = np.linspace(-3, 3, 61)
    weight = np.exp(-0.5 * ability**2)
    target = _curve(ability, first)

    def distance(parameters: FloatArray) -> float:
        scale, shift = float(np.exp(parameters[0])), float(parameters[1])
        return float(weight @ (_curve((ability - shift) / scale, second) - target) ** 2)

    best = min(
        (minimize(distance, np.array([0.0, shift]), method="Nelder-Mead") for shift in (-1.0, 0.0, 1.0)),
        key=lambda result: float(result.fun),
    )
    return Link(float(np.exp(best.x[0])), float(best.x[1]), len(first))


def _curve(ability: FloatArray, items: FloatArray) -> FloatArray:
    """Mean chance of success over the items at each ability."""
    return expit(logit_mean(ability[:, None, None], items[None, :, :1], items[None, :, 1])).mean(1)


def _common(old: IRTPosterior, new: IRTPosterior) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the common items in both fits."""
    if old.dims > 1 or new.dims > 1:
        raise FitError("linking is for fits with one ability; fit both with model='2pl'")
    at = {item: position for position, item in enumerate(old.items)}
    pairs = [(at[item], position) for position, item in enumerate(new.items) if item in at]
    if len(pairs) < LEAST_COMMON:
        raise FitError(f"the two fits share {counted(len(pairs), 'item')}; linking needs at least {LEAST_COMMON}")
    index = np.array(pairs)
    return index[:, 0], index[:, 1]
