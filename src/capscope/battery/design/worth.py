"""What an item is worth before it is answered: information about abilities, or about a mean score."""

import numpy as np

from capscope.axes import FloatArray, ModelDim, RowFloats
from capscope.battery.ability import Curves
from capscope.fit import PROBIT_SCALE

ROUNDS = 6


def response_variance(curves: Curves, ability: ModelDim) -> tuple[FloatArray, FloatArray]:
    """Variance of an answer, and its curvature in the log-odds, both (model, item)."""
    chance = curves.chances(ability)
    spread = chance * (1 - chance)
    return spread, spread / (1 + PROBIT_SCALE * curves.variance)


def fisher_worth(curves: Curves, ability: ModelDim, size: int) -> RowFloats:
    """Information about all abilities, where past models are, when so many items are asked.

    Chances follow the fixed point of a D-optimal design: an item is asked as often as it informs on what the others
    leave open (Titterington, 1976).
    """
    _, curvature = response_variance(curves, ability)
    mean = curvature.mean(0)
    share = np.full(len(mean), 1 / len(mean))
    for _ in range(ROUNDS):
        cov = _expected_cov(curves, mean * share * size)
        gain = mean * np.einsum("nd,de,ne->n", curves.slope, cov, curves.slope)
        share = share * gain / (share * gain).sum()
    return share


def variance_worth(curves: Curves, ability: ModelDim, size: int, target: RowFloats) -> RowFloats:
    """Expected reduction of the variance of a weighted mean score, plus what only an item's own answer tells.

    ``p q (v' S m)^2 / (1 + p q v' S v)`` with ``m`` the gradient of the target (Zrnic & Candes, 2024, call the mixture
    with ``sqrt(p q)`` active inference), S the covariance that half the battery would leave.

    Args:
        curves: Curves of the items.
        ability: Abilities to expect, (model, dim).
        size: Number of items that will be asked.
        target: Weight of each item in the score, summing to 1.
    """
    spread, curvature = response_variance(curves, ability)
    mean = curvature.mean(0)
    cov = _expected_cov(curves, mean * size / 2 / len(mean))
    gradient = (curvature * target).mean(0) @ curves.slope
    reach = curves.slope @ cov @ gradient
    own = np.einsum("nd,de,ne->n", curves.slope, cov, curves.slope)
    gain = mean * reach**2 / (1 + mean * own)
    alone = np.sqrt(spread.mean(0)) * target
    return gain / max(gain.sum(), 1e-300) + alone / max(alone.sum(), 1e-300)


def profile_worth(curves: Curves, ability: ModelDim, size: int) -> RowFloats:
    """Expected reduction of the sum of the variances of all abilities."""
    _, curvature = response_variance(curves, ability)
    mean = curvature.mean(0)
    cov = _expected_cov(curves, mean * size / 2 / len(mean))
    moved = curves.slope @ cov
    own = (moved * curves.slope).sum(1)
    return mean * (moved**2).sum(1) / (1 + mean * own)


def _expected_cov(curves: Curves, weight: RowFloats) -> FloatArray:
    information = (curves.slope * weight[:, None]).T @ curves.slope
    return np.linalg.inv(np.linalg.inv(curves.prior_cov) + information)
