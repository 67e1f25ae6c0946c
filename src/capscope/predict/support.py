"""How far items lie from those that were learnt from, in the space of demands (or texts), and what that supports."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from capscope.axes import FloatArray, ItemMask, RowFloats
from capscope.predict.features import ItemFeatures

NEIGHBOURS = 5
INSIDE = 0.9
"""Items closer to their neighbours than this share of the training items lie inside."""
LEAST_IMPORTANCE, MOST_IMPORTANCE = 0.25, 4.0
NEAR = 0.5
"""Items further away than twice what is usual among the learnt ones lie outside their support."""


def support_table(ids: tuple[str, ...], reason: np.ndarray, known: ItemMask, answers: np.ndarray) -> pd.DataFrame:
    """Lay out what supports the prediction of each item.

    Args:
        ids: Ids of the items.
        reason: Why an item lies outside; empty where it does not.
        known: Whether the item, or its task and benchmark, were learnt from: then no effect of theirs is left open.
        answers: Number of answers behind each item.
    """
    columns = {"item_id": ids, "in_support": reason == "", "answers": answers, "known": known, "reason": reason}
    return pd.DataFrame(columns)


def nearness(features: ItemFeatures, trained: ItemMask) -> RowFloats:
    """Return for each item 1 inside the training items, falling with the square of the distance outside.

    The distance is the mean to the nearest few training items, in units of what is usual among these.
    """
    space = _space(features, trained)
    return np.ones(features.n_items) if space is None else nearness_to(space[trained], space) ** 2


def nearness_to(known: FloatArray, asked: FloatArray) -> RowFloats:
    """Return 1 where asked items lie as near to known ones as these to each other, falling with the distance.

    Args:
        known: Places of the items that were learnt from, as (known item, dim).
        asked: Places of the items asked about, as (asked item, dim).
    """
    count = min(NEIGHBOURS, len(known) - 1)
    if count < 1:
        return np.ones(len(asked))
    search = NearestNeighbors(n_neighbors=count).fit(known)
    usual = np.quantile(np.asarray(search.kneighbors()[0]).mean(axis=1), INSIDE)
    distance = np.asarray(search.kneighbors(asked)[0]).mean(axis=1)
    return np.minimum(1.0, np.maximum(usual, 1e-9) / np.maximum(distance, 1e-9))


def importance(features: ItemFeatures, trained: ItemMask, target: ItemMask) -> RowFloats:
    """Return how much more often an item like this comes up among those asked about than among the training items.

    The ratio of densities is that of a logistic regression that tells the two apart, kept between a quarter and four.
    """
    space = _space(features, trained)
    if space is None or not (target & ~trained).any():
        return np.ones(features.n_items)
    either = trained | target
    told = LogisticRegression(C=0.1, max_iter=500).fit(space[either], (target & ~trained)[either])
    odds = np.exp(np.clip(np.asarray(told.decision_function(space)), -20, 20))
    ratio = odds * trained.sum() / (target & ~trained).sum()
    return np.clip(ratio, LEAST_IMPORTANCE, MOST_IMPORTANCE)


def _space(features: ItemFeatures, trained: ItemMask) -> np.ndarray | None:
    if features.demands is not None:
        spread = features.demands[trained].std(axis=0)
        typical = max(float(spread.mean()), 1e-9)
        return features.demands / np.maximum(spread, 0.3 * typical)
    return None if features.texts is None else features.texts.vectors
