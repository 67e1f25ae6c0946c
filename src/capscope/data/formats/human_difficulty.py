"""Human difficulty of items: ratings of puzzles and contest problems, and the time that people take.

A rating (Elo, Glicko, Glicko-2; 400 points are a factor of ten in the odds) or a time becomes a column of the items and
a demand level, with its uncertainty: ratings on 0 to 5 by 700 points a level, minutes by decades, with level 2 at one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data.formats.assembly import Parts, assemble
from capscope.data.formats.format import ENCODING, Argument, Format, Head, ImportReport, Option, Paths, as_paths
from capscope.data.formats.merging import DEFAULT_BENCHMARK
from capscope.data.levels import Levels
from capscope.data.reading import read_table, read_text
from capscope.data.study import Study
from capscope.errors import InputError, counted, first_few

POINTS_A_LEVEL = 700.0
"""Rating points of one demand level: 0 is level 0, 3,500 and above level 5."""
MINUTE_LEVEL = 2.0
"""Demand level of one minute; each factor of ten is a level."""
TOP = 5.0
RATING, TIME = "human-rating", "human-time"
"""Rubric codes of the demand levels."""


@dataclass(frozen=True, kw_only=True)
class HumanTable:
    """Columns of one kind of table; the first of several names that is there counts."""

    name: str
    """Who rated: the annotator of the levels is ``human:NAME``."""
    ids: tuple[str, ...]
    """Columns that together name an item."""
    value: tuple[str, ...]
    """Column of the rating, or of the minutes."""
    unit: str
    """`rating` or `minutes`."""
    sd: tuple[str, ...] = ()
    """Column of its standard deviation, in the same unit."""
    task: tuple[str, ...] = ()

    def fits(self, names: frozenset[str]) -> bool:
        """Return whether a table has the columns."""
        return set(self.ids) <= names and bool(set(self.value) & names)


KINDS = (
    HumanTable(name="lichess", ids=("PuzzleId",), value=("Rating",), unit="rating", sd=("RatingDeviation",)),
    HumanTable(name="codeforces", ids=("contestId", "index"), value=("rating",), unit="rating"),
    HumanTable(name="atcoder", ids=("problem_id",), value=("difficulty",), unit="rating", sd=("difficulty_sd",)),
    HumanTable(
        name="minutes",
        ids=("task_id",),
        value=("human_minutes",),
        unit="minutes",
        sd=("human_minutes_sd",),
        task=("task_family", "family"),
    ),
    HumanTable(
        name="rating", ids=("item_id",), value=("rating", "elo"), unit="rating", sd=("rating_deviation", "rating_sd")
    ),
    HumanTable(
        name="minutes", ids=("item_id",), value=("human_minutes", "minutes"), unit="minutes", sd=("minutes_sd",)
    ),
)
"""The tables that are known, by their columns; the first that fits is taken."""


def import_human_difficulty(
    paths: Paths, *, benchmark: str | None = None, annotator: str | None = None, encoding: str = "utf-8"
) -> tuple[Study, ImportReport]:
    """Make a study of items with human ratings or times, to use or to add to one that has their answers.

    Args:
        paths: Tables with the columns of one of `KINDS`, or the answer of Codeforces' API to ``problemset.problems``.
        benchmark: Benchmark of the items; by default it is left open, so that a study's own stays.
        annotator: Who rated; by default ``human:`` and the kind of table.
        encoding: Text encoding of CSV and JSON files.

    Returns:
        The study, with the columns `rating` and `rating_sd` or `minutes` and `minutes_sd`, and the levels.

    Raises:
        InputError: The columns are of no known table, an item occurs twice, or a value is none.
    """
    files = as_paths(paths)
    tables = [_one_table(path, annotator, encoding) for path in files]
    items = pd.concat([items for items, _, _ in tables], ignore_index=True)
    items["benchmark"] = benchmark or DEFAULT_BENCHMARK
    if "task" not in items or items["task"].isna().all():
        items["task"] = items["benchmark"]
    again = items["item_id"].duplicated()
    if again.any():
        raise InputError(f"{first_few(map(str, files))}: item '{items.loc[again, 'item_id'].iloc[0]}' is there twice")
    return assemble(
        Parts(
            format="human-difficulty",
            sources=files,
            items=items.assign(task=items["task"].fillna(DEFAULT_BENCHMARK)),
            items_source=first_few(map(str, files)),
            levels=Levels(pd.concat([levels for _, levels, _ in tables], ignore_index=True), 0),
            other_rows=len(items),
            notes=[note for _, _, notes in tables for note in notes],
        )
    )


def _one_table(path: Path, annotator: str | None, encoding: str) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return the items, the levels and remarks of one file."""
    frame = _frame(path, encoding)
    names = frozenset(map(str, frame.columns))
    kind = next((kind for kind in KINDS if kind.fits(names)), None)
    if kind is None:
        known = "; ".join(f"{', '.join(kind.ids)} and {' or '.join(kind.value)}" for kind in KINDS)
        raise InputError(f"{path}: not a table of human difficulty; such tables have {known}")
    value = _numbers(frame, _first(kind.value, names), path, positive=kind.unit == "minutes")
    known = np.isfinite(value)
    sd_column = _first(kind.sd, names)
    sd = _numbers(frame, sd_column, path, positive=False) if sd_column else np.full(len(frame), np.nan)
    if (sd[np.isfinite(sd)] < 0).any():
        raise InputError(f"{path}: row {int(np.flatnonzero(sd < 0)[0]) + 1}: {sd_column} is negative")
    ids = frame[list(kind.ids)].astype(str).agg("".join, axis=1).str.strip()
    items = pd.DataFrame({"item_id": ids, kind.unit: value, f"{kind.unit}_sd": sd})
    source = _first(kind.task, names)
    if source:
        items["task"] = frame[source]
    used = {*kind.ids, *kind.value, *kind.sd}
    rest = frame[[column for column in frame.columns if column not in used and column not in items]]
    items = items.join(rest).loc[known].dropna(axis=1, how="all")
    level, spread = LEVELS_OF[kind.unit](value[known], sd[known])
    levels = pd.DataFrame(
        {
            "item_id": items["item_id"],
            "rubric": RATING if kind.unit == "rating" else TIME,
            "annotator": annotator or f"human:{kind.name}",
            "level": np.clip(level, 0, TOP),
            "sd": spread,
        }
    )
    return items, levels if np.isfinite(spread).any() else levels.drop(columns="sd"), _notes(kind, value, level, path)


def _notes(kind: HumanTable, value: np.ndarray, level: np.ndarray, path: Path) -> list[str]:
    unit = (
        f"rating points (level = points / {POINTS_A_LEVEL:g})"
        if kind.unit == "rating"
        else f"minutes (level = {MINUTE_LEVEL:g} + log10 of the minutes)"
    )
    notes = [f"{path.name}: human difficulty of '{kind.name}' in {unit}"]
    unknown, outside = int((~np.isfinite(value)).sum()), int(((level < 0) | (level > TOP)).sum())
    if unknown:
        notes.append(f"{path.name}: {counted(unknown, 'item', 'have')} no {kind.unit} and are left out")
    if outside:
        notes.append(f"{path.name}: {counted(outside, 'item', 'lie')} beyond levels 0 to 5 and are set to the nearest")
    return notes


def _rating_levels(value: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return value / POINTS_A_LEVEL, sd / POINTS_A_LEVEL


def _time_levels(value: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels of minutes; the standard deviation is that of the logarithm, by the delta method."""
    return MINUTE_LEVEL + np.log10(value), sd / (value * np.log(10))


LEVELS_OF: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "rating": _rating_levels,
    "minutes": _time_levels,
}
"""Level and its standard deviation from a value and its own, by unit."""


def _first(choices: tuple[str, ...], names: frozenset[str]) -> str:
    return next((name for name in choices if name in names), "")


def _numbers(frame: pd.DataFrame, column: str, path: Path, *, positive: bool) -> np.ndarray:
    """Return a column as numbers, NaN where it is empty."""
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
    given = frame[column].notna() & (frame[column].astype(str).str.strip() != "")
    wrong = given.to_numpy(dtype=bool) & (~np.isfinite(values) | (positive & (values <= 0)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        need = "a number above 0" if positive else "a number"
        raise InputError(f"{path}: row {row + 1}: {column} is '{frame[column].iloc[row]}'; give {need}")
    return values


def _frame(path: Path, encoding: str) -> pd.DataFrame:
    """Read a table, or the problems of an answer of Codeforces' API with the number of people who solved them."""
    if path.suffix.lower() == ".json":
        document = json.loads(read_text(path, encoding))
        if isinstance(document, dict) and isinstance(result := document.get("result"), dict):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            return _problems(result)  # pyright: ignore[reportUnknownArgumentType]
    return read_table(path, encoding)


def _problems(result: dict[str, Any]) -> pd.DataFrame:
    problems = pd.DataFrame(result.get("problems", []))
    solved = pd.DataFrame(result.get("problemStatistics", []))
    key = ["contestId", "index"]
    if {*key, "solvedCount"} <= set(solved.columns):
        problems = problems.merge(solved[[*key, "solvedCount"]], on=key, how="left")
    return problems.assign(tags=problems["tags"].map(", ".join)) if "tags" in problems else problems


def _detect(head: Head) -> bool:
    """Return whether the columns are those of a known source; tables of item_id and a rating are named."""
    if head.names == frozenset({"status", "result"}):  # the answer of Codeforces' API
        return head.path.suffix.lower() == ".json"
    return any(kind.fits(head.names) and kind.ids != ("item_id",) for kind in KINDS) and "score" not in head.names


HUMAN_DIFFICULTY = Format(
    name="human-difficulty",
    help="Human ratings and solve times of items.",
    example="lichess_db_puzzle.csv --benchmark chess",
    patterns=("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet"),
    detect=_detect,
    read=import_human_difficulty,
    arguments=(Argument(help="Tables of puzzles or problems with ratings, or of tasks with human_minutes."),),
    options=(
        Option(keyword="benchmark", help="Benchmark of the items; else a study's own stays."),
        Option(keyword="annotator", help="Who rated; else human: and the kind of table."),
        ENCODING,
    ),
)
