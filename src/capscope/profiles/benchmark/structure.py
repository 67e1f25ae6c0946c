"""How the demands of an item set hang together, and how one set differs from another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import FloatArray, ItemDim
from capscope.data import Demands, Study
from capscope.errors import InputError
from capscope.intervals import Interval, bootstrap_interval, cluster_draws
from capscope.profiles.benchmark.cluster_moments import ClusterMoments, cluster_moments, filled
from capscope.profiles.item_groups import clusters_of

HIGH_LEVEL = 3.0
"""A demand from this level on counts as high in co-occurrence."""

DimDim = Float[np.ndarray, "dim dim"]


@dataclass(frozen=True)
class DemandStructure:
    """Which demands come together."""

    dims: tuple[str, ...]
    """Rubric codes on both axes."""
    correlation: DimDim
    """Spearman correlations of levels over items; NaN where a dimension does not vary."""
    both_high: DimDim
    """Share of items at `HIGH_LEVEL` or above on both; on the diagonal, on the one."""
    effective_dims: Interval
    """Participation ratio of the levels' covariance: how many dimensions the set varies in."""

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
class DemandContrast:
    """One item set against another."""

    table: pd.DataFrame
    """Columns dim, mean, other_mean, difference, lower, upper, sd, other_sd, high, other_high, in order of the
    difference's size; `high` is the share of items at `HIGH_LEVEL` or above."""


def participation_ratio(cov: Float[np.ndarray, "*draw dim dim"]) -> FloatArray:
    """Effective number of dimensions ``(tr C)^2 / tr C^2``: 1 for a line, D for D equal ones; NaN for a point."""
    trace = np.trace(cov, axis1=-2, axis2=-1)
    squares = (cov**2).sum(axis=(-2, -1))
    return np.asarray(np.divide(trace**2, squares, out=np.full(np.shape(squares), np.nan), where=squares > 0))


def demand_structure(
    demands: Demands, cluster: np.ndarray, rng: np.random.Generator, level: float = 0.9
) -> DemandStructure:
    """Describe co-occurrence and effective dimensions; a gap counts as the dimension's mean.

    Args:
        demands: Levels of the items.
        cluster: Task of each item; the interval is over tasks.
        rng: Source of the bootstrap.
        level: Nominal coverage.
    """
    frame = pd.DataFrame(demands.level, columns=list(demands.dims))
    moments = cluster_moments(filled(demands.level), cluster)
    draws = participation_ratio(moments.pooled(cluster_draws(moments.clusters, rng))[1])
    point = float(participation_ratio(moments.pooled(moments.whole())[1])[0])
    found = bootstrap_interval(point, draws, moments.clusters, level)
    # the ratio lies between 1 and the number of dimensions, which a symmetric correction does not know
    bound = np.clip([found.point, found.lower, found.upper], 1.0, len(demands.dims))
    return DemandStructure(
        demands.dims,
        frame.corr(method="spearman").to_numpy(),
        _both_high(demands.level),
        Interval(point, float(bound[1]), float(bound[2]), level),
    )


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
            "lower": [interval.lower for interval in intervals],
            "upper": [interval.upper for interval in intervals],
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
