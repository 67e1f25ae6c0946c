"""Exceptions, and helpers for their messages. A message is one line: what is wrong, where, and what to do.

CapscopeError
├── InputError          a table, file or identifier is wrong
│   └── JoinError       two tables are about different items
├── OutputError         something would be overwritten, or cannot be written
├── FitError            the data cannot support the model asked for
├── EndpointError       a language-model endpoint refused or failed for good
├── MissingExtraError   an optional dependency is not installed
├── LostProcess         processes were lost again and again, as when memory runs out
├── ConfirmationNeeded  spending has to be confirmed (exit code 3)
├── BudgetReached       the spending limit was reached; what was paid for is kept (exit code 4)
└── Interrupted         the user pressed Ctrl-C (exit code 130)
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from operator import index
from typing import ClassVar, SupportsIndex

LONGEST_NAME = 80
"""Characters of a name that an error shows."""
SINGULAR = {"are": "is", "were": "was", "have": "has", "do": "does", "carry": "carries"}
"""Verbs whose singular is not made by an s."""
FEWEST_LETTERS = 3
"""Fewest letters of a part of a name that is suggested for the name."""


class CapscopeError(Exception):
    """Base of every error raised on purpose; the command line prints it as one line."""

    exit_code = 1


class InputError(CapscopeError):
    """A table, file or identifier is wrong."""


class JoinError(InputError):
    """Two tables are about different items."""


class OutputError(CapscopeError):
    """Something would be overwritten, or cannot be written."""


class FitError(CapscopeError):
    """The data cannot support the model asked for."""


class EndpointError(CapscopeError):
    """A language-model endpoint refused or failed for good."""


class MissingExtraError(CapscopeError):
    """An optional dependency is not installed."""


class LostProcess(CapscopeError):  # noqa: N818 - says what happened; the run can be repeated
    """Processes were lost again and again, as when memory runs out."""


class ConfirmationNeeded(CapscopeError):  # noqa: N818 - an answer is awaited; nothing failed
    """Spending has to be confirmed."""

    exit_code = 3


class BudgetReached(CapscopeError):  # noqa: N818 - a stop that was asked for; nothing failed
    """The spending limit was reached; what was paid for is kept."""

    exit_code = 4


class Interrupted(CapscopeError):  # noqa: N818 - a stop that was asked for; nothing failed
    """The user pressed Ctrl-C; what was done so far is kept as the message says."""

    exit_code = 130
    by: ClassVar[str] = "Ctrl-C"
    """What stopped the process; the command line sets it to SIGTERM where that was it."""

    def __str__(self) -> str:
        """Return the message with what stopped the process."""
        return super().__str__().replace("by Ctrl-C", f"by {self.by}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``' (did you mean "x"?)'`` when a known name is close to the given one, else nothing.

    Args:
        name: The name that was given.
        known: The names that exist.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    asked = str(name).lower()
    matches = get_close_matches(asked, list(by_lower), n=1, cutoff=0.6)
    if not matches and len(asked) >= FEWEST_LETTERS:
        # part of a long name, such as "gpt-4o" for "OpenAI__GPT-4o-mini"
        matches = sorted((candidate for candidate in by_lower if asked in candidate), key=len)
    return f' (did you mean "{by_lower[matches[0]]}"?)' if matches else ""


def refuse_absent_model(where: str, name: str, known: Iterable[str]) -> None:
    """Refuse a model that has no responses; the message names some that have.

    Args:
        where: The study, for the message.
        name: The model asked for.
        known: The models with responses.

    Raises:
        InputError: The model is not among them.
    """
    models = list(known)
    if name not in models:
        hint = nearest(name, models)
        raise InputError(f"{where}: no responses by model '{name}'{hint}; there are {first_few(models)}")


def first_few(names: Iterable[str], limit: int = 5) -> str:
    """Return the first few names, comma separated, and how many more there are.

    Args:
        names: Names to list; long ones are shortened in the middle.
        limit: Most names listed.
    """
    listed = [shortened(visible(name), LONGEST_NAME) for name in names]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def counted(count: SupportsIndex, noun: str, verb: str = "") -> str:
    """Return a number with its noun, and a verb that agrees with it: ``1 item is``, ``2 items are``.

    Args:
        count: The number.
        noun: Its noun in the singular.
        verb: A verb in the plural, such as ``are``; none by default.
    """
    number = index(count)
    phrase = f"{number} {noun if number == 1 else plural(noun)}"
    return f"{phrase} {SINGULAR.get(verb, f'{verb}s') if number == 1 else verb}" if verb else phrase


def plural(noun: str) -> str:
    """Return the plural of a noun; of a group such as ``level of demand``, that of its first word."""
    head, of, rest = noun.partition(" of ")
    ending = "ies" if head.endswith("y") and head[-2:-1] not in "aeou" else "es" if head.endswith("ch") else "s"
    return f"{head[:-1] if ending == 'ies' else head}{ending}{of}{rest}"


def counted_names(names: Sequence[str], limit: int = 5) -> str:
    """Return the first few names, each once; where files of several folders share one, also how many there are.

    Args:
        names: Names of files, one for each file.
        limit: Most names listed.
    """
    once = list(dict.fromkeys(names))
    return first_few(once, limit) if len(once) == len(names) else f"{len(names)} files named {first_few(once, limit)}"


def visible(name: str) -> str:
    """Return a name with its invisible characters (zero-width ones, marks of direction, control) as escapes."""
    if name.isprintable():
        return name
    return "".join(mark if mark.isprintable() or mark == " " else ascii(mark)[1:-1] for mark in name)


def shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters; of a longer one the middle is left out.

    Args:
        text: The text.
        longest: Most characters of the result.
    """
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 3]}...{text[-end:]}"
