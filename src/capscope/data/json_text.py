"""Read JSON text strictly: a repeated key, a lone surrogate or bad syntax is an error with file and line."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from capscope.errors import InputError


def json_lines(path: Path, text: str) -> list[dict[str, Any]]:
    """Parse JSON lines, one object each.

    Args:
        path: The file, for messages.
        text: Its content; empty lines are passed over.

    Raises:
        InputError: A line is no JSON object.
    """
    return [
        _json_record(path, f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]


def _json_record(path: Path, place: str, line: str) -> dict[str, Any]:
    record = parse_json(path, line, place)
    if not isinstance(record, dict):
        raise InputError(f"{path}: {place} is not a JSON object; write one {{...}} per line")
    return record  # pyright: ignore[reportUnknownVariableType]


def json_list(path: Path, text: str) -> list[dict[str, Any]]:
    """Parse a JSON list of objects.

    Args:
        path: The file, for messages.
        text: Its content.

    Raises:
        InputError: It is something else.
    """
    records = parse_json(path, text)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path}: expected a JSON list of objects; write one object for each row")
    return records  # pyright: ignore[reportUnknownVariableType]


class _RepeatedKeyError(ValueError):
    """An object of a JSON text has a key twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _RepeatedKeyError(next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1))
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)


def parse_json(path: Path, text: str, place: str = "") -> object:
    """Parse JSON text.

    Args:
        path: Its file.
        text: The JSON.
        place: Where in the file; by default the line at fault is named.

    Raises:
        InputError: It is not JSON, has a key twice in one object, or holds half a character (a lone surrogate).
    """
    where = place or "its text"
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = place or f"line {error.lineno}"
        raise InputError(f"{path}: {where} is not JSON ({error.msg}); write it again") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: {where} holds half a character (a lone \\ud...); mend it") from error
    except _RepeatedKeyError as error:
        raise InputError(f"{path}: {where} has the key '{error}' twice in one object; keep one of them") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {where} is not JSON that can be read; write it again") from error
    return value
