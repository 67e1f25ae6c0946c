"""The interface of selectors (each gives every candidate item a stratum and a weight), and the draws made from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from capscope.axes import FloatArray, ItemDim, RowFloats
from capscope.battery.banks.bank import Bank, Index
from capscope.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Items to draw from, with their demand levels and their bank."""

    items: tuple[str, ...]
    """Ids of the items."""
    demands: ItemDim | None = None
    """Demand levels (item, dim), NaN where not rated; None without demands."""
    bank: Bank | None = None
    """Bank of the same items; None where the source is a study and the selector does not need `responses`."""

    def fitted(self) -> Bank:
        """Return the bank of the items.

        Its `posterior` has the fitted item parameters, and its `history` the scores of past models (model, item), NaN
        where not administered, over the items in the order of `items`.

        Raises:
            InputError: There is no bank.
        """
        if self.bank is None:
            raise InputError("this method needs past models' answers; give a bank, or a study with responses")
        return self.bank


@dataclass(frozen=True, kw_only=True)
class ItemWeights:
    """Strata and weights of the candidates."""

    items: tuple[str, ...]
    """Ids of the items that can be drawn."""
    stratum: Index
    """Number of each item's stratum; the draw is spread over strata."""
    gain: RowFloats
    """Weight of each item, at least 0: items are drawn with chances proportional to it."""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """A member of the family of item selectors."""

    name: str
    """Name on the command line and in files."""
    help: str
    """One line for help texts and tables: which items it prefers."""
    needs: Literal["items", "demands", "responses"]
    """What it needs of the source; with `responses` the candidates have a bank, which is fitted if necessary."""
    weigh: Callable[[Candidates, int, int], ItemWeights]
    """Function of the candidates, the number of items to draw and a seed that returns strata and weights."""
    even: bool = False
    """Whether all weights are equal, so that no share of the draw has to be uniform (with equal costs)."""
    one_per_stratum: bool = False
    """Whether exactly one item of each stratum is drawn, by the weights within it."""


def even_weights(items: tuple[str, ...]) -> ItemWeights:
    """Return equal weights in one stratum."""
    return ItemWeights(items=items, stratum=np.zeros(len(items), dtype=np.int64), gain=np.ones(len(items)))


def refuse_size(size: int, n_items: int) -> None:
    """Refuse a battery of no items, or of more items than there are.

    Args:
        size: Number of items asked for.
        n_items: Number of items there are.

    Raises:
        InputError: The size is out of range.
    """
    if not 0 < size <= n_items:
        raise InputError(f"cannot draw {size} of {n_items} items; ask for 1 to {n_items}")


def inclusion_chances(gain: RowFloats, size: int, uniform: float, cap: float) -> RowFloats:
    """Return inclusion probabilities of items that sum to the size of the battery.

    Args:
        gain: Weight of each item, at least 0.
        size: Number of items to draw.
        uniform: Share of the draw with equal probabilities, so that no probability is 0.
        cap: Largest inclusion probability of an item, in (0, 1].

    Raises:
        InputError: So many items cannot be drawn under this cap.
    """
    n_items = len(gain)
    refuse_size(size, n_items)
    if cap * n_items < size:
        raise InputError(f"an exposure of {cap} leaves {cap * n_items:.0f} of {size} items; raise --exposure")
    weight = gain if gain.sum() > 0 else np.ones(n_items)
    share = uniform / n_items + (1 - uniform) * weight / weight.sum()
    full = np.zeros(n_items, dtype=bool)
    chance = size * share
    while (chance > cap + 1e-12).any():
        full |= chance > cap
        left = size - cap * full.sum()
        chance = np.where(full, cap, left * share / max(share[~full].sum(), 1e-300))
    return chance


def draw_systematic(chance: RowFloats, order: Index, rng: np.random.Generator) -> Index:
    """Systematic sampling with given inclusion probabilities along an order (Madow, 1949).

    Args:
        chance: Inclusion probabilities, which sum to the number of items drawn.
        order: All items, similar ones next to each other, which stratifies the draw.
        rng: Source of randomness.

    Returns:
        Positions drawn, in the given order.
    """
    size = round(float(chance.sum()))
    edges = np.cumsum(chance[order])
    edges *= size / edges[-1]
    marks = np.arange(size) + rng.random()
    return order[np.minimum(np.searchsorted(edges, marks, side="right"), len(order) - 1)]


def spread_order(stratum: Index, rng: np.random.Generator) -> Index:
    """Return items stratum by stratum, in random order within each.

    Args:
        stratum: Stratum of each item (item,).
        rng: Source of randomness.
    """
    shuffled = rng.permutation(len(stratum))
    return shuffled[np.argsort(stratum[shuffled], kind="stable")]


def deal(drawn: Index, forms: int, rng: np.random.Generator) -> list[Index]:
    """Split items into disjoint forms: neighbours along the order go to different forms, at random.

    Args:
        drawn: Items in order, as many as a multiple of the number of forms.
        forms: Number of forms.
        rng: Source of randomness.

    Returns:
        The items of each form, ascending.
    """
    rounds = drawn.reshape(-1, forms)
    order = np.argsort(rng.random(rounds.shape), axis=1)
    dealt = np.take_along_axis(rounds, order, axis=1)
    return [np.sort(dealt[:, form]) for form in range(forms)]


def within_cost(gain: FloatArray, cost: RowFloats | None) -> FloatArray:
    """Return weights adjusted for cost: chances go with the root of variance over cost (Neyman, 1934).

    Args:
        gain: Weight of each item (item,), a standard deviation.
        cost: Price of each item (item,); None for equal prices.
    """
    return gain if cost is None else gain / np.sqrt(cost / cost.mean())


def draw_one_per_stratum(weights: ItemWeights, uniform: float, rng: np.random.Generator) -> tuple[Index, RowFloats]:
    """Draw one item from each stratum: by weight, with a share spread evenly so that every item has a chance.

    Args:
        weights: Items, strata numbered from 0, and weights that sum to 1 within each stratum.
        uniform: Share of the draw that is spread evenly within a stratum.
        rng: Source of randomness.

    Returns:
        Positions drawn, in random order, and the chance of every item.
    """
    members = np.bincount(weights.stratum)[weights.stratum]
    chance = (1 - uniform) * weights.gain + uniform / members
    # in each stratum, take the item at which the cumulative chance passes a uniform number
    order = spread_order(weights.stratum, rng)
    edges = np.cumsum(chance[order])
    count = weights.stratum.max() + 1
    marks = np.arange(count) + rng.random(count)
    drawn = order[np.minimum(np.searchsorted(edges, marks, side="right"), len(order) - 1)]
    return drawn[rng.permutation(len(drawn))], chance
