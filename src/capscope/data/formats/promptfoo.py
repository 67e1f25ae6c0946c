"""Results of promptfoo: the document that ``promptfoo eval --output results.json`` writes, or one result a line."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    as_objects,
    content_hash,
    json_document,
    log_files,
    numbered_records,
    optional_list,
    optional_object,
    remark_on_copies,
    required,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError

METRIC = Usual(what="metric", option="--metric", order=("success", "score"))
"""Whether a test passed; its score is the weighted mean of its assertions."""
ERROR = 2
"""Value of `failureReason` where the provider failed; 0 is a pass, 1 a failed assertion."""
ANSWERED_BY = ("equals", "contains", "icontains", "contains-any", "contains-all", "is-json", "similar", "factuality")
"""Types of assertions whose value is the right answer."""


@dataclass(frozen=True)
class PromptfooRun:
    """The results of one file."""

    path: Path
    """The file."""
    task: str
    """Description of the evaluation, or `promptfoo`."""
    started: str
    """When it was run."""
    results: Iterator[tuple[int, dict[str, Any]]]
    """The results with their numbers."""


def import_promptfoo(
    paths: Paths,
    metrics: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
    runs: Runs = "error",
) -> tuple[Study, ImportReport]:
    """Make a study of promptfoo results.

    A model is a provider, by its label or else its id. An item is a test, called by a hash of its variables and
    assertions, so that the same test of several files is one item; repeats of a test are trials. Where a file has
    several prompts, each is a value of the facet `prompt`. Results of which the provider failed are no responses.

    Args:
        paths: JSON or JSONL files of results, or folders that hold them at any depth.
        metrics: Which score counts, in order of preference: `success` (by default), `score`, or a named score.
        model: Name of the model; by default the provider.
        not_administered: Scores that mean "not scored".
        runs: What to do where several files answered the same tests: one of `RUNS_CHOICES`.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A result is wrong; the message names file and result.
    """
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, PATTERNS, "results of promptfoo")
    items, notes = ItemBook(), LogNotes()
    logs = [log for path in files for log in _scored(_run(path), items, model, notes)]
    tables, remarks = chosen_tables(logs, metrics, "--metric", METRIC, not_administered)
    notes.notes[:0] = remarks
    return assemble_logs("promptfoo", tables, items.table(), files, notes, runs)


def _run(path: Path) -> PromptfooRun:
    """Read a document, or lines of results."""
    if path.suffix.lower() == ".jsonl":
        return PromptfooRun(path, "promptfoo", "", numbered_records(path))
    document = as_object(path, json_document(path), "its text")
    held = required(path, document, "results", "the document")
    about = held if isinstance(held, dict) else {}
    if about and "results" not in about:
        raise InputError(f"{path}: results holds no list of single results; write it anew with 'promptfoo export'")
    results = as_objects(path, about.get("results") if about else held, "results")
    config = optional_object(path, document, "config", "the document")
    task = config.get("description") or "promptfoo"
    return PromptfooRun(path, str(task), str(about.get("timestamp") or ""), iter(enumerate(results, 1)))


def _scored(run: PromptfooRun, items: ItemBook, model: str | None, notes: LogNotes) -> list[ScoredLog]:
    """Read one file: a log for each provider and prompt."""
    results = _without_copies(run, notes)
    if not results:
        raise InputError(f"{run.path}: holds no result; check how it was written")
    prompts = {_prompt_name(run.path, result, number) for number, result in results}
    logs: dict[tuple[str, str], ScoredLog] = {}
    errors: Counter[str] = Counter()
    for number, result in results:
        place = f"result {number}"
        who, prompt = model or _provider(run.path, result, place), _prompt_name(run.path, result, number)
        facets = {"prompt": prompt} if len(prompts) > 1 else {}
        new = ScoredLog(run.path, who, "result", facets, started=run.started, task=run.task)
        log = logs.setdefault((who, prompt), new)
        item_id, item = _item(run, result, place)
        items.describe(item_id, item, run.path, place)
        error = _error(result)
        errors[error] += bool(error)
        log.add(item_id, number, _values(run.path, result, place, failed=bool(error)))
    if errors.total():
        first = errors.most_common(1)[0][0]
        notes.unscored.append(f"{run.path.name}: of {errors.total()} results the provider failed: {first}")
    return list(logs.values())


def _without_copies(run: PromptfooRun, notes: LogNotes) -> list[tuple[int, dict[str, Any]]]:
    """Leave out results that repeat another in full, if they name their test: a repeat of a test has a number."""
    kept: dict[str, tuple[int, dict[str, Any]]] = {}
    count = 0
    for number, result in run.results:
        numbered = "testIdx" in result or "id" in result
        key = content_hash(result) if numbered else f"{number}"
        count += 1
        kept.setdefault(key, (number, result))
    if len(kept) < count:
        notes.notes.append(remark_on_copies(run.path, count - len(kept), "result"))
    return list(kept.values())


def _provider(path: Path, result: dict[str, Any], place: str) -> str:
    provider = result.get("provider")
    if not provider:
        raise InputError(f"{path}: {place} does not say which provider answered; give --model")
    if isinstance(provider, dict):
        provider = provider.get("label") or required(path, provider, "id", f"{place}: provider")
    return str(provider)


def _prompt_name(path: Path, result: dict[str, Any], number: int) -> str:
    prompt = optional_object(path, result, "prompt", f"result {number}")
    label = " ".join(str(prompt.get("label") or "").split())
    return label if 0 < len(label) <= LONGEST_LABEL else f"prompt-{result.get('promptIdx', 0)}"


LONGEST_LABEL = 60
"""Longer labels of prompts are the prompts themselves; they are numbered instead."""


def _item(run: PromptfooRun, result: dict[str, Any], place: str) -> tuple[str, LoggedItem]:
    """Return the id and the description of a test."""
    test = optional_object(run.path, result, "testCase", place)
    given = optional_object(run.path, result, "vars", place) or optional_object(run.path, test, "vars", place)
    checks = optional_list(run.path, test, "assert", f"{place}: testCase")
    if not given and not test:
        raise InputError(f"{run.path}: {place} has neither 'vars' nor 'testCase', by which tests are told apart")
    digest = content_hash(given, checks)
    text = text_of(optional_object(run.path, result, "prompt", place).get("raw"))
    right = next((check.get("value") for check in checks if _is_answer(check)), None)
    return f"{run.task}:{digest[:12]}", LoggedItem(run.task, text=text, target=text_of(right), digest=digest)


def _is_answer(check: object) -> bool:
    return isinstance(check, dict) and check.get("type") in ANSWERED_BY and check.get("value") is not None


def _error(result: dict[str, Any]) -> str:
    """Return why the provider failed; empty where it answered."""
    reason, response = result.get("failureReason"), result.get("response")
    answer = response if isinstance(response, dict) else {}
    message = answer.get("error") or result.get("error")
    # files without a reason name failed assertions as errors too; those have been graded
    failed = reason == ERROR if reason is not None else bool(message) and not result.get("gradingResult")
    return " ".join(str(message or "no message").split()) if failed else ""


def _values(path: Path, result: dict[str, Any], place: str, *, failed: bool) -> dict[str, object]:
    if failed:
        return {"success": None, "score": None}
    grading = optional_object(path, result, "gradingResult", place)
    passed, score = result.get("success", grading.get("pass")), result.get("score", grading.get("score"))
    named = optional_object(path, result, "namedScores", place) or optional_object(path, grading, "namedScores", place)
    return {**({} if passed is None else {"success": passed}), **({} if score is None else {"score": score}), **named}


def _detect(head: Head) -> bool:
    return {"evalId", "results"} <= head.names or {"testIdx", "promptIdx"} <= head.names


PATTERNS = ("*.json", "*.jsonl")
PROMPTFOO = Format(
    name="promptfoo",
    help="Results of promptfoo.",
    example="results.json",
    patterns=PATTERNS,
    detect=_detect,
    read=import_promptfoo,
    arguments=(Argument(help="JSON or JSONL files of 'promptfoo eval --output', or folders of them."),),
    options=LOG_OPTIONS,
)
