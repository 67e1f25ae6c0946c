"""Every Eval Ever 0.3: `UUID_samples.jsonl`, one line for each sample and metric, beside the aggregate `UUID.json`."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capscope.data.columns import LONGEST_INTEGER, known_cost, reason_text, shown
from capscope.data.formats.assembly import LogNotes, assemble_logs
from capscope.data.formats.choosing import Usual, chosen_tables
from capscope.data.formats.described_items import ItemBook, LoggedItem
from capscope.data.formats.every_eval_ever_writing import OWN_NAME, export_every_eval_ever
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
    json_document,
    log_files,
    optional_list,
    optional_object,
    records_once,
    required,
    required_name,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError, counted

SCHEMA_FAMILY = "0."
"""Versions of the schema that can be read."""
METRIC = Usual(
    what="metric",
    option="--metric",
    order=("exact_match", "acc", "accuracy", "exact_match:strict-match", "exact_match,strict-match"),
)
"""Main metrics of evaluations; where a file has none of them, its first one from 0 to 1."""
AGGREGATE = frozenset(("schema_version", "evaluation_id", "evaluation_results"))
"""Keys of the file of aggregates beside the samples."""
ENDINGS = ("_samples.jsonl", "_instance_level.jsonl", ".jsonl")


@dataclass(frozen=True)
class Scale:
    """Bounds and direction of one metric."""

    name: str
    """The metric, by a name that is its own in the file."""
    dataset: str
    """The data set."""
    low: float = 0.0
    """Its worst value, or its best where lower is better."""
    high: float = 1.0
    """Its best value, or its worst where lower is better."""
    lower_is_better: bool = False
    """Whether the low end is the good one."""
    unknown_level: bool = False
    """Whether -1 stands for "unknown"."""

    def rate(self, score: object) -> object:
        """Return a score as a rate from 0 to 1, None for "unknown"; what is no number, or has no bounds, as text."""
        if isinstance(score, bool) or not isinstance(score, int | float):
            return score
        if self.unknown_level and score == -1:
            return None
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            return f"{score} (from {self.low:g} to {self.high:g})"
        if abs(score) > LONGEST_INTEGER:
            return "a number too long to be read"
        share = (score - self.low) / (self.high - self.low)
        return 1 - share if self.lower_is_better else share


def import_every_eval_ever(
    paths: Paths,
    metrics: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
    runs: Runs = "error",
    usual: bool = False,
) -> tuple[Study, ImportReport]:
    """Make a study of instance-level files of Every Eval Ever.

    The id of an item is ``evaluation_name:sample_id``; its `sample_hash` must agree. Scores are laid on 0 to 1 by the
    metric's bounds and direction in the aggregate file; without one they must lie there already. `is_correct` is not
    used: it is false by rule for graded metrics.

    Args:
        paths: Files of samples, or folders that hold them at any depth.
        metrics: Which metric is the score, in order of preference; needed where a file has several.
        model: Name of the model; by default the `model_id` of the lines.
        not_administered: Scores that mean "not scored", after they are mapped to 0 to 1; NaN always does.
        runs: What to do where several runs answered the same samples: one of `RUNS_CHOICES`; the order of the paths
            is that of the runs.
        usual: Whether an open choice takes the usual metric of the evaluation, with a remark.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A line is invalid, or the choice of a metric is open; the message names file and line.
    """
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, [f"*{ending}" for ending in ENDINGS[:2]], "samples of Every Eval Ever")
    items, notes = ItemBook(), LogNotes()
    logs = [log for path in files for log in _scored(path, items, model, notes)]
    tables, remarks = chosen_tables(logs, metrics, "--metric", METRIC if usual else None, not_administered)
    notes.notes += remarks
    return assemble_logs("every-eval-ever", tables, items.table(), files, notes, runs)


@dataclass(frozen=True)
class Line:
    """One line of samples."""

    number: int
    """Its number."""
    model: str
    """Name of the model."""
    dataset: str
    """The data set that the aggregate names, or else the evaluation."""
    evaluation: str
    """Name of the evaluation."""
    sample: str
    """Id of the sample."""
    item: LoggedItem
    """Description of the sample."""
    metric: str
    """Name of the score."""
    score: object
    """The score as a rate."""
    names_metric: bool
    """Whether the line names the result (metric) that it belongs to."""
    error: str
    """Message of an error, which left no answer to be scored."""
    costs: dict[str, float]
    """Tokens and seconds of the answer."""


def _scored(path: Path, items: ItemBook, model: str | None, notes: LogNotes) -> list[ScoredLog]:
    """Read one file: a log for each model and task in it."""
    scales = _scales(path)
    # lines that do not name their result may be of two metrics with one score, so that none of them is a copy
    records = records_once(path, notes.notes, lambda record: record.get("evaluation_result_id"))
    lines = [_line(path, number, record, scales, model) for number, record in records]
    if not lines:
        raise InputError(f"{path}: the file is empty; check how it was written")
    same = _datasets_with_equal_samples(lines)
    seen: set[tuple[str, str]] = set()
    logs: dict[tuple[str, str], ScoredLog] = {}
    for line in lines:
        task = line.dataset if line.dataset in same else line.evaluation
        item_id = f"{task}:{line.sample}"
        items.describe(item_id, replace(line.item, task=task), path, f"line {line.number}")
        if not line.names_metric and (line.model, item_id) in seen:
            raise InputError(
                f"{path}: line {line.number} scores item '{item_id}' again and has no evaluation_result_id; its"
                " metric is not known"
            )
        seen.add((line.model, item_id))
        log = logs.setdefault((line.model, task), ScoredLog(path, line.model, task=task))
        log.add(item_id, line.number, {line.metric: None if line.error else line.score}, line.costs)
    errors = Counter(line.error for line in lines if line.error)
    if errors:
        notes.unscored.append(
            f"{path.name}: {counted(errors.total(), 'line')} with an error, which is no answer:"
            f" {errors.most_common(1)[0][0]}"
        )
    return list(logs.values())


def _datasets_with_equal_samples(lines: list[Line]) -> set[str]:
    """Return data sets whose evaluations score the same samples, as those under several filters of answers do.

    Their samples are one item each, and their scores are to be chosen from. Hashes say which samples are the same.
    """
    if len({(line.dataset, line.evaluation) for line in lines}) == len({line.dataset for line in lines}):
        return set()
    evaluations: dict[str, set[str]] = {}
    asked: dict[str, set[tuple[str, str | None]]] = {}
    pairs: dict[str, set[tuple[str, str, str | None]]] = {}
    for line in lines:
        evaluations.setdefault(line.dataset, set()).add(line.evaluation)
        asked.setdefault(line.dataset, set()).add((line.sample, line.item.digest))
        pairs.setdefault(line.dataset, set()).add((line.evaluation, line.sample, line.item.digest))
    several = [name for name, named in evaluations.items() if len(named) > 1]
    return {
        name
        for name in several
        if len({sample for sample, _ in asked[name]}) == len(asked[name]) < len(pairs[name])
        and all(digest for _, digest in asked[name])
    }


def _line(path: Path, number: int, record: dict[str, Any], scales: dict[str, Scale], model: str | None) -> Line:
    place = f"line {number}"
    _refuse_other_schema(path, record, place)
    evaluation = required_name(path, record, "evaluation_name", place)
    result = str(record.get("evaluation_result_id") or evaluation)
    scale = scales.get(result) or Scale(result, evaluation)
    scored = as_object(path, required(path, record, "evaluation", place), f"{place}: evaluation")
    return Line(
        number,
        model or _own_name(path, record, place) or required_name(path, record, "model_id", place),
        scale.dataset,
        evaluation,
        required_name(path, record, "sample_id", place),
        _item(path, evaluation, record, place),
        scale.name,
        scale.rate(scored.get("score")),
        bool(record.get("evaluation_result_id")),
        reason_text(record["error"]) if record.get("error") else "",
        _costs(path, record, place),
    )


def _costs(path: Path, record: dict[str, Any], place: str) -> dict[str, float]:
    tokens = known_cost(optional_object(path, record, "token_usage", place).get("total_tokens"))
    latency = known_cost(optional_object(path, record, "performance", place).get("latency_ms"))
    costs = {"tokens": tokens, "seconds": None if latency is None else latency / 1000}
    return {name: value for name, value in costs.items() if value is not None}


def _own_name(path: Path, record: dict[str, Any], place: str) -> str | None:
    """Return what the study called a model, where the line was written from one: the format wants `developer/name`."""
    return text_of(optional_object(path, record, "metadata", place).get(OWN_NAME))


def _refuse_other_schema(path: Path, record: dict[str, Any], place: str) -> None:
    version = required_name(path, record, "schema_version", place)
    if not version.startswith(SCHEMA_FAMILY):
        raise InputError(
            f"{path}: {place}: schema version {shown(version)} is not known here (0.3 is); update capscope"
        )


def _item(path: Path, task: str, record: dict[str, Any], place: str) -> LoggedItem:
    asked = as_object(path, required(path, record, "input", place), f"{place}: input")
    text, reference = text_of(asked.get("raw")), asked.get("reference")
    choices = optional_list(path, asked, "choices", f"{place}: input")
    if text is not None and choices:
        text = "\n".join([text, *(str(choice) for choice in choices if str(choice) not in text)])
    target = ("; ".join(map(str, reference)) or None) if isinstance(reference, list) else text_of(reference)
    return LoggedItem(task, None, text, target, len(choices) if choices else None, text_of(record.get("sample_hash")))


def _scales(path: Path) -> dict[str, Scale]:
    """Return the metrics of the aggregate file beside the samples, by result id and by name of the evaluation."""
    aggregate = next((other for ending in ENDINGS if (other := _sibling(path, ending)) and other.is_file()), None)
    if aggregate is None:
        return {}
    document = as_object(aggregate, json_document(aggregate), "its text")
    scales: dict[str, Scale] = {}
    for number, result in enumerate(as_objects(aggregate, document.get("evaluation_results"), "evaluation_results"), 1):
        place = f"evaluation_results, record {number}"
        key = result.get("evaluation_result_id") or required(aggregate, result, "evaluation_name", place)
        scales[str(key)] = _scale(aggregate, result, place)
    names = Counter(scale.name for scale in scales.values())
    return {key: scale if names[scale.name] == 1 else replace(scale, name=key) for key, scale in scales.items()}


def _sibling(path: Path, ending: str) -> Path | None:
    return path.with_name(f"{path.name.removesuffix(ending)}.json") if path.name.endswith(ending) else None


def _scale(path: Path, result: dict[str, Any], place: str) -> Scale:
    config = as_object(path, required(path, result, "metric_config", place), f"{place}: metric_config")
    named = config.get("metric_name") or config.get("metric_id") or config.get("evaluation_description")
    name = str(named or result.get("evaluation_name"))
    levels = optional_list(path, config, "level_names", f"{place}: metric_config")
    top = len(levels) - 1 if config.get("score_type") == "levels" and levels else 1
    low, high = (
        _bound(path, config, key, default, place) for key, default in (("min_score", 0.0), ("max_score", float(top)))
    )
    source = optional_object(path, result, "source_data", place)
    dataset = str(source.get("dataset_name") or result.get("evaluation_name"))
    lower, unknown = (_truth(path, config, key, place) for key in ("lower_is_better", "has_unknown_level"))
    return Scale(name, dataset, low, high, lower, unknown)


def _bound(path: Path, config: dict[str, Any], name: str, default: float, place: str) -> float:
    value = config.get(name)
    if value is None:
        return default
    try:
        return float(str(value))
    except (ValueError, OverflowError):
        raise InputError(f"{path}: {place}: {name} is {shown(value)}, which is no number; correct it") from None


def _truth(path: Path, config: dict[str, Any], name: str, place: str) -> bool:
    value = config.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    if str(value).strip().lower() in ("true", "false"):
        return str(value).strip().lower() == "true"
    raise InputError(f"{path}: {place}: {name} is {shown(value)}, which is neither true nor false; correct it")


def _detect(head: Head) -> bool:
    return {"schema_version", "evaluation_name", "sample_id"} <= head.names


EVERY_EVAL_EVER = Format(
    name="every-eval-ever",
    help="Every Eval Ever 0.3.",
    example="data/mmlu",
    patterns=tuple(f"*{ending}" for ending in ENDINGS[:2]),
    detect=_detect,
    beside=lambda head: "aggregates of Every Eval Ever" if head.names >= AGGREGATE else "",
    read=import_every_eval_ever,
    write=export_every_eval_ever,
    arguments=(Argument(help="*_samples.jsonl, or folders of them."),),
    options=LOG_OPTIONS,
)
