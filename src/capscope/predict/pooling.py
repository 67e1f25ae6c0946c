"""Logit pooling: expected log-odds of several members, weighted by numbers that are never negative, then calibrated.

Predictions of many rows come from few groups of items, so the likelihood is worth as many answers as there are groups,
times `ROWS_A_GROUP`; with few groups the weights stay near what is expected of them and the curve near the diagonal.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from capscope.axes import RowFloats

Members = Float[np.ndarray, "row member"]

ROWS_A_GROUP = 5.0
"""Answers that a group of items is worth."""
WEIGHT_SD, OFFSET_SD = 0.3, 0.3
"""Prior spread of each weight around what is expected of it, and of the offset around 0."""


@dataclass(frozen=True)
class Pool:
    """``offset + members @ weight`` pools; ``bend`` calibrates low and high chances apart."""

    weight: Float[np.ndarray, " member"]
    """Weight of each member's log-odds."""
    offset: float
    """What is added in log-odds."""
    bend: tuple[float, float, float] = (1.0, 1.0, 0.0)
    """Slopes of the log-chance of success and of failure, and an offset (Kull, Silva Filho & Flach, 2017)."""

    def log_odds(self, members: Members) -> RowFloats:
        """Pool the members' log-odds."""
        return _sides(self.offset + members @ self.weight) @ np.array(self.bend)


def fit_pool(
    members: Members,
    score: RowFloats,
    importance: RowFloats,
    groups: int,
    expected: Float[np.ndarray, " member"] | None = None,
) -> Pool:
    """Learn weights and offset from out-of-fold log-odds, then the bend of the calibration curve.

    Args:
        members: Log-odds of each row by each member.
        score: What came, in [0, 1].
        importance: Weight of each row.
        groups: Number of groups of items that the folds kept whole.
        expected: Prior mean of the weights; None for an equal share each.
    """
    n_members = members.shape[1]
    share = importance / importance.sum() * groups * ROWS_A_GROUP
    start = np.r_[np.full(n_members, 1 / n_members) if expected is None else expected, 0.0]
    columns = np.column_stack([members, np.ones(len(members))])
    found = _regress(columns, score, share, start)
    lower, upper, offset = _regress(_sides(columns @ found), score, share, np.array([1.0, 1.0, 0.0]))
    return Pool(found[:-1], float(found[-1]), (float(lower), float(upper), float(offset)))


def _sides(log_odds: RowFloats) -> Float[np.ndarray, "row 3"]:
    return np.column_stack([log_expit(log_odds), -log_expit(-log_odds), np.ones_like(log_odds)])


def _regress(columns: np.ndarray, score: RowFloats, share: RowFloats, start: np.ndarray) -> np.ndarray:
    """Logistic regression whose slopes, all columns but the last, stay near `start` and are never negative."""
    n_slopes = len(start) - 1
    precision = 1 / np.r_[np.full(n_slopes, WEIGHT_SD), OFFSET_SD] ** 2

    def loss(value: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = columns @ value
        likelihood = score * log_expit(log_odds) + (1 - score) * log_expit(-log_odds)
        away = value - start
        gradient = columns.T @ (share * (expit(log_odds) - score)) + precision * away
        return float(-(share * likelihood).sum() + 0.5 * (precision * away**2).sum()), gradient

    bounds = [(0.0, None)] * n_slopes + [(None, None)]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
