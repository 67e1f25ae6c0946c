"""Read a table from CSV, TSV, JSON lines or Parquet: text stays text, and every fault names its file and row."""

import csv
import json
import warnings
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow.lib import ArrowException

from capscope.errors import InputError

SUFFIXES = (".parquet", ".jsonl", ".csv", ".tsv", ".json")
"""File endings that can be read, in the order in which a study folder is searched."""


def read_table(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Read one table; columns of CSV files are text, so that the identifier ``007`` stays ``007``.

    Args:
        path: A ``.parquet``, ``.jsonl``, ``.json`` (a list of records), ``.csv`` or ``.tsv`` file.
        encoding: Text encoding of CSV and JSON files; a UTF-8 byte-order mark is accepted.

    Raises:
        InputError: The file is missing, empty, truncated, of an unknown kind or not in this encoding.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        frame = _read_parquet(path)
    elif suffix in (".csv", ".tsv"):
        frame = _read_delimited(path, read_text(path, encoding), "," if suffix == ".csv" else "\t")
    elif suffix in (".jsonl", ".json"):
        frame = _read_json(path, read_text(path, encoding), lines=suffix == ".jsonl")
    else:
        raise InputError(f"{path}: cannot read '{path.suffix}' files; use one of {', '.join(SUFFIXES)}")
    if frame.empty:
        raise InputError(f"{path}: the table has no rows; check how it was written")
    return frame


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a text file, dropping a byte-order mark.

    Raises:
        InputError: The bytes are not text in this encoding; the message names the line.
    """
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") and encoding == "utf-8":
        raise InputError(f"{path}: this is UTF-16 text, not UTF-8; save it as UTF-8 or give --encoding utf-16")
    try:
        return raw.decode("utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line} is not {encoding} text; save the file as UTF-8 or name its --encoding"
        ) from error
    except LookupError as error:
        raise InputError(f"{path}: unknown encoding '{encoding}'; try utf-8 or latin-1") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable Parquet file (truncated?); write it again") from error


def _read_delimited(path: Path, text: str, separator: str) -> pd.DataFrame:
    if not text.strip():
        raise InputError(f"{path}: the file is empty; check how it was written")
    header = [name.strip() for name in next(csv.reader(StringIO(text.lstrip()), delimiter=separator))]
    if len(set(header)) < len(header):
        raise InputError(f"{path}: two columns have the same name; rename one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                StringIO(text),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                names=header,
                header=0,
                index_col=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().rsplit("C error: ", 1)[-1]
        raise InputError(f"{path}: {reason}; quote fields that hold the separator") from error


def _read_json(path: Path, text: str, *, lines: bool) -> pd.DataFrame:
    records = _json_lines(path, text) if lines else _json_list(path, text)
    return pd.DataFrame.from_records(records)


def _json_lines(path: Path, text: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        records.append(_json_record(path, f"line {number}", line))
    return records


def _json_record(path: Path, place: str, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: {place} is not JSON ({error.msg}); write it again") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}: {place} is not a JSON object; write one {{...}} per line")
    return record  # pyright: ignore[reportUnknownVariableType]


def _json_list(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno} is not JSON ({error.msg}); write it again") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path}: expected a JSON list of objects; write one object for each row")
    return records  # pyright: ignore[reportUnknownVariableType]
