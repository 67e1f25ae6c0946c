"""Read the items of a prediction job: a study folder, or one file that holds items and their demands together."""

from pathlib import Path

import pandas as pd

from capscope.data.columns import as_identifier
from capscope.data.levels import levels_from_columns, levels_from_objects
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import TABLES, require_columns
from capscope.errors import InputError

UNNAMED_ANNOTATOR = "unnamed"
"""Who rated, where a file does not say."""


def read_items(path: Path | str, rubrics: tuple[str, ...] = (), encoding: str = "utf-8") -> Study:
    """Read items and, where they are given, their demand levels.

    Args:
        path: A study folder, or a JSONL, CSV or Parquet file with `item_id`, `text` and further columns of items.
            Demands stand in a column `demands` (``{"AS": 1, ...}``) or in one column for each rubric; `annotator`
            says who rated.
        rubrics: Codes of the rubrics. Columns of these names are demands; without any, no column is.
        encoding: Text encoding of CSV and JSON files.

    Raises:
        InputError: The path is neither, or the table is wrong; the message names the row.
    """
    path = Path(path)
    if path.is_dir():
        study = Study.load(path)
        return Study(study.require("items"), None, study.demands, study.name, study.sources, study.edited)
    return items_of_frame(read_table(path, encoding), rubrics, str(path))


def items_of_frame(frame: pd.DataFrame, rubrics: tuple[str, ...] = (), name: str = "items") -> Study:
    """Make a study of a table of items and, where it has them, their demand levels.

    Args:
        frame: A table as `read_items` takes it.
        rubrics: Codes of the rubrics; columns with these names hold demand levels.
        name: What to call the table in messages.

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
    found = (
        levels_from_columns(frame, wide, annotator, str(path))
        if wide
        else levels_from_objects(frame, rubrics, annotator, path)
    )
    return Study.of(items, demands=found.demands, name=str(path))


def _annotator(frame: pd.DataFrame, path: Path) -> pd.Series | str:
    return as_identifier(frame["annotator"], "annotator", str(path)) if "annotator" in frame else UNNAMED_ANNOTATOR
