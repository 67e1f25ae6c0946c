"""Run folders of HELM: `per_instance_stats.json` beside `run_spec.json` and `scenario_state.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capscope.data.formats.assembly import assemble_logs
from capscope.data.formats.found_items import ItemBook, LoggedItem
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import ScoreTable
from capscope.data.formats.scored_log import ScoredLog, as_object, as_objects, field, json_document, log_files
from capscope.data.study import Study
from capscope.errors import InputError

STATS = "per_instance_stats.json"
BOOKKEEPING = frozenset(
    ("num_references", "num_train_trials", "num_prompt_tokens", "num_completion_tokens", "num_output_tokens")
    + ("num_train_instances", "num_bytes", "num_perplexity_tokens", "prompt_truncated", "batch_size", "logprob")
    + ("training_co2_cost", "training_energy_cost", "inference_runtime", "inference_denoised_runtime")
    + ("inference_idealized_runtime", "finish_reason_length", "finish_reason_stop", "finish_reason_endoftext")
    + ("finish_reason_unknown", "max_prob", "predicted_index", "perplexity", "bits_per_byte", "logprob_per_byte")
)
"""Statistics that say nothing about whether an answer was right."""
Key = tuple[str, str, int]
"""Instance, perturbation and training trial: what HELM itself tells records apart by."""
UNPERTURBED = "none"


def import_helm(
    paths: Sequence[Path],
    metrics: Sequence[str] = (),
    model: str | None = None,
    not_administered: Sequence[str] = (),
) -> tuple[Study, ImportReport]:
    """Make a study of HELM runs.

    An item is called ``run:instance``, the run's name without its model. Runs with other training examples are trials
    of an item; a perturbed instance is another `prompt` of it. One instance can stand in several lists, one for each
    metric object; they are merged.

    Args:
        paths: Run folders, folders that hold some at any depth, or files of per-instance statistics.
        metrics: Which statistic is the score, in order of preference; needed where a run has several.
        model: Who answered; by default the model that the run names.
        not_administered: Scores that stand for "not scored"; a statistic that counts no value always does.

    Raises:
        InputError: A record is wrong, a file is missing, or the choice of a metric is open.
    """
    files = log_files(paths, [STATS], "HELM runs")
    items = ItemBook()
    tables: list[ScoreTable] = []
    for path in files:
        logs = _scored(path, items, model)
        tables += [log.chosen(metrics, "--metric", not_administered) for log in logs]
    return assemble_logs("helm", tables, items.table(), files)


def _scored(path: Path, items: ItemBook, model: str | None) -> list[ScoredLog]:
    """Read one run: a log for each perturbation."""
    spec = _beside(path, "run_spec.json")
    run = _without_model(str(field(path, spec, "name", "run_spec.json")))
    adapter = as_object(path, field(path, spec, "adapter_spec", "run_spec.json"), "adapter_spec")
    who = model or str(field(path, adapter, "model", "adapter_spec of run_spec.json"))
    texts = _texts(path)
    merged, first = _merged(path)
    perturbed = any(key[1] != UNPERTURBED for key in merged)
    logs: dict[str, ScoredLog] = {}
    for key, values in merged.items():
        instance, perturbation, _ = key
        keys = {"prompt": perturbation} if perturbed else {}
        log = logs.setdefault(perturbation, ScoredLog(path, who, "record", keys))
        item = LoggedItem(run, run.split(":")[0], *texts.get(instance, (None, None)))
        items.describe(f"{run}:{instance}", item, path, f"record {first[key]}")
        log.add(f"{run}:{instance}", first[key], values)
    return list(logs.values())


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


def _texts(path: Path) -> dict[str, tuple[str | None, str | None]]:
    """Return question and right answer of every instance that was not perturbed, where the run kept its requests."""
    if not path.with_name("scenario_state.json").is_file():
        return {}
    states = as_objects(path, _beside(path, "scenario_state.json").get("request_states") or [], "request_states")
    found: dict[str, tuple[str | None, str | None]] = {}
    for state in states:
        instance = state.get("instance") or {}
        if instance.get("perturbation") is None:
            found.setdefault(str(instance.get("id")), (_text(instance.get("input")), _right(instance)))
    return found


def _text(part: object) -> str | None:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else None


def _right(instance: dict[str, Any]) -> str | None:
    references = instance.get("references") or []
    return next((_text(each.get("output")) for each in references if "correct" in (each.get("tags") or [])), None)


def _merged(path: Path) -> tuple[dict[Key, dict[str, object]], dict[Key, int]]:
    """Return the statistics of every instance, and the number of the record where it stands first."""
    merged: dict[Key, dict[str, object]] = {}
    first: dict[Key, int] = {}
    for number, record in enumerate(as_objects(path, json_document(path), "its text"), 1):
        place = f"record {number}"
        key = _key(path, record, place)
        first.setdefault(key, number)
        values = merged.setdefault(key, {})
        for name, value in _values(path, record, place).items():
            if values.setdefault(name, value) != value:
                raise InputError(
                    f"{path}: {place}: instance '{key[0]}' has two values of '{name}' ({values[name]}, {value});"
                    " keep one run in the folder"
                )
    return merged, first


def _key(path: Path, record: dict[str, Any], place: str) -> Key:
    perturbation = record.get("perturbation") or {}
    name = perturbation.get("name", "perturbed") if perturbation else UNPERTURBED
    return str(field(path, record, "instance_id", place)), str(name), int(record.get("train_trial_index", 0))


def _values(path: Path, record: dict[str, Any], place: str) -> dict[str, object]:
    """Return the mean of every statistic that may be a score; one without any value is None."""
    values: dict[str, object] = {}
    for stat in as_objects(path, field(path, record, "stats", place), f"{place}: stats"):
        name = as_object(path, field(path, stat, "name", f"{place}: stats"), f"{place}: name").get("name")
        if name not in BOOKKEEPING:
            values[str(name)] = stat.get("mean") if stat.get("count", 1) else None
    return values
