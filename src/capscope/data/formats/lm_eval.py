"""Samples of the lm-evaluation-harness: `samples_<task>_<date>.jsonl`, one line for each document and filter."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capscope.data.formats.assembly import LogNotes, assemble_logs
from capscope.data.formats.choosing import Usual, chosen_tables
from capscope.data.formats.described_items import ItemBook, LoggedItem
from capscope.data.formats.format import (
    METRICS,
    MODEL,
    NOT_ADMINISTERED,
    RUNS,
    Argument,
    Format,
    Head,
    ImportReport,
    Option,
    Paths,
    one_of,
)
from capscope.data.formats.score_tables import RUNS_CHOICES, Runs
from capscope.data.formats.scored_log import (
    ScoredLog,
    as_object,
    choose,
    content_hash,
    json_document,
    log_files,
    optional_object,
    records_once,
    remark_on_copies,
    required_name,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError

SAMPLES_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d{2}-\d{2}T[\d.:-]+)")
RESULTS_NAME = re.compile(r"results(_\d{4}-\d{2}-\d{2}T[\d.:-]+)?\.json")
RESULTS_KEYS = frozenset(("configs", "versions", "n-shot", "group_subtasks", "config_general"))
"""Keys of a file of results beside `results`."""
QUESTION_FIELDS = ("question", "problem", "query", "input", "prompt", "text", "goal", "sentence", "passage")
"""Names that documents give to the question; the first that is text counts."""
CONTEXT_FIELDS = ("passage", "context", "narrative", "story", "premise", "support")
"""Names that documents give to a text that the question is about; those that are there precede it."""
OWN_FIELDS = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash")
    + ("prompt_hash", "target_hash", "schema_version")
)
"""Fields of a line that are no metric, where an older line does not list its metrics."""
PERPLEXITIES = frozenset(("word_perplexity", "byte_perplexity", "bits_per_byte", "perplexity", "weighted_perplexity"))
"""Metrics of tasks that measure likelihood: no answer is right or wrong there."""
BATTERY_GROUP = "capscope_"
"""Beginning of the name of a group of tasks that a battery was written as; such a group is no benchmark."""
METRIC = Usual(
    what="metric",
    option="--metric",
    order=("exact_match", "acc", "pass@1", "pass_at_1", "prompt_level_strict_acc", "em", "mc2", "f1", "acc_norm"),
)
"""Main metrics of tasks; where a file has none of them, its first metric from 0 to 1."""
FILTER = Usual(what="filter", option="--filter", order=("strict-match", "none"))
"""The strict reading of an answer, or the unfiltered one; else the first of the file."""


@dataclass(frozen=True)
class SampleFile:
    """One file of samples, and what its name, folder and results file say about it."""

    path: Path
    """The file."""
    task: str
    """The task."""
    model: str
    """Name of the model."""
    benchmark: str | None
    """The outermost group of tasks that the task belongs to; None without a file of results."""
    started: str
    """Date of the run."""


@dataclass(frozen=True)
class FilteredLogs:
    """The scores of one file, by the filter that took the answers from the replies."""

    path: Path
    """The file."""
    task: str
    """The task."""
    logs: dict[str, ScoredLog]
    """Scores by filter."""
    unnamed: bool
    """Whether there are several filters that the file does not name."""

    def of(self, filters: Sequence[str]) -> ScoredLog:
        """Return the scores of the first of these filters that is there, or of the only one.

        Raises:
            InputError: None of them is there, or the choice is open.
        """
        what = (
            f"{self.path}: holds each document {len(self.logs)} times, under filters that it does not name:"
            if self.unnamed
            else f"{self.path}: answers filtered by"
        )
        return self.logs[choose(self.logs, filters, what, "--filter")]


def import_lm_eval(  # noqa: PLR0913 - every option is a keyword
    paths: Paths,
    metrics: Sequence[str] = (),
    filters: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
    runs: Runs = "error",
    usual: bool = False,
) -> tuple[Study, ImportReport]:
    """Make a study of the samples that `lm_eval --log_samples` wrote.

    The id of an item is ``task:doc_id``; `doc_hash` must agree, so that two versions of a task do not mix. Its text
    is the question of the document with the options that were shown, or else the prompt. Tasks that measure
    perplexity are passed over and named.

    Args:
        paths: Files of samples, or folders that hold them at any depth.
        metrics: Which metric is the score, in order of preference; needed where a task has several, without `usual`.
        filters: Which filter's answers count, in order of preference; needed where a task has several. Filters that
            an older file does not name are called 1, 2, ... in their order.
        model: Name of the model, where the file of results does not say.
        not_administered: Scores that mean "not scored"; NaN and null always do.
        runs: What to do where several runs answered the same documents: one of `RUNS_CHOICES`.
        usual: Whether an open choice of metric or filter takes the usual one of the task, with a remark.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A line is invalid, or the choice of a metric or filter is open; the message names file and line.
    """
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, ["samples_*.jsonl"], "samples of lm_eval")
    for path in files:
        _refuse_results(path)
    items, notes = ItemBook(), LogNotes()
    found: list[FilteredLogs] = []
    for about in (_about(path, model) for path in files):
        filtered = _scores(about, items, notes.notes)
        if filtered is None:
            notes.unscored.append(f"{about.path.name}: measures perplexity, which is no score; it is passed over")
            notes.advice = "give tasks whose answers are right or wrong"
        else:
            found.append(filtered)
    logs, remarks = _filtered(found, filters, usual)
    for log in logs:
        _refuse_repeats(log)
    tables, more = chosen_tables(logs, metrics, "--metric", METRIC if usual else None, not_administered)
    notes.notes[:0] = [*remarks, *more]
    return assemble_logs("lm-eval", tables, items.table(), files, notes, runs)


def _filtered(logs: Sequence[FilteredLogs], filters: Sequence[str], usual: bool) -> tuple[list[ScoredLog], list[str]]:
    """Take the answers of one filter from each file."""
    if filters or not usual:
        return [filtered.of(filters) for filtered in logs], []
    chosen, remarks = FILTER.by_task([(each.task, list(each.logs)) for each in logs if not each.unnamed])
    return [each.of([] if each.unnamed else [chosen[each.task]]) for each in logs], remarks


def _refuse_results(path: Path) -> None:
    if _is_results(path):
        raise InputError(
            f"{path}: an aggregate file without single answers; give samples_*.jsonl, which lm_eval writes with"
            " --log_samples"
        )


def _about(path: Path, model: str | None) -> SampleFile:
    """Read off the name of a file, its folder and the results beside it what was run."""
    named = SAMPLES_NAME.fullmatch(path.stem)
    task = named["task"] if named else path.stem.removeprefix("samples_")
    results = path.with_name(f"results_{named['date']}.json") if named else path
    document = as_object(results, json_document(results), "its text") if named and results.is_file() else {}
    who = model or document.get("model_name") or (path.parent.name if named else None)
    if not who:
        raise InputError(f"{path}: neither its folder nor a file of results says which model answered; give --model")
    groups = optional_object(results, document, "group_subtasks", "its text")
    return SampleFile(path, task, str(who), _outermost_group(task, groups), named["date"] if named else "")


def _outermost_group(task: str, subtasks: dict[str, Any]) -> str | None:
    parent = {
        inner: group
        for group, inside in subtasks.items()
        if isinstance(inside, list) and not group.startswith(BATTERY_GROUP)
        for inner in inside
        if isinstance(inner, str) and inner != group
    }
    group, seen = parent.get(task), {task}
    while group in parent and group not in seen:
        seen.add(group)
        group = parent[group]
    return group


def _scores(about: SampleFile, items: ItemBook, notes: list[str]) -> FilteredLogs | None:
    """Read one file; a line that repeats another in full counts once.

    Returns:
        The scores by filter; None of a task whose only metrics are perplexities.
    """
    path = about.path
    logs: dict[str, ScoredLog] = {}
    passes: Counter[str] = Counter()
    distinct: set[str] = set()
    described: dict[tuple[str, str], tuple[LoggedItem, int]] = {}
    for line, record in records_once(path, notes, lambda record: record.get("filter")):
        place = f"line {line}"
        item_id = f"{about.task}:{required_name(path, record, 'doc_id', place)}"
        digest = record.get("doc_hash")
        key = (item_id, digest if isinstance(digest, str) else place)
        if not (items.knows(item_id, digest, about.benchmark) or key in described):
            described[key] = _item(about, record), line
        name = record.get("filter")
        if name is None:
            passes[item_id] += 1
            distinct.add(content_hash(record))
            name = f"{passes[item_id]}"
        log = logs.setdefault(str(name), ScoredLog(path, about.model, started=about.started, task=about.task))
        log.add(item_id, line, {metric: record.get(metric) for metric in _metrics(path, record, place)})
    if not logs:
        raise InputError(f"{path}: the file is empty; check how it was written")
    names = {name for log in logs.values() for name in log.by_name}
    if names and names <= PERPLEXITIES:
        return None
    for (item_id, _), (item, line) in described.items():
        items.describe(item_id, item, path, f"line {line}")
    if passes:
        logs = _without_copied_passes(path, logs, passes, distinct, notes)
    return FilteredLogs(path, about.task, logs, bool(passes) and len(logs) > 1)


def _without_copied_passes(
    path: Path, logs: dict[str, ScoredLog], passes: Counter[str], distinct: set[str], notes: list[str]
) -> dict[str, ScoredLog]:
    """Return the scores by unnamed filter; lines of two filters differ somewhere, so that equal ones are copies."""
    if len(distinct) == len(passes) < passes.total():
        notes.append(remark_on_copies(path, passes.total() - len(passes)))
        logs = {"1": logs["1"]}
    return {"none": logs["1"]} if len(logs) == 1 and "1" in logs else logs


def _metrics(path: Path, record: dict[str, Any], place: str) -> list[str]:
    listed = record.get("metrics")
    if not isinstance(listed, list):
        numeric = [name for name, value in record.items() if name not in OWN_FIELDS and isinstance(value, int | float)]
        return _scoring(numeric) or [name for name in record if name in PERPLEXITIES]
    wrong = [name for name in listed if not isinstance(name, str)]
    if wrong:
        raise InputError(f"{path}: {place}: metrics lists something that is no name; check how it was written")
    return _scoring(listed) or listed  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _scoring(names: list[str]) -> list[str]:
    """Return the metrics that can be scores: perplexities beside them are none."""
    return [name for name in names if name not in PERPLEXITIES]


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
    text, n_options = _text(record.get("doc"), prompts)
    target, digest = text_of(record.get("target")), text_of(record.get("doc_hash"))
    return LoggedItem(about.task, about.benchmark, text, target, chosen_among or n_options, digest)


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


def _text(doc: object, prompts: list[str]) -> tuple[str | None, int | None]:
    """Return what was asked, and among how many options that the prompt of a written answer showed.

    The question of the document counts, with its options one to a line below it. An answer that is written (one
    request) is asked by the prompt: where it does not show the document's options, its last part is the question.
    """
    prompt = prompts[0] if prompts else None
    if not isinstance(doc, dict):
        return prompt, None
    question = next((doc[name] for name in QUESTION_FIELDS if isinstance(doc.get(name), str)), None)
    if question is None:
        return prompt, None
    options = _options(doc)
    if options and len(prompts) == 1:
        if not all(option in prompts[0] for option in options):
            return _last_part(prompts[0], question), None
        context = [doc[name] for name in CONTEXT_FIELDS if isinstance(doc.get(name), str)]
        return "\n".join([*context, question, *options]), len(options)
    context = [doc[name] for name in CONTEXT_FIELDS if isinstance(doc.get(name), str)]
    return "\n".join([*context, question, *options]), None


def _options(doc: dict[str, Any]) -> list[str]:
    choices = doc.get("choices", doc.get("options"))
    texts = choices.get("text") if isinstance(choices, dict) else choices
    return [text_of(option) or "" for option in texts] if isinstance(texts, list) else []


def _last_part(prompt: str, question: str) -> str:
    """Return the part of a prompt that asks the question, without the worked examples before it."""
    place = prompt.rfind(question)
    start = prompt.rfind("\n\n", 0, place) if place > 0 else -1
    return prompt[start + 2 :] if start >= 0 else prompt


def _beside(head: Head) -> str:
    dated = _is_results(head.path) and head.path.name != "results.json"
    named = _is_results(head.path) and "results" in head.names and bool(RESULTS_KEYS & head.names)
    return "aggregates of lm_eval (it writes single answers with --log_samples)" if dated or named else ""


def _is_results(path: Path) -> bool:
    return RESULTS_NAME.fullmatch(path.name) is not None


def _detect(head: Head) -> bool:
    name = head.path.name
    return (name.startswith("samples_") and name.endswith(".jsonl")) or {"doc_id", "resps"} <= head.names


LM_EVAL = Format(
    name="lm-eval",
    help="Samples of lm-evaluation-harness.",
    example="results --metric acc",
    patterns=("samples_*.jsonl",),
    detect=_detect,
    beside=_beside,
    read=import_lm_eval,
    arguments=(Argument(help="samples_*.jsonl, or folders of them."),),
    options=(
        METRICS,
        Option(
            keyword="filters",
            flag="--filter",
            kind="texts",
            help="Whose answers count; may be repeated, first choice first.",
        ),
        RUNS,
        MODEL,
        NOT_ADMINISTERED,
    ),
)
