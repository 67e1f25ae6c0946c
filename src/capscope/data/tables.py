"""The three tables of a study: which columns they have, and the checks that every one of them passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from capscope.errors import InputError, first_few, nearest

TableName = Literal["items", "responses", "demands"]


@dataclass(frozen=True)
class TableSpec:
    """What one table must and may hold."""

    required: tuple[str, ...]
    """Columns without which there is no table."""
    optional: tuple[str, ...]
    """Columns with a meaning of their own; others are kept untouched."""
    key: tuple[str, ...]
    """Columns that together name a row; those absent are left out of the key."""
    bounds: dict[str, tuple[float, float]]
    """Numeric columns with the range they must lie in."""


TABLES: dict[TableName, TableSpec] = {
    "items": TableSpec(
        required=("item_id",),
        optional=("benchmark", "task", "text", "target", "n_options", "chance"),
        key=("item_id",),
        bounds={"n_options": (1.0, np.inf), "chance": (0.0, 1.0)},
    ),
    "responses": TableSpec(
        required=("model", "item_id", "score"),
        optional=("n_trials", "source", "prompt", "scaffold"),
        key=("model", "item_id", "prompt", "scaffold"),
        bounds={"score": (0.0, 1.0), "n_trials": (1.0, np.inf)},
    ),
    "demands": TableSpec(
        required=("item_id", "rubric", "annotator", "level"),
        optional=("sd", "confidence", "rubric_sha"),
        key=("item_id", "rubric", "annotator"),
        bounds={"level": (0.0, 5.0), "sd": (0.0, np.inf), "confidence": (0.0, 1.0)},
    ),
}
"""The tables of a study (DESIGN: data model)."""

MAY_BE_MISSING = {"n_options", "chance", "sd", "confidence"}
"""Numeric columns in which single cells may be empty."""


def validate(frame: pd.DataFrame, table: TableName, source: str) -> pd.DataFrame:
    """Return the table with text identifiers and checked numbers, or say in one line what is wrong.

    Args:
        frame: The table as read.
        table: Which of the three tables it is.
        source: What to call it in an error: the file's path.

    Raises:
        InputError: A column is missing or misspelt, a number is out of range or missing, a key occurs twice.
    """
    spec = TABLES[table]
    if frame.empty:
        raise InputError(f"{source}: the table has no rows; check how it was written")
    require_columns(frame, spec, source)
    frame = frame.copy()
    for column in _identifiers(frame, spec):
        frame[column] = _as_identifier(frame[column], column, source)
    for column, bounds in spec.bounds.items():
        if column in frame:
            frame[column] = as_number(frame[column], column, bounds, source)
    if table == "items":
        _refuse_two_texts(frame, source)
    _refuse_duplicates(frame, [column for column in spec.key if column in frame], source)
    return frame.reset_index(drop=True)


def require_columns(frame: pd.DataFrame, spec: TableSpec, source: str) -> None:
    """Refuse a table in which a required column is missing, or an optional one is misspelt."""
    columns = [str(column) for column in frame.columns]
    unknown = [column for column in columns if column not in spec.required + spec.optional]
    for column in spec.required:
        if column not in columns:
            raise InputError(
                f"{source}: column '{column}' is missing{nearest(column, unknown)};"
                f" found {first_few(columns, 8)}; rename the column or map it on import"
            )
    for column in spec.optional:
        if column not in columns and (hint := _misspelling(column, unknown)):
            raise InputError(f"{source}: column '{hint}' looks like a misspelt '{column}'; rename it")


def _misspelling(column: str, unknown: Sequence[str]) -> str | None:
    """Return an unknown column within one or two letters of a known one."""
    for candidate in unknown:
        plain = candidate.lower().strip().replace(" ", "_")
        if plain == column or (len(column) > 4 and _edits(plain, column) == 1):
            return candidate
    return None


def _edits(left: str, right: str) -> int:
    """Count single-letter edits between two words, a swap of neighbours counting as one."""
    grid = [[i + j if i * j == 0 else 0 for j in range(len(right) + 1)] for i in range(len(left) + 1)]
    for i in range(1, len(left) + 1):
        for j in range(1, len(right) + 1):
            change = grid[i - 1][j - 1] + (left[i - 1] != right[j - 1])
            grid[i][j] = min(grid[i - 1][j] + 1, grid[i][j - 1] + 1, change)
            if i > 1 and j > 1 and left[i - 2 : i] == right[j - 2 : j][::-1]:
                grid[i][j] = min(grid[i][j], grid[i - 2][j - 2] + 1)
    return grid[-1][-1]


def _identifiers(frame: pd.DataFrame, spec: TableSpec) -> list[str]:
    names = ("model", "item_id", "rubric", "annotator", "benchmark", "task", "prompt", "scaffold")
    return [name for name in names if name in frame and name in spec.required + spec.optional]


def _as_identifier(column: pd.Series, name: str, source: str) -> pd.Series:
    """Turn identifiers into categories of text; numbers keep their digits, nothing may be missing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        text = column.cat.rename_categories([_identifier_text(value) for value in column.cat.categories])
        missing = column.isna()
    else:
        missing = column.isna() | (column.astype(str).str.strip() == "")
        text = column.map(_identifier_text).astype("category")
    if missing.any():
        row = int(np.flatnonzero(missing)[0]) + 1
        raise InputError(f"{source}: row {row} has no {name}; fill it in or remove the row")
    return text.cat.remove_unused_categories()


def _identifier_text(value: object) -> str:
    """Write an identifier as text: the float 7.0, which pandas makes of a column with gaps, is the id 7."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def as_number(column: pd.Series, name: str, bounds: tuple[float, float], source: str) -> pd.Series:
    """Turn a column into numbers within bounds, or name the first row that is not one.

    Raises:
        InputError: A cell is not a number, is missing where it may not be, or lies outside the bounds.
    """
    if pd.api.types.is_numeric_dtype(column):
        blank, numbers = column.isna(), column.astype(float)
    else:
        blank = column.isna() | (column.astype(str).str.strip() == "")
        numbers = pd.to_numeric(column.where(~blank), errors="coerce").astype(float)
    low, high = bounds
    wrong = ~blank & (numbers.isna() | (numbers < low) | (numbers > high) | np.isinf(numbers))
    if name not in MAY_BE_MISSING:
        wrong |= blank
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{source}: row {row + 1}: {name} is {_shown(column.iloc[row])}; {_advice(name, low, high)}")
    return numbers


def _shown(value: object) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value)) or str(value).strip() == ""
    return "missing" if missing else f"'{value}'"


def _advice(name: str, low: float, high: float) -> str:
    span = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of at least {low:g}"
    if name == "score":
        return f"a score is a number {span} (a rate, not a percentage); leave out what was not administered"
    return f"it must be a number {span}"


def _refuse_two_texts(frame: pd.DataFrame, source: str) -> None:
    if "text" not in frame:
        return
    twice = frame[frame.duplicated("item_id", keep=False)]
    texts = twice.groupby("item_id", observed=True)["text"].nunique(dropna=False)
    clashing = texts[texts > 1]
    if len(clashing):
        raise InputError(
            f"{source}: item_id '{clashing.index[0]}' has two different texts ({len(clashing)} such ids);"
            " give each item its own id"
        )


def _refuse_duplicates(frame: pd.DataFrame, key: list[str], source: str) -> None:
    code = np.zeros(len(frame), dtype=np.int64)
    for column in key:
        code = code * len(frame[column].cat.categories) + frame[column].cat.codes.to_numpy()
    repeated = pd.Index(code).duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        name = ", ".join(f"{column} '{frame[column].iloc[row]}'" for column in key)
        raise InputError(
            f"{source}: row {row + 1} repeats {name} ({int(repeated.sum())} such rows);"
            " keep one, or merge trials into score and n_trials"
        )
