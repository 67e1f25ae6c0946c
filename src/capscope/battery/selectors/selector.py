"""What a selector is: it gives every candidate item a stratum and a weight, from which `select_forms` draws."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from capscope.axes import ItemDim, RowFloats
from capscope.battery.banks.bank import Bank, Index
from capscope.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Items to draw from, with what is known of them."""

    items: tuple[str, ...]
    """Ids of the items."""
    demands: ItemDim | None = None
    """Demand levels (item, dim), NaN where not rated; None without demands."""
    bank: Bank | None = None
    """The same items with past models; None where the source is a study that nobody had to fit."""

    def fitted(self) -> Bank:
        """Return the bank of the items.

        Raises:
            InputError: There is none.
        """
        if self.bank is None:
            raise InputError("this method needs past models' answers; give a bank, or a study with responses")
        return self.bank


@dataclass(frozen=True, kw_only=True)
class ItemWeights:
    """How candidates are drawn."""

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
    """What it prefers, in one line."""
    needs: str
    """What it needs of the source: `items`, `demands` or `responses`."""
    weigh: Callable[[Candidates, int, int], ItemWeights]
    """Return the weights of candidates, given the number of items to draw and a seed."""
    even: bool = False
    """Whether all items have one chance, so that no share of the draw need be kept even (as long as costs agree)."""
    one_per_stratum: bool = False
    """Whether exactly one item of each stratum is drawn, by the weights within it."""


def even_weights(items: tuple[str, ...]) -> ItemWeights:
    """Return equal weights in one stratum."""
    return ItemWeights(items=items, stratum=np.zeros(len(items), dtype=np.int64), gain=np.ones(len(items)))


def refuse_size(size: int, n_items: int) -> None:
    """Refuse a battery of no items, or of more items than there are.

    Raises:
        InputError: The size is out of range.
    """
    if not 0 < size <= n_items:
        raise InputError(f"cannot draw {size} of {n_items} items; ask for 1 to {n_items}")
