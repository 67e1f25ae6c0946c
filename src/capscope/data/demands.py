"""Demand levels of items as an item-by-dimension matrix, with their uncertainty and the severity of the annotators."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from capscope.axes import ItemDim, RowFloats
from capscope.data.study import Study
from capscope.data.tables import FUSED, TABLES
from capscope.errors import InputError, first_few, nearest

LEVEL_BOUNDS = TABLES["demands"].bounds["level"]
DECIMALS = 9
"""Levels are rounded to so many decimals, so that the order of rows changes nothing."""
NOISE_RATIO = 1.0
"""Variance of a single rating divided by the variance of severity between annotators: how far severities estimated
from few common items are shrunk towards zero."""


@dataclass(frozen=True)
class Demands:
    """Demand levels of items, averaged over annotators."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    level: ItemDim
    """Demand level, 0 to 5; NaN where no annotator rated the item."""
    sd: ItemDim | None = None
    """Standard deviation of each level as its annotators state it, 0 where they do not; None where none does."""

    @classmethod
    def of(cls, study: Study, annotator: str | None = None, rubrics: tuple[str, ...] | None = None) -> "Demands":
        """Lay demand levels out as an item-by-dimension matrix.

        Args:
            study: A study with demands.
            annotator: Use this annotator's levels only; by default the fused levels if there are any, else the mean
                over all annotators of a cell, less each one's `severity` where not all rated the same items.
            rubrics: The dimensions, in order; by default all rubrics of the study, sorted.

        Raises:
            InputError: No such annotator or rubric.
        """
        demands = averaged_rows(study.require("demands"), annotator, study.name)
        known = tuple(sorted(map(str, demands["rubric"].unique())))
        dims = rubrics or known
        unknown = [dim for dim in dims if dim not in known]
        if unknown:
            hint = nearest(unknown[0], known)
            raise InputError(f"{study.name}: demands have no rubric {first_few(unknown)}{hint}; annotate it first")
        level = _mean_levels(demands, dims)
        if "sd" not in demands or demands["sd"].isna().all():
            return cls(tuple(level.index), dims, level.to_numpy(dtype=float))
        stated = demands.assign(variance=demands["sd"].fillna(0) ** 2, count=1.0)
        count = _pivot(stated, "count", dims, "sum").to_numpy(dtype=float)
        sd = np.sqrt(np.nan_to_num(_pivot(stated, "variance", dims).to_numpy(dtype=float) / count))
        return cls(tuple(level.index), dims, level.to_numpy(dtype=float), sd)

    def at(self, items: tuple[str, ...]) -> ItemDim:
        """Return the levels of these items in this order; NaN rows for items without any."""
        index = pd.Index(self.items).get_indexer(pd.Index(items))
        return np.where((index >= 0)[:, None], self.level[index], np.nan)

    def on(self, dims: tuple[str, ...]) -> "Demands":
        """Return the levels on these dimensions, in this order; all must be there."""
        columns = [self.dims.index(dim) for dim in dims]
        return Demands(self.items, dims, self.level[:, columns], None if self.sd is None else self.sd[:, columns])


def averaged_rows(demands: pd.DataFrame, annotator: str | None, where: str) -> pd.DataFrame:
    """Return the rows that a level is the mean of: one annotator's, else the fused ones, else all.

    Args:
        demands: A demands table.
        annotator: Whose rows; None for the default.
        where: Name of the table for messages.

    Raises:
        InputError: No such annotator.
    """
    if annotator is None:
        fused = demands["annotator"] == FUSED
        return demands[fused] if fused.any() else demands
    known = sorted(map(str, demands["annotator"].unique()))
    if annotator not in known:
        hint = nearest(annotator, known)
        raise InputError(f"{where}: no demands by annotator '{annotator}'{hint}; there are {first_few(known)}")
    return demands[demands["annotator"] == annotator]


def _mean_levels(demands: pd.DataFrame, dims: tuple[str, ...]) -> pd.DataFrame:
    if demands["annotator"].nunique() < 2:
        return _pivot(demands, "level", dims)
    mean = _pivot(demands.assign(level=demands["level"] - severity(demands)), "level", dims)
    return mean.clip(*LEVEL_BOUNDS).round(DECIMALS)


def _pivot(
    demands: pd.DataFrame, column: str, dims: tuple[str, ...], how: Literal["mean", "sum"] = "mean"
) -> pd.DataFrame:
    table = demands.pivot_table(index="item_id", columns="rubric", values=column, aggfunc=how, observed=True)
    table.index = table.index.astype(str)
    return table.reindex(columns=list(dims)).sort_index()


def known_levels(
    study: Study,
    items: tuple[str, ...],
    annotator: str | None = None,
    rubrics: tuple[str, ...] | None = None,
    typical: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[ItemDim, ItemDim]:
    """Lay out levels without gaps, and their standard deviations.

    The standard deviation of a level is the larger of the one that its annotators state and the one that their
    disagreement shows once each one's severity is removed. A missing level becomes the mean of its dimension, and its
    standard deviation that of the dimension over items.

    Args:
        study: A study with demands.
        items: Ids, in the order wanted.
        annotator: Whose levels; by default the fused ones, else the mean over annotators.
        rubrics: The dimensions, in order; by default all rubrics, sorted.
        typical: Mean and standard deviation of each dimension for missing levels; by default those of these items.

    Returns:
        Levels (0 to 5) and their standard deviations, item by dimension.

    Raises:
        InputError: No such annotator or rubric.
    """
    level, sd = rated_levels(study, items, annotator, rubrics)
    return with_gaps_filled(level, sd, typical_levels(level) if typical is None else typical)


def rated_levels(
    study: Study, items: tuple[str, ...], annotator: str | None = None, rubrics: tuple[str, ...] | None = None
) -> tuple[ItemDim, ItemDim]:
    """Lay out levels, NaN where one is missing, and their standard deviations; see `known_levels`.

    Args:
        study: A study with demands.
        items: Ids on the item axis.
        annotator: Whose levels; by default the fused ones, else the mean over annotators.
        rubrics: Codes on the dimension axis; by default all that were rated.

    Returns:
        Levels 0 to 5 and standard deviations, as (item, dim).
    """
    matrix = Demands.of(study, annotator, rubrics)
    level = matrix.at(items)
    stated = np.zeros_like(level) if matrix.sd is None else _at(matrix.items, matrix.sd, items)
    averaged = averaged_rows(study.require("demands"), annotator, study.name)
    return level, np.maximum(stated, _disagreement(averaged, items, matrix.dims))


def with_gaps_filled(level: ItemDim, sd: ItemDim, typical: tuple[np.ndarray, np.ndarray]) -> tuple[ItemDim, ItemDim]:
    """Replace missing levels by the mean of their dimension, and their sd by the dimension's standard deviation.

    Args:
        level: Levels (item, dim), NaN where one is missing.
        sd: Their standard deviations.
        typical: Mean and standard deviation of each dimension, see `typical_levels`.

    Returns:
        Levels and standard deviations without gaps.
    """
    gap = np.isnan(level)
    return np.where(gap, typical[0], level), np.where(gap, typical[1], sd)


def typical_levels(level: ItemDim) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each dimension over the items that have a level; 0 where none has.

    Args:
        level: Levels (item, dim), NaN where one is missing.
    """
    gap = np.isnan(level)
    total = np.maximum((~gap).sum(axis=0), 1)
    mean = np.where(gap, 0, level).sum(axis=0) / total
    return mean, np.sqrt(np.where(gap, 0, (level - mean) ** 2).sum(axis=0) / total)


def _at(index: tuple[str, ...], values: ItemDim, items: tuple[str, ...]) -> ItemDim:
    place = pd.Index(index).get_indexer(pd.Index(items))
    return np.where((place >= 0)[:, None], values[place], 0.0)


def _disagreement(demands: pd.DataFrame, items: tuple[str, ...], dims: tuple[str, ...]) -> ItemDim:
    """Standard error of each mean level, from the disagreement of annotators without their severity.

    The variance is pooled over the cells of a rubric, since two ratings say little about one cell; a cell with one
    rating has the error of a single rating. It is 0 with one annotator, or with fused levels.
    """
    rubric = demands["rubric"].astype(str)
    cells = (demands["level"] - severity(demands)).groupby([demands["item_id"].astype(str), rubric])
    count = cells.size().unstack().reindex(index=list(items), columns=list(dims)).to_numpy(dtype=float)
    variance = cells.var().unstack().mean().reindex(list(dims)).fillna(0).to_numpy(dtype=float)
    return np.where(count > 0, np.sqrt(variance / np.maximum(count, 1)), 0.0)


def severity(demands: pd.DataFrame) -> RowFloats:
    """Estimate the severity of each row's annotator: how many levels it rates above the others on the rubric.

    An additive model of cell and annotator: annotators are compared on the items that they have in common, and those
    without common items count as equal. The severities on a rubric sum to zero and are shrunk towards it by
    `NOISE_RATIO`; cells that all annotators rated keep their mean.

    Args:
        demands: Rows of a demands table.

    Returns:
        Severity of each row's annotator, in demand levels.
    """
    item, rater = (_codes(demands[name]) for name in ("item_id", "annotator"))
    level = demands["level"].to_numpy(dtype=float)
    result = np.zeros(len(demands))
    for rows in demands.groupby(demands["rubric"].astype(str)).indices.values():
        result[rows] = _severity_on_rubric(item[rows], rater[rows], level[rows])
    return result


def _severity_on_rubric(item: np.ndarray, rater: np.ndarray, level: np.ndarray) -> np.ndarray:
    from scipy.sparse import csr_matrix  # half of the time that the room takes to load

    items, item = np.unique(item, return_inverse=True)
    raters, rater = np.unique(rater, return_inverse=True)
    if len(raters) < 2:
        return np.zeros(len(level))
    shape = (len(items), len(raters))
    count = csr_matrix((np.ones(len(level)), (item, rater)), shape=shape)
    n_ratings = np.bincount(item)
    above = level - (np.bincount(item, level) / n_ratings)[item]
    # item effects are eliminated from the normal equations, which leaves those of the annotators
    shared = csr_matrix((1 / n_ratings[item], (item, rater)), shape=shape)
    common = np.asarray((count.T @ shared).todense())
    system = np.diag(np.bincount(rater).astype(float)) - common + NOISE_RATIO * np.eye(len(raters))
    return np.linalg.solve(system, np.bincount(rater, above))[rater]


def _codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column.astype(str))[0]
