"""Paired difference of two models on the same items: a posterior over tasks that also holds for small samples.

The difference of scores on each item falls into a few bins (A ahead, equal, B ahead; finer for graded scores). Tasks
may disagree on the leader: the share of the difference's variance that lies between tasks, the intraclass correlation,
has a posterior from the task means (a random-effects likelihood with the mean integrated out). Given a correlation r, a
task of n items is worth n / (1 + (n - 1) r) independent ones, and the bin frequencies of the population of tasks have a
Dirichlet posterior under Jeffreys' prior.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, RowFloats

PRIOR = 1.5
"""Pseudo-items of the prior, shared by the bins: Jeffreys' prior for three bins."""
CORRELATIONS = np.array([0, 2e-4, 6e-4, 0.002, 0.006, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Intraclass correlations of the difference within tasks that the posterior is over, equally likely before the data."""
DRAWS = 4000
FINE_BINS = np.array([-0.999, -0.6, -0.2, -1e-9, 1e-9, 0.2, 0.6, 0.999])


@dataclass(frozen=True)
class PairedDifference:
    """Posterior of the mean difference A - B over tasks like these."""

    observed: float
    """Mean difference on the items at hand."""
    mean: float
    """Posterior mean."""
    lower: float
    """Lower bound."""
    upper: float
    """Upper bound."""
    ahead: float
    """Chance that A's mean is above B's."""
    improvement: float
    """Chance that A does better than B on one more item, ties counting half."""
    items: int
    """Items that both answered."""
    tasks: int
    """Tasks they belong to."""


def paired_difference(
    difference: RowFloats, task: np.ndarray, rng: np.random.Generator, level: float = 0.9
) -> PairedDifference:
    """Judge the difference of two models.

    Args:
        difference: Score of A less score of B on each item that both answered.
        task: Task of each of these items.
        rng: Source of the draws.
        level: Nominal coverage.
    """
    draws, ahead = difference_draws(difference, task, rng)
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return PairedDifference(
        observed=float(difference.mean()),
        mean=float(draws.mean()),
        lower=float(lower),
        upper=float(upper),
        ahead=float((draws > 0).mean() + (draws == 0).mean() / 2),
        improvement=float(ahead.mean()),
        items=len(difference),
        tasks=len(np.unique(task)),
    )


def difference_draws(
    difference: RowFloats, task: np.ndarray, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Draws of the mean difference, and of the chance that A is ahead on an item (ties half)."""
    bins, values = _bins(difference)
    _, place = np.unique(task, return_inverse=True)
    counts = np.zeros((place.max() + 1, len(values)))
    np.add.at(counts, (place, bins), 1)
    frequency = _frequency_draws(counts, difference, place, rng)
    sign = np.where(np.abs(values) < 1e-9, 0.5, (values > 0).astype(float))
    return frequency @ values, frequency @ sign


def _bins(difference: RowFloats) -> tuple[np.ndarray, FloatArray]:
    """Bin of each difference and the value of each bin: the mean of what falls there, else its middle."""
    if np.isin(difference, (-1, 0, 1)).all():
        return difference.astype(int) + 1, np.array([-1.0, 0.0, 1.0])
    bins = np.digitize(difference, FINE_BINS)
    middle = np.array([-1, -0.8, -0.4, -0.1, 0, 0.1, 0.4, 0.8, 1])
    total, size = np.bincount(bins, difference, 9), np.bincount(bins, minlength=9)
    return bins, np.where(size > 0, total / np.maximum(size, 1), middle)


def _frequency_draws(
    counts: FloatArray, difference: RowFloats, place: np.ndarray, rng: np.random.Generator
) -> FloatArray:
    """Draws (draw, bin) of the population's bin frequencies."""
    size = counts.sum(axis=1, keepdims=True)
    chance = correlation_posterior(difference, place)
    drawn = rng.multinomial(DRAWS, chance)
    prior = PRIOR / counts.shape[1]
    parts: list[FloatArray] = []
    for correlation, count in zip(CORRELATIONS, drawn, strict=True):
        worth = counts / (1 + (size - 1) * correlation)
        gamma = rng.standard_gamma(worth.sum(axis=0) + prior, (count, counts.shape[1])) + 1e-12
        parts.append(gamma / gamma.sum(axis=1, keepdims=True))
    return np.concatenate(parts)


def correlation_posterior(difference: RowFloats, place: np.ndarray) -> Float[np.ndarray, " correlation"]:
    """Posterior chances of `CORRELATIONS` from the task means: normal given the correlation, their mean integrated out.

    Args:
        difference: Difference of scores on each item.
        place: Task of each item, numbered from 0.
    """
    size = np.bincount(place).astype(float)
    tasks, variance = len(size), float(difference.var())
    if tasks == 1:
        # the population is that of the one task's items
        return (CORRELATIONS == 0).astype(float)
    if variance == 0:
        # items that all agree do not tell how much tasks differ
        return np.full(len(CORRELATIONS), 1 / len(CORRELATIONS))
    means = np.bincount(place, difference) / size
    spread = variance * (CORRELATIONS[:, None] + (1 - CORRELATIONS[:, None]) / size)
    precision = (1 / spread).sum(axis=1)
    centre = (means / spread).sum(axis=1) / precision
    squares = ((means - centre[:, None]) ** 2 / spread).sum(axis=1)
    log_chance = -0.5 * (np.log(spread).sum(axis=1) + np.log(precision) + squares)
    chance = np.exp(log_chance - log_chance.max())
    return chance / chance.sum()
