"""Objects in annotators' replies: the last one that holds a key, read as JSON and through common faults of JSON."""

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

OBJECT_START = re.compile(r"\{\s*(?:[\"'\u201c\u201d`]\s*)?[A-Za-z_]\w*(?:\s*[\"'\u201c\u201d`])?\s*[:\uff1a]")
BAD_BACKSLASH = re.compile(r"\\(?![\"\\/bfnrt]|u[0-9a-fA-F]{4})")
VALUE = r"\{[^{}]*\}|[^,{}\n]+?(?:,\s*[\d.][^,{}\n]*?)?"
"""A value without quotes; a comma before a digit does not end it: ``3,5`` is no level."""
COMMENT = re.compile(r"/\*[^\"*]*\*/|(?<=[\s,\d])(?://|#)[^\"\n]*(?=\n|$)")
TRAILING_COMMA = re.compile(r",(\s*[}\]])")
OF_OTHERS = re.compile(
    r"^\W*(?:or|and|alternatively|versus|vs)\W*$|\b(?:for|by|in) (?:example|instance|comparison|reference|contrast)\b"
    r"|\be\.g\.|\b(?:another|an? (?:easier|harder|simpler|similar|trivial|different)) (?:item|task|question|problem)\b"
    r"|\boption\s*\d",
    re.IGNORECASE,
)
"""Words between two objects of which one is an alternative, or the level of another item."""
PREFIX = r"(?:(?:final|overall|assigned|demand)[_ ]?)?"
"""What may stand before the name of a key."""
MOST_STARTS = 200
"""Largest number of possible starts of an object that are tried, counted from the end of a reply."""
LONGEST_ANSWER = 100_000
"""Largest number of characters of an answer that are parsed, counted from its end."""
LONGEST_LITERAL = 50_000


@dataclass(frozen=True)
class ReplyObject:
    """The last object of a reply that holds a key."""

    fields: dict[str, Any] | None
    """Fields of the object; None where it is not valid JSON even after repair."""
    tail: str
    """Text after the object."""
    alternatives: tuple[str, ...]
    """Texts of further objects with the same key directly before it, without a word between them."""


def last_object(text: str, key: str) -> ReplyObject | None:
    """Return the last top-level object of a text that has a key.

    Args:
        text: The reply.
        key: A key that the object has to hold.
    """
    text = text[-LONGEST_ANSWER:]
    spans = _spans(text, key)
    if not spans:
        return None
    alternatives: list[str] = []
    for before, after in zip(reversed(spans[:-1]), reversed(spans[1:]), strict=True):
        between = text[before[1] : after[0]]
        if re.search(r"\w", between) and not OF_OTHERS.search(between):
            break
        alternatives.append(text[before[0] : before[1]])
    start, end = spans[-1]
    return ReplyObject(read_span(text[start:end], key), text[end:], tuple(alternatives))


def _spans(text: str, key: str) -> list[tuple[int, int]]:
    """Return start and end of the top-level objects that have a key."""
    places = [match.start() for match in _naming(key).finditer(text)]
    starts = [match.start() for match in OBJECT_START.finditer(text) if places and match.start() < places[-1]]
    spans: list[tuple[int, int]] = []
    known = False
    for start in starts[-MOST_STARTS:]:
        within = bool(spans) and start < spans[-1][1]
        end = None if within and known else end_of_object(text, start)
        if end is None or not _naming(key).search(text, start, end):
            continue
        readable = read_span(text[start:end], key) is not None
        if within and not readable:
            continue
        if within:
            # unbalanced braces before the object: the outer span is no object
            spans.pop()
        spans.append((start, end))
        known = readable
    return spans


def _naming(key: str) -> re.Pattern[str]:
    """Pattern of a key with its colon, quoted or not."""
    return re.compile(rf"[\"'\u201c\u201d`]?\b{PREFIX}{key}\b\s*[\"'\u201c\u201d`]?\s*[:\uff1a]", re.IGNORECASE)


def end_of_object(text: str, start: int) -> int | None:
    """Return the end of an object by its braces outside strings, else by all of its braces; None without an end.

    Args:
        text: The reply.
        start: Position of the opening brace.
    """
    first = re.search(r"[\"']", text[start : start + 20])
    quote = first[0] if first else '"'
    for respect_strings in (True, False):
        depth, inside = 0, False
        for match in re.finditer(r"\\.|[{}\"']", text[start:], re.DOTALL):
            letter = match[0]
            if letter == quote and respect_strings:
                inside = not inside
            elif not inside and letter in "{}":
                depth += 1 if letter == "{" else -1
                if depth == 0:
                    return start + match.end()
    return None


def read_span(span: str, key: str) -> dict[str, Any] | None:
    """Read an object as JSON, as repaired JSON, as a Python literal, or as one key with an unquoted value.

    Args:
        span: Text of the object, braces included.
        key: The key that is wanted.

    Returns:
        Its fields; None where it cannot be read.
    """
    unescaped = BAD_BACKSLASH.sub(r"\\\\", span)
    plain = COMMENT.sub("", span.replace("\uff1a", ":").replace("\uff0c", ","))
    candidates = (span, unescaped, *(TRAILING_COMMA.sub(r"\1", text) for text in (span, unescaped, plain)))
    for candidate in candidates:
        fields = loads_object(candidate)
        if fields is not None:
            return fields
    if len(_naming(key).findall(span)) != 1:
        return None
    fields = _literal(span)
    if fields is not None:
        return fields
    value = re.search(_naming(key).pattern + rf"\s*({VALUE})\s*,?\s*(?:\}}|,|\n)", span, re.IGNORECASE)
    if value is None:
        return None
    raw = value[1].strip().strip("\"'\u201c\u201d`").strip()
    return {key: loads_object(raw) if raw.startswith("{") else raw}


def _literal(span: str) -> dict[str, Any] | None:
    if len(span) > LONGEST_LITERAL:
        return None
    try:
        tree = ast.parse(span.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict) and len({ast.dump(key) for key in node.keys if key}) < len(node.keys):
                return None
        value = ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return {str(name): entry for name, entry in value.items()} if isinstance(value, dict) else None


def loads_object(text: str) -> dict[str, Any] | None:
    """Read a JSON object; raw line breaks in strings are accepted, repeated keys are not."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse repeated keys, because they may state two levels."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("repeated key")
    return dict(pairs)


def field_of(fields: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field by its name, ignoring case and words such as "final", also from an inner object if one has it.

    Args:
        fields: Fields of an object.
        name: Name of the field.
    """
    if name in fields:
        return fields[name]
    near = [value for key, value in fields.items() if re.fullmatch(rf"{PREFIX}{name}", str(key).strip(), re.IGNORECASE)]
    if near:
        return near[0] if len(near) == 1 else None
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in fields.values()]
    inner = [value for value in values if isinstance(value, dict) and name in value]
    return inner[0][name] if len(inner) == 1 else None
