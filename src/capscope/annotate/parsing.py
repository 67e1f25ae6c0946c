"""Parser of annotators' replies: the demand level that a complete reply states, or the reason why there is none.

Two forms of answer are accepted: a JSON object with the key ``level``, or a final sentence on a line of its own. Of
several objects the last one after the reasoning is read, with or without text, a code fence, end-of-turn tokens or a
list around it; common faults of JSON are repaired. Other numbers, as in "3 of 5", are ignored. A reply that was cut
off, that states two different levels, or that ends inside its reasoning has no level.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from capscope.annotate.reply_objects import (
    OBJECT_START,
    ReplyObject,
    end_of_object,
    field_of,
    last_object,
    loads_object,
    read_span,
)
from capscope.endpoint import closed, is_cut, is_whole, text_after_thoughts, unescaped, without_end

FINAL_SENTENCE = "The level is: {level}"
_DIGIT = r"(?:\\[(\[]\s*)?(?:\\boxed\{\s*([0-5])\s*\}|([0-5])(?:\.0+)?)(?:\s*\\[)\]])?"
_MOVING = r"(?!.*\b(?:or|no|not|to|maybe|perhaps|possibly|actually|wait|but|rather|between|higher|lower|plus)\b)"
_ASIDE = (
    r"(?:\s*\((?:on )?(?:an? |the )?scale (?:of |from )?0\s*(?:-|\u2013|to)\s*5\)"
    rf"|\s*\({_MOVING}[^()\d]*\)|\s*(?:[,:]|[-\u2013\u2014])\s*{_MOVING}[^\d\n]*)?"
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
LEVEL_TEXT = re.compile(rf"[*_`]*(?:level\s*[*_`]*|l)?0?([0-5])(?:\.0*)?[*_`]*{_ASIDE}", re.IGNORECASE)
"""A level as the text of a field."""
HEADED_LEVEL = re.compile(
    r"^([ \t*_#>]*(?:(?:the|my|final|overall|assigned)[ ]+){0,3}level)[ \t:*_]*\n\s*([*_]*[0-5][*_.]*)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A level alone under its heading."""
TAKEN_BACK = re.compile(
    r"\b(?:actually|wait|correction|on reflection|should (?:rather )?(?:be|have been))\b[^\d\n]{0,40}(\d)\b",
    re.IGNORECASE,
)
"""Another level after an object that stated one."""
LEVEL_CLAIM = re.compile(r"\b(?:level|rating|score)\b[^\d\n]{0,25}(\d+(?:\.\d+)?)", re.IGNORECASE)
RUN_ON = re.compile(r"\n\s*(?:User|Human|USER|HUMAN|user|human)(?::|\n)")
"""Start of a turn of the user, which a model has made up after its own answer."""


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
    answered = last_object(answer, "level")
    if answered is None:
        parsed = _from_final_line(answer)
        return parsed if is_whole(finish_reason) or not parsed.ok else Parsed(None, "", _ended(finish_reason))
    if not is_whole(finish_reason) and answered.tail.strip():
        return Parsed(None, "", _ended(finish_reason))
    if answered.fields is None:
        return Parsed(None, "", "the reply's object cannot be read, or names its level twice")
    parsed = _judged(field_of(answered.fields, "level"), _text(field_of(answered.fields, "reasoning")))
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
    answered = None if problem else last_object(answer, "levels")
    if answered is not None and not is_whole(finish_reason) and answered.tail.strip():
        problem = _ended(finish_reason)
    levels = field_of(answered.fields, "levels") if answered is not None and answered.fields is not None else None
    if problem or answered is None or not isinstance(levels, dict):
        return {code: Parsed(None, "", problem or "the reply holds no object 'levels'") for code in codes}
    reasoning = _text(field_of(answered.fields or {}, "reasoning"))
    others = [field_of(read_span(span, "levels") or {}, "levels") for span in answered.alternatives]
    alternatives = [other for other in others if isinstance(other, dict)]
    return {code: _joint_level(levels, alternatives, code, reasoning) for code in codes}


def _joint_level(levels: dict[str, Any], alternatives: Sequence[dict[str, Any]], code: str, reasoning: str) -> Parsed:
    """Level of one rubric; none where another object directly before it states a different level."""
    value = field_of(levels, code)
    if value is None:
        return Parsed(None, reasoning, f"no level for {code}")
    parsed = _judged(field_of(value, "level") if isinstance(value, dict) else value, reasoning)
    if any(as_level(field_of(rival, code)) not in (None, parsed.level) for rival in alternatives):
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
    value = field_of(fields, "options")
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
    answered = last_object(answer, key)
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
    if isinstance(value, str) and (match := LEVEL_TEXT.fullmatch(plain)):
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
    return whole if loads_object(whole) is not None else text_after_thoughts(text)


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
    level = as_level(next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value)
    return Parsed(level, reasoning, "" if level is not None else f"'{str(value)[:40]}' is no level from 0 to 5")


def _contradicts(level: int, parsed: ReplyObject) -> bool:
    """Whether the text after the object, or another object before it, states or begins to state a different level."""
    tail = RUN_ON.split(parsed.tail, maxsplit=1)[0]
    claims = {claim[1] for pattern in (LEVEL_CLAIM, TAKEN_BACK) for claim in pattern.finditer(tail)}
    if claims - {str(level), f"{level}.0"}:
        return True
    begun = OBJECT_START.search(tail)
    if begun is not None and end_of_object(tail, begun.start()) is None:
        return True
    alternatives = [read_span(span, "level") for span in parsed.alternatives]
    stated = [None if rival is None else field_of(rival, "level") for rival in alternatives]
    # an object in place of a level is the JSON schema of the prompt, repeated by the model
    return any(as_level(value) != level for value in stated if not isinstance(value, dict))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _from_final_line(text: str) -> Parsed:
    """Read the final sentence: on a line of its own, with no number and no level after it."""
    lines = [line.strip() for line in HEADED_LEVEL.sub(r"\1: \2", text).strip().split("\n")]
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
