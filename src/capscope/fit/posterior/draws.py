"""Joint draws of chances of success from an item response posterior, for what depends on many items at once."""

from collections.abc import Iterator

import numpy as np
from scipy.special import expit

from capscope.axes import FloatArray, RowIndex
from capscope.fit.posterior.irt import IRTPosterior

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
