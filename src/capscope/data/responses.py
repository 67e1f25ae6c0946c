"""Tables as arrays: responses as index triples with their facets, demands as an item-by-dimension matrix."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from capscope.axes import ItemDim, ItemFloats, ModelFloats, ModelItem, RowFloats, RowIndex
from capscope.data.leniency import leniency
from capscope.data.study import Study
from capscope.data.tables import FACETS, FUSED, TABLES
from capscope.errors import InputError, first_few, nearest

LEVEL_BOUNDS = TABLES["demands"].bounds["level"]
DECIMALS = 9
"""Levels are rounded to so many decimals, so that the order of rows changes nothing."""


@dataclass(frozen=True)
class Facet:
    """One condition under which responses were observed, such as the prompt or the judge."""

    names: tuple[str, ...]
    """Sorted names of its values."""
    codes: RowIndex
    """Position of each row's value among the names."""


@dataclass(frozen=True)
class DenseResponses:
    """Responses pooled by model and item."""

    right: ModelItem
    """Sum of the scores over all trials; 0 where the item was not administered."""
    n_trials: ModelItem
    """Number of trials; 0 where the item was not administered."""

    @property
    def score(self) -> ModelItem:
        """Mean score over all trials, in [0, 1]; NaN where the item was not administered."""
        return _mean(self.right, self.n_trials)


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
    facets: Mapping[str, Facet] = field(default_factory=dict[str, Facet])
    """Further conditions of each row, by column: `prompt`, `scaffold`, `effort`, `judge`, `run`."""

    @classmethod
    def of(cls, study: Study) -> "Responses":
        """Lay the study's responses out as arrays.

        Models, items and rows come in sorted order, however the table was sorted. Repeats of a model on an item stay
        rows of their own; their facets say what they differ in.

        Args:
            study: A study with responses.

        Raises:
            InputError: The study has no responses.
        """
        responses = study.require("responses")
        models, model_index = _sorted_codes(responses["model"])
        items, item_index = _sorted_codes(responses["item_id"])
        trials = responses["n_trials"] if "n_trials" in responses else pd.Series(1.0, index=responses.index)
        score, trial_count = responses["score"].to_numpy(dtype=float), trials.to_numpy(dtype=float)
        facets = {name: Facet(*_sorted_codes(responses[name])) for name in FACETS if name in responses}
        conditions = [facet.codes for facet in facets.values()]
        order = np.lexsort((*conditions, trial_count, score, item_index, model_index))
        return cls(models, items, model_index, item_index, score, trial_count, facets).rows(order)

    def rows(self, keep: np.ndarray) -> "Responses":
        """Return the chosen rows (index or mask) over the same axes."""
        return replace(
            self,
            model_index=self.model_index[keep],
            item_index=self.item_index[keep],
            score=self.score[keep],
            n_trials=self.n_trials[keep],
            facets={name: replace(facet, codes=facet.codes[keep]) for name, facet in self.facets.items()},
        )

    def dense(self) -> DenseResponses:
        """Return score sums and trial counts by model and item; repeats are pooled, weighted by their trials."""
        shape = (len(self.models), len(self.items))
        cell = self.model_index * shape[1] + self.item_index
        trials, right = _sums(cell, self.n_trials, self.score, shape[0] * shape[1])
        return DenseResponses(right.reshape(shape), trials.reshape(shape))

    def item_means(self) -> ItemFloats:
        """Return the mean score of each item over all its trials; NaN for an item without answers."""
        trials, right = _sums(self.item_index, self.n_trials, self.score, len(self.items))
        return _mean(right, trials)

    def model_means(self) -> ModelFloats:
        """Return the mean score of each model over all its trials; NaN for a model without answers."""
        trials, right = _sums(self.model_index, self.n_trials, self.score, len(self.models))
        return _mean(right, trials)


def _sums(place: RowIndex, trials: RowFloats, score: RowFloats, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum trials, and scores times trials, by place."""
    return np.bincount(place, trials, size), np.bincount(place, trials * score, size)


def _mean(right: np.ndarray, trials: np.ndarray) -> np.ndarray:
    return np.divide(right, trials, out=np.full(right.shape, np.nan), where=trials > 0)


@dataclass(frozen=True)
class Demands:
    """Demand levels of items, averaged over the annotators asked for."""

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
                over all annotators of a cell, less each one's `leniency` where not all rated the same items.
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
        """Return the matrix on these dimensions, in this order; all must be there."""
        columns = [self.dims.index(dim) for dim in dims]
        return Demands(self.items, dims, self.level[:, columns], None if self.sd is None else self.sd[:, columns])


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
