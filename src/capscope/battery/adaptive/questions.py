"""Questions of a battery: an item's text with its options by letter, the form of answer asked for, and the grader."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from capscope.battery.graders import GRADERS, AnswerKey, Grader
from capscope.battery.graders.letters import LETTERS, letter_of, plain
from capscope.battery.graders.verdicts import JUDGE
from capscope.endpoint import Messages
from capscope.errors import InputError, first_few, nearest

AUTO = "auto"
KINDS = (AUTO, *GRADERS)
"""Names of the ways to grade; `auto` takes the first grader that can compare an item's right answer."""
OPTION_LINE = re.compile(r"^\s*[(\[]?([A-Z])\s*[)\].:]\s*(\S.*)$")
"""An option on a line of its own, with its letter."""
OPTION_INSIDE = re.compile(r"(?:^|(?<=[\s,;:?]))\(?([A-Z])[).]\s+(.*?)(?=[\s,;]*\s\(?[A-Z][).]\s|\s*$)", re.DOTALL)
"""An option within a line, with its letter."""


@dataclass(frozen=True)
class BatteryQuestion:
    """One item as it is put to a model."""

    item_id: str
    """The item."""
    text: str
    """Its text, followed by its options where the text does not show them with letters."""
    target: str
    """The right answer."""
    kind: str
    """Name of the grader."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts of the options by letter; empty for an open question."""

    @property
    def key(self) -> AnswerKey:
        """The right answer and the options."""
        return AnswerKey(target=self.target, options=self.options)

    @property
    def messages(self) -> Messages:
        """Messages for the model."""
        form = GRADERS[self.kind].form
        return (("user", f"{self.text}\n\n{form}" if form else self.text),)

    def judged(self, reply: str) -> Messages:
        """Return the messages for the judge of a reply."""
        return (("user", JUDGE.format(question=self.text, target=self.target, reply=reply)),)


def battery_questions(
    items: pd.DataFrame, wanted: tuple[str, ...], kind: str = AUTO, name: str = "items"
) -> list[BatteryQuestion]:
    """Return the questions for the items of a bank that have a text and a target, in the bank's order.

    Options are read from the column `choices`, or from the text: with letters before them, or as its last lines where
    `n_options` is their number; those get letters.

    Args:
        items: Columns item_id, text, target; optional choices (lists of options), n_options.
        wanted: Ids of the bank's items.
        kind: One of `KINDS`.
        name: The file or folder of the items, for messages.

    Raises:
        InputError: Unknown kind, a missing column, no item of the bank has a text and a target, or a target is not of
            the kind asked for.
    """
    if kind not in KINDS:
        raise InputError(f"unknown grader '{kind}'{nearest(kind, KINDS)}; use one of {', '.join(KINDS)}")
    for column in ("item_id", "text", "target"):
        if column not in items:
            raise InputError(f"{name}: column '{column}' is missing; a battery needs each item's text and right answer")
    table = items.set_index(items["item_id"].astype(str))
    known = [item for item in wanted if item in table.index]
    complete = table.loc[known].dropna(subset=["text", "target"])
    complete = complete[complete["target"].astype(str).str.strip() != ""]
    if complete.empty:
        raise InputError(
            f"{name}: none of the bank's items ({first_few(wanted)}) has a text and a target; check the ids"
        )
    questions = [_question(str(item), row, kind) for item, row in complete.iterrows()]
    bad = [one.item_id for one in questions if not GRADERS[one.kind].takes(one.key)]
    if bad and kind == AUTO:
        raise InputError(
            f"{name}: no grader compares the right answer to {first_few(bad)}; let a judge grade (--grader judge"
            " --judge MODEL), or leave these items out of the table"
        )
    if bad:
        raise InputError(
            f"{name}: the right answer to {first_few(bad)} is not what grader '{kind}' compares ({GRADERS[kind].help});"
            f" use --grader {AUTO}"
        )
    return questions


def _question(item_id: str, row: pd.Series, kind: str) -> BatteryQuestion:
    text, target = str(row["text"]), str(row["target"]).strip()
    text, options = _with_options(text, row)
    if options:
        target = _letter(target, options)
    key = AnswerKey(target=target, options=options)
    return BatteryQuestion(item_id, text, target, _grader(key).name if kind == AUTO else kind, options)


def _grader(key: AnswerKey) -> Grader:
    return next(grader for grader in GRADERS.values() if grader.takes(key) or grader.name == "exact")


def _with_options(text: str, row: pd.Series) -> tuple[str, dict[str, str]]:
    """Return a text that shows its options with letters, and the options."""
    choices = _choices(row.get("choices"))
    if choices:
        options = dict(zip(LETTERS, choices, strict=False))
        return f"{text}\n\n{_shown(options)}", options
    options = lettered_options(text)
    if options:
        return text, options
    count = _count(row.get("n_options"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 2 <= count <= len(LETTERS) or len(lines) <= count:
        return text, {}
    options = dict(zip(LETTERS, lines[-count:], strict=False))
    stem = text
    for line in reversed(lines[-count:]):
        stem = stem.rstrip().removesuffix(line)
    return f"{stem.rstrip()}\n\n{_shown(options)}", options


def lettered_options(text: str) -> dict[str, str]:
    """Return the options that a text shows with the letters A, B, C ... in order; empty where it shows none."""
    lines = [match for line in text.splitlines() if (match := OPTION_LINE.match(line))]
    for marks in (lines, list(OPTION_INSIDE.finditer(text))):
        start = max((place for place, match in enumerate(marks) if match[1] == "A"), default=len(marks))
        options: dict[str, str] = {}
        for letter, match in zip(LETTERS, marks[start:], strict=False):
            if match[1] != letter:
                break
            options[letter] = " ".join(match[2].split())
        if len(options) >= 2:
            return options
    return {}


def _shown(options: Mapping[str, str]) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in options.items())


def _count(value: object) -> int:
    """Return a number of options; 0 where the cell holds none."""
    return int(value) if isinstance(value, int | float | np.integer | np.floating) and np.isfinite(value) else 0


def _choices(value: object) -> list[str]:
    """Return the options of a cell: a list, an array, or a JSON list as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [str(option) for option in value] if isinstance(value, list | tuple) and value else []


def _letter(target: str, options: Mapping[str, str]) -> str:
    """Return the letter of a target that is the text of an option, a letter, or a position from 0."""
    named = [letter for letter, option in options.items() if plain(option) == plain(target)]
    if len(named) == 1:
        return named[0]
    if target.isdigit() and int(target) < len(options):
        return LETTERS[int(target)]
    return letter_of(target, options) or target
