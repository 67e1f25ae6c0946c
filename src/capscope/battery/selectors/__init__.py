"""The family of item selectors: how a battery's items are chosen.

To add one, write a module with a `Selector` and add one line to `FAMILY`.
"""

from capscope.battery.selectors.selector import Candidates, ItemWeights, Selector
from capscope.members import family

FAMILY = (
    "demand:RANDOM",
    "demand:DEMAND",
    "anchor:ANCHOR",
    "information:FISHER",
    "information:VARIANCE",
    "information:PROFILE",
)
"""The members, as ``module:entry``, in the order in which they are listed."""

SELECTORS: dict[str, Selector] = family(__name__, FAMILY, Selector)
"""Selectors by name."""

__all__ = ["SELECTORS", "Candidates", "ItemWeights", "Selector"]
