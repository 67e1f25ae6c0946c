"""Shares of the variance of item difficulty that demands explain (Lindeman, Merenda and Gold, 1980)."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import FloatArray, ItemDim, RowFloats
from capscope.display import short_repr
from capscope.errors import FitError
from capscope.fit import IRTPosterior
from capscope.intervals import Interval, bootstrap_interval, cluster_draws
from capscope.profiles.benchmark.cluster_moments import cluster_moments, filled

ORDERS = 60
"""Orders of entry over which a demand's share is averaged where all orders are too many."""
DRAWS = 300
FEWEST_ITEMS_PER_DIM = 5
LARGEST_VARIANCE = 25.0
"""An item all models pass or fail says next to nothing of its difficulty; its variance stops here (log-odds^2)."""


@dataclass(frozen=True)
class Difficulties:
    """Difficulty of each item estimated from its answers alone, in log-odds for the average model."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    value: Float[np.ndarray, " item"]
    """Estimate without shrinkage."""
    variance: Float[np.ndarray, " item"]
    """Its error variance."""
    spread: float
    """Variance of true difficulties over items."""

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def weight(self) -> Float[np.ndarray, " item"]:
        """Weights under which a mean over items has least variance."""
        return self.spread / (self.spread + self.variance)

    def take(self, index: np.ndarray) -> "Difficulties":
        """Return some of the items."""
        items = tuple(self.items[i] for i in index)
        return Difficulties(items, self.value[index], self.variance[index], self.spread)


@dataclass(frozen=True)
class DifficultyShares:
    """Shares of the variance of true difficulty that demands explain."""

    table: pd.DataFrame
    """Columns dim, share, lower, upper, alone (share if it were the only one), slope (log-odds per level, others
    held)."""
    explained: Interval
    """Share of all demands together."""
    spread: float
    """Standard deviation of true difficulty over items, in log-odds."""
    noise: float
    """Share of the observed variance of difficulties that is estimation error."""
    items: int
    """Items with both levels and answers."""

    def __repr__(self) -> str:
        return short_repr(self)


def difficulties(posterior: IRTPosterior) -> Difficulties:
    """Extract difficulties from a Rasch fit without its prior, so that regressions on them are not shrunk twice.

    Raises:
        FitError: The fit is not a Rasch model.
    """
    if posterior.model_name != "rasch":
        raise FitError("difficulty shares need a Rasch fit, whose difficulties are on one scale; fit --model rasch")
    prior_mean, prior_variance = posterior.population.intercept[-1], posterior.population.cov[-1, -1]
    mean, variance = posterior.item_mean[:, -1], posterior.item_cov[:, -1, -1]
    precision = np.maximum(1 / variance - 1 / prior_variance, 1 / LARGEST_VARIANCE)
    value = (mean / variance - prior_mean / prior_variance) / precision
    return Difficulties(posterior.items, -value, 1 / precision, float(prior_variance))


def difficulty_shares(
    difficulty: Difficulties,
    levels: ItemDim,
    dims: tuple[str, ...],
    cluster: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.9,
) -> DifficultyShares:
    """Divide the explained variance of difficulty among demands, averaged over orders of entry (Lindeman et al., 1980).

    Shares refer to true difficulty: estimation error is taken off the variance. What chance alone explains is taken
    off by the bootstrap, which draws whole tasks; so a share can be below 0.

    Args:
        difficulty: Estimated difficulties.
        levels: Levels of the same items.
        dims: Rubric codes.
        cluster: Task of each item.
        rng: Source of the orders and of the bootstrap.
        level: Nominal coverage.

    Raises:
        FitError: Too few items for so many dimensions.
    """
    size, n_dims = levels.shape
    if size < FEWEST_ITEMS_PER_DIM * n_dims:
        need = FEWEST_ITEMS_PER_DIM * n_dims
        raise FitError(f"{size} items have levels and answers; shares of {n_dims} demands need {need} or more")
    columns = np.column_stack([filled(levels), difficulty.value, difficulty.variance])
    moments = cluster_moments(columns, cluster, difficulty.weight)
    orders = entry_orders(n_dims, rng)
    counts = np.vstack([moments.whole(), cluster_draws(moments.clusters, rng, DRAWS)])
    mean, cov = moments.pooled(counts)
    true_variance = cov[:, n_dims, n_dims] - mean[:, n_dims + 1]
    both = cov[:, : n_dims + 1, : n_dims + 1]
    shares = np.stack([order_shares(one, orders) for one in both]) / _positive(true_variance)[:, None]
    intervals = [bootstrap_interval(shares[0, d], shares[1:, d], moments.clusters, level) for d in range(n_dims)]
    total = bootstrap_interval(shares[0].sum(), shares[1:].sum(axis=1), moments.clusters, level)
    table = pd.DataFrame(
        {
            "dim": dims,
            "share": [interval.point for interval in intervals],
            "lower": [interval.lower for interval in intervals],
            "upper": [interval.upper for interval in intervals],
            "alone": _alone(both[0], true_variance[0]),
            "slope": _slopes(both[0]),
        }
    )
    table = table.sort_values("share", ascending=False, kind="stable").reset_index(drop=True)
    spread = float(np.sqrt(max(true_variance[0], 0)))
    observed = float(cov[0, n_dims, n_dims])
    noise = float(mean[0, n_dims + 1]) / observed if observed > 0 else float("nan")
    return DifficultyShares(table, total, spread, noise, size)


def entry_orders(n_dims: int, rng: np.random.Generator) -> np.ndarray:
    """All orders of up to four dimensions, else random ones, each with its reverse, as an array (order, dim)."""
    if n_dims <= 4:
        return np.array(list(permutations(range(n_dims))))
    drawn = np.stack([rng.permutation(n_dims) for _ in range(ORDERS // 2)])
    return np.concatenate([drawn, drawn[:, ::-1]])


def order_shares(cov: Float[np.ndarray, "both both"], orders: np.ndarray) -> FloatArray:
    """Variance of the last variable that each other one adds, averaged over orders of entry.

    Args:
        cov: Covariance of the demands and, last, of difficulty.
        orders: Array (order, dim) of permutations.
    """
    demand, outcome = cov[:-1, :-1], cov[:-1, -1]
    # a demand that does not vary in this draw adds nothing, and must not break the factorisation
    jitter = 1e-9 * max(float(np.trace(demand)), 1e-3)
    demand = demand + jitter * np.eye(len(demand))
    ordered = demand[orders[:, :, None], orders[:, None, :]]
    factor = np.linalg.cholesky(ordered)
    added = np.linalg.solve(factor, outcome[orders][..., None])[..., 0] ** 2
    shares = np.zeros(len(outcome))
    np.add.at(shares, orders.ravel(), added.ravel())
    return shares / len(orders)


def _positive(variance: RowFloats) -> RowFloats:
    return np.where(variance > 0, variance, np.nan)


def _alone(cov: FloatArray, true_variance: float) -> FloatArray:
    variance = np.diagonal(cov)[:-1]
    return np.where(variance > 0, cov[:-1, -1] ** 2 / np.where(variance > 0, variance, 1) / true_variance, 0)


def _slopes(cov: FloatArray) -> FloatArray:
    return np.linalg.lstsq(cov[:-1, :-1], cov[:-1, -1], rcond=1e-9)[0]
