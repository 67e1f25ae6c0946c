"""Which items are worth asking a language model about, so that the local annotator learns most from them."""

import numpy as np
from jaxtyping import Int

from capscope.annotate.local_features import ItemFeatures
from capscope.annotate.local_model import FEWEST, Kernel
from capscope.errors import InputError

LARGEST_POOL = 4000
"""Items looked at; memory grows with their square."""
CHOICE_KERNEL = Kernel(1.2, 2.0)


def choose_items(features: ItemFeatures, count: int, rng: np.random.Generator) -> Int[np.ndarray, " chosen"]:
    """Choose items one by one, each the one that most lowers what stays unknown of all items together.

    The unknown is the summed variance of the local annotator's process (Seo et al., 2000). A larger count begins with
    the items of a smaller one, so that what was paid for stays of use.

    Args:
        features: All items that could be asked about.
        count: How many to choose.
        rng: Chooses the items to look at where there are more than `LARGEST_POOL`.

    Raises:
        InputError: The count is below what the local annotator needs, or above the number of items.
    """
    if not FEWEST <= count <= len(features.items):
        raise InputError(f"--distil {count}: choose from {FEWEST} to {len(features.items)}, the items with a text")
    total = len(features.items)
    pool = (
        np.arange(total)
        if total <= LARGEST_POOL
        else np.sort(rng.choice(total, max(LARGEST_POOL, count), replace=False))
    )
    looked_at = features.take(pool)
    shape = (looked_at.shape - looked_at.shape.mean(0)) / np.maximum(looked_at.shape.std(0), 1e-6)
    scaled = ItemFeatures(looked_at.items, looked_at.vector, shape, looked_at.benchmark, looked_at.task)
    covariance = CHOICE_KERNEL.between(scaled, scaled).astype(np.float32)
    chosen: list[int] = []
    for _ in range(count):
        noisy = np.diag(covariance) + 1
        gain = (covariance**2).sum(axis=0) / noisy
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        covariance -= np.outer(covariance[:, best], covariance[best]) / noisy[best]
    return pool[np.array(chosen)]
