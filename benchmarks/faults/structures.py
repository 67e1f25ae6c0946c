"""Damage to the structure of tables and documents: columns, rows, cells, keys, nodes, kinds of values."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from faults.odd_values import ODD_NUMBERS, ODD_TEXTS, ODD_VALUES

Rows = list[list[str]]
Step = Callable[[bytes, random.Random], tuple[str, bytes]]


def flip(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Turn one bit."""
    place = chance.randrange(max(len(content), 1))
    new = content[place] ^ (1 << chance.randrange(8)) if content else 0
    return f"bit at {place}", content[:place] + bytes([new]) + content[place + 1 :]


def structure_of(name: str) -> Step:
    """Return the damage that fits a file."""
    if name.endswith((".csv", ".tsv")):
        return lambda content, chance: _delimited(content, chance, "," if name.endswith(".csv") else "\t")
    if name.endswith((".jsonl", ".jsonlines")):
        return _json_line
    return _document if name.endswith(".json") else _lines


def _lines(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    way = chance.choice(["twice", "gone", "first", "indented"])
    line = lines.pop(place)
    back = {"twice": [line, line], "gone": [], "first": [], "indented": [b"    " + line]}[way]
    lines[place:place] = back
    return f"line {place} {way}", b"\n".join([line, *lines] if way == "first" else lines)


def _each(change: Callable[[list[str]], object]) -> Callable[[Rows], object]:
    return lambda rows: [change(line) for line in rows]


def _exchange(cells: list, one: int, other: int) -> None:
    cells[one], cells[other] = cells[other], cells[one]


def _delimited(content: bytes, chance: random.Random, mark: str) -> tuple[str, bytes]:
    """Change rows, columns, cells, the header or the separator."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "replace")), delimiter=mark))
    if len(rows) < 2:
        return flip(content, chance)
    row, column, other = chance.randrange(len(rows)), chance.randrange(len(rows[0])), chance.randrange(len(rows[0]))
    name, width = rows[0][column], len(rows[0])
    ways: dict[str, Callable[[Rows], object]] = {
        "no column": _each(lambda line: line.pop(column)),
        "column twice": _each(lambda line: line.append(line[column])),
        "columns swapped": _each(lambda line: _exchange(line, column, other)),
        "header swapped": lambda rows: _exchange(rows[0], column, other),
        "no header": lambda rows: rows.pop(0),
        "row twice": lambda rows: rows.insert(chance.randrange(1, len(rows)), list(rows[row])),
        "no cell": lambda rows: rows[row].pop(column),
        "one cell more": lambda rows: rows[row].insert(column, chance.choice(["", "0.5", "x"])),
        "blank row": lambda rows: rows.insert(row, [""] * width),
        "renamed": lambda rows: rows[0].__setitem__(column, name + chance.choice(["s", "_", " ", "1"])),
        "blank name": lambda rows: rows[0].__setitem__(column, ""),
        "upper case": lambda rows: rows[0].__setitem__(column, name.upper()),
        "rows reversed": lambda rows: rows.__setitem__(slice(1, None), rows[:0:-1]),
        "cells swapped": lambda rows: _exchange(rows[row], column, other),
        "blank cell": lambda rows: rows[row].__setitem__(column, ""),
        "total": lambda rows: rows.append(["total"] * (width - 1) + [rows[-1][-1]]),
        "index": lambda rows: [line.insert(0, str(place - 1) if place else "") for place, line in enumerate(rows)],
        "other mark": lambda rows: rows,
        "quoted": lambda rows: rows,
    }
    way = chance.choice(sorted(ways))
    ways[way](rows)
    held = io.StringIO()
    quoting = csv.QUOTE_ALL if way == "quoted" else csv.QUOTE_MINIMAL
    mark = ";" if way == "other mark" else mark
    csv.writer(held, delimiter=mark, lineterminator="\n", quoting=quoting).writerows(rows)
    return f"{way} (row {row}, column {column})", held.getvalue().encode()


def _json_line(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    lines = [line for line in content.split(b"\n") if line.strip()]
    place = chance.randrange(max(len(lines), 1))
    way = chance.choice(["twice", "list", "node", "node", "node", "node", "node", "joined", "first gone"])
    if not lines:
        return flip(content, chance)
    if way == "twice":
        lines.insert(place, lines[place])
    elif way == "list":
        lines = [b"[" + b",".join(lines) + b"]"]
    elif way == "joined":
        lines = [b" ".join(lines)]
    elif way == "first gone":
        del lines[0]
    else:
        way, lines[place] = _document(lines[place], chance)
    return f"line {place}: {way}", b"\n".join(lines) + b"\n"


def _document(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Change one node of a JSON document."""
    try:
        root = [json.loads(content)]
    except ValueError:
        return flip(content, chance)
    path, holder, key = chance.choice(list(_nodes(root, ())))
    way = chance.choice(["value", "value", "value", "gone", "twice", "renamed", "deep", "reversed", "wrapped", "again"])
    if way == "again" and isinstance(holder, dict):
        return _key_twice(root, path, key, holder, chance)
    if way in _NODE_WAYS and len(path) > 1 and isinstance(holder, _NODE_WAYS[way][0]):
        _NODE_WAYS[way][1](holder, key)
    elif way == "wrapped":
        holder[key] = chance.choice([[holder[key]], {"value": holder[key]}, [holder[key]] * 2])
    elif way == "deep":
        holder[key] = "DEEP"
    else:
        holder[key] = chance.choice(ODD_VALUES)
        way = f"is {str(holder[key])[:20]!r}"
    depth = chance.choice([50, 2000, 100_000])
    text = json.dumps(root[0], ensure_ascii=False).replace('"DEEP"', "[" * depth + "]" * depth)
    return f"{way} at {'/'.join(map(str, path[1:]))}", text.encode("utf-8", "surrogatepass")


_NODE_WAYS: dict[str, tuple[Any, Callable[[Any, Any], object]]] = {
    "gone": ((list, dict), lambda holder, key: holder.pop(key)),
    "twice": (list, lambda holder, key: holder.insert(key, holder[key])),
    "renamed": (dict, lambda holder, key: holder.__setitem__(key + "_", holder.pop(key))),
    "reversed": (list, lambda holder, _: holder.reverse()),
}


def _key_twice(
    root: list[Any], path: tuple[Any, ...], key: str, holder: dict[str, Any], chance: random.Random
) -> tuple[str, bytes]:
    value = chance.choice(ODD_VALUES)
    twin = f"{key}TWIN"
    holder[twin] = value
    text = json.dumps(root[0], ensure_ascii=False).replace(
        json.dumps(twin, ensure_ascii=False), json.dumps(key, ensure_ascii=False)
    )
    return f"key twice at {'/'.join(map(str, path[1:]))}", text.encode("utf-8", "surrogatepass")


def _nodes(holder: list | dict, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    pairs = list(enumerate(holder)) if isinstance(holder, list) else list(holder.items())
    for key, value in pairs:
        yield (*path, key), holder, key
        if isinstance(value, list | dict):
            yield from _nodes(value, (*path, key))


def parquet(content: bytes, chance: random.Random, kind: str) -> tuple[str, bytes]:
    """Write the table anew with one column of another kind, or one cell of another value."""
    frame = pd.read_parquet(io.BytesIO(content))
    place = chance.randrange(frame.shape[1])
    name, column = frame.columns[place], frame.iloc[:, place]
    casts: dict[str, Callable[[], Any]] = {
        "categories": lambda: column.astype("category"),
        "bytes": lambda: column.map(lambda value: str(value).encode()),
        "texts": lambda: column.astype(str),
        "lists": lambda: column.map(lambda value: [value]),
        "objects": lambda: column.map(lambda value: {"value": value}),
        "times": lambda: pd.to_datetime(np.arange(len(column))),
        "truth": lambda: column.map(bool),
        "int8": lambda: pd.to_numeric(column, errors="coerce").fillna(0).astype("int8"),
        "uint64": lambda: pd.Series([2**64 - 1] * len(column), dtype="uint64"),
        "float16": lambda: pd.to_numeric(column, errors="coerce").astype("float16").astype("float32"),
        "Int64": lambda: pd.to_numeric(column, errors="coerce").round().astype("Int64"),
        "decimals": lambda: column.map(lambda value: Decimal(str(value)) if isinstance(value, float) else value),
        "nothing": lambda: pd.Series([None] * len(column)),
        "durations": lambda: pd.to_timedelta(np.arange(len(column)), unit="s"),
    }
    shapes: dict[str, Callable[[], pd.DataFrame]] = {
        "no column": lambda: frame.drop(columns=name),
        "renamed": lambda: frame.rename(columns={name: f"{name}_"}),
        "row twice": lambda: pd.concat([frame, frame.iloc[[chance.randrange(len(frame))]]]),
        "index": lambda: frame.set_index(name),
        "no rows": lambda: frame.iloc[:0],
        "reversed": lambda: frame.iloc[::-1],
        "transposed": lambda: frame.astype(str).T.reset_index().rename(columns=str),
    }
    if kind == "values":
        row, value = (
            chance.randrange(len(frame)),
            chance.choice([*ODD_TEXTS, *ODD_NUMBERS, None, 0.1, 2.0, float("nan")]),
        )
        changed = frame.astype({name: object})
        changed.iloc[row, place] = value
        texts = any(isinstance(each, str) for each in changed[name])
        changed[name] = changed[name].map(lambda each: each if each is None else str(each)) if texts else changed[name]
        what, frame = f"{name} of row {row} is {str(value)[:20]!r}", changed
    elif chance.random() < 0.7:
        way = chance.choice(sorted(casts))
        try:
            frame = frame.assign(**{name: casts[way]()})
        except (TypeError, ValueError, OverflowError):
            return flip(content, chance)
        what = f"{name} as {way}"
    else:
        way = chance.choice(sorted(shapes))
        what, frame = f"{way} ({name})", shapes[way]()
    held = io.BytesIO()
    try:
        frame.to_parquet(held)
    except Exception:  # noqa: BLE001 - what Parquet cannot hold is no input
        return flip(content, chance)
    return what, held.getvalue()
