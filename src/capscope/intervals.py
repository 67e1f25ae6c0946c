"""Intervals on plain arrays: of shares, of means over strata or clusters, of skewed means, of ratios, by bootstrap."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

from capscope.axes import FloatArray, RowFloats

FEWEST_FINITE = 0.8
"""Share of bootstrap draws that must state a number."""


@dataclass(frozen=True)
class Interval:
    """A point with the bounds of an interval of stated level."""

    point: float
    """The estimate."""
    lower: float
    """Lower bound."""
    upper: float
    """Upper bound."""
    level: float
    """Nominal coverage, such as 0.9."""

    def within(self, low: float, high: float) -> "Interval":
        """Return the interval of a quantity that cannot lie outside these bounds; NaN stays NaN.

        One that lies outside altogether is moved, with its width, to where its point is allowed.

        Args:
            low: Least possible value.
            high: Largest possible value.
        """
        point = float(np.clip(self.point, low, high))
        outside = self.upper <= low or self.lower >= high
        move = point - self.point if outside else 0.0
        lower, upper = (float(np.clip(value + move, low, high)) for value in (self.lower, self.upper))
        return Interval(point, lower, upper, self.level)


def jeffreys_interval(correct: float, trials: float, level: float = 0.9) -> Interval:
    """Equal-tailed Beta interval for a proportion under Jeffreys' prior (Brown, Cai & DasGupta, 2001).

    Args:
        correct: Number of successes; may be fractional.
        trials: Number of trials.
        level: Nominal coverage.

    Returns:
        The observed proportion (0.5 without trials) and its bounds, which reach 0 or 1 when all trials agree.
    """
    tail = (1 - level) / 2
    shape = (correct + 0.5, trials - correct + 0.5)
    lower = 0.0 if correct <= 0 else float(betaincinv(*shape, tail))
    upper = 1.0 if correct >= trials else float(betaincinv(*shape, 1 - tail))
    return Interval(correct / trials if trials else 0.5, lower, upper, level)


def wilson_interval(mean: float, variance: float, n: int, level: float = 0.9) -> Interval:
    """Score interval of a share with a known error variance (Wilson, 1927), with Student's quantile.

    The binomial sample size is replaced by the one at which a share of `mean` has this variance.

    Args:
        mean: The share, 0 to 1.
        variance: Its error variance; with 0, `n` is the sample size.
        n: Number of units, such as items, that the mean is over; n - 1 are the degrees of freedom.
        level: Nominal coverage.

    Returns:
        The share and its bounds, within 0 and 1.
    """
    size = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else float(n)
    z = float(stdtrit(max(n - 1, 1), (1 + level) / 2))
    middle = (mean + z**2 / (2 * size)) / (1 + z**2 / size)
    width = z * np.sqrt(mean * (1 - mean) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    return Interval(mean, max(0.0, middle - float(width)), min(1.0, middle + float(width)), level)


def share_interval(values: FloatArray, level: float = 0.9) -> Interval:
    """Wilson's interval of the mean of shares.

    Args:
        values: Share of each item (item,), 0 to 1.
        level: Nominal coverage.
    """
    n = len(values)
    return wilson_interval(float(values.mean()), float(values.var(ddof=1)) / n if n > 1 else 0.0, n, level)


@dataclass(frozen=True)
class StratifiedMean:
    """Mean of strata that count alike, such as the tasks of a suite, and its error variance over rows like these."""

    point: float
    """Mean of the strata's means."""
    variance: float
    """Error variance; never 0."""
    centre: float
    """The mean drawn a little towards one half, at which a binomial variance is taken."""

    def interval(self, level: float = 0.9) -> Interval:
        """Jeffreys' interval for as many trials as would have this variance (Franco, Little, Louis & Slud, 2019).

        Args:
            level: Nominal coverage.
        """
        trials = self.centre * (1 - self.centre) / self.variance
        return jeffreys_interval(self.point * trials, trials, level)


def stratified_mean(values: RowFloats, stratum: np.ndarray, kept: np.ndarray | None = None) -> StratifiedMean:
    """Mean over strata of scores in [0, 1], with a variance that holds for strata of one row and for constant scores.

    Strata that differ more than chance has it make the mean more precise than one of unstratified rows. How much of
    that gain is credited is estimated as James and Stein (1961) shrink: none where strata differ by chance only, or
    where each holds one row; nearly all where their differences are clear.

    Args:
        values: Score of each row, in [0, 1].
        stratum: Stratum of each row, numbered from 0 without gaps.
        kept: Numbers of the strata that the mean is over (as for an interquartile mean); by default all.
    """
    size = np.bincount(stratum).astype(float)
    means = np.bincount(stratum, values) / size
    rows, strata = len(values), len(size)
    centre = (values.sum() + 0.5) / (rows + 1)
    binomial = centre * (1 - centre)
    pooled = binomial
    if not np.isin(values, (0, 1)).all():
        squares = float(((values - values.mean()) ** 2).sum())
        pooled = (squares + 2 * binomial) / (rows + 1)
    between = float((size * (means - values.mean()) ** 2).sum()) / pooled
    credit = max(0.0, 1 - strata / between) if between > 0 and strata > 1 else 0.0
    # one pseudo-row with the pooled variance keeps strata of one row, or of equal scores, from looking certain
    own = (np.bincount(stratum, (values - means[stratum]) ** 2) + pooled) / size
    each = ((1 - credit) * pooled + credit * own) / size
    chosen = np.arange(strata) if kept is None else kept
    point = float(means[chosen].mean())
    # the mean of chosen strata may lie nearer to 0 or 1 than that of all, and so vary less
    trials = len(chosen) ** 2 / float((1 / size[chosen]).sum())
    near = (point * trials + 0.5) / (trials + 1)
    variance = float(each[chosen].sum()) / len(chosen) ** 2 * near * (1 - near) / binomial
    return StratifiedMean(point, variance, near)


def error_of_mean(values: RowFloats) -> float:
    """Standard error of a mean of scores in [0, 1]; where all agree, that of a share under Jeffreys' prior, never 0.

    Args:
        values: Score of each row.
    """
    rows = len(values)
    if rows > 1 and np.ptp(values) > 0:
        return float(values.std(ddof=1) / np.sqrt(rows))
    centre = (float(values.sum()) + 0.5) / (rows + 1)
    return float(np.sqrt(centre * (1 - centre) / rows))


def quantile_bounds(draws: FloatArray, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
    """Equal-tailed bounds over the last axis, the draws.

    Args:
        draws: Draws, shape (..., draw).
        level: Nominal coverage, from 0 to 1.

    Returns:
        Lower and upper bounds, shape (...,).
    """
    tail = (1 - level) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=-1)
    return np.asarray(lower), np.asarray(upper)


def bounds_with(point: FloatArray, draws: FloatArray, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
    """Equal-tailed bounds over the last axis that leave in the point: draws of a few whole items are coarse.

    Args:
        point: Expected value of the draws, such as a mean chance.
        draws: Draws, on the last axis.
        level: Nominal coverage.
    """
    lower, upper = quantile_bounds(draws, level)
    return np.asarray(np.minimum(lower, point)), np.asarray(np.maximum(upper, point))


def cluster_bootstrap_means(
    values: RowFloats,
    cluster: np.ndarray,
    rng: np.random.Generator,
    draws: int = 1000,
    weight: RowFloats | None = None,
) -> FloatArray:
    """Means of whole clusters drawn with replacement (Cameron, Gelbach & Miller, 2008).

    Args:
        values: One number for each row.
        cluster: The cluster label of each row, such as its task.
        rng: Source of randomness.
        draws: Number of bootstrap draws.
        weight: How much each row counts; by default all alike.

    Returns:
        Array of shape (draw,).
    """
    _, index = np.unique(cluster, return_inverse=True)
    weights = np.ones(len(values)) if weight is None else weight
    totals = np.bincount(index, weights=values * weights)
    sizes = np.bincount(index, weights=weights)
    counts = rng.multinomial(len(totals), np.full(len(totals), 1 / len(totals)), size=draws)
    return (counts @ totals) / (counts @ sizes)


def cluster_draws(clusters: int, rng: np.random.Generator, draws: int = 1000) -> FloatArray:
    """How often each cluster is taken when as many as there are get drawn with replacement.

    Args:
        clusters: Number of clusters.
        rng: Source of randomness.
        draws: Number of bootstrap draws.

    Returns:
        Array of shape (draw, cluster).
    """
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws).astype(float)


def bootstrap_interval(point: float, draws: FloatArray, clusters: int, level: float = 0.9) -> Interval:
    """Interval from bootstrap draws of clusters: the bootstrap's bias taken off, its spread widened for few clusters.

    A bootstrap of G clusters has (G - 1) / G of the variance of a mean and normal tails where Student's with G - 1
    degrees of freedom belong (Cameron, Gelbach & Miller, 2008); both are made good.

    Args:
        point: The statistic on the data.
        draws: The statistic on each draw; not finite where a draw lacks what it needs.
        clusters: Number of clusters.
        level: Nominal coverage.

    Returns:
        The statistic less its bias, and bounds; all NaN with fewer than two clusters, or where more than a fifth of
        the draws are not finite, since the rest would represent only the clusters for which it is defined.
    """
    finite = np.isfinite(draws)
    if clusters < 2 or finite.mean() < FEWEST_FINITE:
        return Interval(float("nan"), float("nan"), float("nan"), level)
    draws = draws[finite]
    tail = 0.5 + level / 2
    stretch = stdtrit(clusters - 1, tail) / ndtri(tail) * np.sqrt(clusters / (clusters - 1))
    middle = 2 * point - draws.mean()
    # a few draws far out move their mean beyond a quantile; the middle stays inside its own interval
    lower, upper = bounds_with(np.zeros(()), draws - draws.mean(), level)
    return Interval(float(middle), float(middle + stretch * lower), float(middle + stretch * upper), level)


def cluster_interval(
    values: RowFloats,
    cluster: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.9,
    weight: RowFloats | None = None,
) -> Interval:
    """Interval of a mean whose rows vary together within clusters.

    Bounds are those of `bootstrap_interval` over whole clusters; without a second cluster there are none.

    Args:
        values: One number for each row.
        cluster: The cluster label of each row, such as its task.
        rng: Source of randomness.
        level: Nominal coverage.
        weight: How much each row counts; by default all alike.
    """
    point = float(np.average(values, weights=weight))
    draws = cluster_bootstrap_means(values, cluster, rng, weight=weight)
    bounds = bootstrap_interval(point, draws, len(np.unique(cluster)), level)
    return Interval(point, min(bounds.lower, point), max(bounds.upper, point), level)


def skewed_mean_interval(values: FloatArray, level: float = 0.9) -> Interval:
    """Interval of the mean of positive, right-skewed values such as costs, symmetric on the log scale.

    The variance is the larger of the sample's and that of a lognormal law (Cox's interval; Land, 1972), whose tail a
    small sample may not show.

    Args:
        values: Amount of each item (item,), at least 0, not all 0; at least two items.
        level: Nominal coverage.
    """
    mean, n = float(values.mean()), len(values)
    error = float(values.var(ddof=1)) / mean**2 / n
    if (values > 0).all():
        own = float(np.log(values).var(ddof=1))
        error = max(error, own / n + own**2 / (2 * (n - 1)))
    width = float(stdtrit(n - 1, (1 + level) / 2)) * np.sqrt(error)
    return Interval(mean, mean * float(np.exp(-width)), mean * float(np.exp(width)), level)


def ratio_interval(numerator: FloatArray, denominator: FloatArray, level: float = 0.9) -> Interval:
    """Interval of the ratio of two means over the same items (MOVER: Donner & Zou, 2012).

    Args:
        numerator: Amount of each item (item,), at least 0, such as its cost.
        denominator: Share of each item (item,), 0 to 1, such as its success rate.
        level: Nominal coverage.

    Returns:
        The ratio and its bounds; the upper bound is infinite where a mean denominator of 0 is not excluded.
    """
    a, b, n = float(numerator.mean()), float(denominator.mean()), len(numerator)
    ratio = a / b if b > 0 else float("inf")
    if n < 2 or a <= 0:
        return Interval(ratio, 0.0, float("inf"), level)
    above, below = skewed_mean_interval(numerator, level), share_interval(denominator, level)
    if b <= 0:
        return Interval(ratio, above.lower / below.upper, float("inf"), level)
    varies = np.ptp(numerator) > 0 and np.ptp(denominator) > 0
    r = float(np.corrcoef(numerator, denominator)[0, 1]) if varies else 0.0
    lower = _ratio_bound(a, b, (above.lower, below.upper), r, -1)
    upper = _ratio_bound(a, b, (above.upper, below.lower), r, 1) if below.lower > 0 else float("inf")
    return Interval(ratio, max(lower, 0.0), upper, level)


def _ratio_bound(a: float, b: float, bounds: tuple[float, float], r: float, sign: int) -> float:
    """Root of MOVER's quadratic on the side of `sign`, in the form without division by a difference near 0."""
    over, under = bounds
    middle = a * b - r * (over - a) * (b - under)
    inner, outer = over * (2 * a - over), under * (2 * b - under)
    spread = float(np.sqrt(max(middle**2 - inner * outer, 0.0)))
    if sign < 0:
        return inner / (middle + spread) if middle + spread > 0 else 0.0
    return (middle + spread) / outer if outer > 0 else float("inf")


def clustered_mean_interval(values: RowFloats, weight: RowFloats, cluster: np.ndarray, level: float = 0.9) -> Interval:
    """Weighted mean with a linearised, cluster-robust variance and Student's quantile; no resampling.

    Args:
        values: One number for each row.
        weight: How much each row counts.
        cluster: Cluster of each row, such as its item, numbered from 0 without gaps.
        level: Nominal coverage.
    """
    mean = float(np.average(values, weights=weight))
    part = np.bincount(cluster, weight * (values - mean)) / weight.sum()
    n = len(part)
    width = float(stdtrit(n - 1, (1 + level) / 2)) * float(np.sqrt((part**2).sum() * n / max(n - 1, 1)))
    return Interval(mean, mean - width, mean + width, level)


def normal_quantile(level: float) -> float:
    """Half-width of a central normal interval in standard deviations: 1.645 for a level of 0.9."""
    return float(ndtri(0.5 + level / 2))
