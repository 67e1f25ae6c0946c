"""Logs of the OpenAI evals framework (``oaieval``): JSON lines of a spec, events of samples, and a final report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capscope.data.columns import reason_text, shown
from capscope.data.formats.assembly import LogNotes, assemble_logs
from capscope.data.formats.choosing import Usual, chosen_tables
from capscope.data.formats.described_items import ItemBook, LoggedItem
from capscope.data.formats.format import (
    LOG_OPTIONS,
    Argument,
    Format,
    Head,
    ImportReport,
    Paths,
    one_of,
)
from capscope.data.formats.score_tables import RUNS_CHOICES, Runs
from capscope.data.formats.scored_log import (
    ScoredLog,
    as_object,
    content_hash,
    log_files,
    numbered_records,
    optional_object,
    remark_on_copies,
    required_name,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError, counted, first_few

METRIC = Usual(
    what="metric",
    option="--metric",
    order=("correct", "is_correct", "accuracy", "score", "success", "passed", "solved"),
    others=False,
)
"""Whether the answer matched; else a score that the eval measured, which may be one number among counters."""
SCORING = ("match", "metrics")
"""Types of events that score a sample."""
WRITTEN_WITH = {"match": ("correct",), "metrics": ()}
"""Fields of such an event that are scores; of `metrics`, all numbers are."""


@dataclass
class SampleEvents:
    """What the events of one sample say."""

    scores: list[tuple[int, dict[str, object]]] = field(default_factory=list[tuple[int, dict[str, object]]])
    """Line and scores of each scoring event."""
    text: str | None = None
    """What was asked."""
    target: str | None = None
    """The right answer."""
    line: int = 0
    """Line of its first event."""
    error: str = ""
    """Message of an error."""
    grade: str = ""
    """A grade of the event `metrics` that is no number."""


def import_openai_evals(
    paths: Paths,
    metrics: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
    runs: Runs = "error",
) -> tuple[Study, ImportReport]:
    """Make a study of logs of the OpenAI evals framework.

    Items are samples, by their id. The score is `correct` of the event `match`, or a number of the event `metrics`;
    several scoring events of a sample are trials of it. A sample that was asked and not scored, or that ended in an
    error, is no response. A log without a final report is of a run that did not finish: a retry counts in its place.

    Args:
        paths: Logs, or folders that hold them at any depth.
        metrics: Which score counts, in order of preference; by default `correct`, else `accuracy` or `score`.
        model: Name of the model; by default the completion function of the spec.
        not_administered: Scores that mean "not scored".
        runs: What to do where several logs hold the same samples: one of `RUNS_CHOICES`.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A line is wrong, or the log does not say which model answered.
    """
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, PATTERNS, "logs of OpenAI evals")
    items, notes = ItemBook(), LogNotes()
    logs = [log for path in files for log in _scored(path, items, model, notes)]
    tables, remarks = chosen_tables(logs, metrics, "--metric", METRIC, not_administered)
    notes.notes[:0] = remarks
    return assemble_logs("openai-evals", tables, items.table(), files, notes, runs)


@dataclass
class EvalRun:
    """One run of an eval; a file to which several processes or reruns wrote holds several."""

    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    """What was run."""
    samples: dict[str, SampleEvents] = field(default_factory=dict[str, SampleEvents])
    """What its events say of each sample."""
    complete: bool = False
    """Whether it wrote its final report."""
    events: set[str] = field(default_factory=set[str])
    """Hashes of its events."""


def _scored(path: Path, items: ItemBook, model: str | None, notes: LogNotes) -> list[ScoredLog]:
    """Read one file: a log for each run in it."""
    runs = [run for run in _runs(path, notes) if run.samples]
    if not runs:
        raise InputError(f"{path}: holds no event of a sample; check how it was written")
    return [_scored_run(path, run, items, model, notes) for run in runs]


def _runs(path: Path, notes: LogNotes) -> list[EvalRun]:
    """Read the runs of a file: events name theirs by `run_id`, else they belong to the spec above them."""
    runs: list[EvalRun] = []
    named: dict[str, EvalRun] = {}
    copies = 0
    for line, record in numbered_records(path):
        spec = as_object(path, record["spec"], f"line {line}: spec") if "spec" in record else None
        run = _run_of(record if spec is None else spec, runs, named, new=spec is not None)
        if spec is not None:
            run.spec = spec
        elif "final_report" in record:
            run.complete = True
        elif ("event_id" in record or "created_at" in record) and content_hash(record) in run.events:
            copies += 1
        else:
            run.events.add(content_hash(record))
            _add(path, line, record, run.samples)
    if copies:
        notes.notes.append(remark_on_copies(path, copies, "event"))
    return runs


def _run_of(record: dict[str, Any], runs: list[EvalRun], named: dict[str, EvalRun], *, new: bool) -> EvalRun:
    """Return the run of a line: that of its `run_id`, else the last one, whose spec may lack the id of its events."""
    name = record.get("run_id")
    if isinstance(name, str) and name in named:
        return named[name]
    unnamed = bool(runs) and not any(run is runs[-1] for run in named.values())
    if new or not runs or (isinstance(name, str) and not unnamed):
        runs.append(EvalRun())
    if isinstance(name, str):
        named[name] = runs[-1]
    return runs[-1]


def _scored_run(path: Path, run: EvalRun, items: ItemBook, model: str | None, notes: LogNotes) -> ScoredLog:
    task = str(run.spec.get("eval_name") or path.stem)
    started = str(run.spec.get("created_at") or "")
    log = ScoredLog(path, model or _model(path, run.spec), started=started, complete=run.complete, task=task)
    for name, sample in run.samples.items():
        item_id = name if name.split(".")[0] == task.split(".")[0] else f"{task}:{name}"
        items.describe(item_id, LoggedItem(task, text=sample.text, target=sample.target), path, f"line {sample.line}")
        for line, values in sample.scores or [(sample.line, {})]:
            log.add(item_id, line, values)
    _remark(path, run.samples, notes, complete=run.complete)
    return log


def _model(path: Path, spec: dict[str, Any]) -> str:
    """Return the completion function, or what older logs call the model.

    Raises:
        InputError: The log names none.
    """
    functions, named = spec.get("completion_fns"), spec.get("model_names")
    completions = named.get("completions") if isinstance(named, dict) else None
    for listed in (functions, completions):
        if isinstance(listed, list) and listed:
            return str(listed[0])
    name = spec.get("model_name") or spec.get("model")
    if not name:
        raise InputError(f"{path}: has no spec with completion_fns, which says which model answered; give --model")
    return str(name)


def _add(path: Path, line: int, record: dict[str, Any], samples: dict[str, SampleEvents]) -> None:
    """Add what one event says about its sample."""
    place = f"line {line}"
    kind = required_name(path, record, "type", place)
    if record.get("sample_id") is None and kind not in SCORING:
        return
    sample = samples.setdefault(required_name(path, record, "sample_id", place), SampleEvents(line=line))
    data = optional_object(path, record, "data", place)
    if kind in SCORING:
        wanted = WRITTEN_WITH[kind] or [name for name, value in data.items() if isinstance(value, bool | int | float)]
        sample.scores.append((line, {name: data.get(name) for name in wanted}))
        if not wanted:
            sample.grade = first_few([f"{name} {shown(value)}" for name, value in data.items()], 1)
    raw = kind == "raw_sample"
    if sample.text is None and ("prompt" in data or (raw and "input" in data)):
        sample.text = _asked(data["prompt"] if "prompt" in data else data["input"])
    right = data.get("expected", data.get("ideal") if raw else None)
    if sample.target is None and right is not None:
        sample.target = text_of(right)
    if kind == "error":
        sample.error = reason_text(data.get("message") or data.get("type"))


def _asked(prompt: object) -> str | None:
    """Return the text of a prompt: itself, or that of its messages."""
    if not isinstance(prompt, list):
        return text_of(prompt)
    parts = [part for message in prompt if isinstance(message, dict) for part in _parts(message.get("content"))]
    return "\n".join(part for part in parts if isinstance(part, str)) or None


def _parts(content: object) -> list[object]:
    """Return the texts of a message, which may come in parts."""
    if not isinstance(content, list):
        return [content]
    return [part.get("text") if isinstance(part, dict) else part for part in content]


def _remark(path: Path, samples: dict[str, SampleEvents], notes: LogNotes, *, complete: bool) -> None:
    failed = Counter(sample.error for sample in samples.values() if sample.error and not sample.scores)
    if failed:
        first = failed.most_common(1)[0][0]
        notes.unscored.append(f"{path.name}: {counted(failed.total(), 'sample')} ended in an error: {first}")
    graded = [sample.grade for sample in samples.values() if sample.grade]
    if graded:
        notes.unscored.append(
            f"{path.name}: {counted(len(graded), 'sample', 'have')} a grade without a number, such as {graded[0]}"
        )
        notes.advice = "what such a grade counts is not in the log: write a table of model, item_id, score"
    if not complete:
        notes.notes.append(f"{path.name}: has no final report, so the run did not finish; its samples are taken")


def _detect(head: Head) -> bool:
    event = {"run_id", "event_id", "sample_id", "type"} <= head.names
    return head.path.suffix.lower() in (".jsonl", ".json") and (event or set(head.names) == {"spec"})


PATTERNS = ("*.jsonl",)
OPENAI_EVALS = Format(
    name="openai-evals",
    help="Logs of OpenAI evals (oaieval).",
    example="evallogs",
    patterns=PATTERNS,
    detect=_detect,
    read=import_openai_evals,
    arguments=(Argument(help="JSON lines that oaieval recorded, or folders of them."),),
    options=LOG_OPTIONS,
)
