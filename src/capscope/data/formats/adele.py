"""The ADeLe battery and what its toolkit writes: answers of models, demand levels of annotators."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from capscope.data.columns import as_number, as_text, blank_cells, data_row
from capscope.data.formats.assembly import Assembly, assemble
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import Columns, ScoreTable, long_scores
from capscope.data.levels import Levels, levels_from_columns
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import validate
from capscope.errors import InputError, JoinError, first_few, nearest

# fmt: off
SCALES = (
    "AS", "CEc", "CEe", "CL", "MCr", "MCt", "MCu", "MS", "QLl", "QLq", "SNs",
    "KNa", "KNc", "KNf", "KNn", "KNs", "AT", "VO",
)
# fmt: on
"""Codes of the 18 demand columns."""

ID_COLUMNS = ("item_id", "instance_id", "custom_id")
"""What tables call the item; the first that is there counts."""
BATTERY_NAMES = {"prompt": "text", "groundtruth": "target"}
"""What the battery calls columns that a study calls otherwise."""


def import_adele(
    battery: Path,
    tables: Sequence[Path] = (),
    annotator: str = "gpt-4o",
    battery_annotator: str = "gpt-4o",
    not_administered: Sequence[str] = (),
    encoding: str = "utf-8",
) -> tuple[Study, ImportReport]:
    """Make a study of an ADeLe battery and the tables that belong to it.

    Args:
        battery: The battery: `instance_id, prompt, groundtruth, benchmark, task, UG, ...` and the 18 demand columns.
        tables: Tables of answers (`verification_final`, `correct`, or a results frame with `success`) and of demand
            levels (wide `custom_id, AS, ...` or long `custom_id, demand, level, ...`); what each is, its columns say.
            A model without a column `model` is called by its file. What a table of answers holds beside the scores
            (the answer, the question) stays behind.
        annotator: Who rated in the tables of demand levels.
        battery_annotator: Who rated in the battery itself.
        not_administered: Values that stand for "not administered"; they are counted and become no response.
        encoding: Text encoding of CSV and JSON files.

    Raises:
        InputError: A table is wrong or none of these kinds; the message names file and row.
        JoinError: Questions or ids are not those of the battery.
    """
    raw = read_table(battery, encoding)
    items, own = _battery(raw, battery, battery_annotator)
    scores: list[ScoreTable] = []
    rated = [own] if own else []
    rows = len(raw)
    for path in tables:
        frame = _with_item_id(read_table(path, encoding), items, path)
        if _holds_levels(frame):
            rated.append(_levels(frame, annotator, path))
            rows += len(frame)
        else:
            scores.append(_scores(frame, not_administered, path))
    levels = _joined(rated) if rated else None
    return assemble(Assembly("adele", [battery, *tables], scores, items, str(battery), levels, rows))


def _battery(frame: pd.DataFrame, path: Path, annotator: str) -> tuple[pd.DataFrame, Levels | None]:
    """Return the items of the battery, and the levels that stand in it."""
    id_column = next((name for name in ID_COLUMNS if name in frame), None)
    if id_column is None:
        hint = nearest("instance_id", map(str, frame.columns))
        raise InputError(f"{path}: column 'instance_id' is missing{hint}; the first table must be the battery")
    frame = frame.rename(columns={id_column: "item_id", **BATTERY_NAMES})
    scales = _scales(frame, path)
    items = validate(frame.drop(columns=list(scales)), "items", str(path))
    if "UG" in frame:
        guess = 1 - as_number(frame["UG"], "UG", (0.0, 100.0), str(path)) / 100
        items = items.assign(chance=guess.to_numpy())
    return items, levels_from_columns(frame, scales, annotator, str(path)) if scales else None


def _scales(frame: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Return the demand columns: all of them or none; one that is missing among others is a slip."""
    present = tuple(code for code in SCALES if code in frame)
    missing = [code for code in SCALES if code not in frame]
    if present and missing:
        others = [str(column) for column in frame if column not in SCALES]
        raise InputError(
            f"{path}: demand column '{missing[0]}' is missing{nearest(missing[0], others)};"
            f" a table of demands has all of {', '.join(SCALES)}"
        )
    return present


def _with_item_id(frame: pd.DataFrame, items: pd.DataFrame, path: Path) -> pd.DataFrame:
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
    if "text" not in items:
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
    found = asked.map(known[~known.index.duplicated()])
    if found.isna().any():
        lost = found.index[found.isna()]
        raise JoinError(
            f"{path}: only {found.notna().mean():.0%} of the questions are in the battery"
            f" (first unknown: {', '.join(data_row(int(row)) for row in lost[:5])}); add a column instance_id"
        )
    return found


def _holds_levels(frame: pd.DataFrame) -> bool:
    return "demand" in frame or any(code in frame for code in SCALES)


def _levels(frame: pd.DataFrame, annotator: str, path: Path) -> Levels:
    """Read a table of demand levels, wide or long."""
    if "demand" not in frame:
        return levels_from_columns(frame, _scales(frame, path), annotator, str(path))
    if "level" not in frame:
        hint = nearest("level", map(str, frame.columns))
        raise InputError(f"{path}: column 'level' is missing{hint}; long annotations have custom_id, demand, level")
    unfinished = frame["finish_reason"].astype(str) != "stop" if "finish_reason" in frame else False
    unrated = (blank_cells(frame["level"]) | unfinished).to_numpy(dtype=bool)
    named = frame[["item_id", "demand", "level"]].rename(columns={"demand": "rubric"}).assign(annotator=annotator)
    checked = validate(named.assign(level=named["level"].mask(unrated, "0")), "demands", str(path))
    return Levels(checked[~unrated], int(unrated.sum()))


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
