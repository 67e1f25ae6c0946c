"""Families of models, found from their answers: models that err together beyond what their abilities explain."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from capscope.axes import FloatArray
from capscope.battery.banks.bank import Bank

RELATED = 0.25
"""Models whose residuals correlate by more than this are of one family."""


def residual_correlation(bank: Bank) -> FloatArray:
    """Correlation of residuals between past models, over the items both answered, as (model, model)."""
    history = bank.known_scores()
    n_models, n_items = history.shape
    model, item = np.divmod(np.arange(n_models * n_items), n_items)
    chance = bank.posterior.probability(model, item).reshape(n_models, n_items)
    seen = ~np.isnan(history)
    spread = np.sqrt(np.maximum(chance * (1 - chance), 1e-4))
    residual = np.where(seen, (history - chance) / spread, 0.0)
    mask = seen.astype(float)
    product, square = residual @ residual.T, residual**2 @ mask.T
    return product / np.sqrt(np.maximum(square * square.T, 1e-12))


def families(bank: Bank) -> np.ndarray:
    """Number of each past model's family, by average linkage on the correlation of residuals.

    Merges and fine-tunes of one base model share its mistakes whatever they are called, so names are not asked.
    """
    if len(bank.models) < 2:
        return np.zeros(len(bank.models), dtype=np.int64)
    distance = 1 - np.clip(residual_correlation(bank), -1, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), "average")
    return fcluster(tree, 1 - RELATED, "distance").astype(np.int64) - 1
