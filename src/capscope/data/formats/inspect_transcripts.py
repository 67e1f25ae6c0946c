"""Transcripts of Inspect logs: the messages of each run of an agent, with the score of the run."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capscope.data.formats.assembly import LogNotes
from capscope.data.formats.eval_archive import EvalArchive, InspectLog, archived_log, document_log, whole_samples
from capscope.data.formats.format import Paths
from capscope.data.formats.inspect_logs import KEPT_BESIDE_LOGS, last_of_each, sample_end, sample_values
from capscope.data.formats.inspect_tasks import LoggedPlan, log_facets, plan_steps, scaffolds_by_plan
from capscope.data.formats.scored_log import (
    as_object,
    as_objects,
    log_files,
    optional_list,
    optional_object,
    required,
    required_name,
)
from capscope.errors import InputError, first_few, nearest

AGENT = "assistant"
"""Role of the messages that the agent wrote."""
ATTACHMENT = re.compile(r"attachment://([0-9a-f]{8,64})")
"""A long text that Inspect keeps elsewhere in the sample."""


@dataclass(frozen=True)
class TranscriptStep:
    """One message of a run."""

    role: str
    """Role of the author: ``assistant`` is the agent, ``tool`` the environment, ``user`` and ``system`` the task."""
    text: str = field(repr=False)
    """Text of the message, with tool calls."""


@dataclass(frozen=True)
class Transcript:
    """One run of a model on an item."""

    model: str
    """Name of the model."""
    item_id: str
    """The item, named as `import_inspect` names it."""
    run: str
    """Number of the run on this item: the epoch."""
    facets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Conditions such as `scaffold` and `effort`."""
    score: float | None = None
    """Score of the run, 0 to 1; None where it has none."""
    end: str = ""
    """Kind of an abnormal end: `error`, `limit` or `invalidated`; empty for a normal one."""
    steps: tuple[TranscriptStep, ...] = field(default=(), repr=False)
    """The messages in order; step 1 is the first."""

    def agent_step(self, step: int) -> int | None:
        """Return the agent's last step at or before a step, counted from 1; None where there is none or no such step.

        Args:
            step: Number of a step; an answer of the environment counts for the agent's step that it answers.
        """
        if not 1 <= step <= len(self.steps):
            return None
        own = [number for number in range(1, step + 1) if self.steps[number - 1].role == AGENT]
        return own[-1] if own else None


def read_transcripts(paths: Paths, scorer: str = "", model: str | None = None) -> tuple[Transcript, ...]:
    """Read the runs of Inspect logs (`.eval` archives and `.json` documents) with their messages.

    Args:
        paths: Logs, or folders that hold them at any depth.
        scorer: Whose value is the score; needed where a log has several.
        model: Name of the model; by default the model that the log names.

    Returns:
        The runs, log by log. A sample that is logged twice counts once, the last time.

    Raises:
        InputError: A log is damaged, a score is no number, the choice of a scorer is open, or no run has a message.
    """
    files = log_files(paths, ["*.eval", "*.json"], "Inspect logs", KEPT_BESIDE_LOGS)
    logs = [_runs(path, scorer, model) for path in files]
    names, _ = scaffolds_by_plan([plan for plan, _ in logs])
    runs = tuple(
        replace(run, facets={**run.facets, "scaffold": name}) if name else run
        for name, (_, of_log) in zip(names, logs, strict=True)
        for run in of_log
    )
    if not any(run.steps for run in runs):
        raise InputError(f"{first_few(map(str, files))}: no sample has messages, and messages are what is read")
    return runs


def _runs(path: Path, scorer: str, model: str | None) -> tuple[LoggedPlan, list[Transcript]]:
    if path.suffix.lower() != ".eval":
        return _log_runs(document_log(path), scorer, model)
    with EvalArchive(path) as archive:
        return _log_runs(replace(archived_log(archive), samples=whole_samples(archive)), scorer, model)


def _log_runs(log: InspectLog, scorer: str, model: str | None) -> tuple[LoggedPlan, list[Transcript]]:
    path = log.path
    spec = as_object(path, required(path, log.header, "eval", "the log"), "eval")
    task = required_name(path, spec, "task", "eval")
    who = model or required_name(path, spec, "model", "eval")
    facets = log_facets(path, spec)
    runs: list[Transcript] = []
    for number, sample in last_of_each(log, LogNotes()):
        place = f"sample {number}"
        item = f"{task}:{required_name(path, sample, 'id', place)}"
        end, epoch = sample_end(sample), str(sample.get("epoch", 1))
        score, steps = _score(path, sample, place, scorer), _steps(path, sample, place)
        runs.append(Transcript(who, item, epoch, facets, score, end, steps))
    return LoggedPlan(task, who, plan_steps(log), "scaffold" in facets), runs


def _score(path: Path, sample: dict[str, Any], place: str, scorer: str) -> float | None:
    values = sample_values(optional_object(path, sample, "scores", place), "wrong")
    if not values:
        return None
    if len(values) > 1 and not scorer:
        raise InputError(f"{path}: {place} has several scores ({first_few(values)}); choose one with --scorer")
    name = scorer or next(iter(values))
    if name not in values:
        raise InputError(f"{path}: {place} has no score '{name}'{nearest(name, values)}; there are {first_few(values)}")
    value = values[name]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        raise InputError(f"{path}: {place} has the score {value!r}, no number from 0 to 1; choose one with --scorer")
    return float(value)


def _steps(path: Path, sample: dict[str, Any], place: str) -> tuple[TranscriptStep, ...]:
    attachments = optional_object(path, sample, "attachments", place)

    def whole(text: str) -> str:
        return ATTACHMENT.sub(lambda match: str(attachments.get(match[1], match[0])), text)

    messages = as_objects(path, optional_list(path, sample, "messages", place), f"messages of {place}")
    return tuple(TranscriptStep(str(message.get("role", "")), whole(_message_text(message))) for message in messages)


def _message_text(message: dict[str, Any]) -> str:
    """Return the text, reasoning, tool calls and tool error of a message, one per line."""
    content = message.get("content")
    parts = [_part(part) for part in content] if isinstance(content, list) else [str(content or "")]
    calls: Sequence[Any] = message.get("tool_calls") or ()
    parts += [_call(call) for call in calls if isinstance(call, dict)]
    error = message.get("error")
    if isinstance(error, dict) and error.get("message"):
        parts.append(f"ERROR: {error['message']}")
    return "\n".join(part for part in parts if part.strip())


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return str(part or "")
    if "text" in part:
        return str(part["text"])
    if "reasoning" in part:
        return f"THOUGHT: {part['reasoning']}"
    return f"({part.get('type', 'content')} left out)"


def _call(call: dict[str, Any]) -> str:
    arguments = json.dumps(call.get("arguments") or {}, ensure_ascii=False, default=str)
    return f"CALL {call.get('function', '')} {arguments}"
