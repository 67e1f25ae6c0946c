"""Ratings from replies: a level with its uncertainty for each item and rubric, or the reason why there is none."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from capscope.annotate.parsing import Parsed, parse_joint_reply, parse_options_reply, parse_reply
from capscope.annotate.questions import RatingQuestion
from capscope.endpoint import ChatReply, Ledger, TokenChoice

TRUSTED_MASS = 0.5
"""Probability that must lie on the levels 0-5 for log-probabilities to be used."""
LEVEL_DIGIT = re.compile(
    r"(?<![A-Za-z])level\b[\"'\u201d`*_]*(?:(?:\s+is)?\s*[:=\uff1a]|\s+is\b|>)"
    r"[\s\"'*_`$\\(\[{]*(?:boxed\{)?(?:level\s*|L)?([0-5])(?!\d|\.[1-9])",
    re.IGNORECASE,
)
"""A level after its key or in the final sentence."""


@dataclass(frozen=True)
class Reading:
    """One reply on one rubric."""

    level: float
    """The level; an expectation where log-probabilities were given."""
    variance: float
    """Its variance by the log-probabilities; 0 without them."""
    top: float
    """Probability of the likeliest level; 1 without log-probabilities."""
    scored: bool = False
    """Whether there were log-probabilities."""


@dataclass(frozen=True)
class Rating:
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
    """All replies of a job in the ledger."""

    ratings: tuple[Rating, ...]
    """Levels."""
    options: dict[str, int | None]
    """Number of options by item, None for open answers."""
    unread: tuple[Unread, ...]
    """Questions without a usable reply."""

    without_probabilities: int = 0
    """Replies that hold a level and no usable log-probabilities."""
    readings: int = 0
    """Replies that hold a level."""

    def count(self, state: str) -> int:
        """Count the unread questions in a state."""
        return sum(entry.state == state for entry in self.unread)

    def warnings(self, asked_for_probabilities: bool) -> tuple[str, ...]:
        """Warn of log-probabilities that were asked for and are missing."""
        if not asked_for_probabilities or not self.without_probabilities:
            return ()
        return (
            f"--logprobs gave no usable probabilities in {self.without_probabilities} of {self.readings} replies;"
            " their levels are whole numbers without sd",
        )


def collect(questions: Iterable[RatingQuestion], ledger: Ledger | None) -> Collected:
    """Read the replies of all questions from the ledger; without one, every question is open.

    Args:
        questions: The questions of a run.
        ledger: Where replies are kept; None for none.

    Returns:
        Ratings by item and rubric, numbers of options, and the questions without a readable reply.
    """
    readings: dict[tuple[str, str, str], list[Reading]] = defaultdict(list)
    options: dict[str, int | None] = {}
    unread: list[Unread] = []
    for question in questions:
        entry = ledger.get(question.key) if ledger is not None else None
        if entry is None or entry.state in ("claimed", "batched"):
            unread += _unread(question, "open", "not answered yet", "")
        elif entry.state == "failed":
            unread += _unread(question, "failed", entry.reply.problem, entry.reply.text)
        elif question.kind == "options":
            stated = parse_options_reply(entry.reply.text, entry.reply.finish_reason)
            if stated.problem:
                unread += _unread(question, "unparsed", stated.problem, entry.reply.text)
            else:
                options[question.item_id] = stated.options
        else:
            text = entry.reply.text
            for rubric, sha, parsed in read_question(question, entry.reply):
                if parsed.level is None:
                    unread.append(Unread(question.item_id, rubric, question.key, "unparsed", parsed.problem, text))
                else:
                    readings[question.item_id, rubric, sha].append(_reading(parsed.level, question, entry.reply))
    every = [reading for held in readings.values() for reading in held]
    ratings = tuple(_rating(*key, held) for key, held in readings.items())
    return Collected(ratings, options, tuple(unread), sum(not reading.scored for reading in every), len(every))


def read_question(question: RatingQuestion, reply: ChatReply) -> list[tuple[str, str, Parsed]]:
    """Return the code, the rubric's hash and the parsed level of every rubric that a reply is about.

    Args:
        question: The question, on one rubric or several.
        reply: The reply to it.
    """
    if question.kind == "level":
        rubric = question.rubrics[0]
        return [(rubric.code, rubric.sha256, parse_reply(reply.text, reply.finish_reason))]
    parsed = parse_joint_reply(reply.text, [rubric.code for rubric in question.rubrics], reply.finish_reason)
    return [(rubric.code, rubric.sha256, parsed[rubric.code]) for rubric in question.rubrics]


def unreadable(question: RatingQuestion, reply: ChatReply) -> str:
    """Return why a reply holds nothing of what was asked; empty where it holds a level or a number of options.

    Args:
        question: The question.
        reply: A reply to it.
    """
    if question.kind == "options":
        return parse_options_reply(reply.text, reply.finish_reason).problem
    read = [parsed for _, _, parsed in read_question(question, reply)]
    return "" if any(parsed.ok for parsed in read) else read[0].problem


def level_probabilities(level: int, tail: tuple[TokenChoice, ...]) -> np.ndarray | None:
    """Return the probabilities of the levels 0 to 5 at the token that wrote the level; None where they are unusable.

    The token that follows the key ``level`` (or ends the final sentence) counts, wherever it stands; its alternatives
    that are levels too are brought to sum to one. A token without alternatives says nothing of the other levels.

    Args:
        level: The level that was read.
        tail: The written tokens, or the last of them.
    """
    choice = _level_token(level, tail)
    if choice is None or len(choice.alternatives) < 2:
        return None
    probabilities = np.zeros(6)
    for token, logprob in choice.alternatives:
        digit = _digit(token)
        if digit is not None and 0 <= digit <= 5:
            probabilities[digit] += np.exp(logprob)
    mass = probabilities.sum()
    return probabilities / mass if mass >= TRUSTED_MASS else None


def _level_token(level: int, tail: tuple[TokenChoice, ...]) -> TokenChoice | None:
    """Return the token that wrote the level; without a key before it, the last digit if it is the level."""
    text = "".join(choice.token for choice in tail)
    ends = np.cumsum([len(choice.token) for choice in tail])
    keyed = [match.start(1) for match in LEVEL_DIGIT.finditer(text) if match[1] == str(level)]
    digits = [match.start() for match in re.finditer(r"\d", text)]
    place = keyed[-1] if keyed else digits[-1] if digits else -1
    if place < 0 or text[place] != str(level):
        return None
    choice = tail[int(np.searchsorted(ends, place, side="right"))]
    return choice if _digit(choice.token) == level else None


def _digit(token: str) -> int | None:
    match = re.fullmatch(r"\W*(\d)(?:\.0*)?\W*", token)
    return int(match[1]) if match else None


def _reading(level: int, question: RatingQuestion, reply: ChatReply) -> Reading:
    probabilities = level_probabilities(level, reply.tail) if question.kind == "level" else None
    if probabilities is None:
        return Reading(float(level), 0.0, 1.0)
    levels = np.arange(6)
    mean = float(probabilities @ levels)
    return Reading(mean, float(probabilities @ (levels - mean) ** 2), float(probabilities.max()), True)


def _rating(item_id: str, rubric: str, sha: str, readings: list[Reading]) -> Rating:
    levels = np.array([reading.level for reading in readings])
    inner = float(np.mean([reading.variance for reading in readings]))
    outer = float(levels.var(ddof=1)) if len(levels) > 1 else 0.0
    known = len(levels) > 1 or any(reading.scored for reading in readings)
    top = float(np.mean([reading.top for reading in readings]))
    if top == 1 and len(levels) > 1:
        top = float(np.unique(levels, return_counts=True)[1].max() / len(levels))
    sd, confidence = (np.sqrt(inner + outer), top) if known else (float("nan"), float("nan"))
    return Rating(item_id, rubric, sha, float(levels.mean()), float(sd), confidence)


def _unread(question: RatingQuestion, state: str, problem: str, text: str) -> list[Unread]:
    return [Unread(question.item_id, rubric.code, question.key, state, problem, text) for rubric in question.rubrics]
