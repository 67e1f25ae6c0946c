"""Tidy tables: one row for each model and item, or a matrix of models by items, with the columns mapped by name."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from capscope.data.formats.assembly import Parts, assemble
from capscope.data.formats.format import (
    ENCODING,
    NOT_ADMINISTERED,
    Argument,
    ExportReport,
    Format,
    Head,
    ImportReport,
    Option,
    Paths,
    as_paths,
    report_on_export,
)
from capscope.data.formats.score_tables import (
    Columns,
    Layout,
    ScoreTable,
    left_out_notes,
    long_scores,
    wide_scores,
)
from capscope.data.formats.table_roles import role_of, suggest_tables
from capscope.data.levels import ID_NAMES, Levels, levels_from_columns
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import TABLES, require_columns, validate
from capscope.errors import InputError, OutputError
from capscope.files import TABLE_WRITERS, whole_file, write_text

NOT_RUBRICS = ("item_id", "annotator", *TABLES["items"].optional)
"""Columns of a wide table of demands that are no rubric."""
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
"""Endings of the files that can be written."""


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
    paths: Paths,
    columns: Columns = Columns(),
    layout: Layout = "long",
    not_administered: Sequence[str] = (),
    extra: ExtraTables = ExtraTables(),
    encoding: str = "utf-8",
) -> tuple[Study, ImportReport]:
    """Make a study of tables of scores.

    A table without models and scores is taken as items; its questions get ids by their rows where it has none.

    Args:
        paths: CSV, TSV, JSONL, JSON or Parquet files; their rows are put together.
        columns: Names of the columns.
        layout: Long (a row for each model and item), wide (a row for each model) or wide-items (a row for each item).
            The column that `columns` names, or else the first one, holds the names of a wide table's rows.
        not_administered: Values that mean "not administered"; they are counted and become no response.
        extra: Tables of items and demands.
        encoding: Text encoding of CSV and JSON files.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A table is wrong; the message names file and row.
        JoinError: The tables are not about the same items.
    """
    files = as_paths(paths)
    frames = [(path, read_table(path, encoding, keep_index=layout != "long")) for path in files]
    extra_items = [read_table(Path(extra.items), encoding)] if extra.items else []
    described: list[pd.DataFrame] = []
    of_scores = _not_only_in(columns, extra_items, [frame for _, frame in frames])
    scores: list[ScoreTable] = []
    for path, frame in frames:
        if layout == "long" and _holds_items_only(columns.present_in(frame).standardise(frame, str(path))):
            described.append(_items_of(columns.present_in(frame).standardise(frame, str(path)), path))
        else:
            scores.append(_scores(path, frame, of_scores, layout, not_administered))
    described += [columns.present_in(frame).standardise(frame, str(extra.items)) for frame in extra_items]
    demands = _standard(Path(extra.demands), columns, encoding) if extra.demands else None
    levels = _levels(demands, extra.annotator, str(extra.demands)) if demands is not None else None
    beside = [*described, *([] if demands is None else [demands])]
    notes = [note for frame in beside for note in left_out_notes(frame, "tables of items and demands")]
    parts = Parts(
        format="tidy",
        sources=[*files, *(Path(path) for path in (extra.items, extra.demands) if path)],
        scores=scores,
        items=pd.concat(described, ignore_index=True) if described else None,
        items_source=str(extra.items or files[0]),
        levels=levels,
        other_rows=sum(len(frame) for frame in beside),
        notes=notes,
    )
    return assemble(parts)


def _scores(
    path: Path, frame: pd.DataFrame, columns: Columns, layout: Layout, not_administered: Sequence[str]
) -> ScoreTable:
    if layout == "long":
        return long_scores(frame, columns, not_administered, str(path))
    return wide_scores(frame, columns, not_administered, str(path), layout)


def _not_only_in(columns: Columns, beside: Sequence[pd.DataFrame], frames: Sequence[pd.DataFrame]) -> Columns:
    """Return the mapping without the columns that the tables of items have and no other table has."""
    apart = {name for frame in beside for name in frame} - {name for frame in frames for name in frame}
    given: dict[str, str | None] = asdict(columns)
    return replace(columns, **{standard: None if name in apart else name for standard, name in given.items()})


def _holds_items_only(frame: pd.DataFrame) -> bool:
    """Return whether a table names questions, and neither models nor scores."""
    return "text" in frame and "model" not in frame and "score" not in frame


def _items_of(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if "item_id" in frame:
        return frame
    return frame.assign(item_id=[f"{path.stem}:{row}" for row in range(1, len(frame) + 1)])


def _standard(path: Path, columns: Columns, encoding: str) -> pd.DataFrame:
    """Read a table beside the scores, which may call its columns as they do."""
    frame = read_table(Path(path), encoding)
    return columns.present_in(frame).standardise(frame, str(path))


def _levels(frame: pd.DataFrame, annotator: str | None, source: str) -> Levels:
    if "annotator" not in frame:
        if annotator is None:
            raise InputError(f"{source}: no column 'annotator' says who rated; add one or give --annotator NAME")
        frame = frame.assign(annotator=annotator)
    if "level" in frame or "rubric" in frame:
        return Levels(validate(frame, "demands", source), 0)
    own = [name for name in ID_NAMES if name in frame and name != "item_id"]
    if own and "item_id" not in frame:
        raise InputError(f"{source}: column 'item_id' is missing; '{own[0]}' may name the items: rename it to item_id")
    if own:
        raise InputError(f"{source}: holds item_id and '{own[0]}', which is an id and no rubric; leave one out")
    require_columns(frame, TABLES["items"], source)
    rubrics = tuple(str(column) for column in frame if column not in NOT_RUBRICS)
    if not rubrics:
        raise InputError(f"{source}: no column holds levels; add 'rubric' and 'level', or a column for each rubric")
    return levels_from_columns(frame, rubrics, frame["annotator"], source)


def export_tidy(study: Study, out: Path, force: bool = False) -> ExportReport:
    """Write the responses of a study as one table, a row for each, with what is known of the items beside them.

    Names are written as they are, also those that begin with ``=``, ``+``, ``-`` or ``@``: a spreadsheet may take
    such a cell for a formula, and quoting it would change the name for every other reader.

    Args:
        study: A study with responses.
        out: The file to write; its ending gives the kind (`.csv`, `.tsv`, `.jsonl`, `.parquet`).
        force: Replace an existing file.

    Returns:
        The files that were written, and the columns that they lack.

    Raises:
        OutputError: The file is of another kind, is there, or cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in ENDINGS:
        raise OutputError(f"{out}: cannot write '{out.suffix}' files; use one of {', '.join(ENDINGS)}")
    table = study.require("responses").astype({"model": str, "item_id": str})
    kept = list(table.columns)
    if study.items is not None:
        known = study.items[["item_id", *(name for name in TABLES["items"].optional if name in study.items)]]
        known = known.loc[:, known.notna().any()].astype({"item_id": str})
        table = table.merge(known, on="item_id", how="left", validate="many_to_one")
        kept += list(known.columns)
    if suffix == ".jsonl":
        write_text(out, _json_lines(table), force=force)
    else:
        with whole_file(out, force=force) as scratch:
            TABLE_WRITERS[suffix](table, scratch)
    return report_on_export(study, [out], kept=kept)


def _json_lines(table: pd.DataFrame) -> str:
    """Return one object for each row, numbers to their last digit, without the cells that hold nothing."""
    filled = table.notna().to_numpy()
    rows = zip(table.astype(object).to_numpy().tolist(), filled.tolist(), strict=True)
    names = [str(name) for name in table.columns]
    objects = ({name: cell for name, cell, there in zip(names, row, kept, strict=True) if there} for row, kept in rows)
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)


def _read_tidy(  # noqa: PLR0913 - every option is a keyword
    paths: Paths,
    *,
    model_col: str | None = None,
    id_col: str | None = None,
    score_col: str | None = None,
    benchmark_col: str | None = None,
    task_col: str | None = None,
    text_col: str | None = None,
    trials_col: str | None = None,
    wide: bool = False,
    wide_items: bool = False,
    not_administered: Sequence[str] = (),
    items: Path | None = None,
    demands: Path | None = None,
    annotator: str | None = None,
    encoding: str = "utf-8",
) -> tuple[Study, ImportReport]:
    """Import with every option as a keyword of its own."""
    if wide and wide_items:
        raise InputError("--wide and --wide-items exclude each other; give the one that is meant")
    columns = Columns(model_col, id_col, score_col, benchmark_col, task_col, text_col, trials_col)
    layout: Layout = "wide" if wide else "wide-items" if wide_items else "long"
    return import_tidy(paths, columns, layout, not_administered, ExtraTables(items, demands, annotator), encoding)


def _detect(head: Head) -> bool:
    return bool(role_of(head).role)


TIDY = Format(
    name="tidy",
    help="Tables of scores, long or wide.",
    example="scores.csv --id-col question",
    patterns=("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet"),
    detect=_detect,
    generic=True,
    suggest=suggest_tables,
    read=_read_tidy,
    write=export_tidy,
    arguments=(Argument(help="CSV, TSV, JSONL, JSON or Parquet files."),),
    options=(
        Option(keyword="model_col", help="Column of model names."),
        Option(keyword="id_col", help="Column of item ids."),
        Option(keyword="score_col", help="Column of scores from 0 to 1."),
        Option(keyword="benchmark_col", help="Column that names each item's benchmark."),
        Option(keyword="task_col", help="Column that names each item's task."),
        Option(keyword="text_col", help="Column with each item's text."),
        Option(keyword="trials_col", help="Column with the trials behind each score."),
        Option(keyword="wide", kind="switch", help="Rows are models, columns are items."),
        Option(keyword="wide_items", kind="switch", excludes="wide", help="Rows are items, columns are models."),
        NOT_ADMINISTERED,
        Option(keyword="items", kind="path", help="Table of items."),
        Option(keyword="demands", kind="path", help="Table of demand levels."),
        Option(keyword="annotator", help="Who rated the demands."),
        ENCODING,
    ),
)
