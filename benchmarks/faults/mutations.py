"""Ways to damage a file: by its bytes, its values, its structure and its encoding; each is drawn from a seed."""

import csv
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
WORD = re.compile(rb'"[^"\\\n]{0,60}"|(?<=,)[A-Za-z][\w-]*(?=[,\n])')
ODD_NUMBERS = (
    "NaN nan Infinity -Infinity -1 1e400 1e-400 1e309 0.5.1 1,5 50% true false null None 1_0 0x1 -0 +1 .5 1. 01 1e0 "
    "99999999999999999999999 1.0000000001 -0.0000001 2 0.30000000000000004 1d0 1f 0b1 1/2 [] {} [1] "
).split() + ["", " ", '"0.5"', '"1"', " 1", "1 ", "\u0661", "\uff11", "\u00bd", "\u22121", "1\u00a0", "1 0", "0,5", "'1'"]
ODD_TEXTS = ["", " ", "null", "NaN", "None", "-inf", "\u200b", "\u202e abc", "\x1b[31mred", "a\u0301", "\ufeff", "\x7f"]
ODD_TEXTS += ["\U0001f600", "=1+1", "../../x", "x" * 300_000, "a\tb", "a,b", "\u2028", "0", "1e5", "C", "I", "N", "True"]
ODD_VALUES: list[Any] = [None, True, False, 0, 1, -1, 0.5, 2, 1e308, float("nan"), float("inf"), 10**400, "", "x", "0.5"]
ODD_VALUES += ["1", [], {}, [1], [[1]], {"a": 1}, [None], {"value": 1}, "C", "I", "N", "nan", " ", [True], -0.0, 1e-320]


@dataclass(frozen=True)
class Damage:
    """What was done to a file."""

    kind: str
    """`bytes`, `values`, `structure` or `encoding`."""
    what: str
    """The step, for the record of what went wrong."""
    content: bytes
    """The file as it is now."""


def damage(kind: str, name: str, content: bytes, chance: random.Random) -> Damage:
    """Damage a file once in a way of this kind; archives are damaged in one of their members or as they are."""
    if name.endswith(".eval") and kind != "bytes":
        return _in_member(kind, content, chance)
    steps: dict[str, list[Callable[[bytes, random.Random], tuple[str, bytes]]]] = {
        "bytes": [_flip, _flip, _cut_end, _cut_end, _cut_span, _insert, _double_span, _swap, _zeros, _append],
        "values": [_odd_number, _odd_number, _odd_number, _odd_text, _other_number, _other_text],
        "structure": [_structure_of(name)],
        "encoding": [_recode],
    }
    if name.endswith(".parquet") and kind in ("values", "structure"):
        what, changed = _parquet(content, chance, kind)
    elif name.endswith((".safetensors", ".sqlite")) and kind != "bytes":
        what, changed = chance.choice(steps["bytes"])(content, chance)
    else:
        what, changed = chance.choice(steps[kind])(content, chance)
    return Damage(kind, what, changed)


def _in_member(kind: str, content: bytes, chance: random.Random) -> Damage:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    place = chance.randrange(len(members))
    name, inner = members[place]
    done = damage(kind, "member.json", inner, chance)
    members[place] = (name, done.content)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members:
            archive.writestr(member, text)
    return Damage(kind, f"{name}: {done.what}", held.getvalue())


def _span(content: bytes, chance: random.Random, most: int = 64) -> tuple[int, int]:
    start = chance.randrange(max(len(content), 1))
    return start, min(start + chance.randint(1, most), len(content))


def _flip(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    place = chance.randrange(max(len(content), 1))
    new = content[place] ^ (1 << chance.randrange(8)) if content else 0
    return f"bit at {place}", content[:place] + bytes([new]) + content[place + 1 :]


def _cut_end(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    place = chance.randrange(max(len(content), 1))
    return f"cut at {place} of {len(content)}", content[:place]


def _cut_span(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, end = _span(content, chance)
    return f"without {content[start:end]!r} at {start}", content[:start] + content[end:]


def _insert(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, _ = _span(content, chance)
    odd = chance.choice([b"\0", b"\xff", b"\x80\x81", b'"', b"\n", b",", b"\r", b"{", b"]", b"9", b"\\", b"\xed\xa0\x80"])
    return f"{odd!r} at {start}", content[:start] + odd + content[start:]


def _double_span(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, end = _span(content, chance, 400)
    return f"twice {content[start:end][:60]!r} at {start}", content[:end] + content[start:]


def _swap(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    left, right = sorted((_span(content, chance), _span(content, chance)))
    if left[1] > right[0]:
        return _flip(content, chance)
    parts = content[: left[0]], content[slice(*left)], content[left[1] : right[0]], content[slice(*right)]
    return f"swapped {left} and {right}", parts[0] + parts[3] + parts[2] + parts[1] + content[right[1] :]


def _zeros(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, end = _span(content, chance, 200)
    return f"zeros {start} to {end}", content[:start] + bytes(end - start) + content[end:]


def _append(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    more = chance.choice([b"\n", b"x", b"\n\n{}", b",", b"\0\0\0", content, b"\n1,2,3\n", b"]", b"\xef\xbb\xbf"])
    return f"and then {more[:20]!r}", content + more


def _put(content: bytes, pattern: re.Pattern[bytes], new: Callable[[bytes], str], chance: random.Random) -> tuple[str, bytes]:
    hits = list(pattern.finditer(content))
    if not hits:
        return _flip(content, chance)
    hit = chance.choice(hits)
    text = new(hit[0]).encode("utf-8", "surrogatepass")
    return f"{hit[0][:40]!r} at {hit.start()} is {text[:40]!r}", content[: hit.start()] + text + content[hit.end() :]


def _odd_number(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    return _put(content, NUMBER, lambda _: chance.choice(ODD_NUMBERS), chance)


def _other_number(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    return _put(content, NUMBER, lambda _: chance.choice(["0", "1", "0.25", "0.75", "3", "5", "7"]), chance)


def _odd_text(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    text = chance.choice(ODD_TEXTS)
    return _put(content, WORD, lambda old: json.dumps(text) if old[:1] == b'"' else text, chance)


def _other_text(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Write one text of the file in the place of another: names occur twice, columns change places."""
    words = [hit[0] for hit in WORD.finditer(content)]
    return _put(content, WORD, lambda _: chance.choice(words).decode("utf-8", "replace"), chance)


def _recode(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    import gzip

    text = content.decode("utf-8", "replace")
    ways: dict[str, Callable[[], bytes]] = {
        "utf-16": lambda: text.encode("utf-16"),
        "utf-16 without a mark": lambda: text.encode("utf-16-le"),
        "utf-32": lambda: text.encode("utf-32"),
        "a byte-order mark": lambda: b"\xef\xbb\xbf" + content,
        "two byte-order marks": lambda: b"\xef\xbb\xbf\xef\xbb\xbf" + content,
        "latin-1": lambda: text.replace("a", "\u00e4", 3).encode("latin-1", "replace"),
        "CRLF": lambda: content.replace(b"\n", b"\r\n"),
        "CR": lambda: content.replace(b"\n", b"\r"),
        "mixed ends": lambda: content.replace(b"\n", b"\r\n", 2),
        "U+2028": lambda: text.replace("\n", "\u2028", 1).encode(),
        "NEL": lambda: text.replace("\n", "\x85", 1).encode(),
        "gzip": lambda: gzip.compress(content),
        "utf-7": lambda: text.encode("utf-7"),
        "utf-8 twice": lambda: text.replace("a", "\u00e9", 2).encode().decode("latin-1").encode(),
        "a NUL": lambda: content[: len(content) // 2] + b"\0" + content[len(content) // 2 :],
        "nothing": lambda: b"",
        "blank": lambda: b" \n\n",
    }
    way = chance.choice(sorted(ways))
    return way, ways[way]()


def _structure_of(name: str) -> Callable[[bytes, random.Random], tuple[str, bytes]]:
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


def _delimited(content: bytes, chance: random.Random, mark: str) -> tuple[str, bytes]:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "replace")), delimiter=mark))
    if len(rows) < 2:
        return _flip(content, chance)
    row, column = chance.randrange(len(rows)), chance.randrange(len(rows[0]))
    other = chance.randrange(len(rows[0]))
    way = chance.choice(
        "no column,column twice,columns swapped,header swapped,no header,row twice,no cell,one cell more,blank row,"
        "renamed,blank name,upper case,rows reversed,other mark,index,cells swapped,blank cell,quoted,total".split(",")
    )
    if way in ("no column", "column twice", "columns swapped"):
        for line in rows:
            if way == "no column":
                del line[column]
            elif way == "column twice":
                line.append(line[column])
            else:
                line[column], line[other] = line[other], line[column]
    elif way == "header swapped":
        rows[0][column], rows[0][other] = rows[0][other], rows[0][column]
    elif way == "no header":
        del rows[0]
    elif way == "row twice":
        rows.insert(chance.randrange(1, len(rows)), list(rows[row]))
    elif way == "no cell":
        del rows[row][column]
    elif way == "one cell more":
        rows[row].insert(column, chance.choice(["", "0.5", "x"]))
    elif way == "blank row":
        rows.insert(row, [""] * len(rows[0]))
    elif way == "renamed":
        rows[0][column] += chance.choice(["s", "_", " ", "1"])
    elif way == "blank name":
        rows[0][column] = ""
    elif way == "upper case":
        rows[0][column] = rows[0][column].upper()
    elif way == "rows reversed":
        rows[1:] = rows[:0:-1]
    elif way == "index":
        rows = [[str(place - 1) if place else "", *line] for place, line in enumerate(rows)]
    elif way == "cells swapped":
        rows[row][column], rows[row][other] = rows[row][other], rows[row][column]
    elif way == "blank cell":
        rows[row][column] = ""
    elif way == "total":
        rows.append(["total"] * (len(rows[0]) - 1) + [rows[-1][-1]])
    held = io.StringIO()
    mark = ";" if way == "other mark" else mark
    csv.writer(held, delimiter=mark, lineterminator="\n", quoting=csv.QUOTE_ALL if way == "quoted" else 0).writerows(rows)
    return f"{way} (row {row}, column {column})", held.getvalue().encode()


def _json_line(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    lines = [line for line in content.split(b"\n") if line.strip()]
    place = chance.randrange(max(len(lines), 1))
    way = chance.choice(["twice", "list", "node", "node", "node", "node", "node", "joined", "first gone"])
    if not lines:
        return _flip(content, chance)
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
        return _flip(content, chance)
    nodes = list(_nodes(root, ()))
    path, holder, key = chance.choice(nodes)
    way = chance.choice(["value", "value", "value", "gone", "twice", "renamed", "deep", "reversed", "wrapped", "key twice"])
    if way == "key twice" and isinstance(holder, dict):
        return _key_twice(root, path, key, holder, chance)
    if way == "gone" and len(path) > 1:
        del holder[key]
    elif way == "twice" and isinstance(holder, list) and len(path) > 1:
        holder.insert(key, holder[key])
    elif way == "renamed" and isinstance(holder, dict):
        holder[key + "_"] = holder.pop(key)
    elif way == "deep":
        holder[key] = "DEEP"
    elif way == "reversed" and isinstance(holder[key], list):
        holder[key].reverse()
    elif way == "wrapped":
        holder[key] = chance.choice([[holder[key]], {"value": holder[key]}, [holder[key]] * 2])
    else:
        way, holder[key] = "value", chance.choice(ODD_VALUES)
        way = f"is {str(holder[key])[:20]!r}"
    depth = chance.choice([50, 2000, 100_000])
    text = json.dumps(root[0], ensure_ascii=False).replace('"DEEP"', "[" * depth + "]" * depth)
    return f"{way} at {'/'.join(map(str, path[1:]))}", text.encode("utf-8", "surrogatepass")


def _key_twice(root: list[Any], path: tuple[Any, ...], key: str, holder: dict[str, Any], chance: random.Random) -> tuple[str, bytes]:
    value = chance.choice(ODD_VALUES)
    twin = f"{key}TWIN"
    holder[twin] = value
    text = json.dumps(root[0], ensure_ascii=False).replace(json.dumps(twin, ensure_ascii=False), json.dumps(key, ensure_ascii=False))
    return f"key twice at {'/'.join(map(str, path[1:]))}", text.encode("utf-8", "surrogatepass")


def _nodes(holder: Any, path: tuple[Any, ...]):  # noqa: ANN202 - triples of path, holder and key
    pairs = list(enumerate(holder)) if isinstance(holder, list) else list(holder.items())
    for key, value in pairs:
        yield (*path, key), holder, key
        if isinstance(value, list | dict):
            yield from _nodes(value, (*path, key))


def _parquet(content: bytes, chance: random.Random, kind: str) -> tuple[str, bytes]:
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
        "decimals": lambda: column.map(lambda value: __import__("decimal").Decimal(str(value)) if isinstance(value, float) else value),
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
        row, value = chance.randrange(len(frame)), chance.choice([*ODD_TEXTS, *ODD_NUMBERS, None, 0.1, 2.0, float("nan")])
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
            return _flip(content, chance)
        what = f"{name} as {way}"
    else:
        way = chance.choice(sorted(shapes))
        what, frame = f"{way} ({name})", shapes[way]()
    held = io.BytesIO()
    try:
        frame.to_parquet(held)
    except Exception:  # noqa: BLE001 - what Parquet cannot hold is no input
        return _flip(content, chance)
    return what, held.getvalue()
