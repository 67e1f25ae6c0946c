"""Tables of a study as inputs: right ones, and a strict reader of Python's own modules to compare with."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.files import write_table

Values = Mapping[tuple[str, ...], tuple[float | str, ...]]
"""What a reader makes of an input: numbers by names."""
csv.field_size_limit(10_000_000)
STRICT_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, kw_only=True)
class Input:
    """One kind of input: files that are right, those that are damaged, and the reader."""

    name: str
    """What it is."""
    make: Callable[[Path], None]
    """Writes the right files into an empty folder."""
    read: Callable[[Path], Values]
    """Reads the folder; a `CapscopeError` is a refusal."""
    targets: tuple[str, ...]
    """Patterns of the files that are damaged."""
    strict: Callable[[Path], Values | None] | None = None
    """What a strict reader makes of the damaged files: equal values, or a refusal; None where it cannot read them."""
    rows: bool = True
    """Whether each value stands in a row or record of its own; False where values follow from the whole file."""
    weight: int = 1
    """How often it is drawn."""


def answers(seed: int = 0) -> pd.DataFrame:
    """Return scores of four models on eight items, no two rows of a model alike."""
    rng = np.random.default_rng(seed)
    rows = [(f"m{m}", f"i{i}", float(rng.choice([0.0, 1.0, 0.5, 0.25, 0.125]))) for m in range(4) for i in range(8)]
    return pd.DataFrame(rows, columns=["model", "item_id", "score"])


def demands(items: int = 8) -> pd.DataFrame:
    """Return levels of the items on two rubrics."""
    rows = [(f"i{i}", code, "me", float((i * k) % 6)) for i in range(items) for k, code in ((1, "QLl"), (2, "AS"))]
    return pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"])


def texts() -> pd.DataFrame:
    """Return items with texts, options and tasks."""
    rows = [(f"i{i}", f"b{i % 2}", f"t{i % 4}", f'Say, {i} times: "yes"', 4.0) for i in range(8)]
    return pd.DataFrame(rows, columns=["item_id", "benchmark", "task", "text", "n_options"])


def study_values(study: Study) -> Values:
    """Return every number of a study."""
    values: dict[tuple[str, ...], tuple[float | str, ...]] = {}
    if study.responses is not None:
        facets = [name for name in ("prompt", "scaffold", "run") if name in study.responses]
        trials = study.responses["n_trials"] if "n_trials" in study.responses else [1.0] * len(study.responses)
        for row, count in zip(study.responses.itertuples(), trials, strict=True):
            values["score", str(row.model), str(row.item_id), *(str(getattr(row, f)) for f in facets)] = (
                row.score,
                count,
            )
    if study.demands is not None:
        for row in study.demands.itertuples():
            values["level", str(row.item_id), str(row.rubric), str(row.annotator)] = (row.level,)
    if study.items is not None and "chance" in study.items:
        for row in study.items.itertuples():
            values["chance", str(row.item_id)] = (math.nan if pd.isna(row.chance) else row.chance,)
    return values


def strict_rows(path: Path) -> list[dict[str, Any]] | None:
    """Read a table with Python's own modules alone; None where they cannot, or where a row does not fit the header."""
    try:
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path).to_pylist()
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        if path.suffix in (".json", ".jsonl"):
            whole = path.suffix == ".json"
            rows = json.loads(text) if whole else [json.loads(line) for line in text.split("\n") if line.strip()]
            return rows if all(isinstance(row, dict) for row in rows) else None
        mark = "," if path.suffix == ".csv" else "\t"
        table = [row for row in csv.reader(io.StringIO(text), delimiter=mark) if row]
        names = [name.strip() for name in table[0]]
        if len(set(names)) < len(names) or any(len(row) != len(names) for row in table):
            return None
        return [dict(zip(names, row, strict=True)) for row in table[1:]]
    except Exception:  # noqa: BLE001 - whatever the modules raise, they cannot read it
        return None


def strict_number(value: object, truth: bool) -> float | None:
    """Read a cell as a number, if it is one beyond doubt."""
    if isinstance(value, bool):
        return float(value) if truth else None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None if not hasattr(value, "as_tuple") else float(value)  # pyright: ignore[reportArgumentType]
    if truth and value.strip().lower() in ("true", "false"):
        return float(value.strip().lower() == "true")
    return float(value) if STRICT_NUMBER.fullmatch(value) else None


def _name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    if isinstance(value, timedelta):
        return str(pd.Timedelta(value))
    if value is None or isinstance(value, list | dict | bool) or value != value:  # noqa: PLR0124 - NaN
        return ""
    return str(value).strip()


def tables() -> list[Input]:
    """Return every table of a study in every format."""
    found: list[Input] = []
    for suffix in (".csv", ".tsv", ".json", ".jsonl", ".parquet"):
        for table, frame in (("responses", answers()), ("demands", demands()), ("items", texts())):
            found.append(
                Input(
                    name=f"study {table}{suffix}",
                    make=lambda folder, s=suffix, t=table, f=frame: write_one(folder, s, t, f),
                    read=lambda folder: study_values(Study.load(folder)),
                    targets=(f"{table}{suffix}",),
                    strict=_STRICT[table](suffix),
                    weight=3,
                )
            )
    return found


def write_one(folder: Path, suffix: str, table: str, frame: pd.DataFrame) -> None:
    """Write one table."""
    write_table(folder / f"{table}{suffix}", frame)


def _kept(word: str, value: float) -> tuple[float, ...]:
    """Return what a study holds of a value; one option is the answer to an open question, with no chance of a guess."""
    if word == "chance":
        return (0.0 if value == 1 else 1 / value,)
    return (value, 1.0) if word == "score" else (value,)


def _strict_study(names: tuple[str, ...], number: str, bounds: tuple[float, float], word: str) -> Callable[[str], Any]:
    def of(suffix: str) -> Callable[[Path], Values | None]:
        def read(folder: Path) -> Values | None:
            (path,) = folder.glob(f"*{suffix}")
            rows = strict_rows(path)
            if not rows:
                return None
            if word == "chance" and not any(number in row for row in rows):
                return {} if len({_name(row.get("item_id")) for row in rows} - {""}) == len(rows) else None
            values: dict[tuple[str, ...], tuple[float | str, ...]] = {}
            for row in rows:
                cell = row.get(number)
                value, key = strict_number(cell, number == "score"), tuple(_name(row.get(n)) for n in names)
                if word == "chance" and (cell is None or cell != cell or str(cell).strip() == ""):  # noqa: PLR0124
                    value = math.nan
                if value is None or value < bounds[0] or value > bounds[1] or not all(key) or (word, *key) in values:
                    return None
                values[word, *key] = _kept(word, value)
            return values

        return read

    return of


_STRICT = {
    "responses": _strict_study(("model", "item_id"), "score", (0, 1), "score"),
    "demands": _strict_study(("item_id", "rubric", "annotator"), "level", (0, 5), "level"),
    "items": _strict_study(("item_id",), "n_options", (1, math.inf), "chance"),
}
