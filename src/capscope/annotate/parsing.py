"""Read a level out of a reply, strictly: a whole number from 0 to 5 where it was asked for, or nothing.

Two forms count. A JSON object with the key ``level`` (alone, in a code fence, or as the end of the reply), or the
fixed final sentence as the reply's last line. A number anywhere else is prose: "3 of 5" is never a level.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

FINAL_SENTENCE = "The level is: {level}"
FINAL_LINE = re.compile(
    r"^[*_ ]*(?:The level is|Thus, the level of .{1,80} demanded by the given TASK INSTANCE is):[*_ ]*([0-5])[.*_ ]*$",
    re.IGNORECASE,
)
"""The fixed final sentence: ours, or the one that ADeLe's own prompt asks for."""
CODE_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*?)\n?```$", re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """What one reply says about one rubric."""

    level: int | None
    """The level, or None where the reply is unparsed."""
    reasoning: str
    """The reasoning given before the level; empty where none was found."""
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


def parse_reply(text: str, finish_reason: str = "stop") -> Parsed:
    """Read the reply to a question about one rubric.

    Args:
        text: The reply.
        finish_reason: Why the model stopped; only ``stop`` (or nothing) means that the reply is whole.
    """
    if finish_reason not in ("stop", ""):
        return Parsed(None, "", f"the reply ended with finish_reason '{finish_reason}'")
    if not text.strip():
        return Parsed(None, "", "the reply is empty")
    found = _json_object(text)
    if found is not None and "level" in found:
        return _judged(found["level"], _text(found.get("reasoning")))
    return _from_final_line(text)


def parse_joint_reply(text: str, codes: Sequence[str], finish_reason: str = "stop") -> dict[str, Parsed]:
    """Read the reply to a question about several rubrics: an object whose ``levels`` maps every code to a level.

    Args:
        text: The reply.
        codes: The rubrics that were asked for; one that the reply leaves out is unparsed.
        finish_reason: Why the model stopped.
    """
    problem = "" if finish_reason in ("stop", "") else f"the reply ended with finish_reason '{finish_reason}'"
    found = None if problem else _json_object(text)
    levels = found.get("levels") if found else None
    if not isinstance(levels, dict):
        return {code: Parsed(None, "", problem or "the reply holds no object 'levels'") for code in codes}
    reasoning = _text(found.get("reasoning")) if found else ""
    return {
        code: _judged(levels[code], reasoning) if code in levels else Parsed(None, reasoning, f"no level for {code}")
        for code in codes
    }


def parse_options_reply(text: str, finish_reason: str = "stop") -> ParsedOptions:
    """Read the reply to a question about the number of options: a whole number of at least 1, or ``open``."""
    if finish_reason not in ("stop", ""):
        return ParsedOptions(None, f"the reply ended with finish_reason '{finish_reason}'")
    found = _json_object(text)
    if found is None or "options" not in found:
        return ParsedOptions(None, "the reply holds no object with 'options'")
    value = found["options"]
    if isinstance(value, str) and value.strip().lower() == "open":
        return ParsedOptions(None, "")
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,8}", value.strip()):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return ParsedOptions(value, "")
    return ParsedOptions(None, f"'{str(value)[:40]}' is no number of options")


def as_level(value: object) -> int | None:
    """Return a level for the numbers 0 to 5, or their digit as text; None for anything else, true and 3.5 included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-5]", value.strip()):
        return int(value)
    if isinstance(value, int | float) and value in (0, 1, 2, 3, 4, 5):
        return int(value)
    return None


def _judged(value: object, reasoning: str) -> Parsed:
    level = as_level(value)
    return Parsed(level, reasoning, "" if level is not None else f"'{str(value)[:40]}' is no level from 0 to 5")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _json_object(text: str) -> dict[str, object] | None:
    """Return the object that the reply is, or that it ends with."""
    stripped = text.strip()
    fenced = CODE_FENCE.match(stripped)
    candidates = [fenced[1] if fenced else stripped]
    tail = stripped.removesuffix("```").rstrip()
    if tail.endswith("}"):
        candidates += [tail[place.start() :] for place in re.finditer(r"\{", tail)][:50]
    for candidate in candidates:
        found = _loads(candidate)
        if found is not None:
            return found
    return None


def _loads(text: str) -> dict[str, object] | None:
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that names a key twice: two levels are none."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _from_final_line(text: str) -> Parsed:
    lines = [line.strip() for line in text.strip().split("\n")]
    match = FINAL_LINE.match(lines[-1])
    if match is None:
        return Parsed(None, "", "the reply holds neither the JSON object nor the final sentence")
    return Parsed(int(match[1]), "\n".join(lines[:-1]).strip(), "")
