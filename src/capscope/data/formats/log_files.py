"""Files of logs: found in folders, read record by record, every fault named by file and line."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from capscope.data.reading import parse_json, read_text, require_file
from capscope.errors import InputError, first_few


def log_files(paths: Sequence[Path], patterns: Sequence[str], what: str, other_than: Sequence[str] = ()) -> list[Path]:
    """Return the files given, and of every folder given those in it, at any depth, whose names fit.

    Args:
        paths: Files and folders.
        patterns: Which files of a folder count, such as ``samples_*.jsonl``.
        what: What to call such files in an error.
        other_than: Names that are passed over in folders, though they fit: lists and settings that tools keep there.

    Raises:
        InputError: A path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            fitting = {inner for pattern in patterns for inner in path.rglob(pattern) if inner.is_file()}
            inside = sorted(inner for inner in fitting if inner.name not in other_than)
            if not inside:
                raise InputError(f"{path}: holds no {what} ({first_few(patterns)}); give the folder that does")
            found += inside
        else:
            require_file(path)
            found.append(path)
    return list(dict.fromkeys(found))


def numbered_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file of JSON lines one record at a time, with the number of its line.

    Raises:
        InputError: A line is not a JSON object in UTF-8; the message names it.
    """
    require_file(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield number, _record(path, number, line)


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: line {number} is not UTF-8 text; write the log again") from error
    return as_object(path, parse_json(path, text, f"line {number}"), f"line {number}")


def as_object(path: Path, value: object, place: str) -> dict[str, Any]:
    """Return a JSON value that must be an object.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, dict):
        raise InputError(f"{path}: {place} is not a JSON object; check that this is the format you named")
    return value  # pyright: ignore[reportUnknownVariableType]


def as_objects(path: Path, value: object, place: str) -> list[dict[str, Any]]:
    """Return a JSON value that must be a list of objects.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, list):
        raise InputError(f"{path}: {place} is not a JSON list; check that this is the format you named")
    return [as_object(path, inner, f"{place}, record {number}") for number, inner in enumerate(value, 1)]


def json_document(path: Path) -> object:
    """Read a file that is one JSON document.

    Raises:
        InputError: It is not JSON in UTF-8.
    """
    return parse_json(path, read_text(path))


def field(path: Path, record: dict[str, Any], name: str, place: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field that a record must have.

    Raises:
        InputError: It does not; the message names file and place.
    """
    if name not in record or record[name] is None:
        raise InputError(
            f"{path}: {place} has no '{name}' (found {first_few(map(str, record), 6)}); check that this is the format"
            " you named"
        )
    return record[name]


def text_of(value: object) -> str | None:
    """Return a JSON value as text: text itself, numbers by their digits, anything nested as JSON; null is None."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
