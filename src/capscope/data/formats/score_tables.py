"""Tables of scores, long or wide, as rows of model, item and score; nothing that is not a score gets through."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from capscope.data.columns import as_identifier, blank_cells, data_row, filled_cells
from capscope.data.formats.found_items import ITEM_COLUMNS
from capscope.data.tables import TABLES, require_columns, validate
from capscope.errors import InputError, first_few, nearest

Layout = Literal["long", "wide", "wide-items"]
"""Long: a row for each model and item. Wide: a row for each model. Wide-items: a row for each item."""

RESPONSES = TABLES["responses"]


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called; None where the standard name is used if it is there."""

    model: str | None = None
    """Column of model names."""
    item_id: str | None = None
    """Column of item ids."""
    score: str | None = None
    """Column of scores."""
    benchmark: str | None = None
    """Column that names each item's benchmark."""
    task: str | None = None
    """Column that names each item's task."""
    text: str | None = None
    """Column with each item's text."""
    n_trials: str | None = None
    """Column with the number of trials behind each score."""

    def standardise(self, frame: pd.DataFrame, source: str) -> pd.DataFrame:
        """Give the mapped columns their standard names.

        Raises:
            InputError: A mapped column is not there, or another one already has the standard name.
        """
        given: dict[str, str | None] = asdict(self)
        renamed = {name: standard for standard, name in given.items() if name is not None}
        columns = [str(column) for column in frame.columns]
        for name, standard in renamed.items():
            if name not in columns:
                raise InputError(
                    f"{source}: column '{name}' is missing{nearest(name, columns)}; found {first_few(columns, 8)};"
                    f" name the column that holds the {standard}"
                )
            if name != standard and standard in columns and standard not in renamed:
                raise InputError(
                    f"{source}: '{name}' is to be the {standard}, but a column '{standard}' is there too; rename one"
                )
        return frame.rename(columns=renamed)

    def present_in(self, frame: pd.DataFrame) -> "Columns":
        """Return the mapping of those columns that the table has."""
        given: dict[str, str | None] = asdict(self)
        return replace(self, **{standard: name if name in frame else None for standard, name in given.items()})


MISSING_WORDS = ("", "nan", "null", "none")
"""Sentinels that also mean a cell without any value."""


def is_sentinel(column: pd.Series, sentinels: Sequence[str]) -> np.ndarray:
    """Mark the cells that hold one of the values, as text or as the same number.

    Raises:
        InputError: A value is itself a score.
    """
    marked = np.zeros(len(column), dtype=bool)
    if not sentinels:
        return marked
    text = None if pd.api.types.is_numeric_dtype(column) else column.astype(str).str.strip()
    numbers = pd.to_numeric(column.astype(object) if text is not None else column, errors="coerce").to_numpy(
        dtype=float
    )
    for sentinel in sentinels:
        number = _number(sentinel)
        if 0 <= number <= 1:
            raise InputError(f"--not-administered {sentinel}: {sentinel} is a score; name a value outside 0 to 1")
        marked |= np.isclose(numbers, number, rtol=1e-6, atol=0)
        if text is not None:
            marked |= (text == sentinel.strip()).to_numpy(dtype=bool)
        if sentinel.strip().lower() in MISSING_WORDS:
            marked |= blank_cells(column).to_numpy(dtype=bool)
    return marked


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


@dataclass(frozen=True)
class ScoreTable:
    """What one file of scores held."""

    source: str
    """The file."""
    responses: pd.DataFrame
    """Responses, in the order of the file, with what the file says about the items."""
    described: pd.DataFrame
    """Rows that describe items: `item_id` and any columns of items."""
    rows: int
    """Rows of the file."""
    not_administered: int
    """Scores that were empty or held a value that stands for "not administered"."""


def long_scores(frame: pd.DataFrame, columns: Columns, sentinels: Sequence[str], source: str) -> ScoreTable:
    """Read a table with a row for each model and item.

    Raises:
        InputError: A column is missing, or a row is wrong; the message names it.
    """
    frame = columns.standardise(frame, source)
    require_columns(frame, RESPONSES, source)
    absent = is_sentinel(frame["score"], sentinels)
    frame["score"] = frame["score"].astype(object).mask(absent, 0) if absent.any() else frame["score"]
    about = [name for name in ITEM_COLUMNS if name in frame]
    checked = validate(frame.drop(columns=about), "responses", source)
    described = frame[about].assign(item_id=checked["item_id"])
    return ScoreTable(source, _some(checked[~absent], source), described, len(frame), int(absent.sum()))


def wide_scores(
    frame: pd.DataFrame, columns: Columns, sentinels: Sequence[str], source: str, layout: Layout
) -> ScoreTable:
    """Read a matrix of scores; empty cells were not administered.

    Raises:
        InputError: A row has no name or a name twice, or a cell is no score; the message names row and column.
    """
    frame = columns.standardise(frame, source)
    rows_are, columns_are = ("model", "item_id") if layout == "wide" else ("item_id", "model")
    name_column = rows_are if rows_are in frame else str(frame.columns[0])
    names = as_identifier(frame[name_column], rows_are, source)
    _refuse_repeated(names, rows_are, source)
    about = [name for name in ITEM_COLUMNS if name in frame] if rows_are == "item_id" else []
    cells = filled_cells(frame.drop(columns=[name_column, *about]))
    absent = is_sentinel(cells.value, sentinels)
    cells = cells.only(~absent)
    responses = pd.DataFrame(
        {
            rows_are: names.take(cells.row).reset_index(drop=True),
            columns_are: cells.column_names(),
            "score": cells.numbers("score", RESPONSES.bounds["score"], source),
        }
    )
    described = pd.DataFrame({"item_id": names, **frame[about]}) if about else responses[["item_id"]]
    return ScoreTable(source, _some(responses, source), described, len(frame), cells.blank + int(absent.sum()))


def _some(responses: pd.DataFrame, source: str) -> pd.DataFrame:
    if responses.empty:
        raise InputError(f"{source}: no score was administered; check the layout and --not-administered")
    return responses


def _refuse_repeated(names: pd.Series, axis: str, source: str) -> None:
    repeated = names.duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise InputError(f"{source}: {data_row(row)} repeats {axis} '{names.iloc[row]}'; keep one row for each {axis}")


def joined_scores(tables: Sequence[ScoreTable]) -> pd.DataFrame:
    """Put the responses of several files together.

    Raises:
        InputError: Two files answer for the same model and item; the message names both.
    """
    joined = pd.concat({place: table.responses for place, table in enumerate(tables) if len(table.responses)})
    key = [name for name in RESPONSES.key if name in joined]
    repeated = joined.duplicated(key)
    if repeated.any():
        position = int(np.flatnonzero(repeated)[0])
        same = (joined[key].astype(str) == joined[key].astype(str).iloc[position]).all(axis=1)
        first, second = joined.index[int(np.flatnonzero(same)[0])], joined.index[position]
        name = ", ".join(f"{column} '{joined[column].iloc[position]}'" for column in key)
        raise InputError(
            f"{tables[second[0]].source}: {data_row(int(second[1]))} repeats {name} of {tables[first[0]].source}"
            f" ({int(repeated.sum())} such rows); keep one, or merge trials into score and n_trials"
        )
    return joined.reset_index(drop=True)
