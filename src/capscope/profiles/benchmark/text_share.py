"""Share of difficulty that demands and text predict on held-out items and held-out tasks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, KFold

from capscope.axes import FloatArray, ItemDim, RowFloats
from capscope.display import short_repr
from capscope.embedding import embed
from capscope.intervals import bootstrap_interval, cluster_draws
from capscope.profiles.benchmark.cluster_moments import filled
from capscope.profiles.benchmark.difficulty_decomposition import Difficulties

COMPONENTS = 48
FOLDS = 5
DRAWS = 400
PENALTIES = np.logspace(0, 5, 11)
HASHED_WORDS = 2**16

Features = Float[np.ndarray, "item feature"]


@dataclass(frozen=True)
class HeldOutShares:
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
        embedder: Name of an embedding model; empty for words.
        cache: Where vectors of the embedding model are kept.
    """
    if embedder:
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
    """
    sets = _predictor_sets(levels, text, cluster)
    labels, task = np.unique(cluster, return_inverse=True)
    splits = {"items": _folds(len(task), None, rng)}
    if FOLDS <= len(labels) < len(task):
        splits["tasks"] = _folds(len(task), task, rng)
    counts = np.vstack([np.ones(len(labels)), cluster_draws(len(labels), rng, DRAWS)])
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
    interval = bootstrap_interval(float(draws[0]), draws[1:], clusters, level)
    return float(draws[0]), interval.lower, interval.upper


def _added(shares: dict[tuple[str, str], FloatArray], clusters: int, level: float) -> pd.DataFrame:
    rows = [
        (held_out, *_row(draws - shares["demands", held_out], clusters, level))
        for (name, held_out), draws in shares.items()
        if name == "demands+text"
    ]
    return pd.DataFrame(rows, columns=["held_out", "share", "lower", "upper"])
