"""Run folders of HELM: `per_instance_stats.json` beside `run_spec.json` and `scenario_state.json`."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capscope.data.columns import reason_text
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
    json_document,
    log_files,
    optional_list,
    optional_object,
    required,
    required_name,
    text_of,
)
from capscope.data.study import Study
from capscope.errors import InputError, counted

STATS = "per_instance_stats.json"
BOOKKEEPING = frozenset(
    ("num_references", "num_train_trials", "num_prompt_tokens", "num_completion_tokens", "num_output_tokens")
    + ("num_train_instances", "num_bytes", "num_perplexity_tokens", "prompt_truncated", "batch_size", "logprob")
    + ("training_co2_cost", "training_energy_cost", "inference_runtime", "inference_denoised_runtime")
    + ("inference_idealized_runtime", "finish_reason_length", "finish_reason_stop", "finish_reason_endoftext")
    + ("finish_reason_unknown", "max_prob", "predicted_index", "perplexity", "bits_per_byte", "logprob_per_byte")
)
"""Statistics other than scores."""
OTHER_FILES = ("run_spec.json", "scenario.json", "scenario_state.json", "stats.json", "scenario_metadata.json")
"""Files of a run that hold no single scores."""
UNPERTURBED = "none"
METRIC = Usual(
    what="metric",
    option="--metric",
    order=(
        ("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match")
        + ("final_number_exact_match", "math_equiv_chain_of_thought", "math_equiv", "chain_of_thought_correctness")
        + ("ifeval_strict_accuracy", "pass", "code_eval_acc", "accuracy", "f1_score", "classification_macro_f1")
    ),
    others=False,
)
"""Statistics that are scores; most others measure length and time."""


@dataclass(frozen=True)
class Key:
    """Identity of a record within a HELM run."""

    instance: str
    """Id of the instance."""
    perturbation: str
    """Name of the perturbation, or `none`."""
    settings: str
    """Its settings as JSON, by which two perturbations of one name differ."""
    trial: str
    """Number of the set of training examples."""


def import_helm(
    paths: Paths,
    metrics: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
    runs: Runs = "error",
    usual: bool = False,
) -> tuple[Study, ImportReport]:
    """Make a study of HELM runs.

    The id of an item is ``run:instance``, the run's name without its model. Runs with other training examples are
    trials of an item; a perturbed instance is another `prompt` of it, and perturbations that differ in their settings
    alone are left out. One instance can occur in several lists, one for each metric object; they are merged.

    Args:
        paths: Run folders, folders that hold some at any depth, or files of per-instance statistics.
        metrics: Which statistic is the score, in order of preference; needed where a run has several.
        model: Name of the model; by default the model that the run names.
        not_administered: Scores that mean "not scored"; NaN and a statistic that counts no value always do.
        runs: What to do where several runs answered the same instances: one of `RUNS_CHOICES`; the order of the
            paths is that of the runs.
        usual: Whether an open choice takes the usual statistic of the run, with a remark.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A record is wrong, a file is missing, or the choice of a metric is open.
    """
    one_of("runs", runs, RUNS_CHOICES)
    files = log_files(paths, [STATS], "HELM runs")
    other = next((path for path in files if path.name in OTHER_FILES), None)
    if other is not None:
        raise InputError(f"{other}: a part of a HELM run without its answers; give the folder, or its {STATS}")
    items, notes = ItemBook(), LogNotes()
    logs = [log for path in files for log in _scored(path, items, model, notes)]
    tables, remarks = chosen_tables(logs, metrics, "--metric", METRIC if usual else None, not_administered)
    notes.notes[:0] = remarks
    return assemble_logs("helm", tables, items.table(), files, notes, runs)


def _scored(path: Path, items: ItemBook, model: str | None, notes: LogNotes) -> list[ScoredLog]:
    """Read one run: a log for each perturbation."""
    spec = _beside(path, "run_spec.json")
    run = _without_model(required_name(path, spec, "name", "run_spec.json"))
    adapter = as_object(path, required(path, spec, "adapter_spec", "run_spec.json"), "adapter_spec")
    named = "model" if adapter.get("model") or not adapter.get("model_deployment") else "model_deployment"
    who = model or required_name(path, adapter, named, "adapter_spec of run_spec.json")
    states = _states(path)
    described = _described(path, states, run, str(adapter.get("method") or ""))
    merged, first = _merged(path)
    if not merged:
        raise InputError(f"{path}: holds no record; check how it was written")
    merged = _without_failed(path, states, merged, notes)
    merged = _without_ambiguous(path, merged, notes)
    perturbed = any(key.perturbation != UNPERTURBED for key in merged)
    logs: dict[str, ScoredLog] = {}
    for key, values in merged.items():
        facets = {"prompt": key.perturbation} if perturbed else {}
        log = logs.setdefault(key.perturbation, ScoredLog(path, who, "record", facets, task=run))
        item_id = f"{run}:{key.instance}"
        item = described.get(key.instance, LoggedItem(run, run.split(":")[0]))
        items.describe(item_id, item, path, f"record {first[key]}")
        log.add(item_id, first[key], values)
    return list(logs.values())


def _without_ambiguous(
    path: Path, merged: dict[Key, dict[str, object]], notes: LogNotes
) -> dict[Key, dict[str, object]]:
    """Leave out perturbations of which several settings have one name."""
    settings: dict[str, set[str]] = {}
    for key in merged:
        settings.setdefault(key.perturbation, set()).add(key.settings)
    several = {name for name, kinds in settings.items() if len(kinds) > 1}
    kept = {key: values for key, values in merged.items() if key.perturbation not in several}
    if several:
        notes.notes.append(
            f"{path.parent.name}: {counted(len(merged) - len(kept), 'record', 'are')} left out, for"
            f" perturbations of one name"
            f" ({', '.join(sorted(several))}) have different settings"
        )
    return kept


def _beside(path: Path, name: str) -> dict[str, Any]:
    other = path.with_name(name)
    if not other.is_file():
        raise InputError(f"{other}: no such file; a HELM run needs it beside {path.name}")
    return as_object(other, json_document(other), "its text")


def _without_model(name: str) -> str:
    """Return a run's name without the parts that say which model ran."""
    scenario, colon, arguments = name.partition(":")
    kept = [part for part in arguments.split(",") if part.split("=")[0] not in ("model", "model_deployment")]
    return f"{scenario}{colon}{','.join(kept)}" if any(kept) else scenario


def _states(path: Path) -> list[dict[str, Any]]:
    """Return the requests of a run, where it kept them."""
    state_path = path.with_name("scenario_state.json")
    if not state_path.is_file():
        return []
    return as_objects(state_path, _beside(path, "scenario_state.json").get("request_states") or [], "request_states")


def _without_failed(
    path: Path, states: list[dict[str, Any]], merged: dict[Key, dict[str, object]], notes: LogNotes
) -> dict[Key, dict[str, object]]:
    """Take away the scores of instances whose request failed: HELM scores the empty reply 0."""
    state_path = path.with_name("scenario_state.json")
    failed: dict[Key, str] = {}
    for number, state in enumerate(states, 1):
        place = f"request_states, record {number}"
        result, instance = (optional_object(state_path, state, name, place) for name in ("result", "instance"))
        if result.get("success") is False and instance.get("id") is not None:
            key = _key(state_path, {**state, **instance, "instance_id": instance["id"]}, place)
            failed[key] = reason_text(result.get("error"))
    lost = [key for key in merged if key in failed]
    if lost:
        first = Counter(failed[key] for key in lost).most_common(1)[0][0]
        notes.unscored.append(
            f"{path.parent.name}: the request of {counted(len(lost), 'record')} failed, which is no answer: {first}"
        )
    unscored: dict[Key, dict[str, object]] = {key: {**dict.fromkeys(merged[key])} for key in lost}
    return {key: unscored.get(key) or values for key, values in merged.items()}


def _described(path: Path, states: list[dict[str, Any]], run: str, method: str) -> dict[str, LoggedItem]:
    """Return question, options and right answer of every unperturbed instance, where the run kept its requests."""
    state_path = path.with_name("scenario_state.json")
    described: dict[str, LoggedItem] = {}
    for number, state in enumerate(states, 1):
        place = f"request_states, record {number}"
        instance = optional_object(state_path, state, "instance", place)
        if instance.get("perturbation") is None:
            described.setdefault(str(instance.get("id")), _item(state_path, run, method, state, instance, place))
    return described


def _item(path: Path, run: str, method: str, state: dict[str, Any], instance: dict[str, Any], place: str) -> LoggedItem:
    references = [
        as_object(path, reference, f"{place}: reference")
        for reference in optional_list(path, instance, "references", f"{place}: instance")
    ]
    right = next((_text(each.get("output")) for each in references if _is_right(each)), None)
    shown = optional_object(path, state, "output_mapping", place)
    options = [text_of(option) or "" for option in shown.values()]
    if not options and method.startswith("multiple_choice") and not all(map(_is_right, references)):
        options = [_text(each.get("output")) or "" for each in references]
    question = _text(instance.get("input"))
    text = "\n".join([question, *options]) if question is not None else None
    return LoggedItem(run, run.split(":")[0], text, right, len(options) if len(options) > 1 else None)


def _is_right(reference: dict[str, Any]) -> bool:
    tags = reference.get("tags")
    return isinstance(tags, list) and "correct" in tags


def _text(part: object) -> str | None:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else None


def _merged(path: Path) -> tuple[dict[Key, dict[str, object]], dict[Key, int]]:
    """Return the statistics of every instance, and the number of the record where it occurs first."""
    merged: dict[Key, dict[str, object]] = {}
    first: dict[Key, int] = {}
    for number, record in enumerate(as_objects(path, json_document(path), "its text"), 1):
        place = f"record {number}"
        key = _key(path, record, place)
        first.setdefault(key, number)
        values = merged.setdefault(key, {})
        for name, value in _values(path, record, place).items():
            known = values.get(name)
            values[name] = value if known is None else known
            if known is not None and value is not None and known != value:
                raise _two_values(path, place, key, name, (known, value), "keep one run in the folder")
    return merged, first


def _two_values(path: Path, place: str, key: Key, name: str, values: tuple[object, object], advice: str) -> InputError:
    return InputError(
        f"{path}: {place}: instance '{key.instance}' has two values of '{name}' ({values[0]}, {values[1]}); {advice}"
    )


def _key(path: Path, record: dict[str, Any], place: str) -> Key:
    perturbation = optional_object(path, record, "perturbation", place)
    name = str(perturbation.get("name", "perturbed")) if perturbation else UNPERTURBED
    settings = json.dumps(perturbation, sort_keys=True)
    trial = str(record.get("train_trial_index", 0))
    return Key(required_name(path, record, "instance_id", place), name, settings, trial)


def _values(path: Path, record: dict[str, Any], place: str) -> dict[str, object]:
    """Return the mean of every statistic that may be a score; one without any value, or of NaN, is None.

    Raises:
        InputError: A statistic occurs twice with different values, as it does for two splits.
    """
    values: dict[str, object] = {}
    for stat in as_objects(path, required(path, record, "stats", place), f"{place}: stats"):
        full_name = as_object(path, required(path, stat, "name", f"{place}: stats"), f"{place}: name")
        name = str(full_name.get("name"))
        if name in BOOKKEEPING:
            continue
        value = _mean(stat)
        value = None if isinstance(value, float) and math.isnan(value) else value
        if name in values and values[name] is not None and value is not None and values[name] != value:
            instance = Key(str(record.get("instance_id")), "", "", "")
            advice = "the record mixes two splits or runs; keep one of them"
            raise _two_values(path, place, instance, name, (values[name], value), advice)
        values[name] = value if value is not None else values.get(name)
    return values


def _mean(stat: dict[str, Any]) -> object:
    """Return the mean of a statistic, computed from its sum where early versions do not store it; None of no value."""
    count, total = stat.get("count", 1), stat.get("sum")
    if not count:
        return None
    if "mean" in stat or not isinstance(count, int) or not isinstance(total, int | float):
        return stat.get("mean")
    return total / count


def _detect(head: Head) -> bool:
    return head.path.name == STATS


HELM = Format(
    name="helm",
    help="HELM runs.",
    example="benchmark_output/runs/v1 --metric exact_match",
    patterns=(STATS,),
    detect=_detect,
    beside=lambda head: (
        "further files of HELM runs, read with the scores where needed" if head.path.name in OTHER_FILES else ""
    ),
    read=import_helm,
    arguments=(Argument(help="Run folders, or folders that hold some."),),
    options=LOG_OPTIONS,
)
