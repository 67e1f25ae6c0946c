"""Baselines: the mean score of everything, of the model, or of the item. Every assessor must beat them."""

from dataclasses import dataclass

import numpy as np

from capscope.predict.answer_statistics import base_rate, base_rate_error, item_sums, model_means, residual_sd
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training


@dataclass(frozen=True)
class BaseRateAssessor:
    """Predicts the mean score of all training answers for every model and item."""

    def fit(self, training: Training) -> FittedAssessor:
        """Average the scores."""
        responses = training.responses
        rate = base_rate(responses)
        shape = (len(responses.models), len(responses.items))
        sd = residual_sd(responses, np.full(len(responses.score), rate))
        return ChanceTable(np.full(shape, rate), np.full(shape, max(sd, base_rate_error(responses))))


@dataclass(frozen=True)
class MeanAssessor:
    """Predicts each model's mean score for every item; a model without answers gets the mean of all models."""

    def fit(self, training: Training) -> FittedAssessor:
        """Average each model's scores."""
        responses = training.responses
        mean = model_means(responses)
        sd = max(residual_sd(responses, mean[responses.model_index]), base_rate_error(responses))
        shape = (len(responses.models), len(responses.items))
        return ChanceTable(np.broadcast_to(mean[:, None], shape), np.full(shape, sd))


@dataclass(frozen=True)
class ItemMeanAssessor:
    """Predicts each item's mean score, shrunken towards the base rate; a new item gets the base rate."""

    strength: float = 2.0
    """Number of trials that the base rate is worth."""

    def fit(self, training: Training) -> FittedAssessor:
        """Average each item's scores."""
        responses = training.responses
        rate = base_rate(responses)
        right, trials = item_sums(responses)
        mean = (right + self.strength * rate) / (trials + self.strength)
        sd_of_new = residual_sd(responses, np.full(len(responses.score), rate))
        # standard error of the log-odds of a share from so many trials
        error = 1 / np.sqrt((trials + self.strength) * np.maximum(mean * (1 - mean), 1e-12))
        sd_of_new = max(sd_of_new, base_rate_error(responses))
        sd = np.minimum(np.where(trials > 0, error, sd_of_new), sd_of_new)
        shape = (len(responses.models), len(responses.items))
        return ChanceTable(np.broadcast_to(mean, shape), np.broadcast_to(sd, shape))


BASE_RATE = AssessorEntry(
    name="base-rate",
    help="the mean score of all answers, for every model and item",
    assessor=BaseRateAssessor(),
    same_for_new_items=True,
)
MEAN = AssessorEntry(
    name="mean", help="each model's mean score, for every item", assessor=MeanAssessor(), same_for_new_items=True
)
ITEM_MEAN = AssessorEntry(
    name="item-mean",
    help="each item's mean score over models, for every model",
    assessor=ItemMeanAssessor(),
    same_for_new_items=True,
)
