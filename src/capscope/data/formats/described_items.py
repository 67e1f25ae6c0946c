"""Item descriptions in score tables and logs: one row for each item; contradictory descriptions are refused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data.columns import as_text, blank_cells, data_row, storable
from capscope.data.tables import TABLES
from capscope.errors import InputError

ITEM_COLUMNS = TABLES["items"].optional
"""Columns of a table of responses that describe the item."""


def items_of_tables(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame | None:
    """Collect the item columns of tables of scores.

    Args:
        tables: Names and tables with `item_id` and any of `ITEM_COLUMNS`.

    Returns:
        A table of items; None where no table describes any.

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
    return _with_unknown_places(items)


def _one_value_each(tables: Sequence[tuple[str, pd.DataFrame]], column: str) -> dict[str, str]:
    """Return the value that each item has in this column, where any row has one."""
    known: dict[str, str] = {}
    for source, frame in tables:
        if column not in frame:
            continue
        pairs = _distinct(frame["item_id"], frame[column])
        earlier = pairs["item_id"].map(known)
        clash = pairs["item_id"].duplicated() | (earlier.notna() & (earlier != pairs["value"]))
        if clash.any():
            row = pairs.index[clash][0]
            raise InputError(
                f"{source}: {data_row(int(row))}: item_id '{pairs['item_id'][row]}' has two different {column}s;"
                " give each item its own id"
            )
        known |= dict(zip(pairs["item_id"], pairs["value"], strict=True))
    return known


def _distinct(ids: pd.Series, values: pd.Series) -> pd.DataFrame:
    """Return each pair of item and value once, as text, at the row where it occurs first."""
    codes = ids.cat.codes.to_numpy().astype(np.int64) * (len(values) + 1) + pd.factorize(storable(values))[0]
    first = ~pd.Series(codes).duplicated().to_numpy()
    pairs = pd.DataFrame({"item_id": ids[first].astype(str), "value": as_text(values[first])})
    return pairs[~blank_cells(pairs["value"])].drop_duplicates()


def _with_unknown_places(items: pd.DataFrame) -> pd.DataFrame:
    """Name the benchmark or task of an item `unknown` where only others have one."""
    for column in ("benchmark", "task"):
        if column in items:
            items[column] = items[column].fillna("unknown")
    return items


def completed(items: pd.DataFrame, logged: pd.DataFrame | None) -> pd.DataFrame:
    """Add to a table of items the columns that only the scores' description of items has.

    Args:
        items: The table of items, one row for each.
        logged: Items as the scores describe them, one row for each; None for none.

    Returns:
        The table with these columns, empty for items that the scores do not describe.
    """
    if logged is None:
        return items
    by_id = logged.set_index("item_id")
    ids = items["item_id"].astype(str)
    added = {column: ids.map(by_id[column]) for column in by_id.columns if column not in items}
    return _with_unknown_places(items.assign(**added))


@dataclass(frozen=True)
class LoggedItem:
    """Description of an item in a log."""

    task: str
    """Its task."""
    benchmark: str | None = None
    """The benchmark that the task belongs to; None where the log does not say."""
    text: str | None = None
    """The question, with its options one to a line."""
    target: str | None = None
    """The right answer."""
    n_options: int | None = None
    """Number of options; None for an open question."""
    digest: str | None = None
    """Hash of the item's content made by the log's tool; without one, the text identifies the item."""
    tools: str | None = None
    """Tools that an agent may call, one a line."""
    environment: str | None = None
    """Description of the environment in which an agent works."""


class ItemBook:
    """The items of all logs read so far."""

    def __init__(self) -> None:
        self._items: dict[str, LoggedItem] = {}
        self._seen: dict[str, str] = {}

    def describe(self, item_id: str, item: LoggedItem, path: Path, place: str) -> None:
        """Add an item, or check that it equals the one already known by this id.

        Args:
            item_id: Id of the item.
            item: Content of the item in a log.
            path: File of the log, for the message.
            place: Place in the file, for the message.

        Raises:
            InputError: Another item has this id; the message names both places.
        """
        known = self._items.get(item_id)
        if known is None:
            self._items[item_id] = item
            self._seen[item_id] = f"{path}"
            return
        if known == item:
            return
        if _differ(known, item):
            raise InputError(
                f"{path}: {place}: item '{item_id}' is not the one of {self._seen[item_id]} (its content differs);"
                " import only logs of the same version of the task"
            )
        self._items[item_id] = _merged(known, item)

    def knows(self, item_id: str, digest: object, benchmark: str | None) -> bool:
        """Return whether the item is known with the same hash and benchmark.

        Args:
            item_id: Id of the item.
            digest: Hash of its content in the log.
            benchmark: Benchmark it is to have; None for any.
        """
        known = self._items.get(item_id)
        if known is None or known.digest is None or known.digest != digest:
            return False
        return benchmark is None or known.benchmark == benchmark

    def table(self) -> pd.DataFrame | None:
        """Return the items as a table of a study; columns that no log fills are left out."""
        if not self._items:
            return None
        items = self._items.values()
        table = pd.DataFrame(
            {
                "item_id": list(self._items),
                "benchmark": [item.benchmark or item.task for item in items],
                "task": [item.task for item in items],
                "text": pd.Series([item.text for item in items], dtype=object),
                "target": pd.Series([item.target for item in items], dtype=object),
                "n_options": [item.n_options for item in items],
                "tools": pd.Series([item.tools for item in items], dtype=object),
                "environment": pd.Series([item.environment for item in items], dtype=object),
            }
        )
        optional = ("text", "target", "n_options", "tools", "environment")
        return table.drop(columns=[name for name in optional if table[name].isna().all()])


def _differ(known: LoggedItem, item: LoggedItem) -> bool:
    if known.digest is not None and item.digest is not None:
        return known.digest != item.digest
    return known.text is not None and item.text is not None and known.text != item.text


def _merged(known: LoggedItem, item: LoggedItem) -> LoggedItem:
    """Fill missing fields of the first description from the second."""
    return replace(
        known,
        benchmark=known.benchmark or item.benchmark,
        text=known.text if known.text is not None else item.text,
        target=known.target if known.target is not None else item.target,
        n_options=known.n_options if known.n_options is not None else item.n_options,
        digest=known.digest or item.digest,
        tools=known.tools or item.tools,
        environment=known.environment or item.environment,
    )
