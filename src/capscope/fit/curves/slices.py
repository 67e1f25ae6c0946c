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
    """Items that were rated and answered."""
    n_unrated: int
    """Answered items left out because they have no level at all."""
    n_guessable: int
    """Answered items left out because a guess is right too often."""
    n_partly_rated: int = 0
    """Items among `n_items` that lack the level of a dimension or several."""


def dominant_slices(responses: Responses, demands: Demands, chance: RowFloats | None = None) -> Slices:
    """Count answers by model, dimension and level, each item on every dimension that no other exceeds.

    An item that lacks some levels counts by the chance that none of them would exceed those that it has, where a
    missing level is distributed as its dimension's levels over the items used.

    Args:
        responses: Observed responses; each counts once, a fractional score as a share of a success.
        demands: Demand levels; fractional levels (of several annotators) are rounded to the nearest.
        chance: Chance of a guess for each item of `responses`, NaN where unknown.

    Raises:
        FitError: A dimension has no level on any item that is answered and hard to guess.
    """
    level = np.floor(demands.at(responses.items) + 0.5)
    gap = np.isnan(level)
    rated = np.asarray(~gap.all(axis=1))
    known_chance = np.zeros(len(level)) if chance is None else np.nan_to_num(chance, nan=0.0)
    guessable = rated & (known_chance > LARGEST_CHANCE)
    used = rated & ~guessable
    if not (used[:, None] & ~gap).any(axis=0).all():
        raise FitError(
            f"no answered item is rated on all {len(demands.dims)} rubrics and hard to guess"
            f" ({int((~rated).sum())} unrated, {int(guessable.sum())} guessable); annotate more, or choose rubrics"
        )
    counts = _count(responses, demands.dims, np.where(gap, -1, level).astype(int), used)
    partly = int((used & gap.any(axis=1)).sum())
    return Slices(counts, int(used.sum()), int((~rated).sum()), int(guessable.sum()), partly)


def dominant(level: np.ndarray) -> np.ndarray:
    """Mark the dimensions of each item that no other dimension exceeds, as a mask (item, dim)."""
    return level == level.max(axis=1, keepdims=True)


def _count(responses: Responses, dims: tuple[str, ...], level: np.ndarray, used: np.ndarray) -> LevelCounts:
    shape = (len(responses.models), len(dims), len(LEVELS))
    n, correct = np.zeros(shape), np.zeros(shape)
    mask = dominant(level) & used[:, None]
    weight = _unexceeded(level, used)
    for dim in range(len(dims)):
        row = mask[responses.item_index, dim]
        item = responses.item_index[row]
        where = (responses.model_index[row], level[item, dim])
        np.add.at(n[:, dim], where, weight[item])
        np.add.at(correct[:, dim], where, weight[item] * responses.score[row])
    return LevelCounts(responses.models, dims, n, correct)


def _unexceeded(level: np.ndarray, used: np.ndarray) -> RowFloats:
    """Return for each item the chance that no missing level (-1) exceeds the largest level that it has."""
    top, weight = level.max(axis=1), np.ones(len(level))
    for dim in range(level.shape[1]):
        gap = level[:, dim] < 0
        known = np.sort(level[used & ~gap, dim])
        weight[gap] *= np.searchsorted(known, top[gap], side="right") / len(known)
    return weight
