"""From replies to judgements: a level with its uncertainty for each item and rubric, or why there is none."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from capscope.annotate.cells import Cell
from capscope.annotate.parsing import Parsed, parse_joint_reply, parse_options_reply, parse_reply
from capscope.endpoint import ChatReply, Ledger, TokenChoice

TRUSTED_MASS = 0.5
"""Probability that must lie on the levels 0-5 for log-probabilities to be used."""


@dataclass(frozen=True)
class Reading:
    """One reply on one rubric."""

    level: float
    """The level; an expectation where log-probabilities were given."""
    variance: float
    """Its variance by the log-probabilities; 0 without them."""
    top: float
    """Probability of the likeliest level; 1 without log-probabilities."""


@dataclass(frozen=True)
class Judgement:
    """One item on one rubric, over all repeats."""

    item_id: str
    """The item."""
    rubric: str
    """Code of the rubric."""
    rubric_sha: str
    """Hash of the rubric that was asked with."""
    level: float
    """Mean over repeats."""
    sd: float
    """Standard deviation over repeats and log-probabilities; NaN where neither was asked for."""
    confidence: float
    """Mean probability of the likeliest level, or share of the commonest one; NaN where neither was asked for."""


@dataclass(frozen=True)
class Unread:
    """One question without a usable reply."""

    item_id: str
    """The item."""
    rubric: str
    """Code of the rubric."""
    key: str
    """Key in the ledger."""
    state: str
    """``unparsed`` (there is a reply, kept with its text), ``failed``, or ``open`` (not asked yet)."""
    problem: str
    """Why."""
    text: str
    """The reply's text, if there is one."""


@dataclass(frozen=True)
class Collected:
    """Everything the ledger says about a job."""

    judgements: tuple[Judgement, ...]
    """Levels."""
    options: dict[str, int | None]
    """Number of options by item, None for open answers."""
    unread: tuple[Unread, ...]
    """Questions without a usable reply."""

    def count(self, state: str) -> int:
        """Count the unread questions in a state."""
        return sum(entry.state == state for entry in self.unread)


def collect(cells: Iterable[Cell], ledger: Ledger | None) -> Collected:
    """Read the replies of all cells from the ledger; without one, every cell is open."""
    readings: dict[tuple[str, str, str], list[Reading]] = defaultdict(list)
    options: dict[str, int | None] = {}
    unread: list[Unread] = []
    for cell in cells:
        entry = ledger.get(cell.key) if ledger is not None else None
        if entry is None or entry.state in ("claimed", "batched"):
            unread += _unread(cell, "open", "not answered yet", "")
        elif entry.state == "failed":
            unread += _unread(cell, "failed", entry.reply.problem, entry.reply.text)
        elif cell.kind == "options":
            found = parse_options_reply(entry.reply.text, entry.reply.finish_reason)
            if found.problem:
                unread += _unread(cell, "unparsed", found.problem, entry.reply.text)
            else:
                options[cell.item_id] = found.options
        else:
            for rubric, sha, parsed in read_cell(cell, entry.reply):
                if parsed.level is None:
                    unread.append(Unread(cell.item_id, rubric, cell.key, "unparsed", parsed.problem, entry.reply.text))
                else:
                    readings[cell.item_id, rubric, sha].append(_reading(parsed.level, cell, entry.reply))
    return Collected(tuple(_judgement(*key, found) for key, found in readings.items()), options, tuple(unread))


def read_cell(cell: Cell, reply: ChatReply) -> list[tuple[str, str, Parsed]]:
    """Return the code, the rubric's hash and the parsed level of every rubric that a reply is about."""
    if cell.kind == "level":
        rubric = cell.rubrics[0]
        return [(rubric.code, rubric.sha256, parse_reply(reply.text, reply.finish_reason))]
    found = parse_joint_reply(reply.text, [rubric.code for rubric in cell.rubrics], reply.finish_reason)
    return [(rubric.code, rubric.sha256, found[rubric.code]) for rubric in cell.rubrics]


def level_probabilities(level: int, tail: tuple[TokenChoice, ...]) -> np.ndarray | None:
    """Return the probabilities of the levels 0 to 5 at the token that wrote the level; None where they are unusable.

    The last token that is the level itself counts; its alternatives that are levels too are brought to sum to one.
    """
    for choice in reversed(tail):
        if _digit(choice.token) != level:
            continue
        probabilities = np.zeros(6)
        for token, logprob in choice.alternatives:
            digit = _digit(token)
            if digit is not None and 0 <= digit <= 5:
                probabilities[digit] += np.exp(logprob)
        mass = probabilities.sum()
        return probabilities / mass if mass >= TRUSTED_MASS else None
    return None


def _digit(token: str) -> int | None:
    match = re.fullmatch(r"\W*(\d)\W*", token)
    return int(match[1]) if match else None


def _reading(level: int, cell: Cell, reply: ChatReply) -> Reading:
    probabilities = level_probabilities(level, reply.tail) if cell.kind == "level" else None
    if probabilities is None:
        return Reading(float(level), 0.0, 1.0)
    levels = np.arange(6)
    mean = float(probabilities @ levels)
    return Reading(mean, float(probabilities @ (levels - mean) ** 2), float(probabilities.max()))


def _judgement(item_id: str, rubric: str, sha: str, readings: list[Reading]) -> Judgement:
    levels = np.array([reading.level for reading in readings])
    inner = float(np.mean([reading.variance for reading in readings]))
    outer = float(levels.var(ddof=1)) if len(levels) > 1 else 0.0
    known = len(levels) > 1 or any(reading.top < 1 for reading in readings)
    top = float(np.mean([reading.top for reading in readings]))
    if top == 1 and len(levels) > 1:
        top = float(np.unique(levels, return_counts=True)[1].max() / len(levels))
    sd, confidence = (np.sqrt(inner + outer), top) if known else (float("nan"), float("nan"))
    return Judgement(item_id, rubric, sha, float(levels.mean()), float(sd), confidence)


def _unread(cell: Cell, state: str, problem: str, text: str) -> list[Unread]:
    return [Unread(cell.item_id, rubric.code, cell.key, state, problem, text) for rubric in cell.rubrics]
