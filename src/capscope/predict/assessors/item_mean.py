"""The item's mean score over the models that answered it: what one knows without looking at the model."""

from dataclasses import dataclass

import numpy as np

from capscope.predict.assessor import ChanceTable, FittedAssessor, Training
from capscope.predict.spread import unexplained_sd


@dataclass(frozen=True)
class ItemMeanAssessor:
    """Predicts each item's mean score, drawn towards the base rate; a new item gets the base rate."""

    strength: float = 2.0
    """Answers that the base rate is worth."""

    def fit(self, training: Training) -> FittedAssessor:
        """Average each item's training scores."""
        responses = training.responses
        n_models, n_items = len(responses.models), len(responses.items)
        rate = float(np.average(responses.score, weights=responses.n_trials))
        weight = np.bincount(responses.item_index, weights=responses.n_trials, minlength=n_items)
        right = np.bincount(responses.item_index, weights=responses.n_trials * responses.score, minlength=n_items)
        mean = (right + self.strength * rate) / (weight + self.strength)
        new = unexplained_sd(responses, np.full(len(responses.score), rate))
        # an item's log-odds are known to about the error of a share from so many answers
        error = 1 / np.sqrt((weight + self.strength) * np.maximum(mean * (1 - mean), 1e-12))
        sd = np.minimum(np.where(weight > 0, error, new), max(new, 1e-9))
        shape = (n_models, n_items)
        return ChanceTable(np.broadcast_to(mean, shape), np.broadcast_to(sd, shape))
