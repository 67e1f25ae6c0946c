"""The assessors, one file each."""

from capscope.predict.assessor import Assessor
from capscope.predict.assessors.base_rate import BaseRateAssessor
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.assessors.forest import ForestAssessor
from capscope.predict.assessors.item_mean import ItemMeanAssessor
from capscope.predict.assessors.mean import MeanAssessor
from capscope.predict.assessors.text_forest import TextForestAssessor
from capscope.predict.features import ItemFeatures

ASSESSORS: dict[str, Assessor] = {
    "base-rate": BaseRateAssessor(),
    "mean": MeanAssessor(),
    "item-mean": ItemMeanAssessor(),
    "forest": ForestAssessor(),
    "text-forest": TextForestAssessor(),
    "explanatory": ExplanatoryAssessor(),
}
"""Assessors by the name that `capscope evaluate --assessor` takes."""

NEEDS = {"forest": "demands", "explanatory": "demands", "text-forest": "texts"}
"""What an assessor cannot do without, where it needs something besides answers."""


def usable(features: ItemFeatures) -> tuple[str, ...]:
    """Return the names of the assessors that can work with what is known of the items."""
    known = {"demands": features.demands is not None, "texts": features.texts is not None}
    return tuple(name for name in ASSESSORS if known.get(NEEDS.get(name, ""), True))


__all__ = [
    "ASSESSORS",
    "NEEDS",
    "BaseRateAssessor",
    "ExplanatoryAssessor",
    "ForestAssessor",
    "ItemMeanAssessor",
    "MeanAssessor",
    "TextForestAssessor",
    "usable",
]
