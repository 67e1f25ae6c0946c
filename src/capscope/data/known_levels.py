"""Demand levels of given items with no gap, each with its standard deviation: stated, shown or that of a gap."""

import numpy as np
import pandas as pd

from capscope.axes import ItemDim
from capscope.data.matrix import demand_matrix
from capscope.data.study import Study


def known_levels(
    study: Study,
    items: tuple[str, ...],
    annotator: str | None = None,
    rubrics: tuple[str, ...] | None = None,
    typical: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[ItemDim, ItemDim]:
    """Lay out levels and their standard deviations.

    A level is as uncertain as its annotators say, or as their disagreement shows after their own leniency. A gap holds
    the mean of its dimension, and the dimension's own spread.

    Args:
        study: A study with demands.
        items: Ids, in the order wanted.
        annotator: Whose levels; by default the fused ones, else the mean over annotators.
        rubrics: The dimensions, in order; by default all rubrics, sorted.
        typical: Mean and standard deviation of each dimension for gaps; by default those of these items.

    Raises:
        InputError: No such annotator or rubric.
    """
    level, sd = rated_levels(study, items, annotator, rubrics)
    return with_gaps_filled(level, sd, typical_levels(level) if typical is None else typical)


def rated_levels(
    study: Study, items: tuple[str, ...], annotator: str | None = None, rubrics: tuple[str, ...] | None = None
) -> tuple[ItemDim, ItemDim]:
    """Lay out levels, NaN in a gap, and their standard deviations; see `known_levels`."""
    matrix = demand_matrix(study, annotator, rubrics)
    level = matrix.at(items)
    stated = np.zeros_like(level) if matrix.sd is None else _at(matrix.items, matrix.sd, items)
    shown = _disagreement(study, items, matrix.dims) if annotator is None else np.zeros_like(level)
    return level, np.maximum(stated, shown)


def with_gaps_filled(level: ItemDim, sd: ItemDim, typical: tuple[np.ndarray, np.ndarray]) -> tuple[ItemDim, ItemDim]:
    """Put the typical level of its dimension into each gap, and the dimension's spread beside it."""
    gap = np.isnan(level)
    return np.where(gap, typical[0], level), np.where(gap, typical[1], sd)


def typical_levels(level: ItemDim) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each dimension over the items that have a level; 0 where none has."""
    gap = np.isnan(level)
    total = np.maximum((~gap).sum(axis=0), 1)
    mean = np.where(gap, 0, level).sum(axis=0) / total
    return mean, np.sqrt(np.where(gap, 0, (level - mean) ** 2).sum(axis=0) / total)


def _at(index: tuple[str, ...], values: ItemDim, items: tuple[str, ...]) -> ItemDim:
    place = pd.Index(index).get_indexer(pd.Index(items))
    return np.where((place >= 0)[:, None], values[place], 0.0)


def _disagreement(study: Study, items: tuple[str, ...], dims: tuple[str, ...]) -> ItemDim:
    """Standard error of each mean level over several annotators, from their disagreement after their own leniency."""
    demands = study.require("demands")
    rater, rubric = demands["annotator"].astype(str), demands["rubric"].astype(str)
    leniency = demands["level"].groupby([rater, rubric]).transform("mean")
    cells = (demands["level"] - leniency).groupby([demands["item_id"].astype(str), rubric])
    count = cells.transform("size")
    variance = cells.transform("var").fillna(0) / count
    table = pd.DataFrame({"item": demands["item_id"].astype(str), "rubric": rubric, "variance": variance})
    # one pair of annotators says little of one cell: each dimension's mean serves all its cells that have several
    several = (count > 1).to_numpy()
    typical = table[several].groupby("rubric")["variance"].mean().reindex(list(dims)).fillna(0).to_numpy()
    rated = table[several].drop_duplicates(["item", "rubric"]).assign(one=1.0)
    known = rated.pivot_table(index="item", columns="rubric", values="one").reindex(list(items), columns=list(dims))
    return np.where(known.notna().to_numpy(), np.sqrt(typical), 0.0)
