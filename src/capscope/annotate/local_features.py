"""What the local annotator sees of an item: its vector, the shape of its text, its benchmark and its task."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capscope.data import task_labels

OPTION = re.compile(r"\([A-Z]\)|^[A-Z][.)]\s", re.MULTILINE)


@dataclass(frozen=True)
class ItemFeatures:
    """Features of items with a text."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    vector: Float[np.ndarray, "item feature"]
    """Embedding of unit length."""
    shape: Float[np.ndarray, "item trait"]
    """Traits of the text's shape, unscaled."""
    benchmark: Int[np.ndarray, " item"]
    """Number of the benchmark."""
    task: Int[np.ndarray, " item"]
    """Number of the task."""

    def take(self, index: np.ndarray) -> "ItemFeatures":
        """Return the chosen items (index or mask)."""
        kept = np.arange(len(self.items))[index]
        return ItemFeatures(
            tuple(self.items[position] for position in kept),
            self.vector[kept],
            self.shape[kept],
            self.benchmark[kept],
            self.task[kept],
        )


def item_features(items: pd.DataFrame, vectors: np.ndarray) -> ItemFeatures:
    """Gather the features of items.

    Args:
        items: Rows with `item_id`, `benchmark`, `task` and a text each.
        vectors: Their embeddings, in the same order.
    """
    return ItemFeatures(
        tuple(items["item_id"].astype(str)),
        vectors.astype(float),
        np.array([text_shape(text) for text in items["text"].astype(str)]),
        pd.factorize(items["benchmark"].astype(str))[0].astype(np.int64),
        pd.factorize(task_labels(items))[0].astype(np.int64),
    )


def text_shape(text: str) -> list[float]:
    """Describe the shape of a text: length, lines, words, digits, capitals, symbols, questions, quotes, options."""
    words = text.split() or [""]
    length = max(len(text), 1)
    return [
        float(np.log1p(len(text))),
        float(np.log1p(len(words))),
        float(np.log1p(text.count("\n"))),
        sum(map(len, words)) / len(words),
        len(set(words)) / len(words),
        sum(letter.isdigit() for letter in text) / length,
        sum(letter.isupper() for letter in text) / length,
        sum(not letter.isalnum() and not letter.isspace() for letter in text) / length,
        float(np.log1p(text.count("?"))),
        float(np.log1p(text.count('"') + text.count("'"))),
        float(np.log1p(len(OPTION.findall(text)))),
    ]
