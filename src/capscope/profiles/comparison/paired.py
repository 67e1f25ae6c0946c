"""Paired difference of two models on the same items: a small-sample posterior over tasks, without a normal law.

For each item the difference of scores falls into a few bins (A ahead, level, B ahead; finer for graded scores). Tasks
have bin frequencies of their own, ``p_t ~ Dirichlet(kappa pi)``; the counts of a task are then Dirichlet-multinomial.
The posterior of the population's frequencies ``pi`` and of how alike tasks are, ``1 / (1 + kappa)``, comes from
weighted draws, so that three items or one task yield wide intervals rather than none.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from capscope.axes import FloatArray, RowFloats

PRIOR = 0.5
"""Weight of Jeffreys' prior on each bin."""
LIKENESS = np.array([0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3])
"""Correlations within a task that are thought possible, alike likely."""
PROPOSALS = 6000
DRAWS = 2000
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
    frequency = _posterior_draws(counts, rng)
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


def _posterior_draws(counts: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draws of the population's bin frequencies: proposals around the pooled counts, weighted by the posterior."""
    size, tasks = counts.sum(axis=1, keepdims=True), len(counts)
    likeness = rng.permutation(np.resize(LIKENESS, PROPOSALS))
    # a task of n items that are alike to the degree r is worth n / (1 + (n - 1) r) of them
    effective = (counts[:, :, None] / (1 + (size - 1)[:, :, None] * LIKENESS)).sum(axis=0).T
    shape = effective[np.searchsorted(LIKENESS, likeness)] * 0.9 + PRIOR
    frequency = rng.standard_gamma(shape) + 1e-12
    frequency = frequency / frequency.sum(axis=1, keepdims=True)
    log_frequency = np.log(frequency)
    proposed = ((shape - 1) * log_frequency).sum(axis=1) + gammaln(shape.sum(axis=1)) - gammaln(shape).sum(axis=1)
    concentration = (1 / likeness - 1)[:, None] * frequency
    whole = 1 / likeness - 1
    log_weight = ((PRIOR - 1) * log_frequency).sum(axis=1) - proposed
    if tasks == 1:
        # within one task nothing tells how alike its items are; they are taken as they come
        log_weight = log_weight + (counts[0] * log_frequency).sum(axis=1)
    else:
        for task in counts:
            log_weight = log_weight + gammaln(whole) - gammaln(whole + task.sum())
            log_weight = log_weight + (gammaln(concentration + task) - gammaln(concentration)).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    return frequency[rng.choice(PROPOSALS, DRAWS, p=weight / weight.sum())]
