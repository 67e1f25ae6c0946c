"""The assessors, one file each."""

from capscope.predict.assessor import Assessor
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.assessors.forest import ForestAssessor
from capscope.predict.assessors.mean import MeanAssessor

ASSESSORS: dict[str, Assessor] = {
    "mean": MeanAssessor(),
    "forest": ForestAssessor(),
    "explanatory": ExplanatoryAssessor(),
}
"""Assessors by the name that `capscope evaluate --assessor` takes."""

__all__ = ["ASSESSORS", "ExplanatoryAssessor", "ForestAssessor", "MeanAssessor"]
