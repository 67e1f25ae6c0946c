"""Parser of annotators' replies: the demand level that a complete reply states, or the reason why there is none.

Two forms of answer are accepted: a JSON object with the key ``level``, or a final sentence on a line of its own. Of
several objects the last one after the reasoning is read, with or without text, a code fence, end-of-turn tokens or a
list around it; common faults of JSON are repaired. Other numbers, as in "3 of 5", are ignored. A reply that was cut
off, that states two different levels, or that ends inside its reasoning has no level.
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
"""A remark behind the level, without words that could change it."""
FINAL_LINE = re.compile(
    r"^[\s*_>#-]*(?:(?:so|thus|therefore|hence|finally)[, ]+)?"
    r"(?:(?:(?:the|my|final|overall|assigned)[ ]+){0,3}level(?:[ ]is)?[*_ ]*[:=\uff1a]"
    r"|(?:(?:the|my|final|overall|assigned)[ ]+){1,3}level[ ]is(?=[ *_`$]*[\\0-5])"
    r"|the level of .{1,80} demanded by the given TASK INSTANCE is:)"
    rf"[*_ `$]*{_DIGIT}[*_ `$]*{_ASIDE}[.*_ `$]*$|^\s*<level>\s*([0-5])\s*</level>\s*$",
    re.IGNORECASE,
)
"""Final sentence: the one in our prompts, variants of it, or the one in ADeLe's prompt (Zhou et al., 2026)."""
LEVEL_CLAIM = re.compile(r"\b(?:level|rating|score)\b[^\d\n]{0,25}(\d+(?:\.\d+)?)", re.IGNORECASE)
RUN_ON = re.compile(r"\n\s*(?:User|Human|USER|HUMAN|user|human)(?::|\n)")
"""Start of a turn of the user, which a model has made up after its own answer."""
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
MOST_STARTS = 200
"""Largest number of possible starts of an object that are tried, counted from the end of a reply."""
LONGEST_ANSWER = 100_000
"""Largest number of characters of an answer that are parsed, counted from its end."""
LONGEST_LITERAL = 50_000


@dataclass(frozen=True)
class Parsed:
    """Level and reasoning in a reply about one rubric."""

    level: int | None
    """Demand level 0 to 5; None where the reply has none."""
    reasoning: str
    """The reasoning given before the level; empty where none was given."""
    problem: str
    """Why there is no level; empty where there is one."""

    @property
    def ok(self) -> bool:
        """Whether the reply has a level."""
        return self.level is not None


@dataclass(frozen=True)
class ParsedOptions:
    """Number of answer options of an item, as stated in a reply."""

    options: int | None
    """Number of options; None for an open answer, or where the reply is unparsed."""
    problem: str
    """Why the reply cannot be read; empty where it can."""


@dataclass(frozen=True)
class ReplyObject:
    """The last object of a reply that holds a key."""

    fields: dict[str, Any] | None
    """Fields of the object; None where it is not valid JSON even after repair."""
    tail: str
    """Text after the object."""
    alternatives: tuple[str, ...]
    """Texts of further objects with the same key directly before it, without a word between them."""


def parse_reply(text: str, finish_reason: str = "stop") -> Parsed:
    """Read the reply to a question about one rubric.

    Args:
        text: The reply.
        finish_reason: Why the model stopped, as the endpoint states it, such as ``stop`` or ``length``.

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
    """Read the reply to a question about several rubrics: an object whose ``levels`` maps codes to levels.

    Args:
        text: The reply.
        codes: Codes of the rubrics in the question.
        finish_reason: Why the model stopped.

    Returns:
        For each code the level 0 to 5, or why there is none.
    """
    problem, answer = _answer(text, finish_reason)
    answered = None if problem else _last_object(answer, "levels")
    if answered is not None and not is_whole(finish_reason) and answered.tail.strip():
        problem = _ended(finish_reason)
    levels = _field(answered.fields, "levels") if answered is not None and answered.fields is not None else None
    if problem or answered is None or not isinstance(levels, dict):
        return {code: Parsed(None, "", problem or "the reply holds no object 'levels'") for code in codes}
    reasoning = _text(_field(answered.fields or {}, "reasoning"))
    others = [_field(_read(span, "levels") or {}, "levels") for span in answered.alternatives]
    alternatives = [other for other in others if isinstance(other, dict)]
    return {code: _joint_level(levels, alternatives, code, reasoning) for code in codes}


def _joint_level(levels: dict[str, Any], alternatives: Sequence[dict[str, Any]], code: str, reasoning: str) -> Parsed:
    """Level of one rubric; none where another object directly before it states a different level."""
    value = _field(levels, code)
    if value is None:
        return Parsed(None, reasoning, f"no level for {code}")
    parsed = _judged(_field(value, "level") if isinstance(value, dict) else value, reasoning)
    if any(as_level(_field(rival, code)) not in (None, parsed.level) for rival in alternatives):
        return Parsed(None, reasoning, "the reply names two levels")
    return parsed


def parse_options_reply(text: str, finish_reason: str = "stop") -> ParsedOptions:
    """Read the reply to a question about the number of options: a whole number of at least 1, or ``open``.

    Args:
        text: The reply.
        finish_reason: Why the model stopped.
    """
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
    """Return the last object of a reply that has a key, after the reason why there is none (empty if there is one).

    Args:
        text: The reply.
        key: Key that the object must have.
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
    """Convert a value to a level: a number 0 to 5 or its digit as text; None for anything else, such as true or 3.5."""
    if isinstance(value, bool):
        return None
    plain = unicodedata.normalize("NFKC", value).strip() if isinstance(value, str) else ""
    if isinstance(value, str) and (match := re.fullmatch(r"(?:level\s*)?([0-5])(?:\.0*)?", plain, re.I)):
        return int(match[1])
    if isinstance(value, int | float) and value in (0, 1, 2, 3, 4, 5):
        return int(value)
    return None


def answer_of(text: str) -> str | None:
    """Return a reply without its reasoning block and end-of-turn tokens; None where the reasoning block does not end.

    Args:
        text: The reply.
    """
    whole = without_end(text) if text.lstrip().startswith("{") else ""
    return whole if _loads(whole) is not None else text_after_thoughts(text)


def _answer(text: str, finish_reason: str) -> tuple[str, str]:
    """Return the reason why a reply cannot be read (empty if it can), and the reply without its reasoning block."""
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


def _contradicts(level: int, parsed: ReplyObject) -> bool:
    """Whether the text after the object, or another object before it, states or begins to state a different level."""
    tail = RUN_ON.split(parsed.tail, maxsplit=1)[0]
    claims = {claim[1] for claim in LEVEL_CLAIM.finditer(tail)}
    if claims - {str(level), f"{level}.0"}:
        return True
    begun = OBJECT_START.search(tail)
    if begun is not None and _end_of_object(tail, begun.start()) is None:
        return True
    alternatives = [_read(span, "level") for span in parsed.alternatives]
    stated = [None if rival is None else _field(rival, "level") for rival in alternatives]
    # an object in place of a level is the JSON schema of the prompt, repeated by the model
    return any(as_level(value) != level for value in stated if not isinstance(value, dict))


def _field(fields: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field by its name, ignoring case, also from an inner object if exactly one has it."""
    if name in fields:
        return fields[name]
    near = [value for key, value in fields.items() if str(key).strip().lower() == name.lower()]
    if near:
        return near[0] if len(near) == 1 else None
    inner = [value for value in fields.values() if isinstance(value, dict) and name in value]
    return inner[0][name] if len(inner) == 1 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _last_object(text: str, key: str) -> ReplyObject | None:
    """Return the last top-level object of a text that has a key."""
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
    return ReplyObject(_read(text[start:end], key), text[end:], tuple(alternatives))


def _spans(text: str, key: str) -> list[tuple[int, int]]:
    """Return start and end of the top-level objects that have a key."""
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
            # unbalanced braces before the object: the outer span is no object
            spans.pop()
        spans.append((start, end))
        known = readable
    return spans


def _naming(key: str) -> re.Pattern[str]:
    """Pattern of a key with its colon, quoted or not."""
    return re.compile(rf"[\"'\u201c\u201d`]?\b{key}\b\s*[\"'\u201c\u201d`]?\s*[:\uff1a]", re.IGNORECASE)


def _end_of_object(text: str, start: int) -> int | None:
    """Return the end of an object by its braces outside strings, else by all of its braces; None without an end."""
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
    """Read an object as JSON, as repaired JSON, as a Python literal, or as one key with an unquoted value."""
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


def _from_final_line(text: str) -> Parsed:
    """Read the final sentence: on a line of its own, with no number and no level after it."""
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
    alternatives = {value for place, value in stated if place > last - 3}
    if re.search(r"\d|\blevel\b", after, re.IGNORECASE) or len(alternatives) > 1:
        return Parsed(None, "", "the reply names a level and then goes on about it")
    return Parsed(int(level), "\n".join(lines[:last]).strip(), "")
