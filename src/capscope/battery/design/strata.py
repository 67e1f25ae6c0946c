"""Strata of items: alike in demands, in task, or in who answers them right."""

import numpy as np
from sklearn.cluster import KMeans

from capscope.axes import FloatArray
from capscope.battery.banks.bank import Bank, Index

MOST_STRATA = 40
PATTERN_MODELS = 64
"""Patterns of answers are compared over so many past models."""


def demand_strata(level: FloatArray, size: int, seed: int) -> Index:
    """Cluster items by their demand levels; half as many clusters as items to draw, so that each gives some."""
    count = min(max(size // 2, 1), MOST_STRATA, len(np.unique(level, axis=0)))
    return KMeans(count, random_state=seed).fit_predict(level).astype(np.int64)


def task_strata(bank: Bank) -> Index:
    """Benchmark and task of each item, as numbers."""
    names = [f"{benchmark}/{task}" for benchmark, task in zip(bank.benchmark, bank.task, strict=True)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def pattern_clusters(bank: Bank, count: int, rng: np.random.Generator) -> tuple[Index, Index]:
    """Cluster items by who answers them right, after Vivek et al. (2024): near in correlation, one medoid each.

    The patterns are the fitted chances of past models, which single answers would blur.

    Returns:
        The cluster of each item, and the medoid of each cluster.
    """
    from capscope.battery.ability import Curves

    models = np.arange(len(bank.models))
    if len(models) > PATTERN_MODELS:
        models = rng.choice(models, PATTERN_MODELS, replace=False)
    pattern = Curves.of(bank).chances(bank.posterior.ability_mean[models]).T
    pattern = pattern - pattern.mean(1, keepdims=True)
    pattern /= np.maximum(np.linalg.norm(pattern, axis=1, keepdims=True), 1e-9)
    found = KMeans(count, n_init="auto", max_iter=20, random_state=int(rng.integers(2**31)))
    cluster = found.fit_predict(pattern).astype(np.int64)
    closeness = (pattern * found.cluster_centers_[cluster]).sum(1)
    best = np.lexsort((-closeness, cluster))
    return cluster, best[np.unique(cluster[best], return_index=True)[1]]
