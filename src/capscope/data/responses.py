"""Responses as index triples over sorted axes, with their facets: in memory, or read from Parquet block by block."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from capscope.axes import FACETS, ItemFloats, ModelFloats, ModelItem, RowFloats, RowIndex
from capscope.data.study import Study
from capscope.data.tables import AGREEMENT, CONFIDENCE, COSTS, TABLES, checked_columns, validate
from capscope.errors import InputError, counted

ROWS_AT_ONCE = 1 << 19
"""Rows of a Parquet file in memory at once."""
ROWS_OF_A_BLOCK = 1 << 20
"""Rows of a block of responses in memory, so that what is computed from a block stays small."""
MOST_CELLS_SEEN = 1 << 31
"""Number of model-item cells up to which repeated keys are detected over a whole file, at one bit each."""


MOST_SHORT = np.iinfo(np.int32).max
"""Number of model-item cells up to which positions are 32-bit integers, so that a cell's number is one too."""


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
    """Score in [0, 1]; may be the table's own memory, which cannot be written."""
    n_trials: RowFloats
    """Number of trials behind the score, at least 1; one number repeated, without memory, where the table has none."""
    facets: Mapping[str, Facet] = field(default_factory=dict[str, Facet])
    """Further conditions of each row, by column: `prompt`, `scaffold`, `effort`, `judge`, `run`."""
    costs: Mapping[str, RowFloats] = field(default_factory=dict[str, RowFloats])
    """Costs of each row over all its trials, by column: `usd`, `tokens`, `seconds`; NaN where unknown."""

    def __repr__(self) -> str:
        """Return the sizes of the axes."""
        facets = "".join(f", {len(facet.names)} {name}s" for name, facet in self.facets.items())
        return (
            f"Responses({counted(len(self.models), 'model')}, {counted(len(self.items), 'item')},"
            f" {counted(len(self.score), 'row')}{facets})"
        )

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
        sizes = (len(responses[name].cat.categories) for name in ("model", "item_id"))
        kind = np.int32 if math.prod(sizes) <= MOST_SHORT else np.int64
        models, model_index = _sorted_codes(responses["model"], kind)
        items, item_index = _sorted_codes(responses["item_id"], kind)
        score = responses["score"].to_numpy(dtype=float)
        trial_count = responses["n_trials"].to_numpy(dtype=float) if "n_trials" in responses else _ones(len(score))
        facets = {name: Facet(*_sorted_codes(responses[name])) for name in FACETS if name in responses}
        costs = {name: responses[name].to_numpy(dtype=float) for name in COSTS if name in responses}
        conditions = [facet.codes for facet in facets.values()]
        laid_out = cls(models, items, model_index, item_index, score, trial_count, facets, costs)
        if _in_order(model_index, item_index):
            return laid_out
        return laid_out.rows(np.lexsort((*conditions, trial_count, score, item_index, model_index)))

    def rows(self, keep: np.ndarray | slice) -> "Responses":
        """Return the chosen rows (index, mask or slice) over the same axes."""
        return replace(
            self,
            model_index=self.model_index[keep],
            item_index=self.item_index[keep],
            score=(score := self.score[keep]),
            n_trials=_ones(len(score)) if _is_ones(self.n_trials) else self.n_trials[keep],
            facets={name: replace(facet, codes=facet.codes[keep]) for name, facet in self.facets.items()},
            costs={name: values[keep] for name, values in self.costs.items()},
        )

    def blocks(self) -> Iterator["Responses"]:
        """Yield the rows, some at a time and always in the same order, over the same axes."""
        for start in range(0, len(self.score), ROWS_OF_A_BLOCK):
            yield self.rows(slice(start, start + ROWS_OF_A_BLOCK))

    def model_parts(self, rows: int = ROWS_AT_ONCE) -> Iterator[tuple[int, "Responses"]]:
        """Yield the answers of some models at a time, so that tables of models and items stay small.

        Args:
            rows: Answers in a part, where no model has more.

        Returns:
            Position of the first model of each part, and its answers over its own models and all items; one part where
            rows are not sorted by model.
        """
        n_models, model = len(self.models), self.model_index
        if len(model) <= rows or not (model[1:] >= model[:-1]).all():
            yield 0, self
            return
        ends, first = np.searchsorted(model, np.arange(n_models + 1)), 0
        while first < n_models:
            last = max(int(np.searchsorted(ends, ends[first] + rows, side="right")) - 1, first + 1)
            part = self.rows(slice(int(ends[first]), int(ends[last])))
            yield first, replace(part, models=self.models[first:last], model_index=part.model_index - first)
            first = last

    def dense(self) -> DenseResponses:
        """Return score sums and trial counts by model and item; repeats are pooled, weighted by their trials."""
        shape = (len(self.models), len(self.items))
        cell = self.model_index * shape[1] + self.item_index
        trials, right = _sums(cell, self.n_trials, self.score, shape[0] * shape[1])
        return DenseResponses(right.reshape(shape), trials.reshape(shape))

    def item_means(self) -> ItemFloats:
        """Return the mean score of each item over all its trials; NaN for an item without answers."""
        right, trials = self.item_totals()
        return _mean(right, trials)

    def item_totals(self) -> tuple[ItemFloats, ItemFloats]:
        """Return the sum of scores over all trials, and the number of trials, of each item."""
        trials, right = _sums(self.item_index, self.n_trials, self.score, len(self.items))
        return right, trials

    def model_means(self) -> ModelFloats:
        """Return the mean score of each model over all its trials; NaN for a model without answers."""
        trials, right = _sums(self.model_index, self.n_trials, self.score, len(self.models))
        return _mean(right, trials)


def _ones(size: int) -> RowFloats:
    """Return ones that take no memory."""
    return np.broadcast_to(1.0, size)


def _is_ones(trials: RowFloats) -> bool:
    return len(trials) > 0 and trials.strides == (0,) and bool(trials[0] == 1.0)


def _in_order(model: RowIndex, item: RowIndex) -> bool:
    """Return whether rows are sorted by model and item, and no pair comes twice; some rows at a time."""
    for start in range(0, len(model) - 1, ROWS_OF_A_BLOCK):
        at, after = slice(start, start + ROWS_OF_A_BLOCK), slice(start + 1, start + 1 + ROWS_OF_A_BLOCK)
        m, i = model[after], item[after]
        m0, i0 = model[at][: len(m)], item[at][: len(i)]
        if not ((m0 < m) | ((m0 == m) & (i0 < i))).all():
            return False
    return True


def stated_confidence(responses: pd.DataFrame, study: str) -> tuple[pd.Series, str] | None:
    """Return the models' own confidence in their answers, 0 to 1, and the column that holds it.

    Args:
        responses: A table of responses.
        study: Its study's name, for messages.

    Returns:
        The column `confidence`, else `agreement`, whichever is filled first; None where neither is.

    Raises:
        InputError: A confidence is no number from 0 to 1.
    """
    for name in (CONFIDENCE, AGREEMENT):
        if name in responses and responses[name].notna().any():
            filled = responses[[name]][responses[name].notna()]
            remedy = "write confidences as numbers from 0 to 1"
            checked = checked_columns(filled, f"{study}: responses", numbers={name: (0.0, 1.0)}, remedy=remedy)
            return checked[name].reindex(responses.index), name
    return None


def _sums(place: RowIndex, trials: RowFloats, score: RowFloats, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum trials, and scores times trials, by place; without any row, numpy counts in whole numbers."""
    if _is_ones(trials):
        return np.bincount(place, minlength=size).astype(float), np.bincount(place, score, size).astype(float)
    return np.bincount(place, trials, size).astype(float), np.bincount(place, trials * score, size).astype(float)


def _mean(right: np.ndarray, trials: np.ndarray) -> np.ndarray:
    return np.divide(right, trials, out=np.full(right.shape, np.nan), where=trials > 0)


@dataclass(frozen=True)
class ResponseFile:
    """A Parquet table of responses that stays on disk, for tables larger than memory; every block is checked."""

    path: Path
    """The Parquet file."""
    models: tuple[str, ...]
    """Sorted names on the model axis."""
    items: tuple[str, ...]
    """Sorted ids on the item axis."""
    n_rows: int
    """Number of responses."""
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Sorted names of each facet that the table has."""

    @classmethod
    def open(cls, path: Path) -> "ResponseFile":
        """Read the table twice: once for the names on its axes, once to check that no key is repeated.

        Raises:
            InputError: The file cannot be read, or a row is wrong or comes twice; the message says which.
        """
        names: dict[str, set[str]] = {}
        n_rows = 0
        for frame in _frames(path):
            for column in ("model", "item_id", *FACETS):
                if column in frame:
                    names.setdefault(column, set()).update(frame[column].cat.categories)
            n_rows += len(frame)
        if not n_rows:
            raise InputError(f"{path}: the table has no rows; check how it was written")
        axes = {column: tuple(sorted(values)) for column, values in names.items()}
        table = cls(path, axes.pop("model"), axes.pop("item_id"), n_rows, axes)
        table._refuse_repeats()
        return table

    def blocks(self) -> Iterator[Responses]:
        """Yield the responses in the order of the file, over the axes of the whole table."""
        model_at, item_at = (pd.Index(names) for names in (self.models, self.items))
        for frame in _frames(self.path):
            model, item = _positions(frame["model"], model_at), _positions(frame["item_id"], item_at)
            score = frame["score"].to_numpy(dtype=np.float64)
            trials = frame["n_trials"].to_numpy(dtype=np.float64) if "n_trials" in frame else np.ones(len(frame))
            facets = {
                name: Facet(names, _positions(frame[name], pd.Index(names))) for name, names in self.facets.items()
            }
            yield Responses(self.models, self.items, model, item, score, trials, facets)

    def _refuse_repeats(self) -> None:
        n_cells = len(self.models) * len(self.items)
        if n_cells > MOST_CELLS_SEEN or self.facets:
            return
        seen = np.zeros(n_cells // 8 + 1, np.uint8)
        for block in self.blocks():
            cell = block.model_index * np.int64(len(self.items)) + block.item_index
            bit = (1 << (cell & 7)).astype(np.uint8)
            again = np.flatnonzero(seen[cell >> 3] & bit)
            if len(again):
                model, item = self.models[block.model_index[again[0]]], self.items[block.item_index[again[0]]]
                raise InputError(f"{self.path}: model '{model}', item_id '{item}' comes twice; keep one of the rows")
            np.bitwise_or.at(seen, cell >> 3, bit)


def rows_in(path: Path) -> int:
    """Return the number of rows of a Parquet file, from its footer.

    Args:
        path: A Parquet file.

    Raises:
        InputError: It is no Parquet file.
    """
    return _opened(path).metadata.num_rows


def has_judges(path: Path) -> bool:
    """Return whether a Parquet file of responses has several judges, from its footer; True where that does not say.

    Args:
        path: A Parquet file.

    Raises:
        InputError: It is no Parquet file.
    """
    table = _opened(path)
    names = table.schema_arrow.names
    if "judge" not in names:
        return False
    at = names.index("judge")
    groups = [table.metadata.row_group(number).column(at).statistics for number in range(table.num_row_groups)]
    if any(group is None or not group.has_min_max for group in groups):
        return True
    return len({value for group in groups for value in (group.min, group.max)}) > 1


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, read_dictionary=["model", "item_id"])
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file (truncated?); write it again") from error


def _frames(path: Path) -> Iterator[pd.DataFrame]:
    """Yield checked blocks of the table, with the columns that a fit uses."""
    with _opened(path) as file:
        spec = TABLES["responses"]
        wanted = {*spec.required, "n_trials", *FACETS}
        columns = [name for name in file.schema_arrow.names if name in wanted] or None
        first = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            yield validate(batch.to_pandas(), "responses", str(path) if not first else f"{path}, after row {first}")
            first += batch.num_rows


def _positions(column: pd.Series, names: pd.Index) -> RowIndex:
    return names.get_indexer(column.cat.categories)[column.cat.codes.to_numpy()].astype(np.int64)


def _sorted_codes(column: pd.Series, kind: type[np.signedinteger] = np.int64) -> tuple[tuple[str, ...], RowIndex]:
    """Return the sorted names that a categorical column uses, and each row's position among them."""
    codes, categories = column.cat.codes.to_numpy(), column.cat.categories.to_numpy()
    used = np.sort(pd.unique(codes))
    used = used[used >= 0]
    used = used[np.argsort(categories[used], kind="stable")]
    position = np.full(len(categories) + 1, -1, kind)  # the last one is for cells without a value
    position[used] = np.arange(len(used))
    return tuple(map(str, categories[used])), position[codes]
