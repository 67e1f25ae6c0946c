"""Demand levels of given items with no gap, each with its standard deviation: stated, shown or that of a gap."""

import numpy as np
import pandas as pd

from capscope.axes import ItemDim
from capscope.data.leniency import leniency
from capscope.data.responses import Demands, averaged_rows
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
    matrix = Demands.of(study, annotator, rubrics)
    level = matrix.at(items)
    stated = np.zeros_like(level) if matrix.sd is None else _at(matrix.items, matrix.sd, items)
    averaged = averaged_rows(study.require("demands"), annotator, study.name)
    return level, np.maximum(stated, _disagreement(averaged, items, matrix.dims))


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


def _disagreement(demands: pd.DataFrame, items: tuple[str, ...], dims: tuple[str, ...]) -> ItemDim:
    """Standard error of each mean level, from how far annotators of the same cells disagree after their own leniency.

    One pair of annotators says little of one cell, so that a rubric's mean serves all its cells; a cell that one
    annotator rated has the error of a single rating. One annotator alone, or fused levels, show none.
    """
    rubric = demands["rubric"].astype(str)
    cells = (demands["level"] - leniency(demands)).groupby([demands["item_id"].astype(str), rubric])
    count = cells.size().unstack().reindex(index=list(items), columns=list(dims)).to_numpy(dtype=float)
    variance = cells.var().unstack().mean().reindex(list(dims)).fillna(0).to_numpy(dtype=float)
    return np.where(count > 0, np.sqrt(variance / np.maximum(count, 1)), 0.0)
