"""Read a level out of a reply, as a careful person would: one whole reply that states one plain level, or nothing.

Two forms count. An object with the key ``level``: the last one after the reasoning, whatever wraps it (a fence, words,
end-of-turn tokens, a list of one), with the small faults that models make in JSON repaired. Or a final sentence on a
line of its own. A number anywhere else is prose: "3 of 5" is never a level. A reply that was cut, that names two levels
or that never leaves its thoughts holds none.
"""

import ast
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from capscope.endpoint import closed, is_cut, is_whole, text_after_thoughts, unescaped, without_end

FINAL_SENTENCE = "The level is: {level}"
_DIGIT = r"(?:\\boxed\{\s*([0-5])\s*\}|([0-5])(?:\.0+)?)"
_ASIDE = (
    r"(?:\s*\([^()\d]*\)|\s*(?:,|[-\u2013\u2014])\s*"
    r"(?!.*\b(?:or|no|not|to|maybe|perhaps|possibly|actually|wait|but|rather|between|higher|lower|plus)\b)[^\d\n]*)?"
)
"""Words on a level behind it, none of which moves it."""
FINAL_LINE = re.compile(
    r"^[\s*_>#-]*(?:(?:so|thus|therefore|hence|finally)[, ]+)?"
    r"(?:(?:(?:the|my|final|overall|assigned)[ ]+){0,3}level(?:[ ]is)?[*_ ]*[:=\uff1a]"
    r"|(?:(?:the|my|final|overall|assigned)[ ]+){1,3}level[ ]is(?=[ *_`$]*[\\0-5])"
    r"|the level of .{1,80} demanded by the given TASK INSTANCE is:)"
    rf"[*_ `$]*{_DIGIT}[*_ `$]*{_ASIDE}[.*_ `$]*$|^\s*<level>\s*([0-5])\s*</level>\s*$",
    re.IGNORECASE,
)
"""A final sentence: the one that is asked for, a near form of it, or the one that ADeLe's own prompt asks for."""
LEVEL_CLAIM = re.compile(r"\b(?:level|rating|score)\b[^\d\n]{0,25}(\d+(?:\.\d+)?)", re.IGNORECASE)
RUN_ON = re.compile(r"\n\s*(?:User|Human|USER|HUMAN|user|human)(?::|\n)")
"""Where a model goes on as if it were the one who asks."""
OBJECT_START = re.compile(r"\{\s*(?:[\"'\u201c\u201d`]\s*)?[A-Za-z_]\w*(?:\s*[\"'\u201c\u201d`])?\s*[:\uff1a]")
BAD_BACKSLASH = re.compile(r"\\(?![\"\\/bfnrt]|u[0-9a-fA-F]{4})")
VALUE = r"\{[^{}]*\}|[^,{}\n]+?(?:,\s*[\d.][^,{}\n]*?)?"
"""A value without quotes; a comma before a digit does not end it: ``3,5`` is no level."""
COMMENT = re.compile(r"/\*[^\"*]*\*/|(?<=[\s,\d])(?://|#)[^\"\n]*(?=\n|$)")
TRAILING_COMMA = re.compile(r",(\s*[}\]])")
MOST_STARTS = 200
"""Places at which an object may start that are looked at, from the end of a reply."""
LONGEST_ANSWER = 100_000
"""Characters of an answer that are looked at, from its end."""
LONGEST_LITERAL = 50_000


@dataclass(frozen=True)
class Parsed:
    """What one reply says about one rubric."""

    level: int | None
    """The level, or None where the reply is unparsed."""
    reasoning: str
    """The reasoning given before the level; empty where none was given."""
    problem: str
    """Why there is no level; empty where there is one."""

    @property
    def ok(self) -> bool:
        """Return whether there is a level."""
        return self.level is not None


@dataclass(frozen=True)
class ParsedOptions:
    """What one reply says about the number of options."""

    options: int | None
    """Number of options; None for an open answer, or where the reply is unparsed."""
    problem: str
    """Why the reply is unparsed; empty where it is not."""


@dataclass(frozen=True)
class FoundObject:
    """The last object of a reply that holds a key."""

    fields: dict[str, Any] | None
    """Its fields; None where it cannot be read."""
    tail: str
    """What follows it."""
    rivals: tuple[str, ...]
    """Texts of objects with the same key that stand right before it, with no word between them."""


def parse_reply(text: str, finish_reason: str = "stop") -> Parsed:
    """Read the reply to a question about one rubric.

    Args:
        text: The reply.
        finish_reason: Why the model stopped, in the endpoint's word.

    Returns:
        The level 0 to 5, or why there is none.
    """
    problem, answer = _answer(text, finish_reason)
    if problem:
        return Parsed(None, "", problem)
    answered = _last_object(answer, "level")
    if answered is None:
        parsed = _from_final_line(answer)
        return parsed if is_whole(finish_reason) or not parsed.ok else Parsed(None, "", _ended(finish_reason))
    if not is_whole(finish_reason) and answered.tail.strip():
        return Parsed(None, "", _ended(finish_reason))
    if answered.fields is None:
        return Parsed(None, "", "the reply's object cannot be read, or names its level twice")
    parsed = _judged(_field(answered.fields, "level"), _text(_field(answered.fields, "reasoning")))
    if parsed.level is not None and _contradicts(parsed.level, answered):
        return Parsed(None, parsed.reasoning, "the reply names two levels")
    return parsed


def parse_joint_reply(text: str, codes: Sequence[str], finish_reason: str = "stop") -> dict[str, Parsed]:
    """Read the reply to a question about several rubrics: an object whose ``levels`` maps every code to a level.

    Args:
        text: The reply.
        codes: The rubrics that were asked for; one that the reply leaves out is unparsed.
        finish_reason: Why the model stopped.

    Returns:
        By code: the level 0 to 5, or why there is none.
    """
    problem, answer = _answer(text, finish_reason)
    answered = None if problem else _last_object(answer, "levels")
    if answered is not None and not is_whole(finish_reason) and answered.tail.strip():
        problem = _ended(finish_reason)
    levels = _field(answered.fields, "levels") if answered is not None and answered.fields is not None else None
    if problem or answered is None or not isinstance(levels, dict):
        return {code: Parsed(None, "", problem or "the reply holds no object 'levels'") for code in codes}
    reasoning = _text(_field(answered.fields or {}, "reasoning"))
    others = [_field(_read(span, "levels") or {}, "levels") for span in answered.rivals]
    rivals = [other for other in others if isinstance(other, dict)]
    return {code: _joint_level(levels, rivals, code, reasoning) for code in codes}


def _joint_level(levels: dict[str, Any], rivals: Sequence[dict[str, Any]], code: str, reasoning: str) -> Parsed:
    """Return the level of one rubric; none where an object right before it names another."""
    value = _field(levels, code)
    if value is None:
        return Parsed(None, reasoning, f"no level for {code}")
    parsed = _judged(_field(value, "level") if isinstance(value, dict) else value, reasoning)
    if any(as_level(_field(rival, code)) not in (None, parsed.level) for rival in rivals):
        return Parsed(None, reasoning, "the reply names two levels")
    return parsed


def parse_options_reply(text: str, finish_reason: str = "stop") -> ParsedOptions:
    """Read the reply to a question about the number of options: a whole number of at least 1, or ``open``."""
    problem, fields = read_object(text, "options", finish_reason)
    if problem:
        return ParsedOptions(None, problem)
    value = _field(fields, "options")
    if isinstance(value, str) and value.strip().lower() == "open":
        return ParsedOptions(None, "")
    if isinstance(value, str) and (number := re.fullmatch(r"([1-9]\d{0,8})(?:\s+options)?", value.strip())):
        value = int(number[1])
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return ParsedOptions(value, "")
    return ParsedOptions(None, f"'{str(value)[:40]}' is no number of options")


def read_object(text: str, key: str, finish_reason: str = "stop") -> tuple[str, dict[str, Any]]:
    """Return why a reply cannot be read, or nothing, and the last object in it that holds a key.

    Args:
        text: The reply.
        key: A key that the object must hold.
        finish_reason: Why the model stopped.
    """
    problem, answer = _answer(text, finish_reason)
    if problem:
        return problem, {}
    answered = _last_object(answer, key)
    if answered is None or answered.fields is None:
        return f"the reply holds no object with '{key}'", {}
    if not is_whole(finish_reason) and answered.tail.strip():
        return _ended(finish_reason), {}
    return "", answered.fields


def as_level(value: object) -> int | None:
    """Return a level for the numbers 0 to 5, or their digit as text; None for anything else, true and 3.5 included."""
    if isinstance(value, bool):
        return None
    plain = unicodedata.normalize("NFKC", value).strip() if isinstance(value, str) else ""
    if isinstance(value, str) and (match := re.fullmatch(r"(?:level\s*)?([0-5])(?:\.0*)?", plain, re.I)):
        return int(match[1])
    if isinstance(value, int | float) and value in (0, 1, 2, 3, 4, 5):
        return int(value)
    return None


def answer_of(text: str) -> str | None:
    """Return what a reply says after its thoughts, without end-of-turn tokens; None where it never leaves them.

    Args:
        text: The reply.
    """
    whole = without_end(text) if text.lstrip().startswith("{") else ""
    return whole if _loads(whole) is not None else text_after_thoughts(text)


def _answer(text: str, finish_reason: str) -> tuple[str, str]:
    """Return why a reply cannot be read, or nothing, and what it says after its thoughts."""
    if is_cut(finish_reason):
        return _ended(finish_reason), ""
    if not text.strip():
        return "the reply is empty", ""
    answer = answer_of(text)
    if answer is None:
        return "the reply never leaves its thoughts", ""
    return "", closed(unescaped(answer)) if finish_reason.strip() else unescaped(answer)


def _ended(finish_reason: str) -> str:
    return f"the reply ended with finish_reason '{finish_reason}'"


def _judged(value: object, reasoning: str) -> Parsed:
    level = as_level(value)
    return Parsed(level, reasoning, "" if level is not None else f"'{str(value)[:40]}' is no level from 0 to 5")


def _contradicts(level: int, found: FoundObject) -> bool:
    """Return whether what follows the object, or an object right before it, names another level or begins to."""
    tail = RUN_ON.split(found.tail, maxsplit=1)[0]
    claims = {claim[1] for claim in LEVEL_CLAIM.finditer(tail)}
    if claims - {str(level), f"{level}.0"}:
        return True
    begun = OBJECT_START.search(tail)
    if begun is not None and _end_of_object(tail, begun.start()) is None:
        return True
    rivals = [_read(span, "level") for span in found.rivals]
    stated = [None if rival is None else _field(rival, "level") for rival in rivals]
    # An object in place of the level is the schema that was asked for.
    return any(as_level(value) != level for value in stated if not isinstance(value, dict))


def _field(fields: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field by its name, whatever its case; from an inner object where only one holds it."""
    if name in fields:
        return fields[name]
    near = [value for key, value in fields.items() if str(key).strip().lower() == name.lower()]
    if near:
        return near[0] if len(near) == 1 else None
    inner = [value for value in fields.values() if isinstance(value, dict) and name in value]
    return inner[0][name] if len(inner) == 1 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _last_object(text: str, key: str) -> FoundObject | None:
    """Return the last top-level object of a text that names a key."""
    text = text[-LONGEST_ANSWER:]
    spans = _spans(text, key)
    if not spans:
        return None
    rivals: list[str] = []
    for before, after in zip(reversed(spans[:-1]), reversed(spans[1:]), strict=True):
        if re.search(r"\w", text[before[1] : after[0]]):
            break
        rivals.append(text[before[0] : before[1]])
    start, end = spans[-1]
    return FoundObject(_read(text[start:end], key), text[end:], tuple(rivals))


def _spans(text: str, key: str) -> list[tuple[int, int]]:
    """Return where the top-level objects that name a key start and end."""
    places = [match.start() for match in _naming(key).finditer(text)]
    starts = [match.start() for match in OBJECT_START.finditer(text) if places and match.start() < places[-1]]
    spans: list[tuple[int, int]] = []
    known = False
    for start in starts[-MOST_STARTS:]:
        within = bool(spans) and start < spans[-1][1]
        end = None if within and known else _end_of_object(text, start)
        if end is None or not _naming(key).search(text, start, end):
            continue
        readable = _read(text[start:end], key) is not None
        if within and not readable:
            continue
        if within:
            # The braces of a text before it do not pair, and have swallowed the object.
            spans.pop()
        spans.append((start, end))
        known = readable
    return spans


def _naming(key: str) -> re.Pattern[str]:
    """Return the pattern of a key with its colon, quoted or not."""
    return re.compile(rf"[\"'\u201c\u201d`]?\b{key}\b\s*[\"'\u201c\u201d`]?\s*[:\uff1a]", re.IGNORECASE)


def _end_of_object(text: str, start: int) -> int | None:
    """Return where an object ends: by its braces outside of strings, else by all of its braces; None if nowhere."""
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


def _read(span: str, key: str) -> dict[str, Any] | None:
    """Read an object: as JSON, with the faults that models make repaired, as a Python literal, or by its one key."""
    unescaped = BAD_BACKSLASH.sub(r"\\\\", span)
    plain = COMMENT.sub("", span.replace("\uff1a", ":").replace("\uff0c", ","))
    candidates = (span, unescaped, *(TRAILING_COMMA.sub(r"\1", text) for text in (span, unescaped, plain)))
    for candidate in candidates:
        fields = _loads(candidate)
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
    return {key: _loads(raw) if raw.startswith("{") else raw}


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


def _loads(text: str) -> dict[str, Any] | None:
    """Read a JSON object; raw line breaks in strings are accepted, a key that stands twice is not."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that names a key twice: two levels are none."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _from_final_line(text: str) -> Parsed:
    """Read the final sentence: one on a line of its own, with nothing after it that names a number or a level."""
    lines = [line.strip() for line in text.strip().split("\n")]
    stated = [
        (place, next(filter(None, match.groups())))
        for place, line in enumerate(lines)
        if (match := FINAL_LINE.match(line))
    ]
    if not stated:
        return Parsed(None, "", "the reply holds neither the object nor the final sentence")
    last, level = stated[-1]
    after = "\n".join(lines[last + 1 :])
    rivals = {value for place, value in stated if place > last - 3}
    if re.search(r"\d|\blevel\b", after, re.IGNORECASE) or len(rivals) > 1:
        return Parsed(None, "", "the reply names a level and then goes on about it")
    return Parsed(int(level), "\n".join(lines[:last]).strip(), "")
