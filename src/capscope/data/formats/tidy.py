"""Tidy tables: one row for each model and item, or a matrix of models by items, with the columns mapped by name."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from capscope.data.formats.assembly import Assembly, assemble
from capscope.data.formats.exporting import ExportReport, report_on_export, write_file
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import Columns, Layout, ScoreTable, long_scores, wide_scores
from capscope.data.levels import Levels, levels_from_columns
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import TABLES, require_columns, validate
from capscope.errors import InputError, OutputError

DEMANDS = TABLES["demands"]
NOT_RUBRICS = ("item_id", "annotator", *TABLES["items"].optional)
"""Columns of a wide table of demands that are no rubric."""


@dataclass(frozen=True)
class ExtraTables:
    """Tables beside the scores."""

    items: Path | None = None
    """Table of items."""
    demands: Path | None = None
    """Table of demand levels: long (item_id, rubric, level), or one column for each rubric."""
    annotator: str | None = None
    """Who rated the demands, where the table does not say."""


def import_tidy(
    paths: Sequence[Path],
    columns: Columns = Columns(),
    layout: Layout = "long",
    not_administered: Sequence[str] = (),
    extra: ExtraTables = ExtraTables(),
    encoding: str = "utf-8",
) -> tuple[Study, ImportReport]:
    """Make a study of tables of scores.

    Args:
        paths: CSV, TSV, JSONL, JSON or Parquet files; their rows are put together.
        columns: What the columns are called.
        layout: Long (a row for each model and item), wide (a row for each model) or wide-items (a row for each item).
            The column that `columns` names, or else the first one, holds the names of a wide table's rows.
        not_administered: Values that stand for "not administered"; they are counted and become no response.
        extra: Tables of items and demands.
        encoding: Text encoding of CSV and JSON files.

    Raises:
        InputError: A table is wrong; the message names file and row.
        JoinError: The tables do not talk about the same items.
    """
    scores = [_scores(path, read_table(path, encoding), columns, layout, not_administered) for path in paths]
    items = _standard(extra.items, columns, encoding) if extra.items else None
    demands = _standard(extra.demands, columns, encoding) if extra.demands else None
    levels = _levels(demands, extra.annotator, str(extra.demands)) if demands is not None else None
    sources = [*paths, *(path for path in (extra.items, extra.demands) if path)]
    rows = sum(len(frame) for frame in (items, demands) if frame is not None)
    return assemble(Assembly("tidy", sources, scores, items, str(extra.items), levels, rows))


def _scores(
    path: Path, frame: pd.DataFrame, columns: Columns, layout: Layout, not_administered: Sequence[str]
) -> ScoreTable:
    if layout == "long":
        return long_scores(frame, columns, not_administered, str(path))
    return wide_scores(frame, columns, not_administered, str(path), layout)


def _standard(path: Path, columns: Columns, encoding: str) -> pd.DataFrame:
    """Read a table beside the scores, which may call its columns as they do."""
    frame = read_table(path, encoding)
    return columns.present_in(frame).standardise(frame, str(path))


def _levels(frame: pd.DataFrame, annotator: str | None, source: str) -> Levels:
    if "annotator" not in frame:
        if annotator is None:
            raise InputError(f"{source}: no column 'annotator' says who rated; add one or give --annotator NAME")
        frame = frame.assign(annotator=annotator)
    if "level" in frame or "rubric" in frame:
        return Levels(validate(frame, "demands", source), 0)
    require_columns(frame, TABLES["items"], source)
    rubrics = tuple(str(column) for column in frame if column not in NOT_RUBRICS)
    if not rubrics:
        raise InputError(f"{source}: no column holds levels; add 'rubric' and 'level', or a column for each rubric")
    return levels_from_columns(frame, rubrics, frame["annotator"], source)


WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": lambda table: table.to_csv(index=False).encode(),
    ".tsv": lambda table: table.to_csv(index=False, sep="\t").encode(),
    ".jsonl": lambda table: _json_lines(table),
    ".parquet": lambda table: table.to_parquet(index=False),
}
"""How a table becomes a file of each kind."""


def _json_lines(table: pd.DataFrame) -> bytes:
    """Write one object for each row, numbers to their last digit, without the cells that hold nothing."""
    filled = table.notna().to_numpy()
    rows = zip(table.astype(object).to_numpy().tolist(), filled.tolist(), strict=True)
    names = [str(name) for name in table.columns]
    objects = ({name: cell for name, cell, there in zip(names, row, kept, strict=True) if there} for row, kept in rows)
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects).encode()


def export_tidy(study: Study, out: Path, *, force: bool = False) -> ExportReport:
    """Write the responses of a study as one table, a row for each, with what is known of the items beside them.

    Args:
        study: A study with responses.
        out: The file to write; its ending says of which kind (`.csv`, `.tsv`, `.jsonl`, `.parquet`).
        force: Replace a file that is there.

    Raises:
        OutputError: The file is of another kind, is there, or cannot be written.
    """
    if out.suffix.lower() not in WRITERS:
        raise OutputError(f"{out}: cannot write '{out.suffix}' files; use one of {', '.join(WRITERS)}")
    table = study.require("responses").astype({"model": str, "item_id": str})
    kept = list(table.columns)
    if study.items is not None:
        known = study.items[["item_id", *(name for name in TABLES["items"].optional if name in study.items)]]
        known = known.loc[:, known.notna().any()].astype({"item_id": str})
        table = table.merge(known, on="item_id", how="left", validate="many_to_one")
        kept += list(known.columns)
    write_file(out, WRITERS[out.suffix.lower()](table), force=force)
    return report_on_export(study, [out], kept=kept)
