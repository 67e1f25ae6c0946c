"""Tables of scores, long or wide, as rows of model, item and score; nothing that is not a score gets through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from capscope.data.cells import filled_cells
from capscope.data.columns import as_identifier, data_row
from capscope.data.formats.column_names import Columns
from capscope.data.formats.found_items import ITEM_COLUMNS
from capscope.data.formats.sentinels import is_sentinel
from capscope.data.tables import TABLES, require_columns, validate
from capscope.errors import InputError

Layout = Literal["long", "wide", "wide-items"]
"""Long: a row for each model and item. Wide: a row for each model. Wide-items: a row for each item."""

RESPONSES = TABLES["responses"]


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
