"""Clusters of items by how their pass rates change over scale (clusters of difficulty: Xu et al., 2025).

Items are grouped by k-means on their smoothed pass rates over the rungs of a ladder of models. The groups are refined
as latent classes with binomial counts (Lazarsfeld & Henry, 1968), since hard groups of noisy rates look steeper than
they are. The shares and rates of the classes add up to the rate of all items.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from capscope.axes import FloatArray

MOST_CLUSTERS, MOST_RUNGS = 4, 8
FEWEST_ITEMS = 10
"""Items that a cluster needs on average."""
ROUNDS = 60
REFINED = 1e-4
"""Largest change of a class's rates at which its refinement ends."""
PSEUDO = 0.5
"""Passes and failures that are added to each class and rung."""
SMOOTHED = (0.25, 0.5, 0.25)
"""Weights of the rung below, the rung, and the rung above."""


@dataclass(frozen=True)
class ItemClusters:
    """Membership of items in clusters; the hardest cluster at the top of the ladder is last."""

    weight: FloatArray
    """Probability that an item belongs to a cluster, shape (item, cluster)."""

    @property
    def share(self) -> FloatArray:
        """Share of the items in each cluster."""
        return self.weight.mean(0)

    def sums(self, values: FloatArray) -> FloatArray:
        """Sum values of models and items, shape (model, item), within clusters: shape (model, cluster)."""
        return values @ self.weight


def rungs_of(scale: FloatArray) -> np.ndarray:
    """Return the rung of each model: its distinct scale, or one of eight groups of about equally many models.

    Args:
        scale: Log scale by model.
    """
    values, place = np.unique(np.round(scale, 6), return_inverse=True)
    if len(values) <= MOST_RUNGS:
        return place
    counts = np.bincount(place)
    middle = np.cumsum(counts) - counts / 2
    return np.unique((middle / len(scale) * MOST_RUNGS).astype(int)[place], return_inverse=True)[1]


def cluster_items(right: FloatArray, trials: FloatArray, rung: np.ndarray, seed: int) -> ItemClusters:
    """Group items by their pass rates over the rungs; the number of groups has the least BIC.

    Args:
        right: Passes, shape (model, item).
        trials: Trials, 0 where an item was not tried, shape (model, item).
        rung: Rung of each model.
        seed: Seed of the first groups.
    """
    n_items = right.shape[1]
    member = (rung[None] == np.arange(rung.max() + 1)[:, None]).astype(float)
    passes, tries = (member @ right).T, (member @ trials).T
    best, least = np.ones((n_items, 1)), np.inf
    for count in range(1, min(MOST_CLUSTERS, max(1, n_items // FEWEST_ITEMS)) + 1):
        weight, fit = _classes(passes, tries, count, seed)
        bic = -2 * fit + (count * passes.shape[1] + count - 1) * np.log(n_items)
        if bic < least:
            best, least = weight, bic
    top = (best.T @ passes)[:, -1] / np.maximum((best.T @ tries)[:, -1], 1e-9)
    return ItemClusters(best[:, np.argsort(-top)])


def _classes(passes: FloatArray, tries: FloatArray, count: int, seed: int) -> tuple[FloatArray, float]:
    """Fit latent classes by expectation-maximisation; return memberships and the log-likelihood."""
    weight = _first_groups(passes, tries, count, seed)
    rate = np.zeros((count, passes.shape[1]))
    fit = -np.inf
    for _ in range(ROUNDS):
        before = rate
        rate = (weight.T @ passes + PSEUDO) / (weight.T @ tries + 2 * PSEUDO)
        share = np.maximum(weight.mean(0), np.finfo(float).tiny)
        log = passes @ np.log(rate).T + (tries - passes) @ np.log1p(-rate).T + np.log(share)
        most = log.max(1, keepdims=True)
        weight = np.exp(log - most)
        total = weight.sum(1, keepdims=True)
        weight, fit = weight / total, float((most + np.log(total)).sum())
        if np.abs(rate - before).max() < REFINED:
            break
    return weight, fit


def _first_groups(passes: FloatArray, tries: FloatArray, count: int, seed: int) -> FloatArray:
    """Group items by k-means on smoothed rates, the angle of which has an even spread."""
    if count == 1:
        return np.ones((len(passes), 1))
    padded = [np.pad(values, ((0, 0), (1, 1)), mode="edge") for values in (passes, tries)]
    near = [sum(w * part[:, k : k + passes.shape[1]] for k, w in enumerate(SMOOTHED)) for part in padded]
    overall = (passes.sum(0) + PSEUDO) / (tries.sum(0) + 2 * PSEUDO)
    angle = np.arcsin(np.sqrt((near[0] + overall) / (near[1] + 1)))
    distinct = len(np.unique(angle, axis=0))
    label = KMeans(min(count, distinct), random_state=seed).fit_predict(angle)
    return np.eye(count)[label] * 0.9 + 0.1 / count
