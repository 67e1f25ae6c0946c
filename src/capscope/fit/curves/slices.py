"""From responses and demands to level counts on the slice that each dimension dominates (Zhou et al., 2026)."""

from dataclasses import dataclass

import numpy as np

from capscope.axes import LEVELS, RowFloats
from capscope.data import Demands, LevelCounts, Responses
from capscope.errors import FitError

LARGEST_CHANCE = 0.25
"""Items that a guess gets right more often than this are left out (unguessability below 75)."""


@dataclass(frozen=True)
class Slices:
    """Level counts, and how many items they rest on."""

    counts: LevelCounts
    """Answers and successes by model, dimension and level."""
    n_items: int
    """Items that were rated on every dimension and answered."""
    n_unrated: int
    """Answered items left out because a dimension has no level."""
    n_guessable: int
    """Answered items left out because a guess is right too often."""


def dominant_slices(responses: Responses, demands: Demands, chance: RowFloats | None = None) -> Slices:
    """Count answers by model, dimension and level, each item on every dimension that no other exceeds.

    Args:
        responses: Observed responses; each counts once, a fractional score as a share of a success.
        demands: Demand levels; fractional levels (of several annotators) are rounded to the nearest.
        chance: Chance of a guess for each item of `responses`, NaN where unknown.

    Raises:
        FitError: No answered item is rated on every dimension.
    """
    level = demands.at(responses.items)
    rated = np.asarray(~np.isnan(level).any(axis=1))
    known_chance = np.zeros(len(level)) if chance is None else np.nan_to_num(chance, nan=0.0)
    guessable = rated & (known_chance > LARGEST_CHANCE)
    used = rated & ~guessable
    if not used.any():
        raise FitError(
            f"no answered item is rated on all {len(demands.dims)} rubrics and hard to guess"
            f" ({int((~rated).sum())} unrated, {int(guessable.sum())} guessable); annotate more, or choose rubrics"
        )
    counts = _count(responses, demands.dims, np.floor(np.where(used[:, None], level, 0) + 0.5).astype(int), used)
    return Slices(counts, int(used.sum()), int((~rated).sum()), int(guessable.sum()))


def dominant(level: np.ndarray) -> np.ndarray:
    """Mark the dimensions of each item that no other dimension exceeds, as a mask (item, dim)."""
    return level == level.max(axis=1, keepdims=True)


def _count(responses: Responses, dims: tuple[str, ...], level: np.ndarray, used: np.ndarray) -> LevelCounts:
    shape = (len(responses.models), len(dims), len(LEVELS))
    n, correct = np.zeros(shape), np.zeros(shape)
    mask = dominant(level) & used[:, None]
    for dim in range(len(dims)):
        row = mask[responses.item_index, dim]
        where = (responses.model_index[row], level[responses.item_index[row], dim])
        np.add.at(n[:, dim], where, 1.0)
        np.add.at(correct[:, dim], where, responses.score[row])
    return LevelCounts(responses.models, dims, n, correct)
