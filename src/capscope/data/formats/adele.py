"""The ADeLe battery and what its toolkit writes: answers of models and demand levels of annotators."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data.columns import as_number, as_text, blank_cells, data_row
from capscope.data.formats.assembly import Parts, assemble
from capscope.data.formats.format import (
    ENCODING,
    NOT_ADMINISTERED,
    Argument,
    Format,
    Head,
    ImportReport,
    Option,
    Paths,
    Suggestion,
    as_paths,
    head_of,
)
from capscope.data.formats.score_tables import Columns, ScoreTable, left_out_notes, long_scores
from capscope.data.levels import Levels, levels_from_columns
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import validate
from capscope.errors import InputError, JoinError, first_few, nearest

# fmt: off
RELEASED = "released"
"""Attribute of a table: codes of its demand columns that name a release."""
SCALES = (
    "AS", "CEc", "CEe", "CL", "MCr", "MCt", "MCu", "MS", "QLl", "QLq", "SNs",
    "KNa", "KNc", "KNf", "KNn", "KNs", "AT", "VO",
)
# fmt: on
"""Codes of the 18 demand columns."""

ID_COLUMNS = ("item_id", "instance_id", "custom_id")
"""Names that tables give to the item; the first that is there counts."""
VERSIONED = re.compile(r"v\d+/(?P<code>\w+)")
"""Names of demand columns in the release tables, such as ``v2/QLl``."""
RUBRIC_COLUMNS = ("demand", "rubric")
"""Names that long tables of levels give to the rubric."""
JUDGE_COLUMNS = ("annotator", "judge_model")
"""Names that long tables of levels give to who rated."""
WHOLE = ("stop", "stop_sequence", "eos", "eos_token", "end_turn", "completed")
"""Finish reasons of whole replies."""
ANSWERS = "verification_final"
"""Column of answers that only ADeLe's tables have."""
BATTERY_NAMES = {"prompt": "text", "groundtruth": "target"}
"""Names of columns in the battery, and in a study."""


def import_adele(
    battery: str | Path,
    tables: Paths = (),
    annotator: str = "gpt-4o",
    battery_annotator: str = "gpt-4o",
    not_administered: Sequence[str] = (),
    encoding: str = "utf-8",
) -> tuple[Study, ImportReport]:
    """Make a study of an ADeLe battery and the tables that belong to it.

    Args:
        battery: The battery: `instance_id, prompt, groundtruth, benchmark, task, UG, ...` and the 18 demand columns
            (or columns of a release such as ``v2/QLl``); or a long table of levels, for a study of levels alone.
        tables: Tables of answers (`verification_final`, `correct`, or a results frame with `success`) and of demand
            levels (wide `custom_id, AS, ...` or long `custom_id, demand, level, ...`, also `rubric` and
            `judge_model`); they are recognised by their columns. A model without a column `model` has its file's name.
            Other columns of a table of answers (the answer, the question) are not imported.
        annotator: Annotator of the tables of demand levels that name none.
        battery_annotator: Annotator of the levels in the battery.
        not_administered: Values that mean "not administered"; they are counted and become no response.
        encoding: Text encoding of CSV and JSON files.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A table is wrong or none of these kinds; the message names file and row.
        JoinError: Questions or ids are not those of the battery.
    """
    battery, others = Path(battery), as_paths(tables)
    raw = _without_versions(read_table(battery, encoding), battery)
    notes = [*left_out_notes(raw, str(battery))]
    items, rated = _battery(raw, battery, battery_annotator)
    scores: list[ScoreTable] = []
    rows = len(raw)
    for path in others:
        frame = _without_versions(read_table(path, encoding), path)
        notes += left_out_notes(frame, str(path))
        frame = _with_item_id(frame, items, path)
        if _holds_levels(frame):
            rated.append(_levels(frame, annotator, path))
            rows += len(frame)
        else:
            scores.append(_scores(frame, not_administered, path))
    parts = Parts(
        format="adele",
        sources=[battery, *others],
        scores=scores,
        items=items,
        items_source=str(battery),
        levels=_joined(rated) if rated else None,
        other_rows=rows,
        notes=notes,
    )
    return assemble(parts)


def _without_versions(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Name demand columns such as ``v2/QLl`` by their codes.

    Raises:
        InputError: Two columns have one code.
    """
    codes = {name: match["code"] for name in map(str, frame.columns) if (match := VERSIONED.fullmatch(name))}
    columns = [codes.get(str(name), str(name)) for name in frame.columns]
    repeated = [name for name in dict.fromkeys(codes.values()) if columns.count(name) > 1]
    if repeated:
        both = [name for name in map(str, frame.columns) if codes.get(name, name) == repeated[0]]
        raise InputError(f"{path}: {' and '.join(both)} rate one rubric; keep one of the columns")
    renamed = frame.set_axis(columns, axis="columns")
    renamed.attrs |= {RELEASED: tuple(codes.values())}
    return renamed


def _battery(frame: pd.DataFrame, path: Path, annotator: str) -> tuple[pd.DataFrame | None, list[Levels]]:
    """Return the items of the battery, and the levels that it holds; a long table of levels has no items."""
    id_column = next((name for name in ID_COLUMNS if name in frame), None)
    if id_column is None:
        hint = nearest("instance_id", map(str, frame.columns))
        raise InputError(f"{path}: column 'instance_id' is missing{hint}; the first table must be the battery")
    frame = frame.rename(columns={id_column: "item_id", **BATTERY_NAMES})
    if _rubric_column(frame):
        return None, [_levels(frame, annotator, path)]
    scales = _scales(frame, path)
    items = validate(frame.drop(columns=list(scales)), "items", str(path))
    if "UG" in frame:
        guess = 1 - as_number(frame["UG"], "UG", (0.0, 100.0), str(path)) / 100
        items = items.assign(chance=guess.to_numpy())
    return items, [levels_from_columns(frame, scales, annotator, str(path))] if scales else []


def _scales(frame: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Return the demand columns: those of a release, else all 18 or none; one that is missing is an error."""
    released: tuple[str, ...] = frame.attrs.get(RELEASED, ())
    present = tuple(code for code in SCALES if code in frame)
    if released:
        return (*released, *(code for code in present if code not in released))
    missing = [code for code in SCALES if code not in frame]
    if present and missing:
        others = [str(column) for column in frame if column not in SCALES]
        raise InputError(
            f"{path}: demand column '{missing[0]}' is missing{nearest(missing[0], others)};"
            f" a table of demands has all of {', '.join(SCALES)}"
        )
    return present


def _rubric_column(frame: pd.DataFrame) -> str | None:
    """Return the column of rubrics of a long table of levels."""
    return next((name for name in RUBRIC_COLUMNS if name in frame and "level" in frame), None)


def _with_item_id(frame: pd.DataFrame, items: pd.DataFrame | None, path: Path) -> pd.DataFrame:
    """Name the items of a table by their ids, found by the text of the question where there is no id."""
    id_column = next((name for name in ID_COLUMNS if name in frame), None)
    if id_column:
        return frame.rename(columns={id_column: "item_id"})
    question = next((name for name in ("question", "prompt") if name in frame), None)
    if question is None:
        raise InputError(
            f"{path}: no column names the item; found {first_few(map(str, frame.columns), 8)};"
            " it needs instance_id, custom_id or question"
        )
    if items is None or "text" not in items:
        raise InputError(f"{path}: items are named by '{question}', but the battery has no prompts; add instance_id")
    return frame.assign(item_id=_ids_by_text(frame[question], items, path)).drop(columns=question)


def _ids_by_text(question: pd.Series, items: pd.DataFrame, path: Path) -> pd.Series:
    asked = as_text(question).str.strip()
    known = pd.Series(items["item_id"].astype(str).to_numpy(), index=items["text"].str.strip())
    shared = set(known.index[known.index.duplicated()])
    ambiguous = asked[asked.isin(shared)]
    if len(ambiguous):
        raise InputError(
            f"{path}: {data_row(int(ambiguous.index[0]))}: several instances of the battery have this question"
            f" ({len(ambiguous)} such rows); add a column instance_id"
        )
    ids = asked.map(known[~known.index.duplicated()])
    if ids.isna().any():
        lost = ids.index[ids.isna()]
        raise JoinError(
            f"{path}: only {ids.notna().mean():.0%} of the questions are in the battery"
            f" (first unknown: {', '.join(data_row(int(row)) for row in lost[:5])}); add a column instance_id"
        )
    return ids


def _holds_levels(frame: pd.DataFrame) -> bool:
    named = _rubric_column(frame) or "demand" in frame or frame.attrs.get(RELEASED)
    return bool(named) or any(code in frame for code in SCALES)


def _levels(frame: pd.DataFrame, annotator: str, path: Path) -> Levels:
    """Read a table of demand levels, wide or long."""
    rubric = _rubric_column(frame)
    if rubric is None and "demand" in frame:
        hint = nearest("level", map(str, frame.columns))
        raise InputError(f"{path}: column 'level' is missing{hint}; long annotations have custom_id, demand, level")
    judge = next((name for name in JUDGE_COLUMNS if name in frame), None)
    rater = annotator if judge is None else frame[judge]
    if rubric is None:
        return levels_from_columns(frame, _scales(frame, path), rater, str(path))
    unfinished = _unfinished(frame["finish_reason"]) if "finish_reason" in frame else False
    unrated = (blank_cells(frame["level"]) | unfinished).to_numpy(dtype=bool)
    named = frame[["item_id", rubric, "level"]].rename(columns={rubric: "rubric"}).assign(annotator=rater)
    named["rubric"] = as_text(named["rubric"]).str.replace(VERSIONED, r"\g<code>", regex=True)
    checked = validate(named.assign(level=named["level"].mask(unrated, "0")), "demands", str(path))
    return Levels(checked[~unrated], int(unrated.sum()))


def _unfinished(reason: pd.Series) -> pd.Series:
    """Mark the replies that were cut, filtered or failed; without a reason a reply counts as whole."""
    return ~(blank_cells(reason) | as_text(reason).str.strip().str.lower().isin(WHOLE))


def _joined(rated: list[Levels]) -> Levels:
    demands = pd.concat([levels.demands for levels in rated], ignore_index=True)
    return Levels(demands, sum(levels.unrated for levels in rated))


def _scores(frame: pd.DataFrame, not_administered: Sequence[str], path: Path) -> ScoreTable:
    """Read a table of answers, whichever of the three kinds it is."""
    score = next((name for name in ("success", "verification_final", "correct") if name in frame), None)
    if score is None:
        raise InputError(
            f"{path}: no column holds answers or levels; found {first_few(map(str, frame.columns), 8)};"
            " it needs success, verification_final, correct, or demand columns"
        )
    kept = [name for name in ("item_id", "model", score, "n_trials", "scaffold", "source") if name in frame]
    answers = frame[kept]
    if "model" not in answers:
        answers = answers.assign(model=path.stem)
    return long_scores(answers, Columns(score=score), not_administered, str(path))


def _read_adele(
    paths: Paths,
    *,
    annotator: str = "gpt-4o",
    battery_annotator: str = "gpt-4o",
    not_administered: Sequence[str] = (),
    encoding: str = "utf-8",
) -> tuple[Study, ImportReport]:
    """Import the battery, which is the first path, and the tables after it."""
    battery, *tables = as_paths(paths)
    return import_adele(battery, tables, annotator, battery_annotator, not_administered, encoding)


def _battery_first(files: Sequence[Path], options: Mapping[str, Any]) -> Suggestion:  # noqa: ARG001 - one signature
    """Put the battery before the tables of answers and levels."""
    heads = [head_of(path) for path in files]
    if all(ANSWERS in head.names and not _rates(head) for head in heads):
        raise InputError(
            f"{first_few(map(str, files))}: answers without their battery; give it too, or read them as tables with"
            f" 'capscope import tidy FILE --score-col {ANSWERS} --out STUDY'"
        )
    batteries = [head.path for head in heads if {"prompt", "groundtruth"} & head.names]
    return Suggestion(paths=(*batteries, *(path for path in files if path not in batteries)))


def _detect(head: Head) -> bool:
    return any(name in head.names for name in ID_COLUMNS) and (_rates(head) or ANSWERS in head.names)


def _rates(head: Head) -> bool:
    """Return whether a table has demand levels as only ADeLe's tables have them."""
    long = "level" in head.names and ("demand" in head.names or "judge_model" in head.names)
    rated = any(VERSIONED.fullmatch(name) for name in head.names) or long
    return rated or set(SCALES) <= head.names


ADELE = Format(
    name="adele",
    help="ADeLe battery, answers and levels.",
    example="battery.csv GPT-4o.csv",
    patterns=("*.csv", "*.parquet", "*.jsonl"),
    detect=_detect,
    with_tables=True,
    suggest=_battery_first,
    read=_read_adele,
    arguments=(
        Argument(name="battery", many=False, help="The battery, with its demand columns."),
        Argument(name="tables", required=False, help="Answers of models, or demand levels."),
    ),
    options=(
        Option(keyword="annotator", help="Who rated in tables of demand levels."),
        Option(keyword="battery_annotator", help="Who rated in the battery."),
        NOT_ADMINISTERED,
        ENCODING,
    ),
)
