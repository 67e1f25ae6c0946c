"""Every Eval Ever 0.3 as an export: an aggregate and its samples for each model and benchmark, and a dataset card."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data.formats.format import ExportReport, report_on_export, single_responses
from capscope.data.study import Study
from capscope.errors import InputError
from capscope.files import whole_folder, write_json, write_text

SCHEMA = "0.3.0"
"""Version of the schema that is written."""
KEPT = ("model", "item_id", "score", "n_trials", "benchmark", "task", "text", "target")
CARD = "README.md"
OWN_NAME = "capscope_model"
"""Key of a line's metadata that holds the study's name of the model."""
LEVEL = 0.95


@dataclass(frozen=True)
class ModelRun:
    """The answers of one model to one benchmark."""

    model: str
    """Who answered, as `developer/name`."""
    benchmark: str
    """The benchmark."""
    rows: pd.DataFrame
    """Columns sample, task, score, n_trials, text, target."""

    @property
    def identity(self) -> str:
        """Id of the evaluation."""
        digest = sha256(self.rows[["task", "sample", "score"]].to_csv(index=False).encode()).hexdigest()
        return f"{self.benchmark}/{self.model.replace('/', '_')}/{digest[:16]}"


def export_every_eval_ever(study: Study, out: Path, force: bool = False) -> ExportReport:
    """Write the responses of a study as a collection of Every Eval Ever, with a dataset card of the Hugging Face Hub.

    The folder holds ``data/BENCHMARK/DEVELOPER/MODEL/UUID.json`` with the mean score of each task and its interval, and
    ``UUID_samples.jsonl`` with the answers. Replies of models are no part of a study, so that outputs are empty.

    Args:
        study: A study with one response for each model and item.
        out: The folder to write.
        force: Replace an existing folder.

    Returns:
        The files that were written, and the columns that they lack.

    Raises:
        InputError: A model answers an item more than once.
        OutputError: The folder exists, or cannot be written.
    """
    runs = list(_runs(study))
    written: list[Path] = []
    with whole_folder(out, force=force, what="collection of Every Eval Ever", holds=_is_of_collection) as scratch:
        for run in runs:
            path = Path("data", _plain(run.benchmark), *map(_plain, run.model.split("/", 1)))
            stem = str(uuid.UUID(bytes=sha256(run.identity.encode()).digest()[:16], version=4))
            samples = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in _samples(run))
            (scratch / path).mkdir(parents=True, exist_ok=True)
            write_text(scratch / path / f"{stem}_samples.jsonl", samples)
            aggregate = _aggregate(run) | {
                "detailed_evaluation_results": {
                    "format": "jsonl",
                    "file_path": (path / f"{stem}_samples.jsonl").as_posix(),
                    "hash_algorithm": "sha256",
                    "checksum": sha256(samples.encode()).hexdigest(),
                    "total_rows": len(run.rows),
                }
            }
            write_json(scratch / path / f"{stem}.json", aggregate)
            written += [out / path / f"{stem}.json", out / path / f"{stem}_samples.jsonl"]
        write_text(scratch / CARD, dataset_card(study, sorted({_plain(run.benchmark) for run in runs})))
    return report_on_export(study, [*written, out / CARD], kept=KEPT)


def dataset_card(study: Study, configs: Sequence[str]) -> str:
    """Return the README of a Hugging Face dataset: a YAML header with a config for each benchmark, then what is in it.

    Args:
        study: The study.
        configs: Names of the benchmarks' folders.
    """
    responses = study.require("responses")
    models, items = responses["model"].nunique(), responses["item_id"].nunique()
    title = Path(study.name).name
    lines = [
        "---",
        f"pretty_name: {json.dumps(title)}",
        "tags:",
        "  - evaluation",
        "  - every-eval-ever",
    ]
    lines += [f"size_categories:\n  - {_size(len(responses))}", "configs:"]
    for name in configs:
        lines += [f"  - config_name: {json.dumps(name)}", "    data_files:"]
        lines += ["      - split: test", f"        path: {json.dumps(f'data/{name}/**/*_samples.jsonl')}"]
    about = f"{len(responses)} answers of {models} models to {items} items, each with a score from 0 to 1."
    layout = "Every file of samples stands beside its aggregate (Every Eval Ever, schema 0.3.0). Written by capscope."
    return "\n".join([*lines, "---", "", f"# {title}", "", about, "", layout, ""])


def _size(rows: int) -> str:
    """Return the Hub's name of a size."""
    steps = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
    return next((name for most, name in steps if rows < most), "n>1M")


def _runs(study: Study) -> Iterator[ModelRun]:
    """Yield the answers by model and benchmark."""
    responses = single_responses(study, "files of Every Eval Ever")
    rows = pd.DataFrame({name: responses[name].astype(str).to_numpy() for name in ("model", "item_id")})
    rows["score"] = responses["score"].to_numpy(float)
    rows["n_trials"] = responses["n_trials"].to_numpy(float) if "n_trials" in responses else 1.0
    items = pd.DataFrame({"item_id": sorted(set(rows["item_id"]))}) if study.items is None else study.items
    about = pd.DataFrame({"item_id": items["item_id"].astype(str)})
    for name in ("benchmark", "task", "text", "target"):
        about[name] = items[name].astype(object) if name in items else None
    rows = rows.merge(about, how="left", on="item_id")
    rows["benchmark"] = rows["benchmark"].where(rows["benchmark"].notna(), "all").astype(str)
    rows["task"] = rows["task"].where(rows["task"].notna(), rows["benchmark"]).astype(str)
    pairs = zip(rows["item_id"], rows["task"], strict=True)
    rows["sample"] = [item.removeprefix(f"{task}:") for item, task in pairs]
    for (model, benchmark), part in rows.groupby(["model", "benchmark"], sort=True, observed=True):
        name = str(model) if "/" in str(model) else f"unknown/{model}"
        yield ModelRun(name, str(benchmark), part.reset_index(drop=True))


def _plain(name: str) -> str:
    """Return a name as a folder's: letters, digits, and what the Hub allows."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).strip(".")
    if not plain:
        raise InputError(f"'{name}' gives no name for a folder; rename the model or the benchmark")
    return plain


def _samples(run: ModelRun) -> Iterator[dict[str, Any]]:
    for row in run.rows.to_dict("records"):
        text, target = (None if pd.isna(row[name]) else str(row[name]) for name in ("text", "target"))
        score = float(row["score"])
        yield {
            "schema_version": SCHEMA,
            "evaluation_id": run.identity,
            "model_id": run.model,
            "evaluation_name": row["task"],
            "evaluation_result_id": row["task"],
            "sample_id": str(row["sample"]),
            "sample_hash": None if text is None else sha256((text + (target or "")).encode()).hexdigest(),
            "interaction_type": "single_turn",
            "input": {"raw": text or "", "reference": [] if target is None else [target]},
            "output": {"raw": []},
            "answer_attribution": [],
            "evaluation": {"score": score, "is_correct": score == 1.0},
            "metadata": {"n_trials": f"{row['n_trials']:g}", OWN_NAME: row["model"]},
        }


def _aggregate(run: ModelRun) -> dict[str, Any]:
    from capscope import __version__

    developer = run.model.split("/", 1)[0]
    stamp = "0"  # the study keeps no date, and one study gives the same files at any time
    return {
        "schema_version": SCHEMA,
        "evaluation_id": run.identity,
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": "capscope",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "capscope", "version": __version__},
        "model_info": {
            "name": run.model,
            "id": run.model,
            "developer": developer,
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "evaluation_results": [
            _result(str(task), rows) for task, rows in run.rows.groupby("task", sort=True, observed=True)
        ],
    }


def _result(task: str, rows: pd.DataFrame) -> dict[str, Any]:
    score, n = rows["score"].to_numpy(float), len(rows)
    error = float(score.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    details: dict[str, Any] = {"score": float(score.mean())}
    if n > 1:
        low, high = (float(np.clip(score.mean() + sign * 1.96 * error, 0, 1)) for sign in (-1, 1))
        details["uncertainty"] = {
            "standard_error": {"value": error, "method": "over items"},
            "confidence_interval": {"lower": low, "upper": high, "confidence_level": LEVEL, "method": "normal"},
            "num_samples": n,
        }
    return {
        "evaluation_result_id": task,
        "evaluation_name": task,
        "source_data": {"dataset_name": task, "source_type": "other"},
        "metric_config": {
            "metric_name": "score",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": details,
    }


def _is_of_collection(name: str) -> bool:
    return name in (CARD, "data") or name.endswith((".json", "_samples.jsonl"))
