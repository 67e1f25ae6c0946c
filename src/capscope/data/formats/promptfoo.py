"""Results of promptfoo: the document that ``promptfoo eval --output results.json`` writes, or one result a line."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capscope.data.columns import known_cost, reason_text
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
from capscope.errors import InputError, counted, first_few

METRIC = Usual(what="metric", option="--metric", order=("success", "score"))
"""Whether a test passed; its score is the weighted mean of its assertions."""
ERROR = 2
"""Value of `failureReason` where the provider failed; 0 is a pass, 1 a failed assertion."""
OWN_KEYS = (
    frozenset(("evalId", "results")),
    frozenset(("results", "config", "shareableUrl")),
    frozenset(("results", "provider", "vars", "prompt")),
    frozenset(("testIdx", "promptIdx")),
)
"""Keys of a document, of one of version 2 (as a whole, or as its beginning shows), and of a line."""
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
        raise InputError(f"{path}: results holds no list of single results; write it again with 'promptfoo export'")
    results = as_objects(path, about.get("results") if about else held, "results")
    config = optional_object(path, document, "config", "the document")
    task = config.get("description") or "promptfoo"
    return PromptfooRun(path, str(task), str(about.get("timestamp") or ""), iter(enumerate(results, 1)))


def _scored(run: PromptfooRun, items: ItemBook, model: str | None, notes: LogNotes) -> list[ScoredLog]:
    """Read one file: a log for each provider and prompt."""
    results = _without_copies(run, notes)
    if not results:
        raise InputError(f"{run.path}: holds no result; check how it was written")
    columns = _columns(run, results, model, notes)
    several = len({prompt for _, prompt in columns.values()}) > 1
    logs: dict[tuple[str, str], ScoredLog] = {}
    errors: Counter[str] = Counter()
    ungraded = 0
    for number, result in results:
        place = f"result {number}"
        who, prompt = columns[number]
        facets = {"prompt": prompt} if several else {}
        new = ScoredLog(run.path, who, "result", facets, started=run.started, task=run.task)
        log = logs.setdefault((who, prompt), new)
        item_id, item = _item(run, result, place)
        items.describe(item_id, item, run.path, place)
        error, graded = _error(result), _is_graded(result)
        errors[error] += bool(error)
        ungraded += not graded
        values = _values(run.path, result, place, scored=graded and not error)
        log.add(item_id, number, values, _costs(result))
    if errors.total():
        first = errors.most_common(1)[0][0]
        notes.unscored.append(f"{run.path.name}: of {errors.total()} results the provider failed: {first}")
    if ungraded:
        notes.unscored.append(
            f"{run.path.name}: {counted(ungraded, 'result', 'have')} no assertion, so that nothing was graded"
        )
    return list(logs.values())


def _columns(
    run: PromptfooRun, results: list[tuple[int, dict[str, Any]]], model: str | None, notes: LogNotes
) -> dict[int, tuple[str, str]]:
    """Return model and prompt of each result; providers or prompts of one name get numbers by `promptIdx`.

    Each combination of a provider and a prompt has a `promptIdx` of its own.
    """
    named: dict[int, tuple[str, str]] = {}
    seen: dict[tuple[str, str], dict[str | None, str | None]] = {}
    for number, result in results:
        who = model or _provider(run.path, result, f"result {number}")
        named[number] = who, _prompt_name(run.path, result, number)
        seen.setdefault(named[number], {}).setdefault(text_of(result.get("promptIdx")), text_of(result.get("promptId")))
    for number, result in results:
        who, prompt = named[number]
        same = seen[who, prompt]
        place = list(same).index(text_of(result.get("promptIdx")))
        mark = f"#{place + 1}" if place else ""
        other_prompts = len(set(same.values())) == len(same) > 1
        named[number] = (who, f"{prompt}{mark}") if other_prompts else (f"{who}{mark}", prompt)
    twice = sorted({who for who, _ in named.values() if "#" in who and who.rsplit("#", 1)[0] in {w for w, _ in seen}})
    if twice:
        notes.notes.append(
            f"{run.path.name}: several providers have one name; they are kept apart as {first_few(twice)}"
            " (give each a label)"
        )
    return named


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
    label = " ".join(str(prompt.get("label") or prompt.get("display") or "").split())
    if len(label) > LONGEST_LABEL:
        return f"prompt-{content_hash(label)[:6]}"
    return label or "prompt"


LONGEST_LABEL = 60
"""Longer labels of prompts are the prompts themselves; a hash, which is the same in all files, stands for them."""


def _item(run: PromptfooRun, result: dict[str, Any], place: str) -> tuple[str, LoggedItem]:
    """Return the id and the description of a test."""
    test = optional_object(run.path, result, "testCase", place)
    given = optional_object(run.path, result, "vars", place) or optional_object(run.path, test, "vars", place)
    given = {name: value for name, value in given.items() if not name.startswith("_") and name != SESSION}
    checks = optional_list(run.path, test, "assert", f"{place}: testCase")
    if not given and not test:
        raise InputError(f"{run.path}: {place} has neither 'vars' nor 'testCase', which identify its test")
    digest = content_hash(given, checks)
    text = text_of(optional_object(run.path, result, "prompt", place).get("raw"))
    right = next((check.get("value") for check in checks if _is_answer(check)), None)
    return f"{run.task}:{digest[:12]}", LoggedItem(run.task, text=text, target=text_of(right), digest=digest)


SESSION = "sessionId"
"""Variable that promptfoo adds, as it does those that begin with an underscore: they differ by model and run."""


def _is_answer(check: object) -> bool:
    return isinstance(check, dict) and check.get("type") in ANSWERED_BY and check.get("value") is not None


def _error(result: dict[str, Any]) -> str:
    """Return why the provider failed; empty where it answered."""
    reason, response = result.get("failureReason"), result.get("response")
    answer = response if isinstance(response, dict) else {}
    message = answer.get("error") or result.get("error")
    # files without a reason name failed assertions as errors too; those have been graded
    failed = reason == ERROR if reason is not None else bool(message) and not result.get("gradingResult")
    return reason_text(message) if failed else ""


def _is_graded(result: dict[str, Any]) -> bool:
    """Return whether a test has assertions; promptfoo passes one without."""
    grading = result.get("gradingResult")
    return not (isinstance(grading, dict) and grading.get("reason") == NOTHING_ASSERTED)


NOTHING_ASSERTED = "No assertions"
"""Reason that promptfoo gives where a test has no assertion."""


def _values(path: Path, result: dict[str, Any], place: str, *, scored: bool) -> dict[str, object]:
    if not scored:
        return {"success": None, "score": None}
    grading = optional_object(path, result, "gradingResult", place)
    passed, score = result.get("success"), result.get("score")
    passed, score = (
        (grading.get("pass") if passed is None else passed),
        (grading.get("score") if score is None else score),
    )
    named = optional_object(path, result, "namedScores", place) or optional_object(path, grading, "namedScores", place)
    return {**({} if passed is None else {"success": passed}), **({} if score is None else {"score": score}), **named}


def _costs(result: dict[str, Any]) -> dict[str, float]:
    """Return dollars, tokens and seconds of an answer; one from the cache says nothing of them."""
    response = result.get("response")
    answer = response if isinstance(response, dict) else {}
    if answer.get("cached"):
        return {}
    usage, latency = answer.get("tokenUsage"), known_cost(result.get("latencyMs"))
    tokens = known_cost(usage.get("total")) if isinstance(usage, dict) else None
    costs = {
        "usd": known_cost(result.get("cost")),
        "tokens": tokens,
        "seconds": None if latency is None else latency / 1000,
    }
    return {name: value for name, value in costs.items() if value is not None}


def _detect(head: Head) -> bool:
    return any(keys <= head.names for keys in OWN_KEYS)


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
