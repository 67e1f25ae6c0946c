"""Expected score of every model over the items of a fit, as posterior draws."""

import numpy as np

from capscope.axes import FloatArray
from capscope.data import Study
from capscope.fit import DemandPosterior, IRTPosterior, asked_items, draw_chances, draw_demand_chances

SCORED_ITEMS = 400
"""Expected scores are taken over at most this many items, spread evenly over the fit's by difficulty."""


def irt_scores(posterior: IRTPosterior, rng: np.random.Generator, draws: int = 400) -> FloatArray:
    """Expected share right of every model over the items of an item response fit, as (model, draw).

    An item's parameters are the same for all models of a draw, so that comparisons are paired.

    Args:
        posterior: An item response fit.
        rng: Source of randomness.
        draws: Number of draws.
    """
    chances = draw_chances(posterior, _spread_evenly(posterior.item_mean[:, -1]), rng, draws)
    return np.stack([chance.mean(axis=0) for chance in chances])


def demand_scores(posterior: DemandPosterior, study: Study, rng: np.random.Generator, draws: int = 400) -> FloatArray:
    """Expected share right of every model over the items of a fit of the demand-ability model, as (model, draw).

    Args:
        posterior: A fit of the demand-ability model.
        study: The study that it was made from, for the tasks and benchmarks of the items.
        rng: Source of randomness.
        draws: Number of draws.

    Raises:
        InputError: The study lacks a dimension of the fit.
    """
    places = _spread_evenly(posterior.residual_mean)
    items = asked_items(posterior, study, tuple(posterior.items[place] for place in places))
    chances = draw_demand_chances(posterior, items, places, rng, draws)
    return np.stack([chance.mean(axis=0) for chance in chances])


def _spread_evenly(easiness: np.ndarray) -> np.ndarray:
    """Positions of at most `SCORED_ITEMS` items, evenly spaced in the order of their easiness."""
    order = np.argsort(easiness, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(SCORED_ITEMS, len(order))).round().astype(int)]
