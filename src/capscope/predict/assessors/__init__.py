"""The assessors, one file each."""

from capscope.predict.assessor import Assessor
from capscope.predict.assessors.base_rate import BaseRateAssessor
from capscope.predict.assessors.boosted import BoostedAssessor
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.assessors.forest import ForestAssessor
from capscope.predict.assessors.item_mean import ItemMeanAssessor
from capscope.predict.assessors.mean import MeanAssessor
from capscope.predict.assessors.pooled_forest import PooledForestAssessor
from capscope.predict.assessors.rasch import RaschAssessor
from capscope.predict.assessors.ridge import RidgeAssessor
from capscope.predict.assessors.stacked import StackedAssessor
from capscope.predict.assessors.text_forest import TextForestAssessor
from capscope.predict.assessors.text_rasch import TextRaschAssessor
from capscope.predict.features import ItemFeatures

ASSESSORS: dict[str, Assessor] = {
    "base-rate": BaseRateAssessor(),
    "mean": MeanAssessor(),
    "item-mean": ItemMeanAssessor(),
    "rasch": RaschAssessor(),
    "forest": ForestAssessor(),
    "text-forest": TextForestAssessor(),
    "ridge": RidgeAssessor(),
    "text-rasch": TextRaschAssessor(),
    "pooled-forest": PooledForestAssessor(),
    "explanatory": ExplanatoryAssessor(),
    "explanatory-text": ExplanatoryAssessor(monotone=False, interactions=True, text=True),
    "boosted": BoostedAssessor(),
    "stacked": StackedAssessor(),
}
"""Assessors by the name that `capscope evaluate --assessor` takes."""

DEFAULT = "stacked"
"""The assessor to use where none is named."""

NEEDS = {
    "forest": "demands",
    "ridge": "demands",
    "text-forest": "texts",
    "text-rasch": "texts",
    "pooled-forest": "either",
    "boosted": "either",
    "explanatory-text": "either",
}
"""What an assessor cannot do without, where it needs something besides answers."""


def usable(features: ItemFeatures) -> tuple[str, ...]:
    """Return the names of the assessors that can work with what is known of the items."""
    known = {"demands": features.demands is not None, "texts": features.texts is not None}
    known["either"] = any(known.values())
    return tuple(name for name in ASSESSORS if known.get(NEEDS.get(name, ""), True))


__all__ = [
    "ASSESSORS",
    "DEFAULT",
    "NEEDS",
    "BaseRateAssessor",
    "BoostedAssessor",
    "ExplanatoryAssessor",
    "ForestAssessor",
    "ItemMeanAssessor",
    "MeanAssessor",
    "PooledForestAssessor",
    "RaschAssessor",
    "RidgeAssessor",
    "StackedAssessor",
    "TextForestAssessor",
    "TextRaschAssessor",
    "usable",
]
