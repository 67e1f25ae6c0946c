"""Interface of file formats, reports of imports and exports, and helper functions of exports."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from capscope.data.study import Study
from capscope.errors import InputError, nearest

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
"""One path or several."""
HEAD_BYTES = 1 << 16
"""Bytes of a file that are read to recognise its format."""


@dataclass(frozen=True)
class ImportReport:
    """Counts of an import: rows read, tables of the study, and rows left out."""

    rows: int
    """Rows of all tables read."""
    responses: int
    """Responses of the study."""
    models: int
    """Models with at least one response."""
    items: int
    """Items of the study: described, or answered at least once."""
    levels: int
    """Demand levels of the study."""
    not_administered: int
    """Cells that were empty or held a value that means "not administered"; they are no responses."""
    unrated: int
    """Cells of demand columns without a level."""
    sources: tuple[str, ...]
    """Names of the files read."""
    notes: tuple[str, ...] = ()
    """Remarks on the data: how many records were not scored and why, runs that are unfinished, odd columns."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class ExportReport:
    """Counts of an export, and what the format cannot hold."""

    files: tuple[str, ...]
    """The files written."""
    responses: int
    """Responses of the study."""
    models: int
    """Models with at least one response."""
    items: int
    """Items with at least one response."""
    left_behind: tuple[str, ...]
    """Columns and tables of the study that the format cannot hold."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of an import on the command line, which is a keyword of the format's `read`."""

    keyword: str
    """The keyword; its default is that of `read`."""
    help: str
    """One sentence."""
    flag: str = ""
    """Name on the command line; by default the keyword's own, ``--not-administered`` for ``not_administered``."""
    kind: Literal["text", "texts", "path", "switch"] = "text"
    """A text, a text that may be repeated, a path, or a switch."""
    earlier: str = ""
    """An earlier name on the command line that still works."""
    excludes: str = ""
    """Keyword of a switch that cannot be given together with this one."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.flag or f"--{self.keyword.replace('_', '-')}"

    @property
    def names(self) -> tuple[str, ...]:
        """All names on the command line, the usual one first."""
        return (self.name, self.earlier) if self.earlier else (self.name,)


NOT_ADMINISTERED = Option(
    keyword="not_administered",
    kind="texts",
    help='A score that means "not administered", such as -1; may be repeated.',
)
MODEL = Option(keyword="model", help="Who answered, where the logs do not say or say it wrong.")
METRICS = Option(
    keyword="metrics",
    flag="--metric",
    kind="texts",
    help="Which metric is the score; may be repeated, first choice first.",
)
ENCODING = Option(keyword="encoding", help="Text encoding of CSV and JSON files.")
RUNS = Option(
    keyword="runs",
    flag="--repeats",
    earlier="--runs",
    help="Where several runs of a model answered the same item: error, latest, mean or all (facet 'run'). The retry of"
    " a run that failed counts in its place.",
)
LOG_OPTIONS = (METRICS, RUNS, MODEL, NOT_ADMINISTERED)
"""Options of logs that hold several metrics and runs."""


def one_of(option: str, value: str, choices: Iterable[str]) -> str:
    """Return the value of an option that must be one of a few.

    Args:
        option: Name of the option, for the message.
        value: The value given.
        choices: The values allowed.

    Raises:
        InputError: The value is not allowed.
    """
    known = list(choices)
    if value not in known:
        raise InputError(f"{option} is '{value}'{nearest(value, known)}; choose one of {', '.join(known)}")
    return value


@dataclass(frozen=True, kw_only=True)
class Argument:
    """The paths of an import on the command line."""

    name: str = "paths"
    """Name in the usage line."""
    help: str
    """One sentence."""
    many: bool = True
    """Whether it takes several paths."""
    required: bool = True
    """Whether there has to be one."""


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which its format is recognised."""

    path: Path
    """The file."""
    names: frozenset[str]
    """Columns of a table, or keys of the first JSON object (of the document, or of its first line)."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Default paths and options of an import without a named format."""

    paths: tuple[Path, ...]
    """The files, in the order in which `read` takes them."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Options of `read`; those that the user gives replace them."""
    remarks: tuple[str, ...] = ()
    """Sentences on the choices that were made."""


def nothing_beside(head: Head) -> str:  # noqa: ARG001 - the signature of `Format.beside`
    """Return an empty reason: the file is read."""
    return ""


Reader = Callable[..., tuple[Study, ImportReport]]
Writer = Callable[[Study, Path, bool], ExportReport]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One file format: how it is recognised, read and, where that is possible, written."""

    name: str
    """Name on the command line."""
    help: str
    """A few words for help texts and tables."""
    example: str
    """Arguments of an import, as an example."""
    patterns: tuple[str, ...]
    """Names of its files in a folder, such as ``samples_*.jsonl``."""
    detect: Callable[[Head], bool]
    """Whether a file with this beginning is of the format."""
    beside: Callable[[Head], str] = nothing_beside
    """Reason why a file of the tool is not read as answers; empty for files that are read."""
    generic: bool = False
    """Whether it accepts any table; such a format is tried after all others."""
    with_tables: bool = False
    """Whether tables of scores beside its files belong to them; beside logs they may repeat the logs' answers."""
    suggest: Callable[[Sequence[Path], Mapping[str, Any]], Suggestion] | None = None
    """Choose paths and further options, given the user's options; None reads the files with these alone."""
    read: Reader
    """Function of a sequence of paths that returns the study and a report (see `assembly.assemble`); its keyword
    arguments are the options."""
    options: tuple[Option, ...] = ()
    """Options of `read` on the command line."""
    arguments: tuple[Argument, ...] = (Argument(help="Files, or folders of them."),)
    """The paths on the command line."""
    write: Writer | None = None
    """Function of a study, a path and `force` (replace an existing file) that writes the study by `capscope.files` and
    returns `report_on_export`; None where the format is read only."""
    supplied: tuple[str, ...] = ()
    """Keywords of `read` that are functions of later rooms, which the command line supplies."""


def as_paths(paths: Paths) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(paths)] if isinstance(paths, str | PathLike) else [Path(path) for path in paths]


def head_of(path: Path) -> Head:
    """Read the beginning of a file; what cannot be read has no names."""
    try:
        return Head(path, frozenset(_names(path)))
    except (OSError, ValueError, RecursionError, pa.ArrowException):
        return Head(path, frozenset())


def _names(path: Path) -> Sequence[str]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pq.read_schema(path).names
    with path.open("rb") as handle:
        text = handle.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    line = text.split("\n", 1)[0].strip()
    if suffix in (".csv", ".tsv"):
        return [name.strip().strip('"') for name in line.split("," if suffix == ".csv" else "\t")]
    return list(_first_object(text, line))


def _first_object(text: str, line: str) -> Mapping[str, Any]:
    """Return the object of the first line; of a longer document, the keys that its beginning shows."""
    decoder = json.JSONDecoder()
    for start in (line, text.lstrip().removeprefix("[").lstrip()):
        try:
            value, _ = decoder.raw_decode(start)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value  # pyright: ignore[reportUnknownVariableType]
    return dict.fromkeys(part.split('"')[-1] for part in text.split('":')[:-1])


def report_on_export(study: Study, files: Sequence[Path], kept: Sequence[str]) -> ExportReport:
    """Count what was written.

    Args:
        study: The study.
        files: The files written.
        kept: Columns of responses and items that the format holds; everything else is left behind.
    """
    responses = study.require("responses")
    behind = [f"responses.{name}" for name in responses.columns if name not in kept]
    if study.items is not None:
        filled = study.items.columns[study.items.notna().any()]
        behind += [f"items.{name}" for name in filled if name not in kept]
    behind += ["demands"] if study.demands is not None else []
    models, items = responses["model"].nunique(), responses["item_id"].nunique()
    return ExportReport(tuple(map(str, files)), len(responses), models, items, tuple(behind))


def single_responses(study: Study, what: str, key: Sequence[str] = ("model", "item_id")) -> pd.DataFrame:
    """Return the responses of a study, for a format that has one for each model and item.

    Args:
        study: The study.
        what: Name of the format's data in an error.
        key: Columns of which the format can hold one response each.

    Raises:
        InputError: A model answers an item more than once, under several conditions.
    """
    responses = study.require("responses")
    repeated = responses.duplicated([name for name in key if name in responses])
    if repeated.any():
        model, item = responses.loc[repeated, ["model", "item_id"]].iloc[0]
        raise InputError(
            f"{study.name}: model '{model}' answers item '{item}' under several prompts or scaffolds, and {what} hold"
            " one response each; keep one of them, or name the model differently for each"
        )
    return responses


def plain_numbers(responses: pd.DataFrame) -> list[float | int]:
    """Return scores as numbers to write: 0 and 1 without decimals."""
    score = responses["score"].to_numpy(dtype=float)
    whole = bool(np.isin(score, (0.0, 1.0)).all())
    return score.astype(int).tolist() if whole else score.tolist()
