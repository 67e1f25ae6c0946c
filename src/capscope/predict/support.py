"""Distance of items from the training items in the space of demands (or texts), and the support table made of it."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from capscope.axes import FloatArray, ItemMask, RowFloats
from capscope.predict.features import ItemFeatures

NEIGHBOURS = 5
INSIDE = 0.9
"""Items closer to their neighbours than this quantile of the training items lie inside."""
LEAST_IMPORTANCE, MOST_IMPORTANCE = 0.25, 4.0
NEAR = 0.5
"""Items more than twice as far away as is usual among the training items lie outside their support."""


def support_table(ids: tuple[str, ...], reason: np.ndarray, known: ItemMask, answers: np.ndarray) -> pd.DataFrame:
    """Make the table that says how well the data support the prediction of each item.

    Args:
        ids: Ids of the items.
        reason: Why an item lies outside the support; empty where it lies inside.
        known: Whether the training part had the item, or its task and its benchmark, so that their effects are known.
        answers: Number of answers to each item.

    Returns:
        Columns item_id, in_support, answers, known, reason.
    """
    columns = {"item_id": ids, "in_support": reason == "", "answers": answers, "known": known, "reason": reason}
    return pd.DataFrame(columns)


def nearness(features: ItemFeatures, trained: ItemMask) -> RowFloats:
    """Return for each item 1 inside the training items, decreasing with the square of the distance outside.

    The distance is the mean distance to the nearest training items, relative to the usual distance among these.
    """
    space = _space(features, trained)
    return np.ones(features.n_items) if space is None else nearness_to(space[trained], space) ** 2


def nearness_to(known: FloatArray, asked: FloatArray) -> RowFloats:
    """Return 1 where items lie as near to known items as these to each other, decreasing with the distance.

    Args:
        known: Coordinates of the training items, as (known item, dim).
        asked: Coordinates of the items to predict, as (asked item, dim).
    """
    count = min(NEIGHBOURS, len(known) - 1)
    if count < 1:
        return np.ones(len(asked))
    search = NearestNeighbors(n_neighbors=count).fit(known)
    usual = np.quantile(np.asarray(search.kneighbors()[0]).mean(axis=1), INSIDE)
    distance = np.asarray(search.kneighbors(asked)[0]).mean(axis=1)
    return np.minimum(1.0, np.maximum(usual, 1e-9) / np.maximum(distance, 1e-9))


def importance(features: ItemFeatures, trained: ItemMask, target: ItemMask) -> RowFloats:
    """Return the density ratio of the items to predict to the training items, at each item (importance weight).

    The ratio is that of a logistic regression that classifies the two sets, clipped to 0.25 to 4.
    """
    space = _space(features, trained)
    if space is None or not (target & ~trained).any():
        return np.ones(features.n_items)
    either = trained | target
    classifier = LogisticRegression(C=0.1, max_iter=500).fit(space[either], (target & ~trained)[either])
    odds = np.exp(np.clip(np.asarray(classifier.decision_function(space)), -20, 20))
    ratio = odds * trained.sum() / (target & ~trained).sum()
    return np.clip(ratio, LEAST_IMPORTANCE, MOST_IMPORTANCE)


def _space(features: ItemFeatures, trained: ItemMask) -> np.ndarray | None:
    if features.demands is not None:
        spread = features.demands[trained].std(axis=0)
        typical = max(float(spread.mean()), 1e-9)
        return features.demands / np.maximum(spread, 0.3 * typical)
    return None if features.texts is None else features.texts.vectors
