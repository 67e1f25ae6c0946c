"""A bank as a folder: `manifest.json` says what it holds, `tensors.safetensors` the numbers. No texts, no pickle."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from capscope.battery.banks.bank import Bank, Scores
from capscope.data.reading import parse_json, read_text
from capscope.errors import InputError, OutputError, first_few
from capscope.fit import IRTPosterior, ItemPopulation

SCHEMA = 1
MANIFEST, TENSORS = "manifest.json", "tensors.safetensors"
MISSING = 255
STEPS = 250
"""A past score is kept in steps of 1 / 250; 0 and 1 are exact."""
POPULATION = ("intercept", "weight", "cov", "leverage", "center", "scale")

Tensors = dict[str, np.ndarray]


def save_bank(bank: Bank, folder: Path, *, force: bool = False) -> None:
    """Write a bank. A compact bank (no history) is written in half precision.

    Raises:
        OutputError: The folder exists and `force` is not set, holds something else, or cannot be written.
    """
    _refuse(folder, force=force)
    kind = np.float16 if bank.history is None else np.float32
    tensors = {name: np.ascontiguousarray(value) for name, value in _tensors(bank, kind).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(_manifest(bank), allow_nan=False) + "\n", encoding="utf-8")
        save_file(tensors, folder / TENSORS)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def load_bank(folder: Path) -> Bank:
    """Read a bank.

    Raises:
        InputError: The folder holds no bank, or one of another version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: no bank here ({error}); make one with 'capscope bank build'") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "bank" or manifest.get("schema") != SCHEMA:
        raise InputError(f"{folder}: not a bank of this version of capscope; make one with 'capscope bank build'")
    try:
        return _read(manifest, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: the bank is damaged ({error}); build it again") from None


def _refuse(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; choose another --out")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if MANIFEST in held and not force:
        raise OutputError(f"{folder}: already exists; choose another --out or add --force")
    others = [name for name in held if name not in (MANIFEST, TENSORS, "README.md", "harness_tasks.json")]
    if others:
        raise OutputError(f"{folder}: holds more than a bank ({first_few(others)}); choose another --out")


def _manifest(bank: Bank) -> dict[str, Any]:
    posterior = bank.posterior
    return {
        "schema": SCHEMA,
        "kind": "bank",
        "model": posterior.model_name,
        "form": posterior.population.form,
        "models": list(posterior.models),
        "groups": list(_groups(bank)),
        "dims": list(bank.dims),
        "provenance": bank.provenance,
    }


def _groups(bank: Bank) -> Iterator[dict[str, Any]]:
    """Runs of items that share a benchmark and a task; ids that end in the document index are kept by their prefix."""
    for (benchmark, task), run in groupby(
        range(len(bank.items)), key=lambda place: (bank.benchmark[place], bank.task[place])
    ):
        places = list(run)
        group: dict[str, Any] = {"benchmark": benchmark, "task": task, "n": len(places)}
        prefix = bank.items[places[0]].removesuffix(str(int(bank.document[places[0]])))
        if all(bank.items[place] == f"{prefix}{bank.document[place]}" for place in places):
            yield group | {"prefix": prefix}
        else:
            yield group | {"items": [bank.items[place] for place in places]}


def _tensors(bank: Bank, kind: type[np.floating]) -> Tensors:
    posterior = bank.posterior
    tensors: Tensors = {
        "ability_mean": posterior.ability_mean.astype(np.float32),
        "ability_cov": lower_triangles(posterior.ability_cov).astype(np.float32),
        "item_mean": posterior.item_mean.astype(kind),
        "item_cov": lower_triangles(posterior.item_cov).astype(kind),
        "document": bank.document.astype(np.int32),
    }
    tensors |= {f"population.{name}": getattr(posterior.population, name) for name in POPULATION}
    if posterior.floor.any():
        tensors["floor"] = posterior.floor.astype(np.float32)
    if bank.history is not None:
        tensors["history"] = quantised(bank.history)
    if bank.demands is not None:
        tensors["demands"] = bank.demands.astype(np.float16)
    if bank.cost is not None:
        tensors["cost"] = bank.cost.astype(np.float32)
    return tensors


def _read(manifest: dict[str, Any], tensors: Tensors) -> Bank:
    document = tensors["document"].astype(np.int64)
    items, benchmark, task = _read_groups(manifest["groups"], document)
    mean = tensors["item_mean"].astype(float)
    cov = full_matrices(tensors["item_cov"].astype(float), mean.shape[1])
    ability = tensors["ability_mean"].astype(float)
    history, demands, cost = tensors.get("history"), tensors.get("demands"), tensors.get("cost")
    posterior = IRTPosterior(
        models=tuple(manifest["models"]),
        items=items,
        ability_mean=ability,
        ability_cov=full_matrices(tensors["ability_cov"].astype(float), ability.shape[1]),
        item_mean=mean,
        item_cov=cov,
        native_mean=mean,
        native_cov=cov,
        population=ItemPopulation(manifest["form"], **{name: tensors[f"population.{name}"] for name in POPULATION}),
        floor=tensors["floor"].astype(float) if "floor" in tensors else np.zeros(len(items)),
        model_name=manifest["model"],
    )
    return Bank(
        posterior,
        benchmark,
        task,
        document,
        None if history is None else unquantised(history),
        tuple(manifest["dims"]),
        None if demands is None else demands.astype(float),
        None if cost is None else cost.astype(float),
        manifest["provenance"],
    )


def _read_groups(
    groups: list[dict[str, Any]], document: np.ndarray
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    items: list[str] = []
    benchmark: list[str] = []
    task: list[str] = []
    for group in groups:
        places = document[len(items) : len(items) + group["n"]]
        items += group["items"] if "items" in group else [f"{group['prefix']}{number}" for number in places]
        benchmark += [group["benchmark"]] * group["n"]
        task += [group["task"]] * group["n"]
    if len(items) != len(document):
        raise ValueError(f"{len(items)} ids for {len(document)} items")
    return tuple(items), tuple(benchmark), tuple(task)


def lower_triangles(matrices: np.ndarray) -> np.ndarray:
    """The lower triangles of symmetric matrices, as (row, entry)."""
    row, column = np.tril_indices(matrices.shape[1])
    return matrices[:, row, column]


def full_matrices(triangles: np.ndarray, size: int) -> np.ndarray:
    """Symmetric matrices from their lower triangles."""
    row, column = np.tril_indices(size)
    whole = np.zeros((len(triangles), size, size))
    whole[:, row, column] = triangles
    whole[:, column, row] = triangles
    return whole


def quantised(scores: Scores) -> np.ndarray:
    """Scores as bytes, `MISSING` where there is none."""
    known = ~np.isnan(scores)
    return np.where(known, np.rint(np.where(known, scores, 0) * STEPS), MISSING).astype(np.uint8)


def unquantised(stored: np.ndarray) -> Scores:
    """Scores from bytes."""
    return np.where(stored == MISSING, np.nan, stored.astype(float) / STEPS)


def read_names(path: Path) -> dict[str, str]:
    """Read the evaluation harness's names of tasks from a JSON object.

    Raises:
        InputError: The file is not a JSON object of texts.
    """
    names = parse_json(path, read_text(path))
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f'{path}: not a JSON object of names; write {{"benchmark/task": "name in the harness"}}')
    return {str(key): name for key, name in names.items()}
