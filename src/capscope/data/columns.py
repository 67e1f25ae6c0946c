"""Columns of a table: identifiers become text, numbers stay within bounds, others become what Parquet can hold."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import RowIndex
from capscope.errors import InputError, shortened

Place = Callable[[int], str]
"""Describes a position of a column by its place in the file."""

MAY_BE_MISSING = {"n_options", "chance", "sd", "confidence", "usd", "tokens", "seconds"}
"""Numeric columns in which single cells may be empty."""

TRUTH_WORDS = {"true": 1.0, "false": 0.0}
ROUNDING = 1e-9
"""A number beyond a bound by no more than this is the bound: means of ones may come out as 1.0000000000000002."""
LONGEST_INTEGER = 2**63 - 1
"""Integers beyond this do not fit into a column of integers."""


def data_row(position: int) -> str:
    """Name a row of a table as a reader counts them: from 1, without the header."""
    return f"row {position + 1}"


def blank_cells(column: pd.Series) -> pd.Series:
    """Mark the cells that hold nothing, or only white space."""
    if pd.api.types.is_numeric_dtype(column):
        return column.isna()
    if isinstance(column.dtype, pd.CategoricalDtype):
        blank = column.cat.categories.astype(str).str.strip() == ""
        return pd.Series(np.append(blank, True)[column.cat.codes.to_numpy()], index=column.index)
    return column.isna() | column.astype(str).str.strip().eq("")


def as_identifier(column: pd.Series, name: str, source: str, place: Place = data_row) -> pd.Series:
    """Turn identifiers into sorted categories of text; numbers keep their digits, white space around them is removed.

    Args:
        column: The identifiers.
        name: What they name, for messages.
        source: The file, for messages.
        place: Describes a position.

    Raises:
        InputError: A cell is empty, or is no text or number.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        _refuse_wrapped(column, name, source, place)
        codes, values = pd.factorize(column)
    texts = np.array(_identifier_texts(np.asarray(values, dtype=object).tolist()), dtype=object)
    used = pd.unique(codes)
    if (used < 0).any() or (texts[used] == "").any():
        empty = (codes < 0) | np.isin(codes, np.flatnonzero(texts == ""))
        where = place(int(np.flatnonzero(empty)[0]))
        raise InputError(f"{source}: {where} has no {name}; fill it in or remove the row")
    names = sorted(set(texts[used]))
    position = {text: number for number, text in enumerate(names)}
    to_name = np.array([position.get(text, -1) for text in texts], np.min_scalar_type(-len(names) - 1))
    kind = pd.CategoricalDtype(names)
    if _is_of_kind(column, kind):
        return column
    return pd.Series(pd.Categorical.from_codes(to_name[codes], dtype=kind), index=column.index, name=column.name)


def _is_of_kind(column: pd.Series, kind: pd.CategoricalDtype) -> bool:
    """Return whether a column has these very categories, in this order."""
    held = column.dtype
    return (
        isinstance(held, pd.CategoricalDtype)
        and not held.ordered
        and held.categories.dtype == kind.categories.dtype
        and held.categories.equals(kind.categories)
    )


def _refuse_wrapped(column: pd.Series, name: str, source: str, place: Place) -> None:
    """Refuse true, false, lists and objects as names: they are another column, or one that was wrapped in the export.

    Raises:
        InputError: A cell is one.
    """
    if not (column.dtype == object or pd.api.types.is_bool_dtype(column)):
        return
    wrapped = column.map(lambda value: isinstance(value, bool | np.bool_ | list | dict | tuple | set | np.ndarray))
    if wrapped.any():
        position = int(np.flatnonzero(wrapped.to_numpy(dtype=bool))[0])
        raise InputError(
            f"{source}: {place(position)}: {name} is {shown(column.iloc[position])}, which is no name;"
            " a name is text or a number"
        )


def _identifier_texts(values: list[Any]) -> list[str]:
    """Write identifiers as text; days without a time are days, as a CSV file has them."""
    days = (isinstance(value, pd.Timestamp) and value.tz is None and value == value.normalize() for value in values)
    if values and all(days):
        return [value.date().isoformat() for value in values]
    return [_identifier_text(value) for value in values]


def _identifier_text(value: object) -> str:
    """Write an identifier as text: the float 7.0, which pandas makes of a column with gaps, is the id 7."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return plain_text(value).strip()


def plain_text(value: object) -> str:
    """Return a value as text; bytes are UTF-8, and bytes that are not keep their escapes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def as_number(
    column: pd.Series, name: str, bounds: tuple[float, float], source: str, place: Place = data_row
) -> pd.Series:
    """Turn a column into numbers within bounds, or name the first row that is not one.

    A score may also be true or false, which count 1 and 0.

    Args:
        column: The numbers.
        name: Name of the column; those of `MAY_BE_MISSING` may have empty cells.
        bounds: Smallest and largest number.
        source: The file, for messages.
        place: Describes a position.

    Raises:
        InputError: A cell is not a number, is missing where it may not be, or lies outside the bounds.
    """
    low, high = bounds
    if _all_within(column, low, high):
        return column
    blank, numbers = blank_cells(column), _numbers(column, truth_counts=name == "score")
    numbers = numbers.mask((numbers < low) & (numbers >= low - ROUNDING), low)
    numbers = numbers.mask((numbers > high) & (numbers <= high + ROUNDING), high)
    wrong = ~(blank | (numbers.between(low, high) & np.isfinite(numbers)))
    if name not in MAY_BE_MISSING:
        wrong |= blank
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        cell = shown(column.iloc[position])
        raise InputError(f"{source}: {place(position)}: {name} is {cell}; {_advice(name, low, high)}")
    return numbers


def _all_within(column: pd.Series, low: float, high: float) -> bool:
    """Return whether a column of doubles needs no work: no cell is empty or out of bounds."""
    if column.dtype != np.float64 or not len(column):
        return False
    values = column.to_numpy()
    return bool(values.min() >= low and values.max() <= high and np.isfinite(values.max()))


def _numbers(column: pd.Series, *, truth_counts: bool) -> pd.Series:
    """Return the cells as floats, NaN where they are not numbers."""
    if pd.api.types.is_complex_dtype(column) or not (truth_counts or not pd.api.types.is_bool_dtype(column)):
        return pd.Series(np.nan, index=column.index)
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    numbers = coerced(column)
    if pd.api.types.is_complex_dtype(numbers):
        numbers = numbers.where(numbers.map(np.isreal)).map(np.real)
    numbers = numbers.astype(float)
    if numbers.isna().any() or column.dtype == object:
        truth = column.astype(str).str.strip().str.lower().map(TRUTH_WORDS).astype(float)
        numbers = truth.fillna(numbers) if truth_counts else numbers.mask(truth.notna())
    return numbers


def coerced(column: pd.Series) -> pd.Series:
    """Return the cells as numbers, NaN where they are none."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    cells = column.astype(object)
    try:
        numbers = pd.to_numeric(cells, errors="coerce")
    except OverflowError:
        return cells.map(_number)
    return numbers if pd.api.types.is_integer_dtype(numbers) else _correctly_rounded(cells, numbers)


def _correctly_rounded(cells: pd.Series, numbers: pd.Series) -> pd.Series:
    """Parse text again, because `pandas.to_numeric` before pandas 3.1 errs in the last digit of one number in three."""
    values = numbers.to_numpy(copy=True)
    is_text = np.array([isinstance(cell, str) for cell in cells], dtype=bool) & ~np.isnan(values)
    exact = cells.to_numpy()[is_text]
    values[is_text] = [_number(cell) for cell in exact]
    return pd.Series(np.where(np.isnan(values), numbers, values), index=cells.index, name=cells.name)


def _number(value: object) -> float:
    """Return a cell as a float; an integer too long for one is infinite."""
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except OverflowError:
        return np.inf
    except (TypeError, ValueError):
        return np.nan


def known_cost(value: object) -> float | None:
    """Return a cost, a number of tokens or a time; None where it is no number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LONGEST_INTEGER:
        return None
    return float(value)


LONGEST_REASON = 200
"""Characters of a reason in a remark; a provider's answer may be a whole page."""


def reason_text(value: object) -> str:
    """Write the message of an error in a log for a remark: on one line, its middle left out where it is long."""
    return shortened(" ".join(str(value or "no message").split()), LONGEST_REASON)


def shown(value: object) -> str:
    """Write a cell for an error message: short, on one line."""
    if isinstance(value, int) and abs(value) > LONGEST_INTEGER:
        return "an integer too long to be read"
    text = " ".join(plain_text(value).split())
    if not text or (pd.api.types.is_scalar(value) and pd.Series([value]).isna().any()):
        return "missing"
    if not isinstance(value, (float, np.floating)):
        return f"'{text[:40]}'"
    short = f"{value:.6g}"
    return f"'{short}'" if not float(short).is_integer() or float(value).is_integer() else f"'{float(value)!r}'"


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
    return column.astype(object).map(plain_text).astype(object).mask(blank, None).astype("str").mask(blank, None)


def storable(column: pd.Series) -> pd.Series:
    """Return a column that Parquet gives back as it was: nested, mixed or other values become JSON text."""
    if column.dtype != object:
        return column if _is_plain(column) else as_text(column)
    plain = column.infer_objects()
    kind = pd.api.types.infer_dtype(plain, skipna=True)
    if kind in ("empty", "string", "bytes"):
        return as_text(column)
    if kind in ("integer", "floating", "mixed-integer-float", "boolean") and not column.isna().any():
        if kind == "boolean":
            return column.astype(bool)
        numbers = _as_plain_numbers(column)
        if numbers is not None:
            return numbers
    blank = blank_cells(column)
    return column.map(_json_text).mask(blank, None).astype("str").mask(blank, None)


def _is_plain(column: pd.Series) -> bool:
    """Return whether Parquet can hold a column as it is."""
    if pd.api.types.is_complex_dtype(column) or isinstance(column.dtype, pd.SparseDtype | pd.IntervalDtype):
        return False
    return not isinstance(column.dtype, pd.PeriodDtype)


def _as_plain_numbers(column: pd.Series) -> pd.Series | None:
    """Return a column of Python numbers as machine numbers; None where an integer is too long for that."""
    if any(isinstance(value, int) and abs(value) > LONGEST_INTEGER for value in column):
        return None
    return pd.to_numeric(column)


def _json_text(value: object) -> str:
    if isinstance(value, str):
        return value
    plain = value.tolist() if isinstance(value, np.ndarray) else value
    return json.dumps(plain, ensure_ascii=False, default=plain_text)


@dataclass(frozen=True)
class WideTable:
    """The filled cells of a table that has one column for each name, row by row."""

    row: RowIndex
    """Position of each cell's row."""
    column: RowIndex
    """Position of each cell's column."""
    value: pd.Series
    """Content of the cells."""
    names: tuple[str, ...]
    """Names of the columns."""
    blank: int
    """Number of empty cells."""

    def only(self, keep: np.ndarray) -> "WideTable":
        """Return the chosen cells."""
        return WideTable(self.row[keep], self.column[keep], self.value[keep], self.names, self.blank)

    def column_names(self) -> pd.Series:
        """Return each cell's column as a category."""
        return pd.Series(self.names, dtype="category").take(self.column).reset_index(drop=True)

    def numbers(self, name: str, bounds: tuple[float, float], source: str) -> pd.Series:
        """Return the cells as numbers within bounds.

        Args:
            name: What the cells are, for the message.
            bounds: Smallest and largest number allowed.
            source: Name of the file, for the message.

        Raises:
            InputError: A cell is not one; the message names its row and column.
        """
        return as_number(self.value.reset_index(drop=True), name, bounds, source, self.place)

    def place(self, position: int) -> str:
        """Describe where a cell is."""
        return f"{data_row(int(self.row[position]))}, column '{self.names[self.column[position]]}'"


def filled_cells(frame: pd.DataFrame) -> WideTable:
    """Return the cells that hold something; the others are counted."""
    value = pd.Series(frame.to_numpy().ravel())
    filled = np.flatnonzero(~blank_cells(value).to_numpy())
    row, column = np.divmod(filled, max(frame.shape[1], 1))
    names = tuple(map(str, frame.columns))
    return WideTable(row, column, value.iloc[filled], names, len(value) - len(filled))


def known_chance(chance: pd.Series) -> pd.Series:
    """Return chances of a right guess; one of 1 would leave nothing to be known, so that such an item counts as open.

    Args:
        chance: Stated chances; missing where unknown.
    """
    return chance.astype(float).mask(chance.astype(float) >= 1)


def guess_chance(n_options: pd.Series) -> pd.Series:
    """Return the chance of a right guess among so many options; 0 for one, which is the answer to an open question.

    Args:
        n_options: Number of options of each item; missing where unknown.
    """
    return (1 / n_options.astype(float)).mask(n_options == 1, 0.0)
