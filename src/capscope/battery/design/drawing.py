"""Draws with known chances: from gains to chances of inclusion, and from chances to items and parallel forms."""

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.bank import Index
from capscope.errors import InputError


def inclusion_chances(gain: RowFloats, size: int, uniform: float, cap: float) -> RowFloats:
    """Chances of items to be drawn that add up to the size of the battery.

    Args:
        gain: What each item is worth, at least 0.
        size: Number of items to draw.
        uniform: Share of the draw that is spread evenly, so that every item keeps a chance.
        cap: Most exposure of an item, in (0, 1].

    Raises:
        InputError: So many items cannot be drawn under this cap.
    """
    n_items = len(gain)
    if not 0 < size <= n_items:
        raise InputError(f"cannot draw {size} of {n_items} items; ask for 1 to {n_items}")
    if cap * n_items < size:
        raise InputError(f"an exposure of {cap} leaves {cap * n_items:.0f} of {size} items; raise --exposure")
    worth = gain if gain.sum() > 0 else np.ones(n_items)
    share = uniform / n_items + (1 - uniform) * worth / worth.sum()
    full = np.zeros(n_items, dtype=bool)
    chance = size * share
    while (chance > cap + 1e-12).any():
        full |= chance > cap
        left = size - cap * full.sum()
        chance = np.where(full, cap, left * share / max(share[~full].sum(), 1e-300))
    return chance


def draw_systematic(chance: RowFloats, order: Index, rng: np.random.Generator) -> Index:
    """Draw items by their chances, spread evenly along an order (Madow, 1949).

    Args:
        chance: Chances of inclusion, which add up to the number of items drawn.
        order: All items, neighbours alike, so that the draw covers what the order runs through.
        rng: Source of chance.

    Returns:
        Positions drawn, in the given order.
    """
    size = round(float(chance.sum()))
    edges = np.cumsum(chance[order])
    edges *= size / edges[-1]
    marks = np.arange(size) + rng.random()
    return order[np.minimum(np.searchsorted(edges, marks, side="right"), len(order) - 1)]


def spread_order(stratum: Index, rng: np.random.Generator) -> Index:
    """Items stratum by stratum, in random order within."""
    shuffled = rng.permutation(len(stratum))
    return shuffled[np.argsort(stratum[shuffled], kind="stable")]


def deal(drawn: Index, forms: int, rng: np.random.Generator) -> list[Index]:
    """Deal items to disjoint forms: neighbours along the order go to different forms, by lot."""
    rounds = drawn.reshape(-1, forms)
    hands = np.argsort(rng.random(rounds.shape), axis=1)
    dealt = np.take_along_axis(rounds, hands, axis=1)
    return [np.sort(dealt[:, form]) for form in range(forms)]


def within_cost(gain: FloatArray, cost: RowFloats | None) -> FloatArray:
    """Worth for what it costs: an item is drawn with the root of its variance over its cost (Neyman, 1934)."""
    return gain if cost is None else gain / np.sqrt(cost / cost.mean())
