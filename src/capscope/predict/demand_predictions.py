"""Chances on items, known or new, from a fit of the demand-ability model: their intervals, support and parts."""

import numpy as np
import pandas as pd

from capscope.fit import DemandItems, DemandPosterior, draw_demand_chances
from capscope.predict.assessor import Parts
from capscope.predict.parts import told_parts
from capscope.predict.predictions import Predictions, chance_table, score_table
from capscope.predict.support import NEAR, nearness_to, support_table


def predict_from_demand(
    posterior: DemandPosterior,
    items: DemandItems,
    ids: tuple[str, ...],
    rng: np.random.Generator,
    level: float = 0.9,
) -> Predictions:
    """Predict every model's chance on every item.

    An item of the fit is predicted with its own departure. For any other, what its own departure, its task and its
    benchmark may bring is integrated over; so is what is unknown about abilities, effects and levels.

    Args:
        posterior: A fit of the demand-ability model.
        items: Their demands, tasks and benchmarks, as `asked_items` lays them out.
        ids: Ids of the items.
        rng: Source of randomness.
        level: Nominal coverage of the intervals.
    """
    known = pd.Index(posterior.items).get_indexer(pd.Index(ids))
    support = _support(posterior, items, known, ids)
    tables: list[pd.DataFrame] = []
    scores: list[pd.DataFrame] = []
    for model, chance in zip(posterior.models, draw_demand_chances(posterior, items, known, rng), strict=True):
        tables.append(chance_table((model,), ids, chance[None], level))
        scores.append(score_table((model,), chance[None], rng, level))
    table = pd.concat(tables, ignore_index=True).merge(support[["item_id", "in_support"]], on="item_id", how="left")
    return Predictions(table, pd.concat(scores, ignore_index=True), support, level)


def demand_parts(posterior: DemandPosterior, items: DemandItems, ids: tuple[str, ...]) -> pd.DataFrame:
    """Part the log-odds of chances: ability, each demand, task, benchmark, residual.

    Args:
        posterior: A fit of the demand-ability model.
        items: Their demands, tasks and benchmarks, as `asked_items` lays them out.
        ids: Ids of the items.

    Returns:
        A table with columns `parts.EXPLAINED`; parts that are the same for all items are left out.
    """
    known = pd.Index(posterior.items).get_indexer(pd.Index(ids))
    model, item = np.indices((len(posterior.models), len(ids))).reshape(2, -1)
    value, sd = (part(model, items, known, item) for part in (posterior.parts, posterior.part_sd))
    return told_parts(posterior.models, ids, Parts(posterior.part_names, value, sd))


def _support(posterior: DemandPosterior, items: DemandItems, known: np.ndarray, ids: tuple[str, ...]) -> pd.DataFrame:
    basis = posterior.basis
    fitted = (posterior.levels - basis.center) / basis.scale
    near = nearness_to(fitted, basis.standard(items)) >= NEAR
    benchmark = np.isin(np.array(items.benchmark, dtype=str), basis.benchmarks)
    task = np.isin(np.array(items.task, dtype=str), basis.tasks) | (not basis.tasks)
    reason = np.select(
        [known >= 0, ~near, ~benchmark],
        ["", "no fitted item has demands near these", "a benchmark that the fit has not seen"],
        default="",
    )
    return support_table(ids, reason, (known >= 0) | (benchmark & task), np.full(len(ids), np.nan))
