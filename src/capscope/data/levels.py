"""Demand levels as other tools write them (a column for each rubric, or an object for each item), and level counts.

Level counts are the numbers of items at each demand level, and of those that a model got right.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import LEVELS, Float
from capscope.data.columns import as_identifier, as_number, data_row, filled_cells
from capscope.data.json_text import parse_json
from capscope.data.reading import read_table, read_text
from capscope.data.study import Study
from capscope.data.tables import TABLES, require_columns
from capscope.display import short_repr
from capscope.errors import InputError, nearest

LEVEL_BOUNDS = TABLES["demands"].bounds["level"]


ITEM_NAMES = ("item_id", "item", "question_id", "instance_id", "sample_id", "problem_id", "task_id", "doc_id")
"""Names that tables give to the item."""

ID_NAMES = (*ITEM_NAMES, "custom_id", "id")
"""Names that tables of items or levels give to the item."""

TEXT_NAMES = ("text", "question", "prompt", "problem", "input")
"""Names that tables of items give to the text."""

LIST_OF_TEXTS = re.compile(r'\s*\[\s*"')
"""Beginning of a JSON list of texts."""

UNNAMED_ANNOTATOR = "unnamed"
"""Name of the annotator of files that name none."""

Counts = Float[np.ndarray, "model dim level"]

COLUMNS = ("model", "rubric", "level", "n", "correct")


@dataclass(frozen=True)
class Levels:
    """Demand levels in the long form of a study's table."""

    demands: pd.DataFrame
    """One row for each item and rubric that was rated."""
    unrated: int
    """Cells that hold no level."""


def levels_from_columns(frame: pd.DataFrame, codes: tuple[str, ...], annotator: pd.Series | str, source: str) -> Levels:
    """Read levels from one column for each rubric, beside `item_id`.

    Args:
        frame: A table with `item_id` and the columns.
        codes: The columns that are rubrics.
        annotator: Name of the annotator: one, or one for each row.
        source: Name of the table for messages.

    Raises:
        InputError: A cell is not a level from 0 to 5; the message names its row and column.
    """
    rated = pd.DataFrame({"item_id": as_identifier(frame["item_id"], "item_id", source), "annotator": annotator})
    rated["annotator"] = as_identifier(rated["annotator"], "annotator", source)
    _refuse_repeated(rated, source)
    cells = filled_cells(frame[list(codes)])
    of_cell = rated.take(cells.row).reset_index(drop=True)
    demands = pd.DataFrame(
        {
            "item_id": of_cell["item_id"],
            "rubric": cells.column_names(),
            "annotator": of_cell["annotator"],
            "level": cells.numbers("level", LEVEL_BOUNDS, source),
        }
    )
    return Levels(demands, cells.blank)


def _refuse_repeated(rated: pd.DataFrame, source: str) -> None:
    repeated = rated.duplicated()
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        item, rater = rated["item_id"].iloc[row], rated["annotator"].iloc[row]
        raise InputError(
            f"{source}: {data_row(row)} repeats item_id '{item}', annotator '{rater}'; keep one row of levels"
        )


def levels_from_objects(frame: pd.DataFrame, codes: tuple[str, ...], annotator: pd.Series | str, path: Path) -> Levels:
    """Read levels from a column `demands` of objects such as ``{"AS": 1, "CL": 0}`` (or the same as JSON text).

    Args:
        frame: A table with `item_id` and `demands`.
        codes: The rubrics there are; none means any.
        annotator: Name of the annotator: one, or one for each row.
        path: The file, for messages.

    Raises:
        InputError: A cell is no such object, names an unknown rubric, or a level lies outside 0 to 5.
    """
    objects = [_levels_object(path, data_row(row), cell) for row, cell in enumerate(frame["demands"])]
    for row, levels in enumerate(objects):
        unknown = [code for code in levels if codes and code not in codes]
        if unknown:
            raise InputError(
                f"{path}: {data_row(row)}: demands name an unknown rubric '{unknown[0]}'{nearest(unknown[0], codes)};"
                " rename it or give the rubric set it belongs to"
            )
    wide = pd.DataFrame(objects, dtype=object)
    if wide.empty:
        raise InputError(f"{path}: column 'demands' holds no level; remove the column or rate the items")
    named = tuple(map(str, wide.columns))
    return levels_from_columns(wide.assign(item_id=frame["item_id"].to_numpy()), named, annotator, str(path))


def _levels_object(path: Path, place: str, cell: object) -> dict[str, object]:
    if isinstance(cell, str) and cell.strip():
        cell = parse_json(path, cell, f"{place}: column 'demands'")
    if isinstance(cell, dict):
        return {str(code): level for code, level in cell.items()}
    if cell is None or cell == "" or cell != cell:  # noqa: PLR0124 - NaN, which pandas puts where nothing is
        return {}
    raise InputError(f'{path}: {place}: demands is {json.dumps(cell, default=str)[:40]}; write {{"CODE": level, ...}}')


def read_items(path: Path | str, rubrics: tuple[str, ...] = (), encoding: str = "utf-8") -> Study:
    """Read items and, where they are given, their demand levels.

    Args:
        path: A study folder; a JSONL, CSV or Parquet file with `item_id`, `text` and further columns of items; or a
            list of texts: a text file with one a line, or JSON. Texts may be in a column `question`, `prompt`,
            `problem` or `input`; without ids, items are named by the file and their row, as in ``new:1``. Demands
            are in a column `demands` (``{"AS": 1, ...}``) or in one column for each rubric; `annotator` says who
            rated.
        rubrics: Codes of the rubrics. Columns of these names are demands; without any, no column is.
        encoding: Text encoding of CSV and JSON files.

    Returns:
        A study of items and, where there are any, demand levels.

    Raises:
        InputError: The path is neither, or the table is wrong; the message names the row.
    """
    path = Path(path)
    if path.is_dir():
        study = Study.load(path).with_items()
        return Study(study.items, None, study.demands, study.name, study.sources, study.edited)
    return items_of_frame(_with_ids(_table_of_items(path, encoding), path.stem), rubrics, str(path))


def _table_of_items(path: Path, encoding: str) -> pd.DataFrame:
    """Read a table of items, or a list of texts.

    Raises:
        InputError: It is neither, or holds no text.
    """
    suffix = path.suffix.lower()
    if suffix not in (".txt", ".json", ".jsonl"):
        return read_table(path, encoding)
    text = read_text(path, encoding)
    lines = [line for line in text.splitlines() if line.strip()]
    if suffix == ".jsonl" and lines and lines[0].lstrip().startswith('"'):
        lines = [parse_json(path, line, f"text {number}") for number, line in enumerate(lines, 1)]
    elif suffix == ".json" and LIST_OF_TEXTS.match(text):
        lines = parse_json(path, text)
    elif suffix != ".txt":
        return read_table(path, encoding)
    if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
        raise InputError(f"{path}: expected a list of texts; write one text for each item")
    return pd.DataFrame({"text": lines})


def _with_ids(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give items without ids the name of their file and their row, and the text its standard name."""
    text, own = (next((column for column in names if column in frame), None) for names in (TEXT_NAMES, ID_NAMES))
    if own == "item_id" or text is None or (own is None and nearest("item_id", map(str, frame.columns))):
        return frame
    frame = frame.rename(columns={text: "text"} | ({own: "item_id"} if own else {}))
    return frame if own else frame.assign(item_id=[f"{name}:{row}" for row in range(1, len(frame) + 1)])


def items_of_frame(frame: pd.DataFrame, rubrics: tuple[str, ...] = (), name: str = "items") -> Study:
    """Make a study of a table of items and, where it has them, their demand levels.

    Args:
        frame: A table as `read_items` takes it.
        rubrics: Codes of the rubrics; columns with these names hold demand levels.
        name: Name of the table for messages.

    Returns:
        A study of items and, where there are any, demand levels.

    Raises:
        InputError: The table is wrong; the message names the row.
    """
    path, frame = Path(name), frame.copy()
    require_columns(frame, TABLES["items"], str(path))
    frame["item_id"] = as_identifier(frame["item_id"], "item_id", str(path))
    wide = tuple(code for code in rubrics if code in frame)
    rated = [name for name in ("demands", *wide) if name in frame]
    if "demands" in rated and wide:
        raise InputError(f"{path}: demands stand both in 'demands' and in '{wide[0]}'; keep one of the two")
    annotator = _annotator(frame, path) if rated else None
    items = Study.of(
        items=frame.drop(columns=rated if annotator is None else [*rated, "annotator"], errors="ignore"), name=str(path)
    ).items
    if annotator is None:
        return Study(items, name=str(path))
    levels = (
        levels_from_columns(frame, wide, annotator, str(path))
        if wide
        else levels_from_objects(frame, rubrics, annotator, path)
    )
    return Study.of(items, demands=levels.demands, name=str(path))


def _annotator(frame: pd.DataFrame, path: Path) -> pd.Series | str:
    return as_identifier(frame["annotator"], "annotator", str(path)) if "annotator" in frame else UNNAMED_ANNOTATOR


@dataclass(frozen=True)
class LevelCounts:
    """Trials and successes by model, dimension and level 0 to 5, on the slice where that dimension dominates."""

    models: tuple[str, ...]
    """Names on the model axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    n: Counts
    """Number of answers."""
    correct: Counts
    """Sum of scores."""

    __repr__ = short_repr

    def take_dims(self, dims: list[str]) -> "LevelCounts":
        """Return the counts on these dimensions, in this order."""
        index = [self.dims.index(dim) for dim in dims]
        return LevelCounts(self.models, tuple(dims), self.n[:, index], self.correct[:, index])

    def take_models(self, models: list[str]) -> "LevelCounts":
        """Return the counts of these models, in this order.

        Raises:
            InputError: There is no such model.
        """
        unknown = [model for model in models if model not in self.models]
        if unknown:
            raise InputError(f"level counts have no model '{unknown[0]}'{nearest(unknown[0], self.models)}")
        index = [self.models.index(model) for model in models]
        return LevelCounts(tuple(models), self.dims, self.n[index], self.correct[index])


def read_level_counts(path: Path) -> LevelCounts:
    """Read a table with columns model, rubric, level, n, correct; absent rows stand for no answers.

    Args:
        path: A table.

    Returns:
        Numbers asked and correct, by model, rubric and level.

    Raises:
        InputError: A column is missing, a level lies outside 0-5 or between two of them, a row occurs twice,
            or more are correct than were asked.
    """
    frame = read_table(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        hint = nearest(missing[0], [str(column) for column in frame if column not in COLUMNS])
        raise InputError(f"{path}: column '{missing[0]}' is missing{hint}; level counts have {', '.join(COLUMNS)}")
    for column in ("model", "rubric"):
        frame[column] = as_identifier(frame[column], column, str(path))
    for column, bounds in (("level", (0.0, 5.0)), ("n", (0.0, np.inf)), ("correct", (0.0, np.inf))):
        frame[column] = as_number(frame[column], column, bounds, str(path))
    _refuse(frame["level"] % 1 != 0, path, "level is not whole; counts belong to levels 0, 1, 2, 3, 4 and 5")
    _refuse(frame["correct"] > frame["n"], path, "more correct than n; check the two columns")
    _refuse(frame.duplicated(["model", "rubric", "level"]), path, "this model, rubric and level stand twice; keep one")
    return _as_arrays(frame)


def _refuse(wrong: pd.Series, path: Path, what: str) -> None:
    if wrong.any():
        raise InputError(f"{path}: {data_row(int(np.flatnonzero(wrong)[0]))}: {what}")


def _as_arrays(frame: pd.DataFrame) -> LevelCounts:
    models, dims = tuple(frame["model"].unique()), tuple(frame["rubric"].unique())
    where = (
        pd.Index(models).get_indexer(pd.Index(frame["model"])),
        pd.Index(dims).get_indexer(pd.Index(frame["rubric"])),
        frame["level"].astype(int).to_numpy(),
    )
    n = np.zeros((len(models), len(dims), len(LEVELS)))
    correct = np.zeros_like(n)
    n[where] = frame["n"].to_numpy()
    correct[where] = frame["correct"].to_numpy()
    return LevelCounts(models, dims, n, correct)
