"""Read tables from CSV, TSV, JSON lines or Parquet: text stays text, and every fault names its file and row."""

import csv
import re
import sys
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.lib import ArrowException

from capscope.data.json_text import json_lines, json_list
from capscope.errors import InputError, first_few

SUFFIXES = (".parquet", ".jsonl", ".csv", ".tsv", ".json")
"""File endings that can be read, in the order in which a study folder is searched."""
PACKED, OTHERS = (".gz", ".bz2", ".xz", ".zst", ".zip"), (".xlsx", ".xls", ".ods", ".feather", ".arrow")
UNREADABLE: dict[str, str] = {**dict.fromkeys(PACKED, "unpack it to"), **dict.fromkeys(OTHERS, "save it as")}
"""What to do with tables of other endings."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""Start of the small text that git-lfs leaves in the place of a file that was not fetched."""
WITHOUT_NAME = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""Names that pandas gives to a column without one, and to an index."""
LARGEST_TABLE, MOST_INFLATED, SAMPLED_ROWS = 2_000_000_000, 200, 64
"""Bytes of a table beyond which a Parquet file may unpack to so many times its size at most; rows that are sampled."""
LEFT_OUT = "left_out"
"""Attribute of a table that `read_table` returns: names of the index columns that were left out."""


def read_table(path: Path, encoding: str = "utf-8", *, keep_index: bool = False) -> pd.DataFrame:
    """Read one table; columns of CSV files are text, so that the identifier ``007`` stays ``007``.

    A column that only numbers the rows, as pandas writes its index, is left out and named in the table's `attrs`.

    Args:
        path: A ``.parquet``, ``.jsonl``, ``.json`` (a list of records), ``.csv`` or ``.tsv`` file.
        encoding: Text encoding of CSV and JSON files; a UTF-8 byte-order mark is accepted.
        keep_index: Keep the columns that only number the rows: in a matrix they may be its row names.

    Returns:
        The table as it stands; columns of CSV files are text.

    Raises:
        InputError: The file is missing, empty, truncated, of an unknown kind or not in this encoding; or a column
            has no name.
    """
    require_file(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        frame = _read_parquet(path)
    elif suffix in (".csv", ".tsv"):
        frame = _read_delimited(path, read_text(path, encoding), "," if suffix == ".csv" else "\t")
    elif suffix in (".jsonl", ".json"):
        frame = _read_json(path, read_text(path, encoding), lines=suffix == ".jsonl")
    else:
        how = UNREADABLE.get(suffix, "use")
        raise InputError(f"{path}: cannot read '{path.suffix}' files; {how} one of {', '.join(SUFFIXES)}")
    if frame.empty:
        raise InputError(f"{path}: the table has no rows; check how it was written")
    return frame if keep_index else without_index(frame, str(path))


def without_index(frame: pd.DataFrame, source: str, others: tuple[str, ...] = ()) -> pd.DataFrame:
    """Leave out the columns that only number the rows: those without a name, and an index of pandas.

    Args:
        frame: A table as read.
        source: The file, for messages.
        others: Further names of columns that may be such an index.

    Raises:
        InputError: A column without a name holds something else.
    """
    names = [str(name) for name in frame.columns]
    suspect = [place for place, name in enumerate(names) if WITHOUT_NAME.fullmatch(name) or name in others]
    numbering = [place for place in suspect if _numbers_rows(frame.iloc[:, place])]
    for place in suspect:
        if place not in numbering and names[place] not in others:
            raise InputError(f"{source}: column {place + 1} has no name; name it or remove it")
    if not numbering or len(numbering) == len(names):
        return frame
    kept = frame.drop(columns=frame.columns[numbering])
    kept.attrs[LEFT_OUT] = tuple(names[place] for place in numbering)
    return kept


def _numbers_rows(column: pd.Series) -> bool:
    """Return whether a column holds 0, 1, 2, ... or 1, 2, 3, ..."""
    numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=float)
    return bool(any(np.array_equal(numbers, np.arange(start, start + len(numbers))) for start in (0, 1)))


def require_file(path: Path) -> None:
    """Refuse a path that is no file, or a file of git-lfs that was not fetched.

    Raises:
        InputError: Nothing is there, or a folder, or a pointer in the place of the data.
    """
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; give a file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        with path.open("rb") as handle:
            start = handle.read(len(LFS_POINTER))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if start == LFS_POINTER:
        raise InputError(f"{path}: a git-lfs pointer, not the data; fetch the file with 'git lfs pull'")


ODD_STARTS = {
    LFS_POINTER: "git-lfs pointers, not the data (fetch them with 'git lfs pull')",
    b"\xff\xfe": "in UTF-16 (save them as UTF-8)",
    b"\xfe\xff": "in UTF-16 (save them as UTF-8)",
    b"\x1f\x8b": "packed with gzip (unpack them)",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard (unpack them)",
}
"""What files with such a beginning are, and what to do with them."""


def odd_start(path: Path) -> str:
    """Return why the beginning of a file shows no format; empty where it gives no reason."""
    try:
        with path.open("rb") as handle:
            start = handle.read(len(LFS_POINTER))
    except OSError as error:
        return f"that cannot be read ({error.strerror})"
    if not start.strip():
        return "empty"
    return next((why for beginning, why in ODD_STARTS.items() if start.startswith(beginning)), "")


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a text file, dropping a byte-order mark.

    Args:
        path: The file.
        encoding: Text encoding, such as ``utf-8``.

    Returns:
        The text.

    Raises:
        InputError: The file cannot be read, or its bytes are not text in this encoding; the message names the line.
    """
    require_file(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") and _is_utf8(encoding):
        raise InputError(f"{path}: this is UTF-16 text, not UTF-8; save it as UTF-8 or give --encoding utf-16")
    try:
        text = raw.decode("utf-8-sig" if _is_utf8(encoding) else encoding)
    except UnicodeError as error:
        line = raw[: error.start].count(b"\n") + 1 if isinstance(error, UnicodeDecodeError) else 1
        raise InputError(
            f"{path}: line {line} is not {encoding} text; save the file as UTF-8 or name its --encoding"
        ) from error
    except LookupError as error:
        raise InputError(f"{path}: unknown encoding '{encoding}'; try utf-8 or latin-1") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"{path}: line {line} holds a NUL byte, which text does not; write it again or name its --encoding"
        )
    return text


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "") == "utf8"


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path) as file:
            _refuse_repeated_names(path, file.schema_arrow.names)
            _refuse_inflated(path, file)
        frame = pd.read_parquet(path)
        pa.default_memory_pool().release_unused()  # what reading took beside the table
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(f"{path}: not a readable Parquet file (truncated?); write it again") from error
    if any(name is not None for name in frame.index.names):
        return frame.reset_index(allow_duplicates=True)
    # an index without a name is a column of names where it holds text, and of no use where it numbers rows
    return frame.reset_index(drop=pd.api.types.is_numeric_dtype(frame.index))


def _refuse_inflated(path: Path, file: pq.ParquetFile) -> None:
    """Refuse a small file whose rows, judged by a sample of them, unpack to more than memory may hold.

    Raises:
        InputError: It would take more than `LARGEST_TABLE` bytes and `MOST_INFLATED` times its own size.
    """
    rows = file.metadata.num_rows
    sample = next(file.iter_batches(batch_size=SAMPLED_ROWS), None) if rows else None
    each, once = (0.0, 0) if sample is None or not sample.num_rows else _bytes_of(sample)
    unpacked = rows * max(each, file.metadata.num_columns / 8) + once
    if unpacked > max(LARGEST_TABLE, MOST_INFLATED * path.stat().st_size):
        raise InputError(
            f"{path}: {rows:,} rows would take about {unpacked / 1e9:.0f} GB of memory from a file of"
            f" {path.stat().st_size / 1e6:.1f} MB; check how it was written, or split it"
        )


def _bytes_of(sample: pa.RecordBatch) -> tuple[float, int]:
    """Return the bytes of one row, and those of the dictionaries of categories, which all rows share."""
    categories = [column for column in sample.columns if isinstance(column, pa.DictionaryArray)]
    shared = sum(column.dictionary.nbytes for column in categories)
    own = sum(column.indices.nbytes if isinstance(column, pa.DictionaryArray) else column.nbytes for column in sample)
    return own / sample.num_rows, shared


def _refuse_repeated_names(path: Path, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: two columns have the same name ({first_few(repeated)}); rename one")


def _read_delimited(path: Path, text: str, separator: str) -> pd.DataFrame:
    if not text.strip():
        raise InputError(f"{path}: the file is empty; check how it was written")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    header = _header(path, text, separator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                StringIO(text), sep=separator, dtype=str, keep_default_na=False, names=header, header=0, index_col=False
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: {_fault(text, separator, len(header), str(error))}") from error
    may_misfit = _ends_with_separator(text, separator) or frame.iloc[:, -1].eq("").any()
    if may_misfit and (line := _misfit(text, separator, len(header))):
        raise InputError(f"{path}: {line}")
    return frame


def _ends_with_separator(text: str, separator: str) -> bool:
    """Whether the first line of data does; pandas before 3.0 drops the empty field that all lines have at their end."""
    data = islice((line.rstrip("\r\n") for line in _lines(text) if line.strip("\r\n")), 1, 2)
    return next(data, "").endswith(separator)


def _header(path: Path, text: str, separator: str) -> list[str]:
    """Return the column names; a column without a name is called as pandas calls it."""
    try:
        with _long_fields():
            fields = next(csv.reader(_lines(text), delimiter=separator))
    except csv.Error as error:
        raise InputError(f"{path}: line 1 is no header ({error}); check how it was written") from error
    header = [name.strip() or f"Unnamed: {place}" for place, name in enumerate(fields)]
    if any("\n" in name for name in header):
        raise InputError(f"{path}: line 1 opens a quote that nothing closes; close it or remove it")
    other = next((mark for mark in (",", ";", "\t", "|") if mark in header[0]), None) if len(header) == 1 else None
    if other:
        raise InputError(
            f"{path}: the header holds {other!r} but no {separator!r}; separate its columns by {separator!r}"
        )
    _refuse_repeated_names(path, header)
    return header


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text, without a copy of all of it, from the first that is not empty."""
    start = len(text) - len(text.lstrip("\r\n")) if text[:1] in "\r\n" else 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


@contextmanager
def _long_fields() -> Generator[None]:
    """Let the csv module read fields of any length."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _fault(text: str, separator: str, width: int, reason: str) -> str:
    """Say which line does not fit the header; fall back on what the parser said."""
    if "EOF inside string" in reason:
        return f"{_unclosed_quote(text, separator)} opens a quote that nothing closes (truncated?); close it"
    return _misfit(text, separator, width) or f"{' '.join(reason.split())}; check how it was written"


def _with_plain_ends(text: str) -> StringIO:
    """Return the lines of a text; a lone carriage return ends one, as it does for pandas."""
    return StringIO(text, newline=None)


def _misfit(text: str, separator: str, width: int) -> str | None:
    """Describe the first line with more or fewer fields than the header."""
    with _long_fields():
        reader = csv.reader(_with_plain_ends(text), delimiter=separator)
        for fields in reader:
            if fields and len(fields) != width:
                return (
                    f"line {reader.line_num} has {len(fields)} fields, the header {width};"
                    " complete the line (truncated?), or quote fields that hold the separator"
                )
    return None


def _unclosed_quote(text: str, separator: str) -> str:
    """Name the line on which the last record starts, which is the one that runs into the end of the file."""
    start, end = 1, 0
    with _long_fields():
        reader = csv.reader(_with_plain_ends(text), delimiter=separator)
        for _ in reader:
            start, end = end + 1, reader.line_num
    return f"line {start}"


def _read_json(path: Path, text: str, *, lines: bool) -> pd.DataFrame:
    """Make a table of records; numbers with gaps between them stay the integers they are."""
    records = json_lines(path, text) if lines else json_list(path, text)
    frame = pd.DataFrame(records, dtype=object)
    return frame.apply(_with_machine_numbers)


def _with_machine_numbers(column: pd.Series) -> pd.Series:
    """Return a column of Python numbers as machine numbers; one with gaps or with longer integers stays as it is."""
    try:
        return column if column.isna().any() else column.infer_objects()
    except OverflowError:
        return column


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as ``rubrics/general``.

    A wheel carries these under ``capscope/shipped``; in an editable install they lie at the top of the checkout.

    Args:
        name: Path below the shipped data.

    Raises:
        InputError: Neither place has it.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package / "shipped" / name, package.parents[1] / name):
        if place.exists():
            return place
    raise InputError(f"'{name}' is not shipped with this capscope; reinstall it")
