"""Demand levels unlike those of the texts nearest to them."""

import numpy as np

from capscope.axes import LEVELS, FloatArray
from capscope.data import Demands, Study
from capscope.profiles.audit.findings import Suspects, suspects
from capscope.profiles.audit.step_suspects import places_of
from capscope.profiles.audit.texts import Neighbours, nearest_texts

FEWEST = 50
TASK_WEIGHT = 1.0
"""Neighbours' worth of the levels of the whole task in what is expected of an item."""
ODD_SHARE = 0.01
"""Share of levels that are slips, before the data; a slip is any level alike."""


def level_suspects(study: Study, seed: int) -> list[Suspects]:
    """Find levels that are more likely a slip than what an item with such a text is given.

    Args:
        study: The study; one without texts and levels yields nothing.
        seed: Seed of the search for neighbours.
    """
    if study.demands is None or study.items is None:
        return []
    held = study.items[study.items["text"].notna() & study.items["item_id"].isin(study.demands["item_id"])]
    if len(held) < FEWEST:
        return []
    ids = tuple(held["item_id"].astype(str))
    demands = Demands.of(study)
    levels = np.clip(np.floor(demands.at(ids) + 0.5), 0, LEVELS[-1])
    near = nearest_texts(held["text"].astype(str).tolist(), seed)
    places = places_of(study, ids)
    _, task = np.unique(places.task, return_inverse=True)
    slip = np.stack([_slips(levels[:, d], near, task) for d in range(levels.shape[1])], axis=1)
    item, dim = np.nonzero(slip > ODD_SHARE)
    expected = np.nanmean(levels[near.index], axis=1) if len(item) else levels
    words = [
        f"{demands.dims[d]} is {levels[i, d]:.0f}; the texts nearest to it have {expected[i, d]:.1f}"
        for i, d in zip(item, dim, strict=True)
    ]
    return [suspects("odd level", np.array(ids)[item], slip[item, dim], words, places.table().iloc[item])]


def _slips(level: FloatArray, near: Neighbours, task: np.ndarray) -> FloatArray:
    """Chance of each level to be a slip, given the levels of the nearest texts and of the task."""
    known = np.isfinite(level)
    hot = np.where(known[:, None], level[:, None] == np.array(LEVELS), False).astype(float)
    by_task = np.stack([np.bincount(task, hot[:, step]) for step in LEVELS], axis=1)[task] - hot
    prior = (by_task + 0.5) / (by_task.sum(axis=1, keepdims=True) + 0.5 * len(LEVELS))
    close = np.maximum(1 - near.distance**2 / 2, 0)
    counts = np.einsum("nk,nkl->nl", close, hot[near.index])
    usual = (counts + TASK_WEIGHT * prior) / (counts.sum(axis=1, keepdims=True) + TASK_WEIGHT)
    at = (usual * hot).sum(axis=1)
    chance = ODD_SHARE / len(LEVELS)
    slip = np.divide(chance, chance + (1 - ODD_SHARE) * at, out=np.zeros(len(level)), where=known)
    return np.where(known, slip, 0.0)
