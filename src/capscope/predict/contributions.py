"""Additive parts of the log-odds of chances, as tables."""

import numpy as np
import pandas as pd

from capscope.axes import ItemDim
from capscope.fit import NEW_ITEM, CurvePosterior, DemandItems, DemandPosterior, IRTPosterior
from capscope.fit.curves.classical import dominant
from capscope.predict.assessor import LogOddsParts

EXPLAINED = ("item_id", "model", "part", "log_odds", "sd")
"""Columns of a table of parts; it has one row for each part of each chance."""


def curve_parts(posterior: CurvePosterior, items: tuple[str, ...], level: ItemDim) -> pd.DataFrame:
    """Split the log-odds of a curve fit's chances into parts.

    An item's chance comes from the curves of its dominant dimensions (those with its highest level), in equal shares.
    The part `ability CODE` is the log-odds of that dimension's curve at level 0, `demand CODE` is the change due to
    the item's level, and `residual` is the item's own effect, of which only the standard deviation is known.

    Args:
        posterior: A curve fit.
        items: Ids of the items.
        level: Their demand levels in the order of the fit's dimensions, no NaN.

    Returns:
        A table with columns `EXPLAINED`.
    """
    weight = dominant(level) / dominant(level).sum(axis=1, keepdims=True)
    item, dim = np.nonzero(weight)
    share, asked = weight[item, dim][None, :, None], level.max(axis=1)[item][None, :, None]
    start = share * posterior.slope[:, dim] * posterior.midpoint[:, dim]
    cost = -share * posterior.slope[:, dim] * asked
    codes = np.array(posterior.dims)[dim]
    ids = np.array(items)
    departure = np.sqrt(np.mean(posterior.level_effect_sd**2) * (weight**2).sum(axis=1))
    tables = [
        _rows(posterior.models, ids[item], np.char.add("ability ", codes), start.mean(-1), start.std(-1)),
        _rows(posterior.models, ids[item], np.char.add("demand ", codes), cost.mean(-1), cost.std(-1)),
        _rows(
            posterior.models,
            ids,
            np.full(len(ids), "residual"),
            np.zeros((len(posterior.models), len(ids))),
            np.broadcast_to(departure, (len(posterior.models), len(ids))),
        ),
    ]
    return in_order(tables, items)


def irt_parts(posterior: IRTPosterior, items: tuple[str, ...]) -> pd.DataFrame:
    """Split the log-odds of an item response fit's chances into parts.

    `ability` is the model's ability times the item's slopes and `item` the item's intercept, each with its posterior
    standard deviation. An item that is not in the fit has the population's slopes and intercept.

    Args:
        posterior: An item response fit without item features.
        items: Ids of the items.

    Returns:
        A table with columns `EXPLAINED`.
    """
    index = pd.Index(posterior.items).get_indexer(pd.Index(items))
    known = (index != NEW_ITEM)[:, None]
    new_mean, new_cov = posterior.population.moments(None)
    mean = np.where(known, posterior.item_mean[index], new_mean)
    cov = np.where(known[..., None], posterior.item_cov[index], new_cov)
    ability = posterior.ability_mean @ mean[:, :-1].T
    from_ability = np.einsum("id,mde,ie->mi", mean[:, :-1], posterior.ability_cov, mean[:, :-1])
    from_slope = np.einsum("md,ide,me->mi", posterior.ability_mean, cov[:, :-1, :-1], posterior.ability_mean)
    parts = [
        ("ability", ability, np.sqrt(from_ability + from_slope)),
        ("item", np.broadcast_to(mean[:, -1], ability.shape), np.broadcast_to(np.sqrt(cov[:, -1, -1]), ability.shape)),
    ]
    return parts_table(posterior.models, items, parts)


def demand_parts(posterior: DemandPosterior, items: DemandItems, ids: tuple[str, ...]) -> pd.DataFrame:
    """Split the log-odds of a demand-ability fit's chances into ability, each demand, task, benchmark and residual.

    Args:
        posterior: A fit of the demand-ability model.
        items: Demands, tasks and benchmarks of the items.
        ids: Ids of the items.

    Returns:
        A table with columns `EXPLAINED`; parts that are 0 for all items are left out.
    """
    known = pd.Index(posterior.items).get_indexer(pd.Index(ids))
    model, item = np.indices((len(posterior.models), len(ids))).reshape(2, -1)
    value, sd = (part(model, items, known, item) for part in (posterior.parts, posterior.part_sd))
    return nonzero_parts(posterior.models, ids, LogOddsParts(posterior.part_names, value, sd))


def nonzero_parts(models: tuple[str, ...], items: tuple[str, ...], parts: LogOddsParts) -> pd.DataFrame:
    """Lay parts out as a table, item by item, without parts that are 0 for all models and items.

    Args:
        models: Names on the model axis.
        items: Ids on the item axis.
        parts: Parts of all models on all items, models first.
    """
    shape = (len(models), len(items))
    used = [place for place in range(len(parts.names)) if parts.value[:, place].any() or parts.sd[:, place].any()]
    columns = [
        (parts.names[place], parts.value[:, place].reshape(shape), parts.sd[:, place].reshape(shape)) for place in used
    ]
    return parts_table(models, items, columns)


def parts_table(
    models: tuple[str, ...], items: tuple[str, ...], parts: list[tuple[str, np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    """Lay parts out as a table, item by item.

    Args:
        models: Names on the model axis.
        items: Ids on the item axis.
        parts: Name, log-odds and standard deviation of each part, as (model, item).
    """
    ids = np.array(items)
    rows = [_rows(models, ids, np.full(len(ids), name), mean, sd) for name, mean, sd in parts]
    return in_order(rows, items)


def _rows(
    models: tuple[str, ...], item_id: np.ndarray, part: np.ndarray, log_odds: np.ndarray, sd: np.ndarray
) -> pd.DataFrame:
    """Lay (model, row) arrays of one kind of part out as a table."""
    n = len(item_id)
    return pd.DataFrame(
        {
            "item_id": np.tile(item_id, len(models)),
            "model": np.repeat(np.array(models), n),
            "part": np.tile(part, len(models)),
            "log_odds": log_odds.ravel(),
            "sd": sd.ravel(),
        }
    )


def in_order(tables: list[pd.DataFrame], items: tuple[str, ...]) -> pd.DataFrame:
    """Join tables of parts and sort them by item, then by model; the parts of one chance keep their order."""
    table = pd.concat(tables, ignore_index=True)
    place = pd.Index(items).get_indexer(pd.Index(table["item_id"]))
    order = np.lexsort((np.arange(len(table)), table["model"].to_numpy(), place))
    return table.iloc[order].reset_index(drop=True)
