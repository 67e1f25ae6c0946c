"""Test runs of DeepEval: the JSON file of a run, or the latest one that it keeps."""

from collections import Counter
from collections.abc import Sequence
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
    remark_on_copies,
    required_name,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError

METRIC = Usual(what="metric", option="--metric", order=("success",))
"""Whether a test case passed all of its metrics."""
CASES = ("testCases", "test_cases", "conversationalTestCases", "conversational_test_cases", "test_results")
"""Keys of a run under which its test cases stand, in newer and older files."""
RUN_KEYS = frozenset(("metricsScores", "hyperparameters", "conversationalTestCases", "testPassed", "testFile"))
"""Further keys of a run, by which a file is recognised."""


def import_deepeval(
    paths: Paths,
    metrics: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
    runs: Runs = "error",
) -> tuple[Study, ImportReport]:
    """Make a study of DeepEval test runs.

    An item is a test case, called by a hash of its input and expected output, so that the same case of several runs is
    one item; a repeated case counts as a further trial. A metric that ended in an error has no score, and a case with
    such a metric neither passed nor failed; the model that judged is not the model that answered.

    Args:
        paths: Files of test runs, or folders that hold them at any depth.
        metrics: Which score counts, in order of preference: `success` (by default: all metrics passed), or a metric
            by its name, whose score lies in 0 to 1.
        model: Name of the model; by default `model` among the hyperparameters of the run.
        not_administered: Scores that mean "not scored".
        runs: What to do where several runs answered the same cases: one of `RUNS_CHOICES`.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A test case is wrong, or the file does not say which model answered.
    """
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, PATTERNS, "test runs of DeepEval")
    items, notes = ItemBook(), LogNotes()
    logs = [_scored(path, items, model, notes) for path in files]
    tables, remarks = chosen_tables(logs, metrics, "--metric", METRIC, not_administered)
    notes.notes[:0] = remarks
    return assemble_logs("deepeval", tables, items.table(), files, notes, runs)


def _scored(path: Path, items: ItemBook, model: str | None, notes: LogNotes) -> ScoredLog:
    document = as_object(path, json_document(path), "its text")
    run = as_object(path, document.get("testRunData", document), "testRunData")
    cases = [case for key in CASES if run.get(key) for case in as_objects(path, run[key], key)]
    if not cases:
        raise InputError(f"{path}: holds no test case; give the JSON file of a test run")
    task = Path(str(run.get("testFile") or run.get("test_file") or "deepeval")).stem
    log = ScoredLog(path, model or _model(path, run), "test case", task=task)
    errors: Counter[str] = Counter()
    for number, case in _without_copies(path, cases, notes):
        place = f"test case {number}"
        item_id, item = _item(path, task, case, place)
        items.describe(item_id, item, path, place)
        log.add(item_id, number, _values(path, case, place, errors), _costs(case))
    if errors:
        notes.unscored.append(f"{path.name}: {errors.total()} metrics ended in an error: {errors.most_common(1)[0][0]}")
    return log


def _without_copies(path: Path, cases: list[dict[str, Any]], notes: LogNotes) -> list[tuple[int, dict[str, Any]]]:
    """Number the cases, without those that repeat another with its place in the run: a file that was joined twice."""
    kept: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, case in enumerate(cases, 1):
        kept.setdefault(f"{number}" if case.get("order") is None else content_hash(case), (number, case))
    if len(kept) < len(cases):
        notes.notes.append(remark_on_copies(path, len(cases) - len(kept), "test case"))
    return list(kept.values())


def _model(path: Path, run: dict[str, Any]) -> str:
    """Return the model among the hyperparameters.

    Raises:
        InputError: There is none.
    """
    listed = run.get("hyperparameters")
    given: dict[str, Any] = listed if isinstance(listed, dict) else {}
    named = {key.lower().replace(" ", "_"): value for key, value in given.items()}
    model = named.get("model") or named.get("model_name")
    name = model.get("name") or model.get("value") if isinstance(model, dict) else model
    if not name:
        raise InputError(
            f"{path}: its hyperparameters do not say which model answered (evaluationModel is the judge); give --model"
        )
    return str(name)


def _field(case: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field by its name in newer files (``expectedOutput``) or in older ones (``expected_output``)."""
    snake = "".join(f"_{mark.lower()}" if mark.isupper() else mark for mark in name)
    return case.get(name, case.get(snake))


def _item(path: Path, task: str, case: dict[str, Any], place: str) -> tuple[str, LoggedItem]:
    """Return the id and the description of a test case; of a conversation, its scenario or what the user says."""
    asked = next((case[key] for key in ("input", "scenario") if case.get(key)), None) or _user_turns(case.get("turns"))
    if asked is None:
        asked = required_name(path, case, "name", place)
    target = _field(case, "expectedOutput") or _field(case, "expectedOutcome")
    digest = content_hash(asked, target)
    return f"{task}:{digest[:12]}", LoggedItem(task, text=text_of(asked), target=text_of(target), digest=digest)


def _user_turns(turns: object) -> object:
    """Return what is said to the model: its own replies are no part of the item."""
    if not isinstance(turns, list):
        return turns or None
    said = [turn.get("content") for turn in turns if isinstance(turn, dict) and turn.get("role") != "assistant"]
    return "\n".join(part for part in said if isinstance(part, str)) or turns or None


def _costs(case: dict[str, Any]) -> dict[str, float]:
    """Return what the answer cost; `evaluationCost` and `runDuration` are the judge's."""
    tokens = [known_cost(_field(case, name)) for name in ("inputTokenCount", "outputTokenCount")]
    costs = {
        "usd": known_cost(_field(case, "tokenCost")),
        "tokens": sum(count for count in tokens if count is not None) if any(c is not None for c in tokens) else None,
        "seconds": known_cost(_field(case, "completionTime")),
    }
    return {name: value for name, value in costs.items() if value is not None}


def _values(path: Path, case: dict[str, Any], place: str, errors: Counter[str]) -> dict[str, object]:
    """Return whether the case passed, and the score of each metric; None where a metric failed to judge."""
    measured = as_objects(
        path, _field(case, "metricsData") or _field(case, "metricsMetadata") or [], f"{place}: metricsData"
    )
    values: dict[str, object] = {}
    failed = False
    for name, metric in zip(_metric_names(path, measured, place), measured, strict=True):
        error = metric.get("error")
        values[name] = None if error else metric.get("score")
        if error:
            failed |= not metric.get("flaky")
            errors[reason_text(error)] += 1
    # a case that nothing measured passes by default, and a flaky metric never decides
    return {"success": None if failed else case.get("success"), **values} if measured else {}


def _metric_names(path: Path, measured: list[dict[str, Any]], place: str) -> list[str]:
    """Return the names of the metrics; several of one name are numbered, so that none replaces another."""
    named = [
        required_name(path, metric, "name" if "name" in metric else "metric", f"{place}: metricsData")
        for metric in measured
    ]
    count, seen = Counter(named), Counter[str]()
    seen_names: list[str] = []
    for name in named:
        seen[name] += 1
        seen_names.append(f"{name}#{seen[name]}" if count[name] > 1 else name)
    return seen_names


def _detect(head: Head) -> bool:
    named = "testRunData" in head.names or "test_results" in head.names
    return head.path.suffix.lower() == ".json" and (
        named or ("testCases" in head.names and bool(RUN_KEYS & head.names))
    )


PATTERNS = ("*.json",)
DEEPEVAL = Format(
    name="deepeval",
    help="Test runs of DeepEval.",
    example="test_run.json --model my-model",
    patterns=PATTERNS,
    detect=_detect,
    read=import_deepeval,
    arguments=(Argument(help="JSON files of test runs, or folders of them."),),
    options=LOG_OPTIONS,
)
