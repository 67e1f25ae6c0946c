"""Choose a few items to run, at random or spread over the space of demands, with known chances to be drawn."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from capscope.axes import ItemDim, RowFloats
from capscope.data import DemandMatrix, Study, demand_matrix
from capscope.errors import InputError, nearest

METHODS = ("random", "demand")
"""Ways to choose a battery."""


@dataclass(frozen=True)
class Battery:
    """A chosen set of items."""

    table: pd.DataFrame
    """Columns item_id, stratum, draw_chance (of the item to be drawn), weight (items of the pool it stands for)."""
    pool: int
    """Number of items drawn from."""
    method: str
    """How the items were chosen."""
    seed: int
    """Seed of the draw."""


def select_battery(study: Study, size: int, method: str = "random", seed: int = 0) -> Battery:
    """Draw a battery from a study's items.

    Args:
        study: A study with items, and with demands for the method `demand`.
        size: Number of items to draw.
        method: `random` draws alike from all; `demand` clusters the items by their demands and draws from every cluster
            in proportion, so that a small battery covers the demand space (works without any model's answers).
        seed: Seed of the draw.

    Raises:
        InputError: Unknown method, or more items asked for than there are.
    """
    if method not in METHODS:
        hint = nearest(method, METHODS)
        raise InputError(f"unknown method '{method}'{hint}; use one of {', '.join(METHODS)}")
    rng = np.random.default_rng(seed)
    if method == "demand":
        items, stratum = _demand_strata(demand_matrix(study), size, seed)
    else:
        items = tuple(sorted(study.require("items")["item_id"].astype(str)))
        stratum = np.zeros(len(items), dtype=int)
    if not 0 < size <= len(items):
        raise InputError(f"cannot draw {size} of {len(items)} items; ask for 1 to {len(items)}")
    drawn, chance = _draw(stratum, size, rng)
    table = pd.DataFrame(
        {
            "item_id": [items[item] for item in drawn],
            "stratum": stratum[drawn],
            "draw_chance": chance[drawn],
            "weight": 1 / chance[drawn],
        }
    )
    return Battery(table, len(items), method, seed)


def _demand_strata(demands: DemandMatrix, size: int, seed: int) -> tuple[tuple[str, ...], np.ndarray]:
    whole = ~np.isnan(demands.level).any(axis=1)
    items = tuple(demands.items[row] for row in np.flatnonzero(whole))
    if not items:
        raise InputError("no item has all demand levels; annotate the items first, or use the method random")
    return items, _clusters(demands.level[whole], min(max(size // 2, 1), 40), seed)


def _clusters(level: ItemDim, count: int, seed: int) -> np.ndarray:
    count = min(count, len(np.unique(level, axis=0)))
    return KMeans(count, random_state=seed).fit_predict(level).astype(int)


def _draw(stratum: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, RowFloats]:
    """Draw from every stratum in proportion, by systematic sampling; all items have the same chance to be drawn.

    The items are put in random order within their strata, and every (n / size)-th is taken from a random start.
    """
    shuffled = rng.permutation(len(stratum))
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    step = len(stratum) / size
    drawn = order[((np.arange(size) + rng.random()) * step).astype(int)]
    return np.sort(drawn), np.full(len(stratum), size / len(stratum))
