"""Agreement of two raters on paired levels; all of them accept fractional levels."""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from capscope.axes import LEVELS

Levels = Float[np.ndarray, " item"]

RECTANGULAR_VARIANCE = (len(LEVELS) ** 2 - 1) / 12
"""Variance of levels drawn evenly from 0 to 5: the null that r_WG compares with."""


def quadratic_weighted_kappa(left: Levels, right: Levels) -> float:
    """Chance-corrected agreement with quadratic weights (Cohen, 1968).

    Written as one minus observed over expected squared difference, which equals the table form on whole levels.

    Returns:
        1 for identical raters, 0 for chance; NaN when both are constant and equal.
    """
    observed = float(np.mean((left - right) ** 2))
    expected = float(left.var() + right.var() + (left.mean() - right.mean()) ** 2)
    return 1 - observed / expected if expected > 0 else float("nan")


def krippendorff_alpha(left: Levels, right: Levels) -> float:
    """Krippendorff's alpha with the ordinal difference, for two raters without gaps (Krippendorff, 2011).

    Returns:
        1 for identical raters, about 0 for chance; NaN when only one level occurs.
    """
    values, index = np.unique(np.concatenate([left, right]), return_inverse=True)
    first, second = np.split(index, 2)
    coincidence = np.zeros((len(values), len(values)))
    np.add.at(coincidence, (first, second), 1.0)
    coincidence += coincidence.T
    totals = coincidence.sum(axis=0)
    difference = _ordinal_difference(totals)
    expected = (np.outer(totals, totals) * difference).sum() / (totals.sum() - 1)
    return 1 - float((coincidence * difference).sum() / expected) if expected > 0 else float("nan")


def r_within_group(left: Levels, right: Levels) -> float:
    """Within-group agreement r_WG (James, Demaree & Wolf, 1984) of two raters against a rectangular null.

    The variance of two ratings, (x - y)^2 / 2, is averaged over items and divided by `RECTANGULAR_VARIANCE`. It is not
    corrected for chance: raters who both say 0 almost always reach a high value without telling items apart.
    """
    return 1 - float(np.mean((left - right) ** 2) / 2) / RECTANGULAR_VARIANCE


def exact_share(left: Levels, right: Levels) -> float:
    """Share of items on which both round to the same level."""
    return float(np.mean(np.rint(left) == np.rint(right)))


def spearman(left: Levels, right: Levels) -> float:
    """Rank correlation, ties sharing their mean rank; NaN when a rater is constant or there are under three items."""
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(left), rankdata(right))[0, 1])


def spearman_within(left: Levels, right: Levels, group: np.ndarray) -> float:
    """Mean of the rank correlations inside groups, weighted by their items; groups without one are left out."""
    values, weights = [], []
    for name in np.unique(group):
        inside = group == name
        rho = spearman(left[inside], right[inside])
        if not np.isnan(rho):
            values.append(rho)
            weights.append(inside.sum())
    return float(np.average(values, weights=weights)) if values else float("nan")


def level_histogram(levels: Levels) -> tuple[int, ...]:
    """Count the items at each level from 0 to 5, fractional levels going to the nearest."""
    counts = np.bincount(np.rint(levels).astype(np.int64), minlength=len(LEVELS))
    return tuple(int(count) for count in counts)


def _ordinal_difference(totals: np.ndarray) -> np.ndarray:
    """Squared number of ratings between two values, each end counted half."""
    cumulative = np.cumsum(totals) - totals / 2
    return (cumulative[:, None] - cumulative[None, :]) ** 2
