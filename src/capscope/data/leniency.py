"""By how much annotators rate above each other, so that levels of different annotators can stand in one column."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from capscope.axes import RowFloats

NOISE_RATIO = 1.0
"""Variance of a single rating against that of leniency between annotators: how far few common items are trusted."""


def leniency(demands: pd.DataFrame) -> RowFloats:
    """Return for each row by how many levels its annotator rates above the others on its rubric.

    An additive model of cell and annotator: what two annotators say of the same items tells them apart, and annotators
    without common items count as alike. The leniencies on a rubric sum to zero and are drawn towards it by
    `NOISE_RATIO`; cells that everyone rated keep their mean.

    Args:
        demands: Rows of a demands table.
    """
    item, rater = (_codes(demands[name]) for name in ("item_id", "annotator"))
    level = demands["level"].to_numpy(dtype=float)
    found = np.zeros(len(demands))
    for rows in demands.groupby(demands["rubric"].astype(str)).indices.values():
        found[rows] = _of_rubric(item[rows], rater[rows], level[rows])
    return found


def _of_rubric(item: np.ndarray, rater: np.ndarray, level: np.ndarray) -> np.ndarray:
    items, item = np.unique(item, return_inverse=True)
    raters, rater = np.unique(rater, return_inverse=True)
    if len(raters) < 2:
        return np.zeros(len(level))
    shape = (len(items), len(raters))
    count = csr_matrix((np.ones(len(level)), (item, rater)), shape=shape)
    n_ratings = np.bincount(item)
    above = level - (np.bincount(item, level) / n_ratings)[item]
    # the items' own effects are solved for, what is left are the annotators'
    shared = csr_matrix((1 / n_ratings[item], (item, rater)), shape=shape)
    common = np.asarray((count.T @ shared).todense())
    system = np.diag(np.bincount(rater).astype(float)) - common + NOISE_RATIO * np.eye(len(raters))
    return np.linalg.solve(system, np.bincount(rater, above))[rater]


def _codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column.astype(str))[0]
