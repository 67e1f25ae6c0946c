"""Items that other tables describe in passing: one row for each item, refused when two rows disagree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capscope.data.columns import as_text, blank_cells, data_row, storable
from capscope.data.tables import TABLES
from capscope.errors import InputError

ITEM_COLUMNS = TABLES["items"].optional
"""Columns of a table of responses that describe the item."""


def found_items(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame | None:
    """Collect what tables say about their items.

    Args:
        tables: Names and tables with `item_id` and any of `ITEM_COLUMNS`.

    Raises:
        InputError: Two rows disagree about an item; the message names the second.
    """
    described = [name for name in ITEM_COLUMNS if any(name in frame for _, frame in tables)]
    if not described:
        return None
    ids = sorted(set().union(*(frame["item_id"].unique() for _, frame in tables)))
    items = pd.DataFrame({"item_id": ids})
    for column in described:
        items[column] = items["item_id"].map(_one_value_each(tables, column))
    return _with_a_place(items)


def _one_value_each(tables: Sequence[tuple[str, pd.DataFrame]], column: str) -> dict[str, str]:
    """Return the value that each item has in this column, where any row has one."""
    known: dict[str, str] = {}
    for source, frame in tables:
        if column not in frame:
            continue
        said = _distinct(frame["item_id"], frame[column])
        earlier = said["item_id"].map(known)
        clash = said["item_id"].duplicated() | (earlier.notna() & (earlier != said["value"]))
        if clash.any():
            row = said.index[clash][0]
            raise InputError(
                f"{source}: {data_row(int(row))}: item_id '{said['item_id'][row]}' has two different {column}s;"
                " give each item its own id"
            )
        known |= dict(zip(said["item_id"], said["value"], strict=True))
    return known


def _distinct(ids: pd.Series, values: pd.Series) -> pd.DataFrame:
    """Return each pair of item and value once, as text, at the row where it stands first."""
    pairs = ids.cat.codes.to_numpy().astype(np.int64) * (len(values) + 1) + pd.factorize(storable(values))[0]
    first = ~pd.Series(pairs).duplicated().to_numpy()
    said = pd.DataFrame({"item_id": ids[first].astype(str), "value": as_text(values[first])})
    return said[~blank_cells(said["value"])].drop_duplicates()


def _with_a_place(items: pd.DataFrame) -> pd.DataFrame:
    """Give items without a benchmark or task the name `unknown`, when others have one."""
    for column in ("benchmark", "task"):
        if column in items:
            items[column] = items[column].fillna("unknown")
    return items


def completed(items: pd.DataFrame, found: pd.DataFrame | None) -> pd.DataFrame:
    """Add to a table of items the columns that it lacks and the scores have."""
    if found is None:
        return items
    by_id = found.set_index("item_id")
    ids = items["item_id"].astype(str)
    added = {column: ids.map(by_id[column]) for column in by_id.columns if column not in items}
    return _with_a_place(items.assign(**added))
