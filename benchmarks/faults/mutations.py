"""Ways to damage a file: by its bytes, its values, its structure and its encoding; each is drawn from a seed."""

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from faults.odd_values import ODD_NUMBERS, ODD_TEXTS
from faults.structures import Step, flip, parquet, structure_of

NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
WORD = re.compile(rb'"[^"\\\n]{0,60}"|(?<=,)[A-Za-z][\w-]*(?=[,\n])')


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
    steps: dict[str, list[Step]] = {
        "bytes": [flip, flip, _cut_end, _cut_end, _cut_span, _insert, _double_span, _swap, _zeros, _append],
        "values": [_odd_number, _odd_number, _odd_number, _odd_text, _other_number, _other_text],
        "structure": [structure_of(name)],
        "encoding": [_recode],
    }
    if name.endswith(".parquet") and kind in ("values", "structure"):
        what, changed = parquet(content, chance, kind)
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


def _cut_end(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    place = chance.randrange(max(len(content), 1))
    return f"cut at {place} of {len(content)}", content[:place]


def _cut_span(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, end = _span(content, chance)
    return f"without {content[start:end]!r} at {start}", content[:start] + content[end:]


def _insert(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, _ = _span(content, chance)
    odd = chance.choice(
        [b"\0", b"\xff", b"\x80\x81", b'"', b"\n", b",", b"\r", b"{", b"]", b"9", b"\\", b"\xed\xa0\x80"]
    )
    return f"{odd!r} at {start}", content[:start] + odd + content[start:]


def _double_span(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, end = _span(content, chance, 400)
    return f"twice {content[start:end][:60]!r} at {start}", content[:end] + content[start:]


def _swap(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    left, right = sorted((_span(content, chance), _span(content, chance)))
    if left[1] > right[0]:
        return flip(content, chance)
    parts = content[: left[0]], content[slice(*left)], content[left[1] : right[0]], content[slice(*right)]
    return f"swapped {left} and {right}", parts[0] + parts[3] + parts[2] + parts[1] + content[right[1] :]


def _zeros(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    start, end = _span(content, chance, 200)
    return f"zeros {start} to {end}", content[:start] + bytes(end - start) + content[end:]


def _append(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    more = chance.choice([b"\n", b"x", b"\n\n{}", b",", b"\0\0\0", content, b"\n1,2,3\n", b"]", b"\xef\xbb\xbf"])
    return f"and then {more[:20]!r}", content + more


def _put(
    content: bytes, pattern: re.Pattern[bytes], new: Callable[[bytes], str], chance: random.Random
) -> tuple[str, bytes]:
    hits = list(pattern.finditer(content))
    if not hits:
        return flip(content, chance)
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
