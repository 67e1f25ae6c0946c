"""The three tables of a study: which columns they have, and the checks that every one of them passes."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa

from capscope.axes import FACETS
from capscope.data.columns import MAY_BE_MISSING, as_identifier, as_number, as_text, blank_cells, data_row, storable
from capscope.errors import LONGEST_NAME, InputError, first_few, nearest, shortened

TableName = Literal["items", "responses", "demands"]
LONG = frozenset({"model", "item_id", "score"})
"""Columns of a long table of responses."""


Value = TypeVar("Value")


@runtime_checkable
class ArrowTable(Protocol):
    """A table that can be read as an Arrow stream: of polars, pyarrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the stream (Arrow PyCapsule interface)."""
        ...


def as_frame(value: Value | ArrowTable) -> Value | pd.DataFrame:
    """Return a table of another library as a pandas DataFrame, and anything else as it is.

    Example:
        >>> as_frame(pa.table({"item_id": ["a"]})).columns.tolist()
        ['item_id']

    Args:
        value: A table of any library that exports Arrow streams, or anything else.
    """
    if isinstance(value, pd.DataFrame) or not isinstance(value, ArrowTable):
        return value
    return pa.table(value).to_pandas()


def holds_scores(frame: pd.DataFrame) -> bool:
    """Return whether a table is one of scores, long or wide (see `long_responses`), and not one of items."""
    columns = set(map(str, frame.columns))
    if columns >= LONG:
        return True
    scores = frame.drop(columns="model", errors="ignore")
    numeric = all(pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind) for kind in scores.dtypes)
    return "item_id" not in columns and numeric and len(scores.columns) > 0


def long_responses(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return a table of scores as responses, one row for each score.

    Args:
        frame: Long, with columns ``model, item_id, score``, which is returned as it is; or wide, with a row for each
            model (its index, or column ``model``) and a column for each item, NaN where an item was not administered.
        source: Name of the table, for messages.

    Returns:
        Columns model, item_id, score (and the others of a long table).

    Raises:
        InputError: A model or an item of a wide table occurs twice, or a cell holds no number.
    """
    if set(map(str, frame.columns)) >= LONG:
        return frame
    wide = frame.set_index("model") if "model" in frame.columns else frame
    models, items = wide.index.astype(str), wide.columns.astype(str)
    repeated = [name for axis in (models, items) for name in axis[axis.duplicated()]]
    if repeated:
        raise InputError(f"{source} names {repeated[0]} twice; give each model one row and each item one column")
    model, item = np.nonzero(wide.notna().to_numpy())
    cells = wide.to_numpy()[model, item]
    try:
        score = cells.astype(float)
    except (TypeError, ValueError):
        place = next(place for place, cell in enumerate(cells) if pd.isna(pd.to_numeric(cell, errors="coerce")))
        where = f"model '{models[model[place]]}', item '{items[item[place]]}'"
        raise InputError(f"{source}: {where}: '{cells[place]}' is no score; write a number from 0 to 1") from None
    return pd.DataFrame({"model": models.to_numpy()[model], "item_id": items.to_numpy()[item], "score": score})


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


FUSED = "fused"
"""The annotator of levels that several annotators were fused into; they replace those of the others."""

NOT_STATED = "none"
"""Name of a facet's value where a row leaves it open."""
COSTS = ("usd", "tokens", "seconds")
"""Costs of an answer in dollars, tokens and seconds; any cell may be empty."""
AGREEMENT = "agreement"
"""Column of the share of a model's other runs of an item that gave the same answer."""
CONFIDENCE = "confidence"
"""Column of the probability that a subject itself gave to being right; checked where it is used."""

TABLES: dict[TableName, TableSpec] = {
    "items": TableSpec(
        required=("item_id",),
        optional=("benchmark", "task", "text", "target", "n_options", "chance"),
        key=("item_id",),
        bounds={"n_options": (1.0, np.inf), "chance": (0.0, 1.0)},
    ),
    "responses": TableSpec(
        required=("model", "item_id", "score"),
        optional=("n_trials", "source", *FACETS, *COSTS),
        key=("model", "item_id", *FACETS),
        bounds={"score": (0.0, 1.0), "n_trials": (1.0, np.inf), **dict.fromkeys(COSTS, (0.0, np.inf))},
    ),
    "demands": TableSpec(
        required=("item_id", "rubric", "annotator", "level"),
        optional=("sd", "confidence", "rubric_sha"),
        key=("item_id", "rubric", "annotator"),
        bounds={"level": (0.0, 5.0), "sd": (0.0, np.inf), "confidence": (0.0, 1.0)},
    ),
}
"""The tables of a study (DESIGN: data model)."""

KEYS_A_ROW, FEW_KEYS, ROWS_A_STEP = 8, 1 << 20, 1 << 20
"""Possible keys for each row, or in all, up to which repeats are looked for by marks; rows marked at once."""
_COPIES = int(pd.__version__.split(".")[0]) < 3
"""Whether columns must be copied so that later changes of the caller's table do not reach a checked one."""
IDENTIFIERS = ("model", "item_id", "rubric", "annotator", "benchmark", "task", *FACETS)
"""Columns that name something, in whichever table they occur."""
MAY_BE_OPEN = ("effort", "judge", "run")
"""Facets that single rows may leave open."""
PLAIN_WORDS = (*MAY_BE_OPEN, *COSTS)
"""Columns whose names are close to ordinary words, so that a similar name (`token`, `judged`) is no slip."""


def validate(frame: pd.DataFrame, table: TableName, source: str) -> pd.DataFrame:
    """Return the table with text identifiers and checked numbers, or say in one line what is wrong.

    Args:
        frame: The table as read.
        table: Which of the three tables it is.
        source: Name for messages: the path of the file.

    Raises:
        InputError: A column is missing or misspelt, a number is out of range or missing, a key occurs twice.
    """
    spec = TABLES[table]
    if frame.empty:
        raise InputError(f"{source}: the table has no rows; check how it was written")
    frame = frame.set_axis([str(column) for column in frame.columns], axis="columns")
    require_columns(frame, spec, source)
    # pandas 3 copies what is shared once it is written to
    frame = pd.DataFrame({column: _checked(frame[column], spec, source) for column in frame}, copy=_COPIES)
    if table == "items":
        _refuse_two_texts(frame, source)
    _refuse_duplicates(frame, [column for column in spec.key if column in frame], source)
    return frame.reset_index(drop=True)


def checked_columns(
    frame: pd.DataFrame,
    source: str,
    *,
    names: Sequence[str] = (),
    numbers: Mapping[str, tuple[float, float]] | None = None,
    remedy: str,
) -> pd.DataFrame:
    """Check the columns of a table that is none of a study's: costs, chances of a draw, predictions, pairs.

    Args:
        frame: The table as read; columns that are not named stay as they are.
        source: The file, for messages.
        names: Columns of identifiers, which become text.
        numbers: Columns of numbers with their bounds.
        remedy: What to do where a column is missing, for messages.

    Returns:
        The table, its checked columns converted to text and numbers.

    Raises:
        InputError: A column is missing or there twice, a cell is empty, or a number is none or out of bounds.
    """
    bounds = dict(numbers or {})
    columns = [str(column) for column in frame.columns]
    for name in (*names, *bounds):
        if columns.count(name) != 1:
            state = "there twice" if name in columns else f"missing{nearest(name, columns)}"
            raise InputError(f"{source}: column '{name}' is {state}; {remedy}")
    texts = {name: as_identifier(frame[name], name, source).astype(str).astype(object) for name in names}
    values = {name: as_number(frame[name], name, limits, source) for name, limits in bounds.items()}
    return frame.assign(**texts, **values)


def is_checked(frame: pd.DataFrame, table: TableName) -> bool:
    """Return whether a table looks as `validate` leaves it.

    Every column of its key is there as categories of text, no row repeats another, and numbers lie within bounds: rows
    that were added to a checked table, or a checked table of another kind, do not pass.

    Args:
        frame: The table.
        table: Which of the three it is to be.
    """
    spec = TABLES[table]
    key = [column for column in spec.key if column in frame]
    return (
        all(column in frame for column in spec.required)
        and all(isinstance(frame[column].dtype, pd.CategoricalDtype) for column in key)
        and all(_within(frame[name], *bounds) for name, bounds in spec.bounds.items() if name in frame)
        and not _has_repeats(frame, key)
    )


def _within(column: pd.Series, low: float, high: float) -> bool:
    if not pd.api.types.is_float_dtype(column.dtype):
        return False
    fits = column.between(low, high) & np.isfinite(column)
    return bool((fits | column.isna() if column.name in MAY_BE_MISSING else fits).all())


def _checked(column: pd.Series, spec: TableSpec, source: str) -> pd.Series:
    name = str(column.name)
    if name in IDENTIFIERS and name in spec.required + spec.optional:
        if name in MAY_BE_OPEN:
            column = _with_open_facets(column)
        return as_identifier(column, name, source)
    if name in spec.bounds:
        return as_number(column, name, spec.bounds[name], source)
    return as_text(column) if name == "text" else storable(column)


def _with_open_facets(column: pd.Series) -> pd.Series:
    blank = blank_cells(column)
    return column.astype(object).mask(blank, NOT_STATED) if blank.any() else column


def require_columns(frame: pd.DataFrame, spec: TableSpec, source: str) -> None:
    """Refuse a table in which a required column is missing, or an optional one is misspelt.

    Args:
        frame: The table.
        spec: Its columns.
        source: Name of the file, for the message.

    Raises:
        InputError: A column is missing, misspelt or there twice.
    """
    columns = [str(column) for column in frame.columns]
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise InputError(f"{source}: two columns have the same name ({first_few(repeated)}); rename one")
    unknown = [column for column in columns if column not in spec.required + spec.optional]
    for column in spec.required:
        if column not in columns:
            raise InputError(
                f"{source}: column '{column}' is missing{nearest(column, unknown)};"
                f" found {first_few(columns, 8)}; rename the column or map it on import"
            )
    for column in spec.optional:
        if column not in (*columns, *PLAIN_WORDS) and (hint := _misspelling(column, unknown)):
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


def _refuse_two_texts(frame: pd.DataFrame, source: str) -> None:
    if "text" not in frame:
        return
    repeated = frame[frame.duplicated("item_id")]
    first = frame.drop_duplicates("item_id").set_index("item_id")["text"].reindex(repeated["item_id"]).to_numpy()
    clashing = repeated[repeated["text"].fillna("").to_numpy() != pd.Series(first).fillna("").to_numpy()]
    if len(clashing):
        raise InputError(
            f"{source}: {data_row(int(clashing.index[0]))}: item_id '{clashing['item_id'].iloc[0]}' has two different"
            f" texts ({clashing['item_id'].nunique()} such ids); give each item its own id"
        )


def _has_repeats(frame: pd.DataFrame, key: list[str]) -> bool:
    """Return whether a key comes twice; where few keys are possible each is marked, which takes a byte a key."""
    columns = [frame[name].cat for name in key if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    sizes = tuple(len(column.categories) for column in columns)
    if len(columns) < len(key) or math.prod(sizes) > max(KEYS_A_ROW * len(frame), FEW_KEYS):
        return bool(frame.duplicated(key).any())
    codes, seen = [column.codes.to_numpy() for column in columns], np.zeros(math.prod(sizes), bool)
    if any(code.min(initial=0) < 0 for code in codes):
        return bool(frame.duplicated(key).any())
    for start in range(0, len(frame), ROWS_A_STEP):
        rows = [code[start : start + ROWS_A_STEP].astype(np.int64) for code in codes]
        seen[np.ravel_multi_index(rows, sizes)] = True
    return int(np.count_nonzero(seen)) < len(frame)


def _refuse_duplicates(frame: pd.DataFrame, key: list[str], source: str) -> None:
    if _has_repeats(frame, key):
        repeated = frame.duplicated(key)
        row = int(np.flatnonzero(repeated)[0])
        name = ", ".join(f"{column} '{shortened(str(frame[column].iloc[row]), LONGEST_NAME)}'" for column in key)
        raise InputError(
            f"{source}: {data_row(row)} repeats {name} ({int(repeated.sum())} such rows); keep one"
            + (", or merge trials into score and n_trials" if "score" in frame else "")
        )
