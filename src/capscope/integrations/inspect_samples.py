"""Samples of Inspect: which are items of a bank, what they scored, and when a run of them may stop."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSample
from inspect_ai.scorer import SampleScore, Score, value_to_float

from capscope.battery import Bank
from capscope.errors import InputError, first_few

METADATA = "capscope"
"""Key of a sample's metadata that holds its draw."""
Limits = Literal["scored", "wrong", "missing"]
"""What a sample that met a limit of messages, tokens or time counts as: its score, wrong, or no answer."""
STOPS = {"width": "width", "ability": "ability_sd", "items": "size"}
"""Stop rules of `capscope_battery` and the setting of a run that each one is."""
VALUES = frozenset({"C", "P", "I", "N"})
"""Inspect's values of a right, half right and wrong reply, and of one without an answer, which counts as wrong."""
WORDS = frozenset({"yes", "true", "no", "false"})
"""Words, in any case, that Inspect reads as 1 and 0."""


def drawn_scores(scores: Iterable[SampleScore]) -> list[tuple[Mapping[str, Any], float]]:
    """Return the draw and the score of every sample that was drawn and scored.

    Raises:
        InputError: A score is no number from 0 to 1.
    """
    pairs: list[tuple[Mapping[str, Any], float]] = []
    for each in scores:
        draw = (each.sample_metadata or {}).get(METADATA)
        value = None if draw is None else number_of(each.score, f"sample '{each.sample_id}'")
        if draw is not None and value is not None:
            pairs.append((draw, value))
    return pairs


def score_of(sample: EvalSample, scorer: str | None = None, limits: Limits = "scored") -> float | None:
    """Return the score of a sample from 0 to 1; None where it ended in an error or was not scored.

    Args:
        sample: A sample that is complete.
        scorer: The scorer whose score counts; by default the first.
        limits: What a sample that met a limit counts as.

    Raises:
        InputError: The sample has other scorers only, or its score is no number from 0 to 1.
    """
    if sample.error is not None:
        return None
    if sample.limit is not None and limits != "scored":
        return 0.0 if limits == "wrong" else None
    if not sample.scores:
        return None
    name = scorer or next(iter(sample.scores))
    if name not in sample.scores:
        raise InputError(f"sample '{sample.id}' has no scorer '{name}'; it has {first_few(sample.scores)}")
    return number_of(sample.scores[name], f"sample '{sample.id}'")


def number_of(score: Score, where: str) -> float | None:
    """Return the value of a score from 0 to 1; None where it is not a number (`Score.unscored`).

    Raises:
        InputError: The score holds several values, a text that is no number, or a number below 0 or above 1.
    """
    value = score.value
    if isinstance(value, list | dict):
        names = f" ({first_few(value)})" if isinstance(value, dict) else ""
        raise InputError(
            f"{where}: the score holds {len(value)} values{names}; give one number from 0 to 1 with a scorer of its own"
        )
    if isinstance(value, str) and not (value in VALUES or value.lower() in WORDS or _isnumber_of(value)):
        raise InputError(f"{where}: the score '{value}' is no number; give one from 0 to 1, or C, P, I or N")
    number = value_to_float()(value)
    if not np.isfinite(number):
        return None
    if not 0 <= number <= 1:
        raise InputError(f"{where}: the score {number:g} is not from 0 to 1; scale it in the scorer")
    return number


def _isnumber_of(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def matched_samples(bank: Bank, samples: Iterable[Sample], task: str) -> dict[str, Sample]:
    """Return the samples that are items of the bank, by item id."""
    full = set(bank.items)
    of_id: dict[str, list[str]] = {}
    for item in bank.items:
        of_id.setdefault(item.split(":", 1)[-1], []).append(item)
    matched: dict[str, Sample] = {}
    unknown: list[str] = []
    for sample in samples:
        key = str(sample.id)
        named = [f"{task}:{key}"] if task else [key] if key in full else of_id.get(key, [])
        if len(named) > 1:
            raise InputError(f"sample '{key}' may be {first_few(named)} of the bank; say which with task=")
        if named and named[0] in full:
            matched[named[0]] = sample
        else:
            unknown.append(key)
    if not matched:
        raise InputError(
            f"no sample is an item of the bank: {first_few(unknown)}; the bank has {first_few(bank.items)}"
        )
    return matched


def stop_settings(rule: str) -> dict[str, Any]:
    """Return the setting of a run that a stop rule is, such as `width:0.05`.

    Raises:
        InputError: The rule cannot be read.
    """
    name, _, number = rule.partition(":")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if name not in STOPS or not value > 0:
        raise InputError(f"stop rule '{rule}' cannot be read; write width:0.05, ability:0.3 or items:100")
    return {STOPS[name]: int(value) if name == "items" else value}
