"""Co-occurrence of the demands of an item set, their effective dimensions, and contrasts between two sets."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from capscope.axes import LEVELS, Float, FloatArray, ItemDim
from capscope.data import Demands, Study
from capscope.display import ArrowTables, short_repr
from capscope.errors import InputError
from capscope.intervals import Interval, bootstrap_interval, cluster_draws
from capscope.profiles.benchmark.model_spread import ClusterMoments, Values, cluster_moments, filled
from capscope.profiles.item_groups import clusters_of

HIGH_LEVEL = 3.0
"""Lowest level that counts as high."""

DimDim = Float[np.ndarray, "dim dim"]


@dataclass(frozen=True)
class DemandStructure:
    """Co-occurrence of demands and their effective number of dimensions."""

    dims: tuple[str, ...]
    """Rubric codes on both axes."""
    correlation: DimDim
    """Spearman correlations of levels over items; NaN where a dimension does not vary."""
    both_high: DimDim
    """Share of items at `HIGH_LEVEL` or above on both; on the diagonal, on the one."""
    effective_dims: Interval
    """Participation ratio of the levels' covariance: how many dimensions the set varies in, sampling bias removed."""

    def __repr__(self) -> str:
        return short_repr(self)

    def pairs(self) -> pd.DataFrame:
        """Pairs of dimensions, most correlated first: columns dim, other, correlation, both_high, lift.

        Lift is the share high on both over what independent dimensions would give.
        """
        first, second = np.triu_indices(len(self.dims), 1)
        alone = np.diagonal(self.both_high)
        expected = alone[first] * alone[second]
        both = self.both_high[first, second]
        table = pd.DataFrame(
            {
                "dim": [self.dims[i] for i in first],
                "other": [self.dims[i] for i in second],
                "correlation": self.correlation[first, second],
                "both_high": both,
                "lift": np.divide(both, expected, out=np.full(len(both), np.nan), where=expected > 0),
            }
        )
        order = np.argsort(-np.abs(table["correlation"].fillna(0).to_numpy()), kind="stable")
        return table.iloc[order].reset_index(drop=True)


@dataclass(frozen=True)
class DemandContrast(ArrowTables):
    """Demands of one item set compared with another."""

    table: pd.DataFrame
    """Columns dim, mean, other_mean, difference, lower, upper, sd, other_sd, high, other_high, in order of the
    difference's size; `high` is the share of items at `HIGH_LEVEL` or above."""

    def __repr__(self) -> str:
        return short_repr(self)


def demand_structure(demands: Demands, cluster: np.ndarray, level: float = 0.9) -> DemandStructure:
    """Describe which demands come together and in how many dimensions they vary; a gap counts as the dimension's mean.

    Args:
        demands: Levels of the items.
        cluster: Task of each item; the interval is over tasks.
        level: Nominal coverage.

    Returns:
        Correlations of the demands, and the effective number of dimensions with its interval.
    """
    frame = pd.DataFrame(demands.level, columns=list(demands.dims))
    correlation = frame.corr(method="spearman").to_numpy()
    effective = effective_dimensions(filled(demands.level), cluster, level)
    return DemandStructure(demands.dims, correlation, _both_high(demands.level), effective)


def effective_dimensions(values: Values, cluster: np.ndarray, level: float = 0.9) -> Interval:
    """Participation ratio of the covariance over clusters like these, without its sampling bias, and its interval.

    The ratio of a sample's covariance is too small, since chance correlations count as shared variance. Products of
    different clusters have none of them in expectation, so the sums over pairs of clusters are taken (a U-statistic, as
    in Chen and Qin, 2010). The interval is the jackknife's over clusters, on the logarithm, with Student's quantile.

    Args:
        values: One row for each item, without gaps.
        cluster: Label of each item's cluster.
        level: Nominal coverage.

    Returns:
        Point and bounds, between 1 and the number of variables. With fewer than three clusters the point is over items
        and the bounds are NaN; all are NaN where nothing varies.
    """
    labels, place = np.unique(cluster, return_inverse=True)
    if len(labels) < 3:
        point = effective_dimensions(values, np.arange(len(values)), level).point if len(values) > 2 else np.nan
        return Interval(float(point), float("nan"), float("nan"), level)
    clusters, size = len(labels), values.shape[1]
    centred = values - values.mean(axis=0)
    products = np.zeros((clusters, size, size))
    np.add.at(products, place, centred[:, :, None] * centred[:, None, :] / len(values))
    trace, square = np.trace(products, axis1=1, axis2=2), (products**2).sum(axis=(1, 2))
    whole, share = products.sum(axis=0), np.bincount(place) / len(values)
    total, shares = float((whole**2).sum()), float((share**2).sum())
    rest = ((whole - products) ** 2).sum(axis=(1, 2))
    estimate = float(_ratio(total, trace.sum(), (trace**2).sum(), square.sum(), shares))
    others = (trace.sum() - trace, (trace**2).sum() - trace**2, square.sum() - square, shares - share**2)
    logs = np.log(np.maximum(_ratio(rest, *others), 1e-9))
    error = np.sqrt(((logs - logs.mean()) ** 2).sum() * (clusters - 1) / clusters)
    reach = float(stdtrit(clusters - 1, 0.5 + level / 2) * error)
    # the estimate may pass the number of variables by chance; the bounds are then about that number
    bounded = np.clip(estimate, 1.0, size)
    point, lower, upper = np.clip(bounded * np.exp([0.0, -reach, reach]), 1.0, size)
    return Interval(float(point), float(lower), float(upper), level)


def _ratio(
    total: FloatArray | float,
    trace: FloatArray | float,
    traces: FloatArray | float,
    squares: FloatArray | float,
    shares: FloatArray | float,
) -> FloatArray:
    """Squared trace over trace of the square, both over pairs of different clusters; NaN where that is not positive.

    Args:
        total: Sum of the squared entries of the clusters' summed products of values.
        trace: Sum of the traces of the clusters' products.
        traces: Sum of their squared traces.
        squares: Sum of their squared entries.
        shares: Sum of the clusters' squared shares of the items; one over it is how many equal clusters they are worth.
    """
    numerator = np.asarray(trace**2 - traces, float)
    # subtracting the sample's mean makes different clusters slightly dependent
    denominator = np.asarray(total - squares - numerator * shares**2, float)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _both_high(levels: ItemDim) -> DimDim:
    known = (~np.isnan(levels)).astype(float)
    high = (levels >= HIGH_LEVEL).astype(float)
    return high.T @ high / np.maximum(known.T @ known, 1)


def demand_contrast(
    matrices: tuple[Demands, Demands],
    studies: tuple[Study, Study],
    rng: np.random.Generator,
    level: float = 0.9,
) -> DemandContrast:
    """Compare two item sets dimension by dimension, with intervals over tasks of both.

    Args:
        matrices: Levels of the set in question, and of the set to compare with.
        studies: The studies that they belong to, for the tasks.
        rng: Source of the bootstrap.
        level: Nominal coverage.

    Returns:
        Difference of the mean levels by dimension, with bounds.

    Raises:
        InputError: The sets share no dimension.
    """
    one, other = matrices
    dims = tuple(dim for dim in one.dims if dim in other.dims)
    if not dims:
        raise InputError("the two sets share no demand dimension; annotate both with the same rubrics")
    sides = [_side(matrix.on(dims), study, rng) for matrix, study in zip(matrices, studies, strict=True)]
    (mean, draws, moments), (other_mean, other_draws, other_moments) = sides
    smallest = min(moments.clusters, other_moments.clusters)
    intervals = [
        bootstrap_interval(float(mean[d] - other_mean[d]), draws[:, d] - other_draws[:, d], smallest, level)
        for d in range(len(dims))
    ]
    levels, other_levels = one.on(dims).level, other.on(dims).level
    table = pd.DataFrame(
        {
            "dim": dims,
            "mean": mean,
            "other_mean": other_mean,
            "difference": mean - other_mean,
            # with few tasks the bootstrap's interval goes beyond what levels allow
            "lower": np.maximum([interval.lower for interval in intervals], LEVELS[0] - LEVELS[-1]),
            "upper": np.minimum([interval.upper for interval in intervals], LEVELS[-1] - LEVELS[0]),
            "sd": np.nanstd(levels, axis=0),
            "other_sd": np.nanstd(other_levels, axis=0),
            "high": np.diagonal(_both_high(levels)),
            "other_high": np.diagonal(_both_high(other_levels)),
        }
    )
    order = np.argsort(-np.abs(table["difference"].to_numpy()), kind="stable")
    return DemandContrast(table.iloc[order].reset_index(drop=True))


def _side(demands: Demands, study: Study, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, ClusterMoments]:
    moments = cluster_moments(filled(demands.level), clusters_of(study, demands.items))
    draws, _ = moments.pooled(cluster_draws(moments.clusters, rng))
    return moments.pooled(moments.whole())[0][0], draws, moments
