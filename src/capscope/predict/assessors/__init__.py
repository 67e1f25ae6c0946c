"""The family of assessors: `ASSESSORS` holds every assessor by name.

To add one, write a module with an `AssessorEntry` and add one line to `FAMILY`.
"""

from capscope.axes import ModelItem
from capscope.data import AgentDesign
from capscope.members import family
from capscope.predict.assessor import AssessorEntry
from capscope.predict.features import ItemFeatures

FAMILY = (
    "baselines:BASE_RATE",
    "baselines:MEAN",
    "baselines:ITEM_MEAN",
    "explanatory:RASCH",
    "forest:FOREST",
    "forest:TEXT_FOREST",
    "explanatory:RIDGE",
    "explanatory:TEXT_RASCH",
    "forest:POOLED_FOREST",
    "explanatory:EXPLANATORY",
    "explanatory:EXPLANATORY_TEXT",
    "boosted:BOOSTED",
    "monotone:MONOTONE",
    "neighbours:NEIGHBOURS",
    "stacked:STACKED",
    "by_parts:AGENTS",
    "confidence:CONFIDENCE",
    "text_encoder:TEXT_HEAD",
    "text_encoder:TEXT_ENCODER",
)
"""The members, as ``module:entry``, in the order in which they are listed and run."""


ASSESSORS: dict[str, AssessorEntry] = family(__name__, FAMILY, AssessorEntry)
"""Assessors by the name that `capscope evaluate --assessor` takes."""

DEFAULT = "stacked"
"""The assessor that predicts where none is named."""


def usable(
    features: ItemFeatures, agents: AgentDesign | None = None, confidence: ModelItem | None = None
) -> tuple[str, ...]:
    """Return the assessors that work with what a study holds, but for those run on request.

    Args:
        features: Features of the items.
        agents: Parts of the agents; None where subjects are plain models.
        confidence: Own confidence by model and item; None where none is stated.
    """
    offered = (entry for entry in ASSESSORS.values() if not entry.on_request)
    return tuple(entry.name for entry in offered if entry.works_with(features, agents, confidence))


__all__ = ["ASSESSORS", "DEFAULT", "FAMILY", "usable"]
