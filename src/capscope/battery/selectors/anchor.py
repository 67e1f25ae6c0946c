"""Anchor points: the item most typical of each cluster of answer patterns (Vivek et al., 2024)."""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from capscope.battery.banks.ability import Curves
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.selectors.selector import Candidates, ItemWeights, Selector, refuse_size

PATTERN_MODELS = 64
"""Largest number of past models whose patterns are compared."""


def _typical(candidates: Candidates, size: int, seed: int) -> ItemWeights:
    bank = candidates.fitted()
    refuse_size(size, len(bank.items))
    cluster, medoid = pattern_clusters(bank, size, np.random.default_rng(seed))
    typical = np.zeros(len(bank.items))
    typical[medoid] = 1.0
    return ItemWeights(items=bank.items, stratum=cluster, gain=typical)


def pattern_clusters(bank: Bank, count: int, rng: np.random.Generator) -> tuple[Index, Index]:
    """Cluster items by the correlation of their answer patterns over past models.

    Patterns are fitted chances, because single answers would blur them.

    Args:
        bank: The items.
        count: Number of clusters.
        rng: Source of randomness.

    Returns:
        The cluster of each item, and the medoid of each cluster.
    """
    models = np.arange(len(bank.models))
    if len(models) > PATTERN_MODELS:
        models = rng.choice(models, PATTERN_MODELS, replace=False)
    pattern = Curves.of(bank).chances(bank.posterior.ability_mean[models]).T
    pattern = pattern - pattern.mean(1, keepdims=True)
    pattern /= np.maximum(np.linalg.norm(pattern, axis=1, keepdims=True), 1e-9)
    clusters = KMeans(count, n_init="auto", max_iter=20, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        # fewer patterns than clusters: `_split_to` makes up for it
        warnings.simplefilter("ignore", ConvergenceWarning)
        cluster = _split_to(count, clusters.fit_predict(pattern).astype(np.int64))
    centre = np.stack([pattern[cluster == number].mean(0) for number in range(count)])
    closeness = (pattern * centre[cluster]).sum(1)
    best = np.lexsort((-closeness, cluster))
    return cluster, best[np.unique(cluster[best], return_index=True)[1]]


def _split_to(count: int, cluster: Index) -> Index:
    """Return clusters numbered from 0 of which there are so many: the largest are halved where there are fewer."""
    if len(np.unique(cluster)) == count:
        return cluster
    cluster = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    for number in range(cluster.max() + 1, count):
        members = np.flatnonzero(cluster == np.bincount(cluster).argmax())
        cluster[members[len(members) // 2 :]] = number
    return cluster


ANCHOR = Selector(
    name="anchor",
    help="the most typical item of each cluster of answer patterns",
    needs="responses",
    weigh=_typical,
    one_per_stratum=True,
)
