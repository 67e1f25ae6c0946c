"""Which models and items are joined by answers, directly or through others."""

import numpy as np
from jaxtyping import Int

from capscope.axes import RowIndex
from capscope.fit.cells.answers import Answers


def block_labels(answers: Answers) -> tuple[Int[np.ndarray, " model"], Int[np.ndarray, " item"]]:
    """Label of the block of each model and of each item; those without an answer are blocks of their own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_models = len(answers.models)
    size = n_models + len(answers.items)
    label = np.arange(size)
    for rows in answers.chunks():
        # every node also hangs on the label it had, so that earlier chunks stay joined
        left = np.concatenate([rows.model, np.arange(size)])
        right = np.concatenate([n_models + rows.item, label])
        links = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
        _, label = connected_components(links, directed=False)
        label = _first_with(label)
    return label[:n_models], label[n_models:]


def _first_with(label: RowIndex) -> RowIndex:
    """The first node of each node's block, so that labels are nodes."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return first[inverse]
