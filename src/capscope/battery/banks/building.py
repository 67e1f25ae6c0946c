"""Construction of banks from studies, and their storage: the fit and facts of the items, arrays, and ids in runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capscope.axes import ItemDim, RowFloats
from capscope.data import Demands, Responses, Study, join_items
from capscope.errors import InputError, counted, first_few
from capscope.files import Tensors
from capscope.fit import IRTPosterior, IRTSettings, ItemPopulation

DOCUMENT_COLUMNS = ("doc_index", "doc_id")
"""Columns of the items table that may hold the document index of the evaluation harness."""
MODELS_PER_DIM = 10
MOST_DIMS = 6

Scores = Float[np.ndarray, "model item"]


@dataclass(frozen=True, kw_only=True)
class ItemFacts:
    """What a study's tables say about items, in the order of an item axis."""

    benchmark: tuple[str, ...]
    """Benchmark of each item."""
    task: tuple[str, ...]
    """Task of each item, by its name in the evaluation harness where that is given."""
    document: Int[np.ndarray, " item"]
    """Document index of each item within its task; -1 where unknown."""
    dims: tuple[str, ...]
    """Rubric codes of the demand levels."""
    demands: ItemDim | None
    """Demand levels 0 to 5, NaN where not rated; None without demands."""
    cost: RowFloats | None
    """Cost of an answer, such as its tokens; None where not given."""


def dims_for(n_models: int) -> int:
    """Return the number of abilities for a bank: one for each ten models, at least 1 and at most 6."""
    return int(np.clip(n_models // MODELS_PER_DIM, 1, MOST_DIMS))


def fit_bank_items(responses: Responses, *, dims: int, seed: int = 0, max_sweeps: int = 200) -> IRTPosterior:
    """Fit item parameters and abilities; slopes may have either sign, with one ability as with several.

    Args:
        responses: Observed responses.
        dims: Number of abilities.
        seed: Seed of the start values.
        max_sweeps: Largest number of sweeps.

    Raises:
        FitError: The responses cannot support the fit.
    """
    from capscope.fit import fit_irt  # loads torch, which a run of a bank does without

    model = "mirt" if dims > 1 else "2pl"
    settings = IRTSettings(model=model, dims=dims, form="signed", seed=seed, max_sweeps=max_sweeps)
    return fit_irt(responses, settings).posterior.given_abilities()


def item_facts(study: Study, items: tuple[str, ...], harness_tasks: dict[str, str] | None = None) -> ItemFacts:
    """Look up benchmark, task, document, demands and cost of items in a study's tables.

    Args:
        study: The study; without an items table all items belong to one benchmark, `all`.
        items: Ids of the items.
        harness_tasks: Names of tasks in the evaluation harness, by ``benchmark/task`` or by ``benchmark``.

    Raises:
        InputError: The items table lacks an item, or a cost is not a positive number.
    """
    table = _items_in_order(study, items)
    task, document = _harness(table, harness_tasks or {})
    demands = None if study.demands is None else Demands.of(study)
    return ItemFacts(
        benchmark=tuple(table["benchmark"].astype(str)),
        task=task,
        document=document,
        dims=() if demands is None else demands.dims,
        demands=None if demands is None else demands.at(items),
        cost=_cost(table, study.name),
    )


def _items_in_order(study: Study, items: tuple[str, ...]) -> pd.DataFrame:
    if study.items is None:
        return pd.DataFrame({"item_id": items, "benchmark": "all", "task": "all"})
    join_items(study, "responses", "items").refuse_if_poor(study.name)
    table = study.items.set_index(study.items["item_id"].astype(str))
    missing = [item for item in items if item not in table.index]
    if missing:
        raise InputError(f"{study.name}: items lacks {first_few(missing)}, which were answered; add their rows")
    return table.loc[list(items)].reset_index(drop=True)


def _harness(table: pd.DataFrame, names: dict[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the task names and document indices that the evaluation harness uses."""
    benchmark, task = table["benchmark"].astype(str), table["task"].astype(str)
    named = tuple(names.get(f"{b}/{t}", names.get(b, t)) for b, t in zip(benchmark, task, strict=True))
    from_id = table["item_id"].astype(str).str.extract(r"(?:^|[/:])(\d{1,9})$")[0]
    text = next((table[name] for name in DOCUMENT_COLUMNS if name in table), from_id)
    number = pd.to_numeric(text, errors="coerce")
    document = np.where(number.notna() & (number >= 0), number, -1).astype(np.int64)
    known = pd.DataFrame({"task": named, "document": document})[document >= 0]
    repeated = set(known.loc[known.duplicated(["task", "document"]), "task"])
    # two items cannot be one document: where a number repeats, the numbers mean something else
    return named, np.where([name in repeated for name in named], -1, document).astype(np.int64)


def _cost(table: pd.DataFrame, where: str) -> RowFloats | None:
    if "cost" not in table:
        return None
    cost = pd.to_numeric(table["cost"], errors="coerce").to_numpy(dtype=float)
    bad = ~(np.isfinite(cost) & (cost > 0))
    if bad.any():
        first = table["item_id"].astype(str).to_numpy()[bad][0]
        raise InputError(f"{where}: items: cost of '{first}' is not a positive number; give its tokens")
    return cost


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

    Args:
        items: Ids of the items.
        benchmark: Their benchmarks.
        task: Their tasks.
        document: Index of each item in its benchmark, shape (item,).
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

    Args:
        groups: Runs of items.
        document: Index of each item in its benchmark, shape (item,).

    Raises:
        ValueError: A run names another number of items than it holds, or two items have one id.
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
    """Return the posterior from `pack_posterior`.

    Args:
        manifest: Plain values of the bank.
        items: Ids of the items.
        tensors: Arrays of the bank, by name.
    """
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
            raise ValueError(
                f"{name} has shape {tensors[name].shape}, but {dims} abilities need {counted(width, 'column')}"
            )


def lower_triangles(matrices: np.ndarray) -> np.ndarray:
    """Return the lower triangles of symmetric matrices, as (row, entry)."""
    row, column = np.tril_indices(matrices.shape[1])
    return matrices[:, row, column]


def full_matrices(triangles: np.ndarray, size: int) -> np.ndarray:
    """Return symmetric matrices from their lower triangles.

    Args:
        triangles: Lower triangles row by row, shape (item, size * (size + 1) / 2).
        size: Rows of each matrix.
    """
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
