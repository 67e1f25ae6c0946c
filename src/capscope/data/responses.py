"""Tables as arrays: responses as index triples, demands as an item-by-dimension matrix."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from capscope.axes import ItemDim, RowFloats, RowIndex
from capscope.data.leniency import leniency
from capscope.data.study import Study
from capscope.data.tables import FUSED, TABLES
from capscope.errors import InputError, first_few, nearest

LEVEL_BOUNDS = TABLES["demands"].bounds["level"]
DECIMALS = 9
"""Levels are rounded to so many, so that the order of rows changes nothing."""


@dataclass(frozen=True)
class Responses:
    """Observed responses, one row each, over sorted model and item axes; what is absent was not administered."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    model_index: RowIndex
    """Position of each row's model."""
    item_index: RowIndex
    """Position of each row's item."""
    score: RowFloats
    """Score in [0, 1]."""
    n_trials: RowFloats
    """Number of trials behind the score, at least 1."""

    def rows(self, keep: np.ndarray) -> "Responses":
        """Return the chosen rows (index or mask) over the same axes."""
        return replace(
            self,
            model_index=self.model_index[keep],
            item_index=self.item_index[keep],
            score=self.score[keep],
            n_trials=self.n_trials[keep],
        )


@dataclass(frozen=True)
class DemandMatrix:
    """Demand levels of items, averaged over the annotators asked for."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    level: ItemDim
    """Demand level, 0 to 5; NaN where no annotator rated the item."""
    sd: ItemDim | None = None
    """Standard deviation of each level as its annotators state it, 0 where they do not; None where none does."""

    def at(self, items: tuple[str, ...]) -> ItemDim:
        """Return the levels of these items in this order; NaN rows for items without any."""
        index = pd.Index(self.items).get_indexer(pd.Index(items))
        return np.where((index >= 0)[:, None], self.level[index], np.nan)

    def on(self, dims: tuple[str, ...]) -> "DemandMatrix":
        """Return the matrix on these dimensions, in this order; all must be there."""
        columns = [self.dims.index(dim) for dim in dims]
        return DemandMatrix(self.items, dims, self.level[:, columns], None if self.sd is None else self.sd[:, columns])


def response_matrix(study: Study) -> Responses:
    """Lay the study's responses out as arrays, models, items and rows in sorted order, however the table was sorted.

    Repeats of a model on an item (over `prompt` or `scaffold`) stay rows of their own.
    """
    responses = study.require("responses")
    models, model_index = _sorted_codes(responses["model"])
    items, item_index = _sorted_codes(responses["item_id"])
    trials = responses["n_trials"] if "n_trials" in responses else pd.Series(1.0, index=responses.index)
    score, trial_count = responses["score"].to_numpy(dtype=float), trials.to_numpy(dtype=float)
    order = np.lexsort((trial_count, score, item_index, model_index))
    matrix = Responses(models, items, model_index, item_index, score, trial_count)
    return matrix.rows(order)


def demand_matrix(study: Study, annotator: str | None = None, rubrics: tuple[str, ...] | None = None) -> DemandMatrix:
    """Lay demand levels out as an item-by-dimension matrix.

    Args:
        study: A study with demands.
        annotator: Use this annotator's levels only; by default the fused levels if there are any, else the mean over
            all annotators of a cell. Where not all of them rated the same items, each one's `leniency` is taken off.
        rubrics: The dimensions, in order; by default all rubrics of the study, sorted.

    Raises:
        InputError: No such annotator or rubric.
    """
    demands = study.require("demands")
    demands = averaged_rows(demands, annotator, study.name)
    known = tuple(sorted(map(str, demands["rubric"].unique())))
    dims = rubrics or known
    unknown = [dim for dim in dims if dim not in known]
    if unknown:
        hint = nearest(unknown[0], known)
        raise InputError(f"{study.name}: demands have no rubric {first_few(unknown)}{hint}; annotate it first")
    level = _mean_levels(demands, dims)
    if "sd" not in demands or demands["sd"].isna().all():
        return DemandMatrix(tuple(level.index), dims, level.to_numpy(dtype=float))
    stated = demands.assign(variance=demands["sd"].fillna(0) ** 2, count=1.0)
    count = _pivot(stated, "count", dims, "sum").to_numpy(dtype=float)
    sd = np.sqrt(np.nan_to_num(_pivot(stated, "variance", dims).to_numpy(dtype=float) / count))
    return DemandMatrix(tuple(level.index), dims, level.to_numpy(dtype=float), sd)


def _mean_levels(demands: pd.DataFrame, dims: tuple[str, ...]) -> pd.DataFrame:
    if demands["annotator"].nunique() < 2:
        return _pivot(demands, "level", dims)
    mean = _pivot(demands.assign(level=demands["level"] - leniency(demands)), "level", dims)
    return mean.clip(*LEVEL_BOUNDS).round(DECIMALS)


def _pivot(
    demands: pd.DataFrame, column: str, dims: tuple[str, ...], how: Literal["mean", "sum"] = "mean"
) -> pd.DataFrame:
    table = demands.pivot_table(index="item_id", columns="rubric", values=column, aggfunc=how, observed=True)
    table.index = table.index.astype(str)
    return table.reindex(columns=list(dims)).sort_index()


def averaged_rows(demands: pd.DataFrame, annotator: str | None, where: str) -> pd.DataFrame:
    """Return the rows that a level is the mean of: one annotator's, else the fused ones, else all."""
    if annotator is None:
        fused = demands["annotator"] == FUSED
        return demands[fused] if fused.any() else demands
    known = sorted(map(str, demands["annotator"].unique()))
    if annotator not in known:
        hint = nearest(annotator, known)
        raise InputError(f"{where}: no demands by annotator '{annotator}'{hint}; there are {first_few(known)}")
    return demands[demands["annotator"] == annotator]


def _sorted_codes(column: pd.Series) -> tuple[tuple[str, ...], RowIndex]:
    """Return the sorted names of a categorical column and each row's position among them."""
    used = column.cat.remove_unused_categories()
    ordered = used.cat.set_categories(sorted(used.cat.categories))
    return tuple(ordered.cat.categories), ordered.cat.codes.to_numpy().astype(np.int64)
