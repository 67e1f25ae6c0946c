"""The model's mean score for every item: what one knows without looking at the item."""

from dataclasses import dataclass

import numpy as np

from capscope.predict.assessor import ChanceTable, FittedAssessor, Training, model_means
from capscope.predict.spread import unexplained_sd


@dataclass(frozen=True)
class MeanAssessor:
    """Predicts each model's mean score; a model without answers gets the mean of all."""

    def fit(self, training: Training) -> FittedAssessor:
        """Average each model's training scores."""
        responses = training.responses
        mean = model_means(responses)
        spread = unexplained_sd(responses, mean[responses.model_index])
        shape = (len(responses.models), len(responses.items))
        return ChanceTable(np.broadcast_to(mean[:, None], shape), np.full(shape, spread))
