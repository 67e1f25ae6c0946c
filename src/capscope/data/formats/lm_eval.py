"""Samples of the lm-evaluation-harness: `samples_<task>_<date>.jsonl`, one line for each document and filter."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capscope.data.formats.assembly import assemble_logs
from capscope.data.formats.found_items import ItemBook, LoggedItem
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import ScoreTable
from capscope.data.formats.scored_log import (
    ScoredLog,
    as_object,
    choose,
    field,
    json_document,
    log_files,
    numbered_records,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError

SAMPLES_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d{2}-\d{2}T[\d.:-]+)")
QUESTION_FIELDS = ("question", "problem", "query", "input", "prompt", "text", "goal", "sentence", "passage")
"""What documents call the question; the first that is text counts."""
CONTEXT_FIELDS = ("passage", "context", "narrative", "story", "premise", "support")
"""What documents call a text that the question is about; those that are there stand before it."""
OWN_FIELDS = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash")
    + ("prompt_hash", "target_hash", "schema_version")
)
"""Fields of a line that are no metric, where an older line does not list its metrics."""


@dataclass(frozen=True)
class SampleFile:
    """One file of samples and what its surroundings say about it."""

    path: Path
    """The file."""
    task: str
    """The task."""
    model: str
    """Who answered."""
    benchmark: str | None
    """The outermost group of tasks that the task belongs to; None without a file of results."""


def import_lm_eval(
    paths: Sequence[Path],
    metrics: Sequence[str] = (),
    filters: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
) -> tuple[Study, ImportReport]:
    """Make a study of what `lm_eval --log_samples` wrote.

    An item is called ``task:doc_id`` and recognised by `doc_hash`, so that two versions of a task do not mix. Its text
    is the question of the document with its options, or else the prompt.

    Args:
        paths: Files of samples, or folders that hold them at any depth.
        metrics: Which metric is the score, in order of preference; needed where a task has several.
        filters: Which filter's answers count, in order of preference; needed where a task has several.
        model: Who answered, where the file of results does not say.
        not_administered: Scores that stand for "not scored"; NaN and null always do.

    Raises:
        InputError: A line is wrong, or the choice of a metric or filter is open; the message names file and line.
    """
    files = [_about(path, model) for path in log_files(paths, ["samples_*.jsonl"], "samples of lm_eval")]
    items = ItemBook()
    tables = [_scores(about, items, metrics, filters, not_administered) for about in files]
    return assemble_logs("lm-eval", tables, items.table(), [about.path for about in files])


def _about(path: Path, model: str | None) -> SampleFile:
    """Read off the name of a file, its folder and the results beside it what was run."""
    named = SAMPLES_NAME.fullmatch(path.stem)
    task = named["task"] if named else path.stem.removeprefix("samples_")
    results = path.with_name(f"results_{named['date']}.json") if named else path
    found = as_object(results, json_document(results), "its text") if named and results.is_file() else {}
    who = model or found.get("model_name") or (path.parent.name if named else None)
    if not who:
        raise InputError(f"{path}: neither its folder nor a file of results says which model answered; give --model")
    return SampleFile(path, task, str(who), _outermost_group(task, found.get("group_subtasks") or {}))


def _outermost_group(task: str, subtasks: dict[str, list[str]]) -> str | None:
    parent = {inner: group for group, inside in subtasks.items() for inner in inside if inner != group}
    group = parent.get(task)
    while group in parent:
        group = parent[group]
    return group


def _scores(
    about: SampleFile, items: ItemBook, metrics: Sequence[str], filters: Sequence[str], sentinels: Sequence[str]
) -> ScoreTable:
    """Read one file; of several filters, and of several metrics, one is chosen when all are known."""
    path = about.path
    logs: dict[str, ScoredLog] = {}
    for line, record in numbered_records(path):
        item_id = f"{about.task}:{field(path, record, 'doc_id', f'line {line}')}"
        if not items.knows(item_id, record.get("doc_hash"), about.benchmark):
            items.describe(item_id, _item(about, record), path, f"line {line}")
        name = str(record.get("filter", "none"))
        log = logs.setdefault(name, ScoredLog(path, about.model))
        log.add(item_id, line, {metric: record.get(metric) for metric in _metrics(record)})
    if not logs:
        raise InputError(f"{path}: the file is empty; check how it was written")
    log = logs[choose(logs, filters, f"{path}: answers filtered by", "--filter")]
    _refuse_repeats(log)
    return log.chosen(metrics, "--metric", sentinels)


def _metrics(record: dict[str, Any]) -> Iterable[str]:
    listed = record.get("metrics")
    if isinstance(listed, list):
        return listed  # pyright: ignore[reportUnknownVariableType]
    return [name for name, value in record.items() if name not in OWN_FIELDS and isinstance(value, int | float)]


def _refuse_repeats(log: ScoredLog) -> None:
    for name in log.by_name:
        again = log.repeated_item(name)
        if again:
            raise InputError(
                f"{log.path}: line {again[1]} repeats item '{again[0]}'; the file holds two runs, keep one of them"
            )


def _item(about: SampleFile, record: dict[str, Any]) -> LoggedItem:
    prompts = _prompts(record.get("arguments"))
    chosen_among = len(prompts) if len(prompts) > 1 and "acc" in record else None
    text = _question(record.get("doc")) or (prompts[0] if prompts else None)
    target, digest = text_of(record.get("target")), record.get("doc_hash")
    return LoggedItem(about.task, about.benchmark, text, target, chosen_among, digest)


def _prompts(arguments: object) -> list[str]:
    """Return the prompt of every request; older files hold lists where newer ones hold named arguments."""
    requests = list(arguments.values()) if isinstance(arguments, dict) else arguments
    if not isinstance(requests, list):
        return []
    firsts = [_first(request) for request in requests]
    return [first for first in firsts if isinstance(first, str)]


def _first(request: object) -> object:
    if isinstance(request, dict):
        return request.get("arg_0")
    return request[0] if isinstance(request, list) and request else None


def _question(doc: object) -> str | None:
    """Return the question of a document, its options one to a line below it."""
    if not isinstance(doc, dict):
        return None
    question = next((doc[name] for name in QUESTION_FIELDS if isinstance(doc.get(name), str)), None)
    choices = doc.get("choices", doc.get("options"))
    texts = choices.get("text") if isinstance(choices, dict) else choices
    if question is None:
        return None
    context = [doc[name] for name in CONTEXT_FIELDS if isinstance(doc.get(name), str)]
    options = [text_of(option) or "" for option in texts] if isinstance(texts, list) else []
    return "\n".join([*context, question, *options])
