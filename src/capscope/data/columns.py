"""Columns of a table: identifiers become text, numbers stay within bounds, the others become what Parquet can hold."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import RowIndex
from capscope.errors import InputError

Place = Callable[[int], str]
"""Says where a position of a column stands in its file."""

MAY_BE_MISSING = {"n_options", "chance", "sd", "confidence", "usd", "tokens", "seconds"}
"""Numeric columns in which single cells may be empty."""

TRUTH_WORDS = {"true": 1.0, "false": 0.0}


def data_row(position: int) -> str:
    """Name a row of a table as a reader counts them: from 1, without the header."""
    return f"row {position + 1}"


def blank_cells(column: pd.Series) -> pd.Series:
    """Mark the cells that hold nothing, or only white space."""
    if pd.api.types.is_numeric_dtype(column):
        return column.isna()
    return column.isna() | column.astype(str).str.strip().eq("")


def as_identifier(column: pd.Series, name: str, source: str, place: Place = data_row) -> pd.Series:
    """Turn identifiers into sorted categories of text; numbers keep their digits, white space around them goes.

    Raises:
        InputError: A cell is empty.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        nested = column.dtype == object and column.map(lambda value: isinstance(value, (list, dict, np.ndarray))).any()
        codes, values = pd.factorize(column.astype(str) if nested else column)
    texts = np.array([_identifier_text(value) for value in values], dtype=object)
    empty = (codes < 0) | np.isin(codes, np.flatnonzero(texts == ""))
    if empty.any():
        where = place(int(np.flatnonzero(empty)[0]))
        raise InputError(f"{source}: {where} has no {name}; fill it in or remove the row")
    names = sorted(set(texts[np.unique(codes)]))
    position = {text: number for number, text in enumerate(names)}
    to_name = np.array([position.get(text, -1) for text in texts])
    kind = pd.CategoricalDtype(names)
    return pd.Series(pd.Categorical.from_codes(to_name[codes], dtype=kind), index=column.index, name=column.name)


def _identifier_text(value: object) -> str:
    """Write an identifier as text: the float 7.0, which pandas makes of a column with gaps, is the id 7."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def as_number(
    column: pd.Series, name: str, bounds: tuple[float, float], source: str, place: Place = data_row
) -> pd.Series:
    """Turn a column into numbers within bounds, or name the first row that is not one.

    A score may also be true or false, which count 1 and 0.

    Raises:
        InputError: A cell is not a number, is missing where it may not be, or lies outside the bounds.
    """
    blank, numbers = blank_cells(column), _numbers(column, truth_counts=name == "score")
    low, high = bounds
    wrong = ~(blank | (numbers.between(low, high) & np.isfinite(numbers)))
    if name not in MAY_BE_MISSING:
        wrong |= blank
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        found = shown(column.iloc[position])
        raise InputError(f"{source}: {place(position)}: {name} is {found}; {_advice(name, low, high)}")
    return numbers


def _numbers(column: pd.Series, *, truth_counts: bool) -> pd.Series:
    """Return the cells as floats, NaN where they are not numbers."""
    if pd.api.types.is_complex_dtype(column) or not (truth_counts or not pd.api.types.is_bool_dtype(column)):
        return pd.Series(np.nan, index=column.index)
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    if pd.api.types.is_complex_dtype(numbers):
        numbers = numbers.where(numbers.map(np.isreal)).map(np.real)
    numbers = numbers.astype(float)
    if numbers.isna().any() or column.dtype == object:
        truth = column.astype(str).str.strip().str.lower().map(TRUTH_WORDS).astype(float)
        numbers = truth.fillna(numbers) if truth_counts else numbers.mask(truth.notna())
    return numbers


def shown(value: object) -> str:
    """Write a cell for an error message: short, on one line."""
    if not str(value).strip() or (pd.api.types.is_scalar(value) and pd.Series([value]).isna().any()):
        return "missing"
    text = f"{value:.6g}" if isinstance(value, (float, np.floating)) else " ".join(str(value).split())
    return f"'{text[:40]}'"


def _advice(name: str, low: float, high: float) -> str:
    span = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of at least {low:g}"
    if name == "score":
        return (
            f"a score is a number {span} (a rate, not a percentage); leave out what was not administered,"
            " or name that value on import with --not-administered"
        )
    return f"it must be a number {span}"


def as_text(column: pd.Series) -> pd.Series:
    """Turn a column into text; empty cells are missing."""
    blank = blank_cells(column)
    return column.astype(object).map(str).astype(object).mask(blank, None).astype("str").mask(blank, None)


def storable(column: pd.Series) -> pd.Series:
    """Return a column that Parquet gives back as it was: nested or mixed values become JSON text."""
    if column.dtype != object:
        return column
    plain = column.infer_objects()
    kind = pd.api.types.infer_dtype(plain, skipna=True)
    if kind == "empty":
        return pd.Series(None, index=column.index, dtype="str", name=column.name)
    if kind == "string":
        return as_text(column)
    if kind in ("integer", "floating", "mixed-integer-float", "boolean") and not column.isna().any():
        return pd.to_numeric(column) if kind != "boolean" else column.astype(bool)
    blank = column.isna()
    return column.map(_json_text).mask(blank, None).astype("str").mask(blank, None)


def _json_text(value: object) -> str:
    if isinstance(value, str):
        return value
    plain = value.tolist() if isinstance(value, np.ndarray) else value
    return json.dumps(plain, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class WideTable:
    """The filled cells of a wide table, row by row."""

    row: RowIndex
    """Position of each cell's row."""
    column: RowIndex
    """Position of each cell's column."""
    value: pd.Series
    """What the cells hold."""
    names: tuple[str, ...]
    """Names of the columns."""
    blank: int
    """How many cells were empty."""

    def only(self, keep: np.ndarray) -> "WideTable":
        """Return the chosen cells."""
        return WideTable(self.row[keep], self.column[keep], self.value[keep], self.names, self.blank)

    def column_names(self) -> pd.Series:
        """Return each cell's column as a category."""
        return pd.Series(self.names, dtype="category").take(self.column).reset_index(drop=True)

    def numbers(self, name: str, bounds: tuple[float, float], source: str) -> pd.Series:
        """Return the cells as numbers within bounds.

        Raises:
            InputError: A cell is not one; the message names its row and column.
        """
        return as_number(self.value.reset_index(drop=True), name, bounds, source, self.place)

    def place(self, position: int) -> str:
        """Say where a cell stands."""
        return f"{data_row(int(self.row[position]))}, column '{self.names[self.column[position]]}'"


def filled_cells(frame: pd.DataFrame) -> WideTable:
    """Return the cells that hold something; the others are counted."""
    value = pd.Series(frame.to_numpy().ravel())
    filled = np.flatnonzero(~blank_cells(value).to_numpy())
    row, column = np.divmod(filled, max(frame.shape[1], 1))
    names = tuple(map(str, frame.columns))
    return WideTable(row, column, value.iloc[filled], names, len(value) - len(filled))
