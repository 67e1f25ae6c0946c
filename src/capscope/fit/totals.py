"""How many answers each model and item has and how many are right, in passes that need little memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.data import ResponseMatrix

ROWS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Totals:
    """Trials and successes along one axis."""

    trials: FloatArray
    """Number of trials."""
    right: FloatArray
    """Sum of scores, weighted by trials."""


def row_blocks(n_rows: int) -> Iterator[slice]:
    """Blocks of rows small enough that their temporaries do not count."""
    for start in range(0, n_rows, ROWS_AT_ONCE):
        yield slice(start, min(start + ROWS_AT_ONCE, n_rows))


def axis_totals(responses: ResponseMatrix) -> tuple[Totals, Totals]:
    """Totals of the models and of the items."""
    sides = ((responses.model_index, len(responses.models)), (responses.item_index, len(responses.items)))
    totals = [Totals(np.zeros(size), np.zeros(size)) for _, size in sides]
    for rows in row_blocks(len(responses.score)):
        trials = responses.n_trials[rows]
        right = trials * responses.score[rows]
        for total, (index, size) in zip(totals, sides, strict=True):
            total.trials[:] += np.bincount(index[rows], trials, size)
            total.right[:] += np.bincount(index[rows], right, size)
    return totals[0], totals[1]
