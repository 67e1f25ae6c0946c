"""The model's mean score for every item: what one knows without looking at the item."""

from dataclasses import dataclass

import numpy as np

from capscope.axes import RowFloats, RowIndex
from capscope.predict.assessor import Training, model_means


@dataclass(frozen=True)
class FittedMean:
    """Mean scores by model."""

    mean: np.ndarray
    """Mean score of each model."""

    def chance(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:  # noqa: ARG002 - items are all alike
        """Return the mean of each row's model."""
        return self.mean[model_index]


@dataclass(frozen=True)
class MeanAssessor:
    """Predicts each model's mean score."""

    def fit(self, training: Training) -> FittedMean:
        """Average each model's training scores."""
        return FittedMean(model_means(training.responses))
