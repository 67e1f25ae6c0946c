"""From a model's reply to a score: by letter, number, exact text, or the word of a judge.

A reply that holds no answer of the expected kind is unscored (None): it is counted, and never taken for a wrong answer.
"""

import re
from collections.abc import Callable
from fractions import Fraction

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
RELATIVE = 1e-6
"""Numbers closer than this, relative to the target, are the same."""

_ANSWER = re.compile(r"(?:final\s+)?answer(?:\s+is)?\s*[:=]?\s*(.+)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_LETTER = re.compile(r"\(?([A-Z])(?:[).:,]|\s*$)|([B-HJ-Z])\s|.*\(([A-Z])\)")
"""A letter at the start that is no word of its own (A, I), or one in brackets."""
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+(?:\.\d+)?)?")

Grader = Callable[[str, str], float | None]


def answer_part(reply: str) -> str:
    """Return where the answer stands: in the last box, after the last "Answer:", else on the last line."""
    boxed = _BOXED.findall(reply)
    if boxed:
        return boxed[-1].strip()
    lines = [line.strip(" *_`#") for line in reply.splitlines() if line.strip(" *_`#")]
    for line in reversed(lines):
        found = _ANSWER.search(line)
        if found:
            return found[1].strip(" *_`.")
    return lines[-1] if lines else ""


def grade_letter(reply: str, target: str) -> float | None:
    """Score a choice among lettered options; None where the answer names no option."""
    found = _LETTER.match(answer_part(reply))
    return None if found is None else float(next(filter(None, found.groups())) == target.strip("() ").upper())


def grade_number(reply: str, target: str) -> float | None:
    """Score a number; None where the answer holds none."""
    found, wanted = read_number(answer_part(reply)), read_number(target)
    if found is None or wanted is None:
        return None
    return float(abs(found - wanted) <= RELATIVE * max(abs(wanted), 1.0))


def grade_exact(reply: str, target: str) -> float | None:
    """Score a short text, whatever its case, spaces and closing punctuation; None where the answer is empty."""
    answer = _plain(answer_part(reply))
    return None if not answer else float(answer == _plain(target))


def grade_verdict(reply: str) -> float | None:
    """Read a judge's word, the first of its answer: right or wrong; None where it is neither."""
    words = re.findall(r"[a-z]+", answer_part(reply).lower())
    return {"right": 1.0, "correct": 1.0, "yes": 1.0, "wrong": 0.0, "incorrect": 0.0, "no": 0.0}.get(
        words[0] if words else ""
    )


def read_number(text: str) -> float | None:
    """Return the last number of a text, a fraction as its value; None where there is none."""
    found = _NUMBER.findall(text)
    if not found:
        return None
    try:
        return float(Fraction(re.sub(r"[\s,+]", "", found[-1].lower().replace("e+", "e"))))
    except (ValueError, ZeroDivisionError):
        return None


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" .,;:!\"'").casefold()


GRADERS: dict[str, Grader] = {"letter": grade_letter, "number": grade_number, "exact": grade_exact}
"""Graders by name; `judge` asks a model and reads its verdict."""
