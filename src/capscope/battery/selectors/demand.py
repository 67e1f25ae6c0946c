"""Selectors that need no model's answers: all items alike, or spread over the demand space."""

import numpy as np
from sklearn.cluster import KMeans

from capscope.axes import FloatArray
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.selectors.selector import Candidates, ItemWeights, Selector, even_weights
from capscope.errors import InputError

MOST_STRATA = 40
"""Largest number of demand strata."""


def _even(candidates: Candidates, size: int, seed: int) -> ItemWeights:  # noqa: ARG001 - one signature for all selectors
    return even_weights(candidates.items)


def _over_demands(candidates: Candidates, size: int, seed: int) -> ItemWeights:
    level = candidates.demands
    rated = np.zeros(0, dtype=np.int64) if level is None else np.flatnonzero(~np.isnan(level).any(axis=1))
    if level is None or not len(rated):
        raise InputError("no item has all demand levels; annotate the items first, or use the method random")
    items = tuple(candidates.items[row] for row in rated)
    return ItemWeights(items=items, stratum=demand_strata(level[rated], size, seed), gain=np.ones(len(rated)))


def coverage_strata(bank: Bank, size: int, seed: int) -> Index:
    """Return strata that a draw should cover: by demands where every item has all levels, else by task.

    Args:
        bank: The item bank.
        size: Number of items to draw.
        seed: Seed of the clustering.
    """
    if bank.demands is not None and not np.isnan(bank.demands).any():
        return demand_strata(bank.demands, size, seed)
    names = [f"{benchmark}/{task}" for benchmark, task in zip(bank.benchmark, bank.task, strict=True)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def demand_strata(level: FloatArray, size: int, seed: int) -> Index:
    """Cluster items by demand levels into half as many clusters as items to draw, so that each cluster gives some.

    Args:
        level: Demand levels (item, dim), all present.
        size: Number of items to draw.
        seed: Seed of the clustering.
    """
    count = min(max(size // 2, 1), MOST_STRATA, len(np.unique(level, axis=0)))
    return KMeans(count, random_state=seed).fit_predict(level).astype(np.int64)


RANDOM = Selector(name="random", help="all items alike", needs="items", weigh=_even, even=True)
DEMAND = Selector(name="demand", help="spread over the demand space", needs="demands", weigh=_over_demands, even=True)
