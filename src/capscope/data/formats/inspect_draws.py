"""Draws of an adaptive battery in a log of Inspect: which samples were drawn, with what chance, and their scores.

The metadata of every sample say how it was drawn (`capscope_battery`), so that the log is scored without Inspect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from capscope.data.formats.assembly import LogNotes
from capscope.data.formats.eval_archive import EvalArchive, InspectLog, archived_log, document_log, whole_samples
from capscope.data.formats.inspect_logs import LETTERS, last_of_each
from capscope.data.formats.scored_log import as_object, optional_object, required, required_name
from capscope.errors import InputError, first_few

DRAW = "capscope"
"""Key of a sample's metadata that holds its draw."""
WORDS = {**LETTERS, "N": 0.0, "true": 1.0, "false": 0.0}
"""Values that are no numbers; a reply without an answer counts as wrong, as in Inspect's accuracy."""


@dataclass(frozen=True)
class LoggedDraws:
    """The draws of one run."""

    model: str
    """Who answered."""
    draws: tuple[tuple[Mapping[str, Any], float], ...]
    """Draw (`item`, `number`, `chance`, `spread`) and score from 0 to 1 of every sample that was scored; epochs are one
    answer, their mean."""


def read_draws(path: Path | str, model: str | None = None) -> LoggedDraws | None:
    """Read the draws in a log.

    Args:
        path: An `.eval` or `.json` log.
        model: Who answered; by default the model that the log names.

    Returns:
        The draws; None where the file is no log of Inspect, or its samples were not drawn by a battery.

    Raises:
        InputError: The log is damaged, or a score is no number from 0 to 1.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return _draws(document_log(path), model) if _has_draws(path) else None
    if path.suffix.lower() != ".eval":
        return None
    with EvalArchive(path) as archive:
        return _draws(replace(archived_log(archive), samples=whole_samples(archive)), model)


def _has_draws(path: Path) -> bool:
    """Return whether a JSON document may be a log with draws, without parsing it."""
    with path.open("rb") as handle:
        return b'"capscope"' in handle.read()


def _draws(log: InspectLog, model: str | None) -> LoggedDraws | None:
    draws: dict[str, Mapping[str, Any]] = {}
    scores: dict[str, list[float]] = {}
    for number, sample in last_of_each(log, LogNotes()):
        place = f"sample {number}"
        draw = optional_object(log.path, sample, "metadata", place).get(DRAW)
        if not isinstance(draw, dict) or "chance" not in draw:
            continue
        key = required_name(log.path, sample, "id", place)
        score = _score(log.path, sample, draw, place)
        draws[key] = draw
        if score is not None:
            scores.setdefault(key, []).append(score)
    if not draws:
        return None
    spec = as_object(log.path, required(log.path, log.header, "eval", "the log"), "eval")
    who = model or required_name(log.path, spec, "model", "eval")
    return LoggedDraws(who, tuple((draws[key], float(np.mean(values))) for key, values in scores.items()))


def _score(path: Path, sample: dict[str, Any], draw: dict[str, Any], place: str) -> float | None:
    """Return the score that the battery counted: None where the sample failed or has none."""
    limits = draw.get("limits", "scored")
    if sample.get("error"):
        return None
    if sample.get("limit") and limits != "scored":
        return 0.0 if limits == "wrong" else None
    scores = optional_object(path, sample, "scores", place)
    if not scores:
        return None
    name = draw.get("scorer") or next(iter(scores))
    if name not in scores:
        raise InputError(f"{path}: {place} has no scorer '{name}'; it has {first_few(scores)}")
    score = scores[name]
    value = score.get("value") if isinstance(score, dict) else score
    if value is None:
        return None
    number = _number(value)
    if number is not None and not np.isfinite(number):
        return None
    if number is None or not 0 <= number <= 1:
        raise InputError(f"{path}: {place}: the score '{value}' is no number from 0 to 1; give one in the scorer")
    return number


def _number(value: object) -> float | None:
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if isinstance(value, str) and value.lower() in WORDS:
        return WORDS[value.lower()]
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
