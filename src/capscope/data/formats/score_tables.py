"""Conversion of long and wide tables of scores to rows of model, item and score, with checks of every cell."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Literal, get_args

import numpy as np
import pandas as pd

from capscope.data.columns import as_identifier, blank_cells, coerced, data_row, filled_cells
from capscope.data.formats.described_items import ITEM_COLUMNS
from capscope.data.reading import LEFT_OUT, without_index
from capscope.data.tables import COSTS, TABLES, require_columns, validate
from capscope.errors import LONGEST_NAME, InputError, counted, first_few, nearest, shortened

Layout = Literal["long", "wide", "wide-items"]
"""Long: a row for each model and item. Wide: a row for each model. Wide-items: a row for each item."""
Runs = Literal["error", "latest", "mean", "all"]
"""What to do where several runs answer for the same model and item: refuse, take the latest, pool their trials, or
keep all, with the facet `run`."""
RUNS_CHOICES: tuple[Runs, ...] = get_args(Runs)

RESPONSES = TABLES["responses"]
INDEX_NAMES = ("index", "level_0")
"""Names that pandas gives to an index that it turns into a column."""
ROUNDING = 0.0051
"""Largest rounding error of a mean with two digits."""
AGGREGATE = re.compile(r"(?i)\W*(mean|average|avg|overall|total|sum|macro|micro|accuracy|acc|score|all|aggregate)\W*")
"""Names of columns that hold a mean of the others rather than an item or a model."""


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns; None where the standard name is used if it is there."""

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

        Args:
            frame: A table as read, with the columns of its file.
            source: Name of the file, for messages.

        Returns:
            The table with the mapped columns renamed to their standard names.

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

    Args:
        column: Cells of a table.
        sentinels: Values that mean "not administered".

    Returns:
        Whether each cell is one, shape (row,).

    Raises:
        InputError: A value is itself a score.
    """
    marked = np.zeros(len(column), dtype=bool)
    if not sentinels:
        return marked
    text = None if pd.api.types.is_numeric_dtype(column) else column.astype(str).str.strip()
    numbers = coerced(column).to_numpy(dtype=float)
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


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The scores of one file or run."""

    source: str
    """The file."""
    responses: pd.DataFrame
    """Responses, in the order of the file, with what the file says about the items."""
    described: pd.DataFrame
    """Rows that describe items: `item_id` and any columns of items."""
    rows: int
    """Rows of the file."""
    not_administered: int
    """Scores that were empty or held a value that means "not administered"."""
    started: str = ""
    """When the run began, in a form that sorts by time; empty where the file does not say."""
    complete: bool = True
    """Whether the run ended as it should."""
    notes: tuple[str, ...] = ()
    """Remarks on the table."""


def long_scores(frame: pd.DataFrame, columns: Columns, sentinels: Sequence[str], source: str) -> ScoreTable:
    """Read a table with a row for each model and item.

    Args:
        frame: The table as read.
        columns: Names of the columns in the table.
        sentinels: Values of the score that mean "not administered".
        source: Name of the file, for messages.

    Returns:
        The scores, and what the table holds on items.

    Raises:
        InputError: A column is missing, or a row is wrong; the message names it.
    """
    notes = left_out_notes(frame, source)
    frame = columns.standardise(frame, source)
    require_columns(frame, RESPONSES, source)
    absent = is_sentinel(frame["score"], sentinels)
    frame["score"] = frame["score"].astype(object).mask(absent, 0) if absent.any() else frame["score"]
    about = [name for name in ITEM_COLUMNS if name in frame]
    checked = validate(frame.drop(columns=about), "responses", source)
    described = frame[about].assign(item_id=checked["item_id"])
    return ScoreTable(
        source=source,
        responses=_some(checked[~absent], source),
        described=described,
        rows=len(frame),
        not_administered=int(absent.sum()),
        notes=notes,
    )


def wide_scores(
    frame: pd.DataFrame, columns: Columns, sentinels: Sequence[str], source: str, layout: Layout
) -> ScoreTable:
    """Read a matrix of scores; empty cells were not administered.

    Args:
        frame: The table as read.
        columns: Names of the columns in the table.
        sentinels: Values that mean "not administered".
        source: Name of the file, for messages.
        layout: ``wide`` with models in rows, else items in rows.

    Returns:
        The scores, and what the table holds on items.

    Raises:
        InputError: A row has no name or a name twice, or a cell is no score; the message names row and column.
    """
    frame = columns.standardise(frame, source)
    rows_are, columns_are = ("model", "item_id") if layout == "wide" else ("item_id", "model")
    if rows_are in frame:
        frame = without_index(frame, source, INDEX_NAMES)
    name_column = rows_are if rows_are in frame else str(frame.columns[0])
    names = as_identifier(frame[name_column], rows_are, source)
    _refuse_repeated(names, rows_are, source)
    about = [name for name in ITEM_COLUMNS if name in frame] if rows_are == "item_id" else []
    matrix = frame.drop(columns=[name_column, *about])
    if rows_are not in frame:
        matrix = without_index(matrix, source, INDEX_NAMES)
    cells = filled_cells(matrix)
    absent = is_sentinel(cells.value, sentinels)
    cells = cells.only(~absent)
    responses = pd.DataFrame(
        {
            rows_are: names.take(cells.row).reset_index(drop=True),
            columns_are: cells.column_names(),
            "score": cells.numbers("score", RESPONSES.bounds["score"], source),
        }
    )
    return ScoreTable(
        source=source,
        responses=_some(responses, source),
        described=pd.DataFrame({"item_id": names, **frame[about]}) if about else responses[["item_id"]],
        rows=len(frame),
        not_administered=cells.blank + int(absent.sum()),
        notes=(*_index_notes(frame, matrix, source), *_aggregate_notes(names, matrix, source)),
    )


def left_out_notes(frame: pd.DataFrame, source: str) -> tuple[str, ...]:
    """Name the columns that `read_table` or `without_index` left out.

    Args:
        frame: A table as `read_table` returns it.
        source: Name of the file.

    Returns:
        One line, or none.
    """
    names: tuple[str, ...] = frame.attrs.get(LEFT_OUT, ())
    return (f"{source}: left out, for it only numbers the rows: column {first_few(names)}",) if names else ()


def _index_notes(frame: pd.DataFrame, matrix: pd.DataFrame, source: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*left_out_notes(frame, source), *left_out_notes(matrix, source))))


def _aggregate_notes(names: pd.Series, matrix: pd.DataFrame, source: str) -> list[str]:
    """Name rows and columns that hold the mean or the sum of the others: they are neither items nor models."""
    values = np.stack([coerced(matrix.iloc[:, k]).to_numpy(dtype=float) for k in range(matrix.shape[1])], axis=1)
    column_names, row_names = [str(name) for name in matrix.columns], [str(name) for name in names]
    means = [f"column '{name}'" for name in _aggregates(values, column_names)]
    means += [f"row '{name}'" for name in _aggregates(values.T, row_names)]
    return [f"{source}: {name} is the mean of the others; leave it out if it is none of them" for name in means]


def _aggregates(values: np.ndarray, names: list[str]) -> list[str]:
    """Return the columns that equal the mean of all others in every row, to the digits that tables have."""
    if values.shape[1] < 3 or values.shape[0] < 2:
        return []
    there = ~np.isnan(values)
    total, count = np.where(there, values, 0).sum(axis=1), there.sum(axis=1)
    other = (total[:, None] - np.where(there, values, 0)) / np.maximum(count[:, None] - there, 1)
    equal = np.all(np.abs(values - other) < ROUNDING, axis=0)
    graded = np.any((values > 0) & (values < 1), axis=0)
    return [names[k] for k in np.flatnonzero(equal) if graded[k] or AGGREGATE.fullmatch(names[k])]


def _some(responses: pd.DataFrame, source: str) -> pd.DataFrame:
    if responses.empty:
        raise InputError(f"{source}: no score was administered; check the layout and --not-administered")
    return responses


def _refuse_repeated(names: pd.Series, axis: str, source: str) -> None:
    repeated = names.duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        name = shortened(str(names.iloc[row]), LONGEST_NAME)
        raise InputError(f"{source}: {data_row(row)} repeats {axis} '{name}'; keep one row for each {axis}")


def joined_scores(tables: Sequence[ScoreTable], runs: Runs | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Put the responses of several files together.

    Args:
        tables: One for each file or run.
        runs: What to do where several runs answer for the same model and item; None where files are no runs. The
            answers of a run that did not complete give way to those of a later one in any case.

    Returns:
        The responses, and remarks.

    Raises:
        InputError: Two files answer for the same model and item; the message names both.
    """
    joined = pd.concat({place: table.responses for place, table in enumerate(tables) if len(table.responses)})
    key = [name for name in RESPONSES.key if name in joined]
    repeated = joined.duplicated(key)
    if not repeated.any():
        return joined.reset_index(drop=True), ()
    if runs is None or (runs == "error" and not _superseded(joined, key, tables)):
        raise InputError(_clash(joined, key, repeated, tables, runs))
    count = int(joined.duplicated(key, keep=False).sum() - repeated.sum())
    if runs == "mean":
        note = f"{counted(count, 'answer', 'are')} in several runs; their trials are pooled (--repeats mean)"
        return _pooled(joined, key), (note,)
    if runs == "all":
        note = f"{counted(count, 'answer', 'are')} in several runs; all are kept, with the facet 'run' (--repeats all)"
        return _numbered(joined, key, tables), (note,)
    latest = _by_time(joined, tables).drop_duplicates(key, keep="last").sort_index()
    of = "unfinished runs and in the retry" if runs == "error" else "several runs"
    return latest.reset_index(drop=True), (f"{counted(count, 'answer', 'are')} in {of}; those of the latest run count",)


def _by_time(joined: pd.DataFrame, tables: Sequence[ScoreTable]) -> pd.DataFrame:
    """Return the responses in the order in which their runs began; where that is unknown, in the order of the files."""
    order = sorted(range(len(tables)), key=lambda place: (_instant(tables[place].started), place))
    rank = np.argsort(order)[joined.index.get_level_values(0)]
    return joined.iloc[np.argsort(rank, kind="stable")]


def _numbered(joined: pd.DataFrame, key: list[str], tables: Sequence[ScoreTable]) -> pd.DataFrame:
    """Number the answers of a model to an item in the order of their runs: 1, 2, ..."""
    ordered = _by_time(joined, tables)
    of_item = [name for name in key if name != "run"]
    number = ordered.groupby(of_item, sort=False, observed=True).cumcount() + 1
    return ordered.assign(run=number.astype(str)).sort_index().reset_index(drop=True)


def _superseded(joined: pd.DataFrame, key: list[str], tables: Sequence[ScoreTable]) -> bool:
    """Return whether every repeated answer but the latest is one of a run that did not complete."""
    ordered = _by_time(joined, tables)
    earlier = ordered.index[ordered.duplicated(key, keep="last")].get_level_values(0)
    return not any(tables[place].complete for place in set(earlier))


def _pooled(joined: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    trials = joined["n_trials"] if "n_trials" in joined else pd.Series(1.0, joined.index)
    weighted = joined.assign(n_trials=trials, score=joined["score"] * trials)
    costs = [name for name in COSTS if name in joined]
    weighted = weighted.assign(**{f"with {name}": trials.where(joined[name].notna(), 0) for name in costs})
    others = {name: "first" for name in joined if name not in (*key, "score", "n_trials")}
    others |= dict.fromkeys((*costs, *(f"with {name}" for name in costs)), "sum")
    pooled = weighted.groupby(key, sort=False, observed=True, as_index=False).agg(
        {"score": "sum", "n_trials": "sum", **others}
    )
    # a run without costs counts the mean of the others
    shares = {name: pooled[f"with {name}"] / pooled["n_trials"] for name in costs}
    known = {name: pooled[name] / share.where(share > 0) for name, share in shares.items()}
    return pooled.assign(score=pooled["score"] / pooled["n_trials"], **known).drop(columns=[f"with {c}" for c in costs])


def _clash(
    joined: pd.DataFrame, key: list[str], repeated: pd.Series, tables: Sequence[ScoreTable], runs: Runs | None
) -> str:
    position = int(np.flatnonzero(repeated)[0])
    same = (joined[key].astype(str) == joined[key].astype(str).iloc[position]).all(axis=1)
    first, second = joined.index[int(np.flatnonzero(same)[0])], joined.index[position]
    name = ", ".join(f"{column} '{shortened(str(joined[column].iloc[position]), LONGEST_NAME)}'" for column in key)
    remedy = "choose --repeats latest, mean or all" if runs else "merge trials into score and n_trials"
    return (
        f"{tables[second[0]].source}: {data_row(int(second[1]))} repeats {name} of {tables[first[0]].source}"
        f" ({int(repeated.sum())} such rows); keep one, or {remedy}"
    )


def _instant(started: str) -> str:
    """Return the start of a run in UTC, so that runs of several time zones are in order; other texts as they are."""
    try:
        at = datetime.fromisoformat(started)
    except ValueError:
        return started
    return (at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)).isoformat()
