"""Shares of the variance of item difficulty that each demand explains, and that demands and text predict.

The shares of the demands are averages over orders of entry (Lindeman, Merenda and Gold, 1980). The held-out shares are
those of ridge regressions on items, and on tasks, that the regression was not fitted to.
"""

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, KFold

from capscope.axes import Float, FloatArray, ItemDim, RowFloats
from capscope.display import ArrowTables, short_repr
from capscope.embedding import TFIDF, embed
from capscope.errors import FitError, counted
from capscope.fit import IRTPosterior
from capscope.intervals import Interval, bootstrap_interval, cluster_draws
from capscope.profiles.benchmark.model_spread import cluster_moments, filled

ORDERS = 60
"""Orders of entry over which a demand's share is averaged where all orders are too many."""
DRAWS = 300
FEWEST_ITEMS_PER_DIM = 5
LARGEST_VARIANCE = 25.0
"""An item all models pass or fail says next to nothing of its difficulty; its variance stops here (log-odds^2)."""
COMPONENTS = 48
FOLDS = 5
HELD_OUT_DRAWS = 400
PENALTIES = np.logspace(0, 5, 11)
HASHED_WORDS = 2**16

Features = Float[np.ndarray, "item feature"]


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
class DifficultyShares(ArrowTables):
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

    Args:
        posterior: A Rasch fit.

    Returns:
        Difficulty of each item in log-odds, with its standard error.

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
    off by the bootstrap, which draws whole tasks; shares and their bounds stay within 0 and 1.

    Args:
        difficulty: Estimated difficulties.
        levels: Levels of the same items.
        dims: Rubric codes.
        cluster: Task of each item.
        rng: Source of the orders and of the bootstrap.
        level: Nominal coverage.

    Returns:
        Share of variance of each demand and of all together, with bounds.

    Raises:
        FitError: Too few items for so many dimensions.
    """
    size, n_dims = levels.shape
    if size < FEWEST_ITEMS_PER_DIM * n_dims:
        need = FEWEST_ITEMS_PER_DIM * n_dims
        raise FitError(
            f"{counted(size, 'item', 'have')} levels and answers; shares of {n_dims} demands need {need} or more"
        )
    columns = np.column_stack([filled(levels), difficulty.value, difficulty.variance])
    moments = cluster_moments(columns, cluster, difficulty.weight)
    orders = entry_orders(n_dims, rng)
    counts = np.vstack([moments.whole(), cluster_draws(moments.clusters, rng, DRAWS)])
    mean, cov = moments.pooled(counts)
    true_variance = cov[:, n_dims, n_dims] - mean[:, n_dims + 1]
    both = cov[:, : n_dims + 1, : n_dims + 1]
    shares = np.stack([order_shares(one, orders) for one in both]) / _positive(true_variance)[:, None]
    table = _share_table(dims, shares, moments.clusters, level)
    table = table.assign(alone=_alone(both[0], true_variance[0]), slope=_slopes(both[0]))
    table = table.sort_values("share", ascending=False, kind="stable").reset_index(drop=True)
    total = bootstrap_interval(shares[0].sum(), shares[1:].sum(axis=1), moments.clusters, level).within(0.0, 1.0)
    spread = float(np.sqrt(max(true_variance[0], 0)))
    observed = float(cov[0, n_dims, n_dims])
    noise = float(mean[0, n_dims + 1]) / observed if observed > 0 else float("nan")
    return DifficultyShares(table, total, spread, noise, size)


def _share_table(dims: tuple[str, ...], shares: np.ndarray, clusters: int, level: float) -> pd.DataFrame:
    """Share of each demand with its bounds.

    Args:
        dims: Rubric codes.
        shares: Shares (draw, dim), of all items first and then of bootstrap draws.
        clusters: Number of tasks.
        level: Nominal coverage.
    """
    intervals = [
        bootstrap_interval(shares[0, d], shares[1:, d], clusters, level).within(0.0, 1.0) for d in range(len(dims))
    ]
    bounds = [(dim, one.point, one.lower, one.upper) for dim, one in zip(dims, intervals, strict=True)]
    return pd.DataFrame(bounds, columns=["dim", "share", "lower", "upper"])


def entry_orders(n_dims: int, rng: np.random.Generator) -> np.ndarray:
    """All orders of up to four dimensions, else random ones, each with its reverse, as an array (order, dim).

    Args:
        n_dims: Number of dimensions.
        rng: Source of randomness.
    """
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


@dataclass(frozen=True)
class HeldOutShares(ArrowTables):
    """Shares of the variance of true difficulty that predictors explain on items held out."""

    table: pd.DataFrame
    """Columns predictors, held_out (`items` or `tasks`), share, lower, upper."""
    text_adds: pd.DataFrame
    """Columns held_out, share, lower, upper: what text explains on top of demands; empty without texts."""
    unexplained: float
    """Share that no predictor explains on new items of known tasks."""

    def __repr__(self) -> str:
        return short_repr(self)


def text_features(texts: list[str], seed: int, embedder: str = "", cache: Path | None = None) -> Features:
    """Turn texts into a few numbers: by an embedding model, or without one by their words (latent semantics).

    Args:
        texts: One for each item.
        seed: Seed of the decomposition.
        embedder: Name of an embedding model; empty or `TFIDF` for words, which need no model.
        cache: Where vectors of the embedding model are kept.

    Returns:
        Array (item, feature) and its name.
    """
    if embedder not in ("", TFIDF):
        whole = np.asarray(embed(texts, embedder, cache), float)
    else:
        words = HashingVectorizer(n_features=HASHED_WORDS, alternate_sign=False).transform(texts)
        whole = TfidfTransformer(sublinear_tf=True).fit_transform(words)
    size = min(COMPONENTS, len(texts) - 1, whole.shape[1] - 1)
    # texts that are all alike have no variance, of which the decomposition takes a share
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = TruncatedSVD(size, n_iter=3, random_state=seed).fit_transform(whole)
    return np.asarray(reduced / max(float(reduced.std(axis=0).mean()), 1e-12))


def held_out_shares(
    difficulty: Difficulties,
    levels: ItemDim,
    text: Features | None,
    cluster: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.9,
) -> HeldOutShares:
    """Predict held-out difficulties by ridge regression and say which share of their true variance that explains.

    Args:
        difficulty: Estimated difficulties.
        levels: Levels of the same items.
        text: Text features of the same items; None where there are no texts.
        cluster: Task of each item.
        rng: Source of folds and bootstrap.
        level: Nominal coverage.

    Returns:
        Share of variance by demands, by texts and by both, with bounds.
    """
    sets = _predictor_sets(levels, text, cluster)
    labels, task = np.unique(cluster, return_inverse=True)
    splits = {"items": _folds(len(task), None, rng)}
    if FOLDS <= len(labels) < len(task):
        splits["tasks"] = _folds(len(task), task, rng)
    counts = np.vstack([np.ones(len(labels)), cluster_draws(len(labels), rng, HELD_OUT_DRAWS)])
    shares: dict[tuple[str, str], FloatArray] = {}
    for held_out, folds in splits.items():
        base = _squared_errors(difficulty, np.zeros((len(task), 0)), folds)
        for name, features in sets.items():
            if held_out == "items" or "task" not in name:
                errors = _squared_errors(difficulty, features, folds)
                shares[name, held_out] = _shares(difficulty, errors, base, task, counts)
    rows = [(*key, *_row(draws, len(labels), level)) for key, draws in shares.items()]
    table = pd.DataFrame(rows, columns=["predictors", "held_out", "share", "lower", "upper"])
    known = table.loc[table["held_out"] == "items", "share"]
    return HeldOutShares(table, _added(shares, len(labels), level), float(1 - max(known.max(), 0)))


def _predictor_sets(levels: ItemDim, text: Features | None, cluster: np.ndarray) -> dict[str, FloatArray]:
    demand = filled(levels)
    spread = demand.std(axis=0)
    demand = (demand - demand.mean(axis=0)) / np.where(spread > 0, spread, 1)
    sets = {"demands": demand}
    everything = [demand]
    if text is not None:
        sets["text"] = text
        sets["demands+text"] = np.column_stack([demand, text])
        everything.append(text)
    labels, task = np.unique(cluster, return_inverse=True)
    if len(labels) < len(task):
        dummies = np.eye(len(labels))[task] / np.sqrt(np.bincount(task)[task] / len(task))[:, None]
        sets["task"] = dummies
        sets["task+" + "+".join(["demands", "text"][: len(everything)])] = np.column_stack([*everything, dummies])
    return sets


def _folds(size: int, group: np.ndarray | None, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    seed = int(rng.integers(2**31))
    blank = np.zeros((size, 1))
    if group is None:
        return list(KFold(FOLDS, shuffle=True, random_state=seed).split(blank))
    return list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(blank, groups=group))


def _squared_errors(
    difficulty: Difficulties, features: Features, folds: list[tuple[np.ndarray, np.ndarray]]
) -> RowFloats:
    errors = np.empty(len(features))
    for train, test in folds:
        weight = difficulty.weight[train]
        if features.shape[1]:
            model = RidgeCV(alphas=PENALTIES).fit(features[train], difficulty.value[train], sample_weight=weight)
            predicted = np.asarray(model.predict(features[test]))
        else:
            predicted = np.full(len(test), np.average(difficulty.value[train], weights=weight))
        errors[test] = (difficulty.value[test] - predicted) ** 2
    return errors


def _shares(
    difficulty: Difficulties, errors: RowFloats, base: RowFloats, task: np.ndarray, counts: FloatArray
) -> FloatArray:
    """Share explained in each draw of tasks, the first being the data; estimation error is excluded."""
    weight = difficulty.weight
    noise = difficulty.variance
    explained = counts @ np.bincount(task, weight * (base - errors))
    true = counts @ np.bincount(task, weight * (base - noise))
    return np.divide(explained, true, out=np.full(len(true), np.nan), where=true > 0)


def _row(draws: FloatArray, clusters: int, level: float) -> tuple[float, float, float]:
    """A share and its bounds: at most all of the variance; below 0 where predictions are worse than the mean."""
    # a draw with next to no variance has a share without bound, which would move the others' mean
    draws = np.clip(draws, -1, 1)
    share, interval = float(draws[0]), bootstrap_interval(float(draws[0]), draws[1:], clusters, level).within(-1.0, 1.0)
    return share, min(interval.lower, share), max(interval.upper, share)


def _added(shares: dict[tuple[str, str], FloatArray], clusters: int, level: float) -> pd.DataFrame:
    rows = [
        (held_out, *_row(draws - shares["demands", held_out], clusters, level))
        for (name, held_out), draws in shares.items()
        if name == "demands+text"
    ]
    return pd.DataFrame(rows, columns=["held_out", "share", "lower", "upper"])
