"""Standard deviation over models of their response to each demand, and the bootstrap over clusters.

`ClusterMoments` holds the sums of an item set by cluster (task), from which means and covariances of resampled clusters
follow without another pass over the items.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import Float, FloatArray, ItemDim, RowFloats
from capscope.data import Responses
from capscope.display import ArrowTables, short_repr
from capscope.fit import PROBIT_SCALE, IRTPosterior, score_and_information
from capscope.intervals import bootstrap_interval, cluster_draws

Values = Float[np.ndarray, "item variable"]
Counts = Float[np.ndarray, "draw cluster"]
DRAWS = 300
NEWTON_STEPS = 3
LEAST_INFORMATION = 0.1
"""Share of the data's information about a slope that a draw of tasks must hold."""
LEAST_LEVEL_SD, FEWEST_CARRYING = 0.1, 10
"""Standard deviation of a level, and items that carry its variance, below which a level is nearly constant."""

ClusterModel = Float[np.ndarray, "cluster model"]


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


@dataclass(frozen=True)
class Separation(ArrowTables):
    """Differences between models on a set of items, by demand and in general ability."""

    table: pd.DataFrame
    """Columns dim, spread, lower, upper, best, worst. Spread is the standard deviation over models of what one
    standard deviation of the level adds to a model's log-odds, at equal general ability, and NaN where the level hardly
    varies between the items; best and worst are blank where the data distinguish no models."""
    general: float
    """The same for the general ability: its standard deviation over models in log-odds."""
    reliability: float
    """Share of the variance of general abilities that is not posterior uncertainty."""

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True)
class _Sums:
    """Sums over a model's answers by task for one dimension: scores r, information w, levels x, around known slopes."""

    slope: Float[np.ndarray, " model"]
    """Slopes at which the sums were taken."""
    shift: Float[np.ndarray, " model"]
    """Shifts of general ability at which they were taken."""
    r: ClusterModel
    w: ClusterModel
    rx: ClusterModel
    wx: ClusterModel
    wxx: ClusterModel

    def stepped(self, counts: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """One Newton step for one draw of tasks: slopes, their error variances over tasks, and shifts."""
        w = np.maximum(counts @ self.w, 1e-9)
        centre = (counts @ self.wx) / w
        score = self.rx - centre * self.r
        information = self.wxx - 2 * centre * self.wx + centre**2 * self.w
        total = counts @ information
        # a draw of tasks in which a level hardly varies says nothing of its slope
        enough = total > LEAST_INFORMATION * np.maximum(information.sum(axis=0), 1e-9)
        total = np.where(enough, total, np.nan)
        step = np.clip((counts @ score) / total, -1, 1)
        left = (score - step * information) ** 2
        drawn = max((counts > 0).sum(), 2)
        error = (counts @ left) / total**2 * drawn / (drawn - 1)
        return self.slope + step, error, self.shift + np.clip((counts @ self.r) / w - centre * step, -1, 1)


def separation(
    posterior: IRTPosterior,
    responses: Responses,
    demand: tuple[ItemDim, tuple[str, ...]],
    cluster: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.9,
) -> Separation:
    """Estimate for each dimension how differently models respond to its demand, at equal general ability.

    Args:
        posterior: A Rasch fit to these responses.
        responses: The responses.
        demand: Levels of the posterior's items, and the rubric codes.
        cluster: Task of each item.
        rng: Source of the bootstrap over tasks.
        level: Nominal coverage.

    Returns:
        Standard deviation over models of the response to each demand, with bounds.
    """
    levels, dims = demand
    centred = filled(levels) - filled(levels).mean(axis=0)
    spread = centred.std(axis=0)
    standard = centred / np.where(spread > 0, spread, 1)
    labels, task = np.unique(cluster, return_inverse=True)
    counts = np.vstack([np.ones(len(labels)), cluster_draws(len(labels), rng, DRAWS)])
    answers = _Answers(posterior, responses, task, len(labels))
    fitted = [_fitted(answers, standard[:, d]) for d in range(len(dims))]
    spreads = np.array([[_spread(*sums.stepped(one)[:2]) for sums in fitted] for one in counts])
    point, draws = spreads[0], spreads[1:]
    whole = [sums.stepped(counts[0]) for sums in fitted]
    slope, error = np.stack([one[0] for one in whole], axis=-1), np.stack([one[1] for one in whole], axis=-1)
    intervals = [bootstrap_interval(point[d], draws[:, d], len(labels), level) for d in range(len(dims))]
    point = np.array([interval.point for interval in intervals])
    shrunk = np.nan_to_num(slope * (np.maximum(point, 0) / (np.maximum(point, 0) + error + 1e-12)))
    roots = np.sqrt(np.maximum([[i.point, i.lower, i.upper] for i in intervals], 0))
    varies = ~_nearly_constant(centred)
    roots = np.where(varies[:, None], roots, np.nan)
    apart = (np.abs(shrunk).max(axis=0) > 0) & varies
    table = pd.DataFrame(
        {
            "dim": dims,
            "spread": roots[:, 0],
            "lower": roots[:, 1],
            "upper": roots[:, 2],
            "best": _names(posterior, shrunk.argmax(axis=0), apart),
            "worst": _names(posterior, shrunk.argmin(axis=0), apart),
        }
    )
    table = table.sort_values("spread", ascending=False, kind="stable").reset_index(drop=True)
    signal = float(posterior.ability_mean[:, 0].var())
    uncertain = float(posterior.ability_cov[:, 0, 0].mean())
    slope_all = float(posterior.item_mean[:, 0].mean())
    return Separation(table, slope_all * np.sqrt(signal), signal / (signal + uncertain))


def _nearly_constant(centred: FloatArray) -> np.ndarray:
    """Dimensions whose levels, less their mean, hardly vary: what models do there is that of a handful of items."""
    square = centred**2
    # the number of items that carry the level's variance, such as k where k of many items have another level
    carrying = square.sum(axis=0) ** 2 / np.maximum((square**2).sum(axis=0), 1e-300)
    return (np.sqrt(square.mean(axis=0)) < LEAST_LEVEL_SD) | (carrying < FEWEST_CARRYING)


def _names(posterior: IRTPosterior, index: np.ndarray, apart: np.ndarray) -> list[str]:
    return [posterior.models[i] if kept else "" for i, kept in zip(index, apart, strict=True)]


class _Answers:
    """Answers with the fit's log-odds, to be summed by task and model."""

    def __init__(self, posterior: IRTPosterior, responses: Responses, task: np.ndarray, n_tasks: int) -> None:
        self.model, self.item = responses.model_index, responses.item_index
        self.score, self.trials = responses.score, responses.n_trials
        self.logit, _ = posterior.logit_moments(self.model, self.item)
        self.floor = posterior.floor[self.item]
        self.shape = (n_tasks, len(posterior.models))
        self.place = task[self.item] * self.shape[1] + self.model

    def add(self, values: FloatArray) -> ClusterModel:
        """Sum by task and model."""
        return np.bincount(self.place, values, self.shape[0] * self.shape[1]).astype(float).reshape(self.shape)

    def sums(self, level: FloatArray, slope: FloatArray, shift: FloatArray, spread: float) -> _Sums:
        """Scores and information around these slopes on a level, whose variance over models is `spread`.

        The fit saw models through the average over their slopes, which flattens log-odds (see `fit.links`); the stretch
        takes that back.
        """
        x = level[self.item]
        logit = self.logit * np.sqrt(1 + PROBIT_SCALE * spread * x**2) + shift[self.model] + slope[self.model] * x
        r, w = (self.trials * part for part in score_and_information(logit, self.score, self.floor))
        return _Sums(slope, shift, self.add(r), self.add(w), self.add(r * x), self.add(w * x), self.add(w * x * x))


def _fitted(answers: _Answers, level: FloatArray) -> _Sums:
    """Sums around the slopes that the whole data have, after a few Newton steps from none."""
    whole = np.ones(answers.shape[0])
    slope = shift = np.zeros(answers.shape[1])
    spread = 0.0
    for _ in range(NEWTON_STEPS):
        slope, error, shift = answers.sums(level, slope, shift, spread).stepped(whole)
        spread = max(float(np.nan_to_num(_spread(slope, error))), 0.0)
        slope, shift = np.nan_to_num(slope), np.nan_to_num(shift)
    return answers.sums(level, slope, shift, spread)


def _spread(slope: FloatArray, error: FloatArray) -> float:
    """Variance of true slopes over models: that of the estimates less their mean error."""
    return float(slope.var(ddof=1) - error.mean())
