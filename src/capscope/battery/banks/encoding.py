"""How a bank's arrays and ids are stored: triangles of symmetric matrices, scores as bytes, runs of ids."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from capscope.files import Tensors
from capscope.fit import IRTPosterior, ItemPopulation

MISSING = 255
"""Byte of a score that is not there."""
STEPS = 250
"""A past score is stored in steps of 1 / 250; 0 and 1 are exact."""
POPULATION = ("intercept", "weight", "cov", "leverage", "center", "scale")
"""Arrays of an `ItemPopulation`."""

Ids = tuple[str, ...]


def pack_ids(items: Ids, benchmark: Ids, task: Ids, document: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield runs of items that share a benchmark and a task.

    Where ids are a prefix and the document index, the run keeps the prefix; else it keeps the ids.
    """
    for (name, task_name), run in groupby(range(len(items)), key=lambda place: (benchmark[place], task[place])):
        places = list(run)
        group: dict[str, Any] = {"benchmark": name, "task": task_name, "n": len(places)}
        prefix = items[places[0]].removesuffix(str(int(document[places[0]])))
        if all(items[place] == f"{prefix}{document[place]}" for place in places):
            yield group | {"prefix": prefix}
        else:
            yield group | {"items": [items[place] for place in places]}


def unpack_ids(groups: list[dict[str, Any]], document: np.ndarray) -> tuple[Ids, Ids, Ids]:
    """Return ids, benchmarks and tasks from the runs of `pack_ids`.

    Raises:
        ValueError: A run names another number of items than it holds, or an id stands twice.
    """
    items: list[str] = []
    benchmark: list[str] = []
    task: list[str] = []
    for group in groups:
        places = document[len(items) : len(items) + group["n"]]
        named = group["items"] if "items" in group else [f"{group['prefix']}{number}" for number in places]
        if len(named) != group["n"]:
            raise ValueError(f"a group of {group['n']} items names {len(named)}")
        items += named
        benchmark += [group["benchmark"]] * group["n"]
        task += [group["task"]] * group["n"]
    if len(set(items)) != len(items):
        raise ValueError("two items have one id")
    return tuple(items), tuple(benchmark), tuple(task)


def pack_posterior(posterior: IRTPosterior, kind: type[np.floating]) -> Tensors:
    """Return the arrays of a posterior.

    Args:
        posterior: Items and past models.
        kind: Precision of the item parameters.
    """
    tensors: Tensors = {
        "ability_mean": posterior.ability_mean.astype(np.float32),
        "ability_cov": lower_triangles(posterior.ability_cov).astype(np.float32),
        "item_mean": posterior.item_mean.astype(kind),
        "item_cov": lower_triangles(posterior.item_cov).astype(kind),
    }
    tensors |= {f"population.{name}": getattr(posterior.population, name) for name in POPULATION}
    if posterior.floor.any():
        tensors["floor"] = posterior.floor.astype(np.float32)
    return tensors


def unpack_posterior(manifest: dict[str, Any], items: Ids, tensors: Tensors) -> IRTPosterior:
    """Return the posterior from `pack_posterior`."""
    mean = tensors["item_mean"].astype(float)
    cov = full_matrices(tensors["item_cov"].astype(float), mean.shape[1])
    ability = tensors["ability_mean"].astype(float)
    population: dict[str, Any] = {name: tensors[f"population.{name}"] for name in POPULATION}
    return IRTPosterior(
        models=tuple(manifest["models"]),
        items=items,
        ability_mean=ability,
        ability_cov=full_matrices(tensors["ability_cov"].astype(float), ability.shape[1]),
        item_mean=mean,
        item_cov=cov,
        native_mean=mean,
        native_cov=cov,
        population=ItemPopulation(manifest["form"], **population),
        floor=tensors["floor"].astype(float) if "floor" in tensors else np.zeros(len(items)),
        model_name=manifest["model"],
    )


def refuse_widths(tensors: Tensors) -> None:
    """Refuse arrays of a posterior whose parameter axes do not fit together.

    Raises:
        ValueError: A parameter axis has another length than the abilities ask for.
    """
    dims = tensors["ability_mean"].shape[1]
    widths = {
        "item_mean": dims + 1,
        "ability_cov": dims * (dims + 1) // 2,
        "item_cov": (dims + 1) * (dims + 2) // 2,
    }
    for name, width in widths.items():
        if tensors[name].ndim != 2 or tensors[name].shape[1] != width:
            raise ValueError(f"{name} has shape {tensors[name].shape}, but {dims} abilities need {width} columns")


def lower_triangles(matrices: np.ndarray) -> np.ndarray:
    """Return the lower triangles of symmetric matrices, as (row, entry)."""
    row, column = np.tril_indices(matrices.shape[1])
    return matrices[:, row, column]


def full_matrices(triangles: np.ndarray, size: int) -> np.ndarray:
    """Return symmetric matrices from their lower triangles."""
    row, column = np.tril_indices(size)
    matrices = np.zeros((len(triangles), size, size))
    matrices[:, row, column] = triangles
    matrices[:, column, row] = triangles
    return matrices


def quantised(scores: np.ndarray) -> np.ndarray:
    """Return scores as bytes, `MISSING` where there is none."""
    known = ~np.isnan(scores)
    return np.where(known, np.rint(np.where(known, scores, 0) * STEPS), MISSING).astype(np.uint8)


def unquantised(stored: np.ndarray) -> np.ndarray:
    """Return scores from bytes, NaN where there is none."""
    return np.where(stored == MISSING, np.nan, stored.astype(float) / STEPS)
