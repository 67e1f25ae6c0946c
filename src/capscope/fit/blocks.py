"""Which models and items are joined by answers, directly or through others."""

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from capscope.data import ResponseMatrix


def block_labels(responses: ResponseMatrix) -> tuple[Int[np.ndarray, " model"], Int[np.ndarray, " item"]]:
    """Label of the block of each model and of each item; those without an answer are blocks of their own."""
    n_models, size = len(responses.models), len(responses.models) + len(responses.items)
    ones = np.ones(len(responses.score), bool)
    links = coo_array((ones, (responses.model_index, n_models + responses.item_index)), shape=(size, size))
    _, label = connected_components(links, directed=False)
    return label[:n_models].astype(int), label[n_models:].astype(int)
