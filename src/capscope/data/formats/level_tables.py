"""Tables of demand levels without scores, which are added to a study of the same items."""

from pathlib import Path

import pandas as pd

from capscope.data.formats.assembly import Parts, assemble
from capscope.data.formats.format import ENCODING, Argument, Format, Head, ImportReport, Option, Paths, as_paths
from capscope.data.levels import ID_NAMES, Levels, levels_from_columns, levels_from_objects
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import TABLES, validate
from capscope.errors import InputError, first_few

RATERS = ("annotator", "judge_model", "judge")
"""Names of the annotator's column."""
RUBRICS = ("rubric", "demand", "scale", "dimension")
"""Names of the rubric's column in long tables."""
OTHERS = frozenset((*ID_NAMES, *RATERS, *TABLES["items"].optional, *TABLES["demands"].optional, "demands"))
"""Columns of a wide table that are no rubric."""


def import_levels(paths: Paths, annotator: str | None = None, encoding: str = "utf-8") -> tuple[Study, ImportReport]:
    """Make a study of demand levels alone.

    Args:
        paths: Tables with `item_id` and `rubric, level`, one column for each rubric, or a column `demands` of objects
            such as ``{"AS": 1, ...}``. A column `text` recognises items where ids differ.
        annotator: Name of the annotator, where the tables do not say.
        encoding: Text encoding of CSV and JSON files.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A column is missing, or a level is none from 0 to 5; the message names file and row.
    """
    files = as_paths(paths)
    frames = [(path, _named(read_table(path, encoding), path, annotator)) for path in files]
    rated = [_levels(frame, path) for path, frame in frames]
    texts = [frame[["item_id", "text"]].drop_duplicates() for _, frame in frames if "text" in frame]
    return assemble(
        Parts(
            format="levels",
            sources=files,
            items=pd.concat(texts, ignore_index=True).drop_duplicates() if texts else None,
            items_source=first_few(map(str, files)),
            levels=Levels(pd.concat([each.demands for each in rated]), sum(each.unrated for each in rated)),
            other_rows=sum(len(frame) for _, frame in frames),
        )
    )


def _named(frame: pd.DataFrame, path: Path, annotator: str | None) -> pd.DataFrame:
    """Give the columns of item, annotator and rubric their standard names."""
    names = {str(column) for column in frame.columns}
    item = next((name for name in ID_NAMES if name in names), None)
    if item is None:
        known = first_few(sorted(names), 8)
        raise InputError(f"{path}: no column names the item; found {known}; name one item_id")
    rater = next((name for name in RATERS if name in names), None)
    if rater is None and annotator is None:
        raise InputError(f"{path}: no column 'annotator' says who rated; add one or give --annotator NAME")
    rubric = next((name for name in RUBRICS if name in names and "level" in names), None)
    renamed = frame.rename(columns={item: "item_id", **({rater: "annotator"} if rater else {})})
    renamed = renamed.rename(columns={rubric: "rubric"}) if rubric else renamed
    return renamed if rater else renamed.assign(annotator=annotator)


def _levels(frame: pd.DataFrame, path: Path) -> Levels:
    if "rubric" in frame and "level" in frame:
        kept = [name for name in (*TABLES["demands"].required, *TABLES["demands"].optional) if name in frame]
        return Levels(validate(frame[kept], "demands", str(path)), 0)
    if "demands" in frame:
        return levels_from_objects(frame, (), frame["annotator"], path)
    rubrics = tuple(str(column) for column in frame if str(column) not in OTHERS)
    if not rubrics:
        raise InputError(f"{path}: no column holds levels; add 'rubric' and 'level', or a column for each rubric")
    return levels_from_columns(frame, rubrics, frame["annotator"], str(path))


def _detect(head: Head) -> bool:  # noqa: ARG001 - one signature
    """Return False: tables of levels beside scores belong to `tidy`; alone they are named."""
    return False


LEVELS = Format(
    name="levels",
    help="Demand levels of items, to add to a study.",
    example="levels.csv --annotator gpt-4o --into STUDY; or",
    patterns=("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet"),
    detect=_detect,
    read=import_levels,
    arguments=(Argument(help="Tables with item_id and rubric, level, or a column for each rubric."),),
    options=(Option(keyword="annotator", help="Who rated, where the table does not say."), ENCODING),
)
