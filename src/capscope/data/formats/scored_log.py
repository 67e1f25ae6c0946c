"""Scored logs: files of logs, their records, and the scores of each metric until one is chosen."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.atomic import is_scratch
from capscope.data.columns import as_number, blank_cells
from capscope.data.formats.format import Paths, as_paths
from capscope.data.formats.score_tables import ScoreTable, is_sentinel
from capscope.data.json_text import parse_json
from capscope.data.reading import read_text, require_file
from capscope.data.tables import COSTS, TABLES
from capscope.errors import InputError, counted, first_few, nearest

SCORE_BOUNDS = TABLES["responses"].bounds["score"]
SUMMED = COSTS
"""Measures of a record that add up over the trials of an item; others are averaged."""
CHECK = "check that this is the format you named"


@dataclass
class Scores:
    """The scores under one name (a metric, a scorer), record by record."""

    item_id: list[str] = field(default_factory=list[str])
    """The item."""
    value: list[object] = field(default_factory=list[object])
    """The score as it is in the log; None or NaN where there is none."""
    record: list[int] = field(default_factory=list[int])
    """Number of the record: its line, or its place in the list."""


@dataclass
class ScoredLog:
    """One log: the answers of one model, scored under one or more names.

    Records are added one by one; `chosen` makes a table of one of the names.
    """

    path: Path
    """The file."""
    model: str
    """Name of the model."""
    unit: str = "line"
    """Name of a record in messages."""
    facets: dict[str, str] = field(default_factory=dict[str, str])
    """Conditions that hold for the whole log: `scaffold`, `prompt`, `effort`."""
    started: str = ""
    """When the run began, in a form that sorts by time."""
    complete: bool = True
    """Whether the run ended as it should."""
    task: str = ""
    """The task; logs of one task are scored alike where the choice of a score is left to capscope."""
    plan: tuple[str, ...] = ()
    """Solvers that made the agent, where the log lists them."""
    records: int = 0
    """Records seen."""
    bare: int = 0
    """Records without any score."""
    by_name: dict[str, Scores] = field(default_factory=dict[str, Scores])
    """Scores by name."""
    measures: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    """Further measures, by column and record: `usd`, `tokens`, `seconds`, `confidence`."""

    def add(
        self, item_id: str, record: int, values: Mapping[str, object], measures: Mapping[str, float] | None = None
    ) -> None:
        """Add a record: its scores by name, and its costs; a record without any score counts as not scored.

        Args:
            item_id: Item of the record.
            record: Number of the record in the file.
            values: Scores by metric.
            measures: Costs and other measures by column.
        """
        self.records += 1
        for column, measure in (measures or {}).items():
            self.measures.setdefault(column, {})[record] = measure
        self.bare += not values
        for name, value in values.items():
            scores = self.by_name.get(name)
            if scores is None:
                scores = self.by_name[name] = Scores()
            scores.item_id.append(item_id)
            scores.value.append(value)
            scores.record.append(record)

    def chosen(self, wanted: Sequence[str], option: str, sentinels: Sequence[str] = ()) -> ScoreTable:
        """Return the scores under one name as a table; repeats of an item are trials of it.

        Args:
            wanted: Names in order of preference; the first that the log has counts. None wanted: the only one.
            option: The option that chooses, for messages.
            sentinels: Values that mean "not scored".

        Raises:
            InputError: Several names are there and none is chosen, or a score lies outside 0 to 1.
        """
        name = choose(self.by_name, wanted, f"{self.path}: scored under", option) if self.by_name else ""
        kept = self._checked(self.by_name.get(name, Scores()), name, sentinels)
        return ScoreTable(
            source=str(self.path),
            responses=self._responses(kept),
            described=pd.DataFrame({"item_id": pd.Categorical(kept["item_id"])}),
            rows=self.records,
            not_administered=self._answers() - len(kept),
            started=self.started,
            complete=self.complete,
        )

    def _answers(self) -> int:
        """Count the answers that should have a score: of an item, as many as its most frequent name has."""
        most: Counter[str] = Counter()
        for scores in self.by_name.values():
            most |= Counter(scores.item_id)
        return most.total() + self.bare

    def _checked(self, scores: Scores, name: str, sentinels: Sequence[str]) -> pd.DataFrame:
        """Return item, score and record of what was scored."""
        raw = pd.Series(scores.value, dtype=object)
        scored = ~(blank_cells(raw).to_numpy(dtype=bool) | is_sentinel(raw, sentinels))
        kept = np.flatnonzero(scored)
        record = np.array(scores.record, dtype=np.int64)[kept]

        def place(position: int) -> str:
            return f"{self.unit} {record[position]}: {name} of item '{item_id[position]}'"

        item_id = np.array(scores.item_id, dtype=object)[kept]
        number = as_number(raw.iloc[kept].reset_index(drop=True), "score", SCORE_BOUNDS, str(self.path), place)
        return pd.DataFrame({"item_id": item_id, "score": number.to_numpy(dtype=float), "record": record})

    def _responses(self, kept: pd.DataFrame) -> pd.DataFrame:
        """Return one row for each item, its index the record where the item occurs first."""
        kept = kept.assign(**{name: kept["record"].map(by_record) for name, by_record in self.measures.items()})
        if kept["item_id"].duplicated().any():
            by_item, measured = kept.groupby("item_id", sort=False), kept
            kept = by_item.agg(score=("score", "mean"), n_trials=("score", "size"), record=("record", "first"))
            kept = kept.assign(**{name: self._of_item(measured, name) for name in self.measures}).reset_index()
        else:
            kept = kept.assign(n_trials=1)
        own = {"model": self.model, "item_id": kept["item_id"], "score": kept["score"], "n_trials": kept["n_trials"]}
        known = {name: kept[name] for name in self.measures if kept[name].notna().any()}
        return pd.DataFrame({**own, **self.facets, **known}).set_axis(kept["record"].to_numpy() - 1, axis="index")

    def _of_item(self, kept: pd.DataFrame, name: str) -> pd.Series:
        """Return a measure of each item: the mean of its trials, or their sum; a trial without it counts the mean."""
        by_item = kept.groupby("item_id", sort=False)
        return by_item[name].mean() * (by_item.size() if name in SUMMED else 1)

    def repeated_item(self, name: str) -> tuple[str, int] | None:
        """Return the first item that occurs twice under a name, and the record of its second occurrence."""
        scores = self.by_name.get(name, Scores())
        seen: set[str] = set()
        for item, record in zip(scores.item_id, scores.record, strict=True):
            if item in seen:
                return item, record
            seen.add(item)
        return None


def choose(there: Iterable[str], wanted: Sequence[str], what: str, option: str) -> str:
    """Choose one of several names.

    Args:
        there: The names.
        wanted: Names in order of preference.
        what: Begins the message: where, and what the names are.
        option: The option that chooses.

    Raises:
        InputError: The choice is open, or none of the wanted names is there.
    """
    names = list(there)
    for name in wanted:
        if name in names:
            return name
    if wanted:
        hint = nearest(wanted[0], names) if len(wanted) == 1 else ""
        absent = " or ".join(f"'{name}'" for name in wanted)
        more = f"choose with {option}, which may be repeated where files differ"
        raise InputError(f"{what} {first_few(names, 10)}, not {absent}{hint}; {more}")
    if len(names) != 1:
        raise InputError(
            f"{what} {counted(len(names), 'name')} ({first_few(names, 10)}); choose one with {option} NAME"
        )
    return names[0]


def log_files(paths: Paths, patterns: Sequence[str], what: str, other_than: Sequence[str] = ()) -> list[Path]:
    """Return the files given, and of every folder given those in it, at any depth, whose names fit.

    Args:
        paths: Files and folders.
        patterns: Which files of a folder count, such as ``samples_*.jsonl``.
        what: Name of such files in an error.
        other_than: Names that are passed over in folders, though they fit: lists and settings that tools keep there.

    Raises:
        InputError: A path does not exist, or a folder holds no such file.
    """
    files: list[Path] = []
    for path in as_paths(paths):
        if path.is_dir():
            fitting = {inner for pattern in patterns for inner in path.rglob(pattern) if inner.is_file()}
            whole = (inner for inner in fitting if not is_scratch(inner.relative_to(path)))
            inside = sorted(inner for inner in whole if inner.name not in other_than)
            if not inside:
                raise InputError(f"{path}: holds no {what} ({first_few(patterns)}); give the folder that does")
            files += inside
        else:
            files.append(path)
    for path in files:
        require_file(path)
    return list(dict.fromkeys(files))


def numbered_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file of JSON lines one record at a time, with the number of its line.

    Raises:
        InputError: A line is not a JSON object in UTF-8; the message names it.
    """
    for number, line in _numbered_lines(path):
        yield number, _record(path, number, line)


def records_once(
    path: Path, notes: list[str], is_identified: Callable[[dict[str, Any]], object] = bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file of JSON lines; a line that repeats another to the last character is no further trial.

    Args:
        path: The file.
        notes: Gains a remark on the lines that are left out.
        is_identified: Whether a record names what it belongs to, so that two trials cannot look the same. All other
            records are returned.

    Raises:
        InputError: A line is not a JSON object in UTF-8; the message names it.
    """
    seen: set[bytes] = set()
    copies = 0
    for number, line in _numbered_lines(path):
        record = _record(path, number, line)
        digest = hashlib.blake2b(line.strip(), digest_size=16).digest()
        if digest in seen and is_identified(record):
            copies += 1
            continue
        seen.add(digest)
        yield number, record
    if copies:
        notes.append(remark_on_copies(path, copies))


def remark_on_copies(path: Path, copies: int, what: str = "line") -> str:
    """Remark on the number of records that are left out because they repeat another in full.

    Args:
        path: The file.
        copies: Number of these records.
        what: Word for a record.
    """
    return f"{path.name}: {counted(copies, what, 'repeat')} another in full; each counts once"


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something, with their numbers."""
    require_file(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield number, line


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: line {number} is not UTF-8 text; copy the log again") from error
    return as_object(path, parse_json(path, text, f"line {number}"), f"line {number}")


def json_document(path: Path) -> object:
    """Read a file that is one JSON document.

    Raises:
        InputError: It is not JSON in UTF-8.
    """
    return parse_json(path, read_text(path))


def as_object(path: Path, value: object, place: str) -> dict[str, Any]:
    """Return a JSON value that must be an object; see `required` for path and place.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, dict):
        raise InputError(f"{path}: {place} is not a JSON object; {CHECK}")
    return value  # pyright: ignore[reportUnknownVariableType]


def as_objects(path: Path, value: object, place: str) -> list[dict[str, Any]]:
    """Return a JSON value that must be a list of objects; see `required` for path and place.

    Raises:
        InputError: It is not.
    """
    records = as_list(path, value, place)
    return [as_object(path, inner, f"{place}, record {number}") for number, inner in enumerate(records, 1)]


def as_list(path: Path, value: object, place: str) -> list[Any]:
    """Return a JSON value that must be a list; see `required` for path and place.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, list):
        raise InputError(f"{path}: {place} is not a JSON list; {CHECK}")
    return value  # pyright: ignore[reportUnknownVariableType]


def optional_object(path: Path, record: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    """Return a field that is an object; an empty one where it is null or missing; see `required`.

    Raises:
        InputError: It is something else.
    """
    value = record.get(name)
    return {} if value is None else as_object(path, value, f"{place}: {name}")


def optional_list(path: Path, record: Mapping[str, Any], name: str, place: str) -> list[Any]:
    """Return a field that is a list; an empty one where it is null or missing; see `required`.

    Raises:
        InputError: It is something else.
    """
    value = record.get(name)
    return [] if value is None else as_list(path, value, f"{place}: {name}")


def required(path: Path, record: Mapping[str, Any], name: str, place: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field that a record must have.

    Args:
        path: The file, for the message.
        record: The record.
        name: Name of the field.
        place: Place of the record in the file, for the message.

    Raises:
        InputError: It does not; the message names file and place.
    """
    if name not in record or record[name] is None:
        raise InputError(f"{path}: {place} has no '{name}' (found {first_few(map(str, record), 6)}); {CHECK}")
    return record[name]


def required_name(path: Path, record: Mapping[str, Any], name: str, place: str) -> str:
    """Return a field that a record must have and that names something: text or a number; see `required`.

    Raises:
        InputError: It is missing, or is something else.
    """
    value = record.get(name)
    if type(value) is int or (isinstance(value, str) and value.strip()):
        return str(value)
    value = required(path, record, name, place)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{path}: {place}: '{name}' is neither text nor a number; {CHECK}")
    if not str(value).strip():
        raise InputError(f"{path}: {place}: '{name}' is blank; {CHECK}")
    return str(value)


def text_of(value: object) -> str | None:
    """Return a JSON value as text: text itself, numbers by their digits, anything nested as JSON; null is None."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def content_hash(*parts: object) -> str:
    """Return a hash of JSON values, by which equal items of several logs are recognised."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
