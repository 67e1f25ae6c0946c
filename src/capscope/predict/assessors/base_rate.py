"""One chance for everybody and everything: the mean score. What any assessor must beat."""

from dataclasses import dataclass

import numpy as np

from capscope.predict.assessor import ChanceTable, FittedAssessor, Training
from capscope.predict.spread import unexplained_sd


@dataclass(frozen=True)
class BaseRateAssessor:
    """Predicts the mean score of all training answers."""

    def fit(self, training: Training) -> FittedAssessor:
        """Average the scores."""
        responses = training.responses
        rate = float(np.average(responses.score, weights=responses.n_trials))
        shape = (len(responses.models), len(responses.items))
        spread = unexplained_sd(responses, np.full(len(responses.score), rate))
        return ChanceTable(np.full(shape, rate), np.full(shape, spread))
