"""Ridge regression from item features to Rasch difficulty, then plugged in (Agent Psychometrics, 2026)."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from capscope.predict.assessor import ChanceTable, FittedAssessor, Training
from capscope.predict.core import fit_rasch

STRENGTHS = tuple(10.0**power for power in range(-2, 6))


@dataclass(frozen=True)
class RidgeAssessor:
    """Two steps as published: Rasch, then a ridge regression of its difficulties; no uncertainty is carried over."""

    def fit(self, training: Training) -> FittedAssessor:
        """Regress difficulty on demands.

        Raises:
            InputError: The study has no demands.
        """
        return difficulty_by_ridge(training, training.features.need_demands("assessor 'ridge'"))


def difficulty_by_ridge(training: Training, features: np.ndarray) -> FittedAssessor:
    """Fit Rasch, predict the difficulty of every item from its features and plug it in."""
    posterior = fit_rasch(training).posterior
    difficulty = -posterior.residual_mean
    answered = training.answered
    ridge = make_pipeline(StandardScaler(), RidgeCV(STRENGTHS)).fit(features[answered], difficulty)
    predicted = np.asarray(ridge.predict(features))
    spread = float(np.std(difficulty - predicted[answered]))
    chance = expit(posterior.ability_mean[:, :1] + posterior.weight.sum() - predicted[None])
    floor = training.features.floor
    return ChanceTable(floor + (1 - floor) * chance, np.full(chance.shape, spread))
