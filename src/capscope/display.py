"""Display of results in Python sessions and notebooks (reprs, HTML tables), and export of their tables to Arrow."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from capscope.errors import InputError, first_few

ROWS = 20
"""Rows of a table that a notebook shows."""
LONGEST = 60
"""Characters of one value in a repr."""
FEW = 3
"""Entries of a sequence that a repr shows."""


def html_table(caption: str, table: pd.DataFrame, note: str = "") -> str:
    """Write a table as HTML for a notebook; every text is escaped.

    Args:
        caption: What it holds, in a few words.
        table: The rows; the first 20 are shown, and how many there are is said.
        note: What a reader should know, below the table.
    """
    more = f"The first {ROWS} of {len(table):,} rows. " if len(table) > ROWS else ""
    body = table.head(ROWS).to_html(index=False, border=0, float_format=lambda value: f"{value:.3f}", na_rep="")
    foot = f"<p>{escape(more + note)}</p>" if more or note else ""
    return f"<div><p><strong>{escape(caption)}</strong></p>{body}{foot}</div>"


def short_repr(self: object) -> str:
    """Describe a result dataclass in one short line a field; set it as the `__repr__` of the class.

    Tables and arrays are described by their size, long texts and sequences are cut.

    Args:
        self: An instance of a dataclass.
    """
    shown = [(entry.name, getattr(self, entry.name)) for entry in fields(cast(Any, self)) if entry.repr]
    lines = [f"  {name}={short_value(value)}" for name, value in shown if value is not None]
    return "\n".join([f"{type(self).__name__}(", *lines, ")"]) if lines else f"{type(self).__name__}()"


def short_value(value: object) -> str:
    """Describe one value in at most about 60 characters."""
    if isinstance(value, pd.DataFrame | pd.Series):
        columns = f": {_cut(', '.join(map(str, value.columns)))}" if isinstance(value, pd.DataFrame) else ""
        return f"<{len(value):,} rows{columns}>"
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} array {value.shape}>" if value.ndim else repr(value.item())
    if isinstance(value, Mapping):
        return f"<{len(value):,} entries: {_cut(', '.join(map(str, value)))}>" if value else "{}"
    if isinstance(value, tuple | list | set | frozenset):
        entries = [short_value(entry) for entry in list(value)[:FEW]]
        more = f", ... {len(value):,} in all" if len(value) > FEW else ""
        return f"({_cut(', '.join(entries))}{more})"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str | int | bool):
        return _cut(repr(value))
    if is_dataclass(value) and not isinstance(value, type):
        return f"<{type(value).__name__}>"
    return _cut(repr(value).split("\n")[0])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"


class ArrowTables:
    """Results that hold tables: a base class of their dataclasses."""

    def to_arrow(self, table: str = "") -> pa.Table:
        """Return a table of the result as an Arrow table, which polars, DuckDB and others read without a copy.

        Args:
            table: Name of the field that holds the table; by default the first.

        Raises:
            InputError: There is no such table, or a column mixes types that Arrow has no common type for.

        Example:
            >>> polars.from_arrow(capscope.forecast(scores).to_arrow("odd"))  # doctest: +SKIP
        """
        values = {entry.name: getattr(self, entry.name) for entry in fields(cast(Any, self))}
        frames = {name: value for name, value in values.items() if isinstance(value, pd.DataFrame)}
        name = table or next(iter(frames), "")
        if name not in frames:
            raise InputError(f"there is no table '{name}' in {type(self).__name__}; it has {first_few(frames, 8)}")
        return _arrow_of(frames[name], name)


def _arrow_of(frame: pd.DataFrame, name: str) -> pa.Table:
    """Turn a table into an Arrow table; an index that only counts its rows is left out."""
    if not isinstance(frame.index, pd.RangeIndex) or frame.index.name is not None:
        # Labels without a name are called `index`, or `level_0`, `level_1` and so on.
        frame = frame.reset_index()
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except pa.ArrowException as error:
        reason = ": ".join(str(part) for part in error.args).replace("\n", " ")
        raise InputError(f"table '{name}' is no Arrow table: {reason}; give each column values of one type") from None
