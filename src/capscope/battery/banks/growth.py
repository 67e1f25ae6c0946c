"""Bring new items into a bank: old items keep their parameters, and so the bank its scale."""

from dataclasses import replace

import numpy as np

from capscope.axes import FloatArray
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.building import BankSettings, assemble, score_matrix
from capscope.data import Responses, Study
from capscope.errors import InputError
from capscope.fit import IRTPosterior, calibrate_items


def add_to_bank(bank: Bank, study: Study, harness_tasks: dict[str, str] | None = None) -> Bank:
    """Bring the items of a study that a bank does not have into it, with everything known about the old ones fixed.

    Args:
        bank: The bank to grow.
        study: Answers to the new items by models that the bank knows, or by models that also answered its items.
        harness_tasks: Names of the new tasks in the evaluation harness; see `BankSettings`.

    Raises:
        InputError: The study brings no new item.
        FitError: A new item has no path of answers to the bank's scale.
    """
    responses = Responses.of(study)
    known = set(bank.items)
    fresh = np.array([place for place, item in enumerate(responses.items) if item not in known], dtype=np.int64)
    if not len(fresh):
        raise InputError(f"{study.name}: all of its items are in the bank already; nothing was added")
    grown = calibrate_items(bank.posterior, responses).posterior
    part = assemble(study, responses, _own(grown, responses), BankSettings(harness_tasks=harness_tasks or {}))
    new = part.take_items(fresh)
    return replace(
        bank,
        posterior=grown,
        benchmark=bank.benchmark + new.benchmark,
        task=bank.task + new.task,
        document=np.concatenate([bank.document, new.document]),
        history=_history(bank, grown, responses),
        demands=_demands(bank, new),
        cost=None if bank.cost is None or new.cost is None else np.concatenate([bank.cost, new.cost]),
        provenance=bank.provenance | {"added": [*bank.provenance.get("added", []), part.provenance]},
    )


def _own(grown: IRTPosterior, responses: Responses) -> IRTPosterior:
    """The posterior of the responses' items, in their order."""
    return grown.take_items(grown.item_index(responses.items))


def _history(bank: Bank, grown: IRTPosterior, responses: Responses) -> FloatArray | None:
    if bank.history is None:
        return None
    whole = np.full((len(grown.models), len(grown.items)), np.nan)
    given = score_matrix(responses)
    whole[np.ix_(grown.model_index(responses.models), grown.item_index(responses.items))] = given
    old = whole[: len(bank.models), : len(bank.items)]
    # an answer that the bank holds was what its items were fitted on
    old[...] = np.where(np.isnan(bank.history), old, bank.history)
    return whole


def _demands(bank: Bank, new: Bank) -> FloatArray | None:
    if bank.demands is None:
        return None
    levels = np.full((len(new.items), len(bank.dims)), np.nan)
    for place, dim in enumerate(bank.dims):
        if new.demands is not None and dim in new.dims:
            levels[:, place] = new.demands[:, new.dims.index(dim)]
    return np.concatenate([bank.demands, levels])
