"""The family of item selectors: how a battery's items are chosen. To add one, write a module and add its line here."""

from capscope.battery.selectors.anchor import ANCHOR
from capscope.battery.selectors.demand import DEMAND, RANDOM
from capscope.battery.selectors.information import FISHER, PROFILE, VARIANCE
from capscope.battery.selectors.selector import Candidates, ItemWeights, Selector

SELECTORS: dict[str, Selector] = {
    "random": RANDOM,
    "demand": DEMAND,
    "anchor": ANCHOR,
    "fisher": FISHER,
    "variance": VARIANCE,
    "profile": PROFILE,
}
"""Selectors by name."""

__all__ = ["SELECTORS", "Candidates", "ItemWeights", "Selector"]
