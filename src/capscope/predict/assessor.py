"""What an assessor is: it learns from some items' answers and says how likely a model is to succeed on others."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from capscope.axes import ItemDim, RowFloats, RowIndex
from capscope.data import ResponseMatrix


@dataclass(frozen=True)
class Training:
    """What an assessor may learn from. Items that are held out have features but no rows."""

    responses: ResponseMatrix
    """Answers to the training items, over the axes of all models and items."""
    demands: ItemDim
    """Demand levels of all items, in the order of `responses.items`; no NaN."""
    seed: int
    """Seed of anything random."""


@runtime_checkable
class FittedAssessor(Protocol):
    """An assessor that has learnt."""

    def chance(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Chance of success of models on items, row by row, both by position."""
        ...


@runtime_checkable
class Assessor(Protocol):
    """A way to predict success."""

    def fit(self, training: Training) -> FittedAssessor:
        """Learn from the training answers."""
        ...


def model_means(responses: ResponseMatrix, strength: float = 1.0) -> np.ndarray:
    """Each model's mean score, drawn towards the mean over all by `strength` answers; models without any get it."""
    n_models = len(responses.models)
    overall = responses.score.mean()
    n = np.bincount(responses.model_index, minlength=n_models)
    total = np.bincount(responses.model_index, weights=responses.score, minlength=n_models)
    return (total + strength * overall) / (n + strength)
