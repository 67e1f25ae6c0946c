"""From a study to a bank: fit the items, keep the answers, the demands and where everything came from."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import RowFloats
from capscope.battery.banks.bank import Bank, Scores
from capscope.data import Demands, Responses, Study, join_items
from capscope.errors import InputError, first_few
from capscope.fit import IRTPosterior, IRTSettings, fit_irt

DOCUMENT_COLUMNS = ("doc_index", "doc_id")
"""Columns of the items table that may hold the document index of the evaluation harness."""


@dataclass(frozen=True)
class BankSettings:
    """How to build a bank."""

    dims: int = 0
    """Number of abilities; 0 lets the number of models decide (`dims_for`)."""
    harness_tasks: dict[str, str] = field(default_factory=dict[str, str])
    """Names that the evaluation harness gives to tasks, by ``benchmark/task`` or by ``benchmark``."""
    seed: int = 0
    """Seed of the fit's start."""
    max_sweeps: int = 200
    """Most sweeps of the fit."""


def dims_for(n_models: int) -> int:
    """Number of abilities that so many models can tell apart: one for each ten models, 1 to 6."""
    return int(np.clip(n_models // 10, 1, 6))


def build_bank(study: Study, settings: BankSettings | None = None) -> Bank:
    """Fit a study's answered items and keep what profiles new models.

    Args:
        study: A study with responses; items say benchmark, task and document, demands add levels.
        settings: Number of abilities, names of tasks, seed.

    Raises:
        InputError: No responses.
        FitError: The responses cannot support the fit.
    """
    settings = settings or BankSettings()
    responses = Responses.of(study)
    dims = settings.dims or dims_for(len(responses.models))
    return assemble(study, responses, fit_bank_items(responses, dims, settings), settings)


def fit_bank_items(responses: Responses, dims: int, settings: BankSettings) -> IRTPosterior:
    """Items and abilities of the models of a bank; one ability keeps the signed form, as several do."""
    fitted = IRTSettings(
        model="mirt" if dims > 1 else "2pl",
        dims=dims,
        form="signed",
        seed=settings.seed,
        max_sweeps=settings.max_sweeps,
    )
    return fit_irt(responses, fitted).posterior


def assemble(study: Study, responses: Responses, posterior: IRTPosterior, settings: BankSettings) -> Bank:
    """Put a fit and the tables of its study together."""
    table = items_in_order(study, responses.items)
    names, document = _harness(table, settings.harness_tasks)
    dims, levels = _demands(study, responses.items)
    fitted = {"dims": posterior.dims, "model": posterior.model_name, "seed": settings.seed}
    provenance = {"study": Path(study.name).name, "sources": study.sources, "fit": fitted}
    return Bank(
        posterior=posterior,
        benchmark=tuple(table["benchmark"].astype(str)),
        task=names,
        document=document,
        history=score_matrix(responses),
        dims=dims,
        demands=levels,
        cost=_cost(table, study.name),
        provenance=provenance,
    )


def score_matrix(responses: Responses) -> Scores:
    """Scores as a matrix, repeats of a cell averaged by their trials, NaN where nothing was administered."""
    shape = (len(responses.models), len(responses.items))
    cell = responses.model_index * shape[1] + responses.item_index
    trials = np.bincount(cell, weights=responses.n_trials, minlength=shape[0] * shape[1])
    total = np.bincount(cell, weights=responses.n_trials * responses.score, minlength=shape[0] * shape[1])
    seen = trials > 0
    return np.where(seen, total / np.where(seen, trials, 1), np.nan).reshape(shape)


def items_in_order(study: Study, items: tuple[str, ...]) -> pd.DataFrame:
    """The rows of a study's items table for these items; a study without one has a single benchmark, `all`.

    Raises:
        InputError: The items table lacks an item.
    """
    if study.items is None:
        return pd.DataFrame({"item_id": items, "benchmark": "all", "task": "all"})
    join_items(study, "responses", "items").refuse_if_poor(study.name)
    table = study.items.set_index(study.items["item_id"].astype(str))
    missing = [item for item in items if item not in table.index]
    if missing:
        raise InputError(f"{study.name}: items lacks {first_few(missing)}, which were answered; add their rows")
    return table.loc[list(items)].reset_index(drop=True)


def _harness(table: pd.DataFrame, names: dict[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    benchmark, task = table["benchmark"].astype(str), table["task"].astype(str)
    named = tuple(names.get(f"{b}/{t}", names.get(b, t)) for b, t in zip(benchmark, task, strict=True))
    from_id = table["item_id"].astype(str).str.extract(r"(?:^|[/:])(\d{1,9})$")[0]
    text = next((table[name] for name in DOCUMENT_COLUMNS if name in table), from_id)
    number = pd.to_numeric(text, errors="coerce")
    document = np.where(number.notna() & (number >= 0), number, -1).astype(np.int64)
    known = pd.DataFrame({"task": named, "document": document})[document >= 0]
    repeated = set(known.loc[known.duplicated(["task", "document"]), "task"])
    # two items cannot be one document, so where they are, the numbers mean something else
    return named, np.where([name in repeated for name in named], -1, document).astype(np.int64)


def _demands(study: Study, items: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray | None]:
    if study.demands is None:
        return (), None
    demands = Demands.of(study)
    return demands.dims, demands.at(items)


def _cost(table: pd.DataFrame, where: str) -> RowFloats | None:
    if "cost" not in table:
        return None
    cost = pd.to_numeric(table["cost"], errors="coerce").to_numpy(dtype=float)
    bad = ~(np.isfinite(cost) & (cost > 0))
    if bad.any():
        first = table["item_id"].astype(str).to_numpy()[bad][0]
        raise InputError(f"{where}: items: cost of '{first}' is not a positive number; give its tokens")
    return cost
