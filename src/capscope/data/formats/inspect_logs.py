"""Logs of Inspect: `.eval` archives and `.json` documents, one for each run of a model on a task."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capscope.data.columns import reason_text
from capscope.data.formats.assembly import LogNotes, assemble_logs
from capscope.data.formats.choosing import Usual, chosen_tables
from capscope.data.formats.described_items import ItemBook, LoggedItem
from capscope.data.formats.eval_archive import EvalArchive, InspectLog, archived_log, document_log, input_text
from capscope.data.formats.format import (
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
from capscope.data.formats.inspect_tasks import (
    LoggedPlan,
    log_facets,
    log_model,
    plan_steps,
    sample_costs,
    scaffolds_by_plan,
    self_agreement,
    stated_answer,
    stated_confidence,
    task_environment,
    task_tools,
)
from capscope.data.formats.score_tables import RUNS_CHOICES, Runs
from capscope.data.formats.scored_log import (
    ScoredLog,
    as_object,
    log_files,
    optional_list,
    optional_object,
    required,
    required_name,
    text_of,
)
from capscope.data.study import Study
from capscope.data.tables import AGREEMENT
from capscope.errors import InputError, counted, first_few

LETTERS: dict[str, float] = {"C": 1.0, "P": 0.5, "I": 0.0}
"""Scores of letter values; `N` (no answer) depends on the option `no_answer`."""
WORDS = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0, "correct": 1.0, "incorrect": 0.0}
"""Scores of word values, ignoring case."""
NO_ANSWER = {"missing": None, "wrong": 0.0}
"""Score of `N`: missing, or 0 as in Inspect's accuracy."""
LIMITS = ("scored", "wrong", "missing")
"""Choices for samples that hit a limit, ended in an error or were invalidated."""
SCORER = Usual(what="scorer", option="--scorer")
"""The first scorer of a log is the main one of its task."""
KEPT_BESIDE_LOGS = ("eval-set.json", "listing.json", "logs.json")
"""Files that Inspect keeps in folders of logs: the set that was run, and lists of the logs."""


@dataclass(frozen=True)
class Ends:
    """Counts of samples with an abnormal end."""

    kinds: Counter[str]
    """Their number by kind: `error`, `limit`, `invalidated`."""
    errors: Counter[str]
    """Messages of the errors."""
    confidences: list[str]
    """Confidences that are no numbers from 0 to 1, as the log has them."""


@dataclass(frozen=True)
class Choices:
    """Options for values and samples without a plain score."""

    scorers: Sequence[str]
    """Scorers whose value counts."""
    no_answer: str
    """Of `N`: one of `NO_ANSWER`."""
    limits: str
    """Of samples that did not end as they should: one of `LIMITS`."""


def import_inspect(  # noqa: PLR0913 - every option is a keyword
    paths: Paths,
    scorers: Sequence[str] = (),
    no_answer: str = "missing",
    model: str | None = None,
    not_administered: Sequence[str] = (),
    limits: str = "scored",
    runs: Runs = "error",
    usual: bool = False,
) -> tuple[Study, ImportReport]:
    """Make a study of Inspect logs.

    The id of an item is ``task:id``; epochs are trials of it. Scores are 1 for `C`, 0.5 for `P`, 0 for `I`; a sample
    without a score (it failed, or its scorer gave NaN) is no response. A solver given on the command line is the
    scaffold, and so are the solvers of the plan where a model ran a task with several; a reasoning effort is the
    effort. Tools that samples offer, and what is said of the environment, go with the items. A sample that is logged
    twice was scored again; its last score counts. Tokens, dollars and seconds of samples are kept as costs, a
    confidence in a score's metadata as the subject's own.

    Args:
        paths: `.eval` and `.json` files, or folders that hold them at any depth.
        scorers: Which scorer's value is the score, in order of preference; needed where a log has several,
            without `usual`. One key of a scorer that gives several values is ``scorer.key``.
        no_answer: What becomes of `N`: "missing" (no response) or "wrong" (0).
        model: Name of the model; by default the model that the log names.
        not_administered: Scores that mean "not scored"; NaN and null always do.
        limits: What becomes of samples that hit a limit, ended in an error or were invalidated: "scored" takes the
            logged score of the first two kinds and leaves out the third, "wrong" counts all as 0, "missing" as none.
        runs: What to do where several logs hold the same samples: one of `RUNS_CHOICES`. Samples of a run that did
            not finish always give way to those of a later one.
        usual: Whether an open choice takes the first scorer of the task, with a remark.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A log is damaged, a score is none, or the choice of a scorer is open.
    """
    choices = Choices(scorers, one_of("no_answer", no_answer, NO_ANSWER), one_of("limits", limits, LIMITS))
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, ["*.eval", "*.json"], "Inspect logs", KEPT_BESIDE_LOGS)
    items, notes = ItemBook(), LogNotes()
    logs = [_scored(path, items, choices, model, notes) for path in files]
    notes.notes += _name_scaffolds(logs)
    tables, remarks = chosen_tables(logs, scorers, "--scorer", SCORER if usual else None, not_administered)
    notes.notes[:0] = remarks
    return assemble_logs("inspect", tables, items.table(), files, notes, runs)


def _name_scaffolds(logs: Sequence[ScoredLog]) -> tuple[str, ...]:
    """Give logs the facet `scaffold` where plans differ; return a remark."""
    plans = [LoggedPlan(log.task, log.model, log.plan, "scaffold" in log.facets) for log in logs]
    names, note = scaffolds_by_plan(plans)
    for log, name in zip(logs, names, strict=True):
        log.facets |= {"scaffold": name} if name else {}
    return note


def _scored(path: Path, items: ItemBook, choices: Choices, model: str | None, notes: LogNotes) -> ScoredLog:
    if path.suffix.lower() != ".eval":
        return _scored_samples(document_log(path), items, choices, model, notes)
    with EvalArchive(path) as archive:
        return _scored_samples(archived_log(archive), items, choices, model, notes)


_Sample = tuple[str, int, dict[str, object], str, dict[str, float]]
"""Item, number, scores by scorer, kind of premature end, and measures of a sample."""


def _scored_samples(
    log: InspectLog, items: ItemBook, choices: Choices, model: str | None, notes: LogNotes
) -> ScoredLog:
    spec = as_object(log.path, required(log.path, log.header, "eval", "the log"), "eval")
    task = required_name(log.path, spec, "task", "eval")
    status = str(log.header.get("status", "started"))
    scored = ScoredLog(
        log.path,
        model or log_model(log.path, spec),
        "sample",
        log_facets(log.path, spec),
        started=str(spec.get("created") or ""),
        complete=status == "success",
        task=task,
        plan=plan_steps(log),
    )
    tools = task_tools(log)
    ends = Ends(Counter(), Counter(), [])
    answers: list[tuple[str, str | None]] = []
    samples: list[_Sample] = []
    for number, sample in last_of_each(log, notes):
        place = f"sample {number}"
        item_id = f"{task}:{required_name(log.path, sample, 'id', place)}"
        environment = task_environment(spec, sample, has_tools=tools is not None)
        item = replace(_item(log.path, task, sample, place), tools=tools, environment=environment)
        items.describe(item_id, item, log.path, place)
        end = sample_end(sample)
        ends.kinds[end] += bool(end)
        if end == "error":
            ends.errors[_error_text(sample["error"])] += 1
        scores = sample_scores(log, sample, place)
        confidence, unreadable = stated_confidence(scores)
        ends.confidences.extend(unreadable)
        measures = sample_costs(sample, str(spec.get("model"))) | confidence
        samples.append((item_id, number, sample_values(scores, choices.no_answer), end, measures))
        answers.append((item_id, stated_answer(scores)))
    for (_, _, _, _, measures), share in zip(samples, self_agreement(answers), strict=True):
        measures.update({} if share is None else {AGREEMENT: share})
    _add_samples(scored, samples, choices)
    _remark(log, scored.records, ends, choices.limits, notes)
    if not samples:
        notes.unscored.append(f"{log.path.name}: holds no sample, only what was run; give the log with its samples")
    return scored


def _add_samples(scored: ScoredLog, samples: list[_Sample], choices: Choices) -> None:
    """Add samples to the log's records; those that ended early get what the choices say, by every scorer."""
    named = list(dict.fromkeys(name for _, _, values, _, _ in samples for name in values))
    scorers = named or list(choices.scorers) or ["score"]
    for item_id, number, values, end, measures in samples:
        scored.add(item_id, number, _ended(values, scorers, choices.limits, end) if end else values, measures)


def sample_scores(log: InspectLog, sample: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the scores of a sample by scorer; logs of early versions hold one score, of the scorer of the results.

    Args:
        log: The log.
        sample: One of its samples.
        place: Place of the sample, for messages.
    """
    scores = optional_object(log.path, sample, "scores", place)
    if scores or sample.get("score") is None:
        return scores
    scorer = optional_object(log.path, log.header, "results", "the log").get("scorer")
    return {str(scorer["name"] if isinstance(scorer, dict) and scorer.get("name") else "score"): sample["score"]}


def last_of_each(log: InspectLog, notes: LogNotes) -> list[tuple[int, dict[str, Any]]]:
    """Return the samples with their numbers; of one that is logged again, the last entry that has scores, if any has.

    Args:
        log: The log.
        notes: Notes of the import, to which a line on repeated samples is added.

    Raises:
        InputError: Two ids differ only in their kind, such as 1 and "1".
    """
    last: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    kind_of: dict[str, type] = {}
    again = 0
    for number, sample in enumerate(log.samples, 1):
        identity = required(log.path, sample, "id", f"sample {number}")
        if kind_of.setdefault(str(identity), type(identity)) is not type(identity):
            raise InputError(
                f'{log.path}: sample {number}: the ids 1 and "1" are two samples of one name (here {identity!r});'
                " give each sample its own id"
            )
        key = (str(identity), str(sample.get("epoch", 1)))
        again += key in last
        if key not in last or _has_scores(sample) or not _has_scores(last[key][1]):
            last[key] = (number, sample)
    if again:
        notes.notes.append(
            f"{log.path.name}: {counted(again, 'sample', 'are')} logged again; the last score of each counts"
        )
    return list(last.values())


def _has_scores(sample: dict[str, Any]) -> bool:
    return bool(sample.get("scores") or sample.get("score"))


def sample_end(sample: dict[str, Any]) -> str:
    """Return the kind of an abnormal end: `error`, `limit` or `invalidated`; empty for a normal one."""
    if sample.get("error"):
        return "error"
    if sample.get("invalidation") or sample.get("invalidated"):
        return "invalidated"
    return "limit" if sample.get("limit") else ""


def _error_text(error: object) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    return reason_text(text)


def _remark(log: InspectLog, records: int, ends: Ends, limits: str, notes: LogNotes) -> None:
    """Add remarks on abnormal ends of the run and its samples."""
    name, status = log.path.name, str(log.header.get("status", "started"))
    if status != "success":
        notes.notes.append(f"{name}: the run ended as '{status}'; its {counted(records, 'sample')} are taken")
    if ends.confidences:
        notes.notes.append(
            f"{name}: {counted(len(ends.confidences), 'stated confidence', 'are')} left out, for a confidence is a"
            f" number from 0 to 1 (here {first_few(ends.confidences)})"
        )
    if ends.kinds["error"]:
        of = {"wrong": "; they count as wrong", "missing": "; they are no responses"}.get(limits, "")
        notes.unscored.append(
            f"{name}: {counted(ends.kinds['error'], 'sample')} ended in an error:"
            f" {ends.errors.most_common(1)[0][0]}{of}"
        )
    if ends.kinds["limit"]:
        of = {"wrong": "they count as wrong", "missing": "they are no responses"}.get(
            limits, "their scores are taken; choose with --limits wrong or missing"
        )
        (notes.unscored if limits == "missing" else notes.notes).append(
            f"{name}: {counted(ends.kinds['limit'], 'sample')} ended at a limit; {of}"
        )
    if ends.kinds["invalidated"]:
        of = "count as wrong" if limits == "wrong" else "are left out"
        notes.unscored.append(f"{name}: {counted(ends.kinds['invalidated'], 'sample', 'were')} invalidated; they {of}")
    elif log.header.get("invalidated"):
        notes.notes.append(f"{name}: the log is marked as invalidated; its samples are taken")


def _item(path: Path, task: str, sample: dict[str, Any], place: str) -> LoggedItem:
    options = optional_list(path, sample, "choices", place)
    question, target = input_text(sample.get("input")), text_of(sample.get("target"))
    if not options:
        return LoggedItem(task, text=question, target=target)
    text = "\n".join([question, *map(str, options)]) if question is not None else None
    return LoggedItem(task, text=text, target=target, n_options=len(options))


def sample_values(scores: dict[str, Any], no_answer: str) -> dict[str, object]:
    """Return the value of every scorer, and of every key of a scorer with several.

    Args:
        scores: Scores of a sample by scorer.
        no_answer: What becomes of `N` (no answer): "missing" (no response) or "wrong" (0).
    """
    values: dict[str, object] = {}
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            values |= {f"{scorer}.{key}": _number(inner, no_answer) for key, inner in value.items()}
        else:
            values[scorer] = _number(value, no_answer)
    return values


def _number(value: object, no_answer: str) -> object:
    """Return a number for the letters of Inspect, anything else as it is."""
    if not isinstance(value, str):
        return value
    if value == "N":
        return NO_ANSWER[no_answer]
    return LETTERS.get(value, WORDS.get(value.strip().lower(), value))


def _ended(values: dict[str, object], scorers: list[str], limits: str, end: str) -> Mapping[str, object]:
    """Return the values of a sample with an abnormal end."""
    if limits == "wrong":
        return dict.fromkeys(scorers, 0.0)
    return dict.fromkeys(values) if limits == "missing" or end == "invalidated" else values


def _detect(head: Head) -> bool:
    return head.path.suffix.lower() == ".eval" or (head.path.suffix.lower() == ".json" and "eval" in head.names)


INSPECT = Format(
    name="inspect",
    help="Inspect logs.",
    example="logs --scorer match",
    patterns=("*.eval", "*.json"),
    detect=_detect,
    beside=lambda head: "lists and settings that Inspect keeps" if head.path.name in KEPT_BESIDE_LOGS else "",
    read=import_inspect,
    arguments=(Argument(help=".eval and .json logs, or folders of them."),),
    options=(
        Option(
            keyword="scorers",
            flag="--scorer",
            kind="texts",
            help="Whose value counts; may be repeated, first choice first.",
        ),
        Option(keyword="no_answer", help="What N means: missing (no response) or wrong."),
        Option(
            keyword="limits",
            help="Samples that hit a limit, failed or were invalidated: scored (as logged), wrong or missing.",
        ),
        RUNS,
        MODEL,
        NOT_ADMINISTERED,
    ),
)
