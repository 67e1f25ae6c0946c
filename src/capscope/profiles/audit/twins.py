"""Items that models answer as if they were one: evidence from answers that two items are the same."""

import numpy as np

from capscope.axes import FloatArray

SLIP = 0.05
"""How often a model answers the same item otherwise when it is asked again."""
ROWS_AT_ONCE = 1024


def copy_evidence(
    right: FloatArray, known: FloatArray, chance: FloatArray, pairs: np.ndarray, discount: float
) -> FloatArray:
    """Log Bayes factor of each pair being one item asked twice, from how the models answered both.

    A model answers a copy as it answered the first but for slips; a copy that was answered anew looks like any pair, so
    answers that differ count little against.

    Args:
        right: Marks (item, model).
        known: 1 where there is an answer.
        chance: Expected chance of a right mark.
        pairs: Positions (pair, 2).
        discount: Share of the models that are worth an independent witness.
    """
    one, other = pairs[:, 0], pairs[:, 1]
    pass_again, fail_again = _log_again(chance[other])
    again = np.where(right[other] > 0, pass_again, fail_again)
    log_copy = np.where(right[one] == right[other], again, np.log(SLIP))
    return np.logaddexp(discount * (known[one] * known[other] * log_copy).sum(axis=1), 0.0) - np.log(2)


def nearest_twins(right: FloatArray, known: FloatArray, chance: FloatArray) -> np.ndarray:
    """Position of the item that each item is most likely the same as, by answers alone.

    Args:
        right: Marks (item, model).
        known: 1 where there is an answer.
        chance: Expected chance of a right mark.
    """
    passed, failed = (known * right).astype(np.float32), (known * (1 - right)).astype(np.float32)
    pass_again, fail_again = (part.astype(np.float32) for part in _log_again(chance))
    slip = np.float32(np.log(SLIP))
    if_passed, if_failed = passed * pass_again + failed * slip, failed * fail_again + passed * slip
    found: list[np.ndarray] = []
    for start in range(0, len(passed), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        evidence = passed[rows] @ if_passed.T + failed[rows] @ if_failed.T
        evidence[np.arange(len(evidence)), start + np.arange(len(evidence))] = -np.inf
        found.append(evidence.argmax(axis=1))
    return np.concatenate(found)


def _log_again(chance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log ratio of passing an item again, and of failing it again, to doing so at another like it."""
    p = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.log(SLIP + (1 - SLIP) / p), np.log(SLIP + (1 - SLIP) / (1 - p))
