"""Means and covariances of an item set whose clusters (tasks) are drawn again, from sums by cluster."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import RowFloats

Values = Float[np.ndarray, "item variable"]
Counts = Float[np.ndarray, "draw cluster"]


@dataclass(frozen=True)
class ClusterMoments:
    """Weighted sums of 1, x and x x' by cluster; any draw of clusters is then one product of matrices."""

    weight: Float[np.ndarray, " cluster"]
    """Sum of the items' weights."""
    first: Float[np.ndarray, "cluster variable"]
    """Weighted sum of the values."""
    second: Float[np.ndarray, "cluster variable variable"]
    """Weighted sum of the products of values."""

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.weight)

    def whole(self) -> Counts:
        """Return the one draw that takes every cluster once."""
        return np.ones((1, self.clusters))

    def pooled(
        self, counts: Counts
    ) -> tuple[Float[np.ndarray, "draw variable"], Float[np.ndarray, "draw variable variable"]]:
        """Mean and covariance (with divisor n) of each draw.

        Args:
            counts: How often each cluster was drawn.
        """
        weight = counts @ self.weight
        mean = counts @ self.first / weight[:, None]
        product = np.tensordot(counts, self.second, 1) / weight[:, None, None]
        return mean, product - mean[:, :, None] * mean[:, None, :]


def cluster_moments(values: Values, cluster: np.ndarray, weight: RowFloats | None = None) -> ClusterMoments:
    """Sum values and their products by cluster.

    Args:
        values: One row for each item; no gaps (see `filled`).
        cluster: Label of each item's cluster.
        weight: Weight of each item; 1 without.
    """
    weight = np.ones(len(values)) if weight is None else weight
    order = np.argsort(cluster, kind="stable")
    _, starts = np.unique(cluster[order], return_index=True)
    parts = [(weight[rows], values[rows]) for rows in np.split(order, starts[1:])]
    first = np.stack([w @ x for w, x in parts])
    second = np.stack([(x * w[:, None]).T @ x for w, x in parts])
    return ClusterMoments(np.array([w.sum() for w, _ in parts]), first, second)


def filled(values: Values) -> Values:
    """Replace missing values by the variable's mean; a variable without any value becomes 0."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, values, mean)
