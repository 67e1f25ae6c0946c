"""Logit pooling: expected log-odds of several members, weighted by numbers that are never negative.

Predictions of many rows come from few groups of items, so the likelihood is worth as many answers as there are groups,
times `ROWS_A_GROUP`; with few groups the weights stay near what is expected of them and the line near the diagonal.
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
    """``offset + members @ weight``: weights pool, their sum and the offset calibrate."""

    weight: Float[np.ndarray, " member"]
    """Weight of each member's log-odds."""
    offset: float
    """What is added in log-odds."""

    def log_odds(self, members: Members) -> RowFloats:
        """Pool the members' log-odds."""
        return self.offset + members @ self.weight


def fit_pool(
    members: Members,
    score: RowFloats,
    importance: RowFloats,
    groups: int,
    expected: Float[np.ndarray, " member"] | None = None,
) -> Pool:
    """Learn weights and offset from out-of-fold log-odds.

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
    precision = 1 / np.r_[np.full(n_members, WEIGHT_SD), OFFSET_SD] ** 2
    columns = np.column_stack([members, np.ones(len(members))])

    def loss(value: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = columns @ value
        likelihood = score * log_expit(log_odds) + (1 - score) * log_expit(-log_odds)
        away = value - start
        gradient = columns.T @ (share * (expit(log_odds) - score)) + precision * away
        return float(-(share * likelihood).sum() + 0.5 * (precision * away**2).sum()), gradient

    bounds = [(0.0, None)] * n_members + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Pool(found.x[:-1], float(found.x[-1]))
