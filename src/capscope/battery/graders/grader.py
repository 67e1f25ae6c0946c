"""The interface of graders: a grader reads the answer that a reply states and compares it with the right one.

A grader scores 1 or 0 only where a person would have no doubt. A reply that was cut, takes its answer back, names
several answers, or states none is unscored: it is counted apart and never taken for a wrong answer. Reasoning in tags
and end-of-turn tokens are removed before a reply is read.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from capscope.endpoint import CHANNEL, THOUGHT_ENDS, THOUGHT_HEADING, THOUGHT_OPENS, with_channels, without_end

NO_ANSWER = "the reply holds no answer of the expected form"
RETRACTED = "the reply goes on to doubt its answer"
SEVERAL = "the reply states more than one answer"


@dataclass(frozen=True)
class Graded:
    """Result of one question."""

    score: float | None
    """The score, 0 to 1; None where the reply could not be graded."""
    problem: str = ""
    """Why it could not; empty where it could."""
    stopped: bool = False
    """Whether the budget left no room to ask."""


@dataclass(frozen=True, kw_only=True)
class AnswerKey:
    """The right answer to an item."""

    target: str
    """The right answer: the letter of an option, a number, or a text."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts of the options by letter; empty for an open question, or where the options are not known."""


@dataclass(frozen=True, kw_only=True)
class Grader:
    """A member of the family of graders."""

    name: str
    """Name on the command line and in files."""
    help: str
    """What it compares, in one line."""
    form: str
    """Request for a form of answer, below an item's text; empty for none."""
    grade: Callable[[str, AnswerKey], Graded] | None
    """Grade the visible text of a whole reply; None where a model has to judge it."""
    takes: Callable[[AnswerKey], bool]
    """Return whether a right answer is of the kind that this grader compares."""


def any_of(*words: str) -> str:
    """Return the pattern of any of these words (or patterns of words)."""
    return rf"\b(?:{'|'.join(words)})\b"


class Unclear(Exception):  # noqa: N818 - a reading that has no single outcome; nothing failed
    """A statement that cannot be taken for one answer: it names several, negates one, or is an expression."""


UNFINISHED = "the reply ends inside its reasoning"
ONLY_REASONING = "the reply is reasoning without an answer"

INVISIBLE = re.compile("[\u200b\u200e\u200f\u2060\ufeff]")
HTML_MARK = re.compile(r"</?(?:b|strong|i|em|u|code|mark|span|p|div|h[1-6])(?:\s[^<>\n]{0,80})?>", re.IGNORECASE)
"""Marks of HTML around words."""
CLOSING = re.compile(
    r"(?<=\S)\s*\n\s*(?:(?:please )?let me know|(?:i )?hope (?:this|that|it)|feel free"
    r"|if you (?:have|need|want|'d)|(?:is there )?anything else|would you like)\b[^\n]*$",
    re.IGNORECASE,
)
"""A last line of courtesy, after the answer."""
RUN_ON = re.compile(r"\n[ \t]*(?:Question|Q|Problem|User|Human)[ \t]*\d*[ \t]*:")
"""Where a model goes on with a question of its own."""
STATED = re.compile(r"\banswer[ \t]*[:*=]|\banswer is\b|\\boxed|^####", re.IGNORECASE | re.MULTILINE)
LONGEST_ANSWER = 30_000
"""Characters of an answer that are looked at, from its end."""


def visible_text(reply: str) -> tuple[str, str]:
    """Return the part of a reply after its reasoning, and the problem where there is none.

    Args:
        reply: The text of a reply.

    Returns:
        The visible text, and an empty problem; or an empty text, and why.
    """
    text = with_channels(reply)
    channels = list(CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        if last[1].lower() != "final":
            return "", UNFINISHED
        text = text[last.end() :]
    closings = list(THOUGHT_ENDS.finditer(text))
    start = closings[-1].end() if closings else 0
    if THOUGHT_OPENS.search(THOUGHT_HEADING.sub("", text[start:])):
        return "", UNFINISHED
    visible = without_end(INVISIBLE.sub("", text[start:]))
    following = RUN_ON.search(visible)
    if following is not None and STATED.search(visible, 0, following.start()):
        visible = visible[: following.start()].strip()
    visible = CLOSING.sub("", visible[-LONGEST_ANSWER:])
    if not visible and (closings or channels):
        return "", ONLY_REASONING
    return visible, ""
