"""Information of a scale and the reliability of abilities."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, ModelDim
from capscope.fit.irt.moments import gaussian_draws
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import item_information


def information(posterior: IRTPosterior, ability: ModelDim) -> Float[np.ndarray, "model item"]:
    """Fisher information of each item at some abilities, along the item's slopes.

    Args:
        posterior: A fit.
        ability: Abilities at which to look.

    Returns:
        Information about ``a . theta / |a|`` in units of its inverse variance.
    """
    slope = posterior.item_mean[:, :-1]
    logit = ability @ slope.T + posterior.item_mean[:, -1]
    return _information(posterior, logit, np.linalg.norm(slope, axis=1))


def _information(posterior: IRTPosterior, logit: FloatArray, slope: FloatArray) -> FloatArray:
    """Information about the ability along the slopes, with the items on the last axis."""
    if posterior.extras is None:
        return item_information(logit, slope, posterior.floor)
    return slope**2 * posterior.extras.information(logit)


@dataclass(frozen=True)
class ScaleInformation:
    """Information of all items together along one ability, with intervals."""

    ability: Float[np.ndarray, " point"]
    """Abilities looked at."""
    information: Float[np.ndarray, " point"]
    """Information at each, the mean over draws of the items."""
    lower: Float[np.ndarray, " point"]
    """Lower bounds."""
    upper: Float[np.ndarray, " point"]
    """Upper bounds."""


def scale_information(
    posterior: IRTPosterior, rng: np.random.Generator, dim: int = 0, level: float = 0.9, draws: int = 100
) -> ScaleInformation:
    """Information of the whole test along one ability, the others at 0; its inverse root is the standard error.

    Args:
        posterior: A fit.
        rng: Source of randomness of the draws of the items.
        dim: Which ability.
        level: Coverage of the intervals, which carry the items' uncertainty.
        draws: Number of draws.
    """
    point = np.linspace(-3, 3, 25)
    items = gaussian_draws(posterior.item_mean, posterior.item_cov, rng, draws)
    logit = point[:, None, None] * items[None, :, dim] + items[None, :, -1]
    total = _information(posterior, logit.swapaxes(1, 2), items[None, :, dim].swapaxes(1, 2)).sum(2)
    lower, upper = np.quantile(total, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return ScaleInformation(point, total.mean(1), lower, upper)


def reliability_interval(
    posterior: IRTPosterior, rng: np.random.Generator, level: float = 0.9, draws: int = 1000
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Bounds of the marginal reliability in the population that these models are a sample of.

    Args:
        posterior: A fit.
        rng: Source of randomness: models are drawn anew with replacement.
        level: Nominal coverage.
        draws: Number of draws.
    """
    error = np.diagonal(posterior.ability_cov, axis1=1, axis2=2)
    if len(error) < 2:
        # one model says nothing of the spread of models
        return np.zeros(posterior.dims), np.ones(posterior.dims)
    pick = rng.integers(0, len(error), (draws, len(error)))
    signal = posterior.ability_mean[pick].var(1, ddof=1)
    found = signal / (signal + error[pick].mean(1))
    lower, upper = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return lower, upper


def marginal_reliability(posterior: IRTPosterior) -> Float[np.ndarray, " dim"]:
    """Share of the abilities' variance that is not posterior uncertainty (Green et al., 1984), by dimension."""
    error = np.diagonal(posterior.ability_cov, axis1=1, axis2=2).mean(0)
    signal = posterior.ability_mean.var(0)
    return signal / (signal + error)
