"""Parts of a bank that come from a study: the fit of its items, and the benchmark, task, document and cost of each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capscope.axes import ItemDim, RowFloats
from capscope.data import Demands, Responses, Study, join_items
from capscope.errors import InputError, first_few
from capscope.fit import IRTPosterior, IRTSettings, fit_irt

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
