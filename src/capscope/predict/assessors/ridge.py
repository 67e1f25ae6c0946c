"""Two-step difficulty regression: Rasch first, then ridge regression of the difficulties on item features."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training
from capscope.predict.demand_model import fit_rasch

STRENGTHS = tuple(10.0**power for power in range(-2, 6))
FEWEST_ITEMS = 3
"""With fewer answered items there is no regression; every item gets their mean difficulty."""


@dataclass(frozen=True)
class RidgeAssessor:
    """Rasch difficulties regressed on demands, point estimates plugged in (Agent Psychometrics, 2026)."""

    def fit(self, training: Training) -> FittedAssessor:
        """Regress difficulty on demands.

        Raises:
            InputError: The study has no demands.
        """
        return difficulty_by_ridge(training, training.features.need_demands("assessor 'ridge'"))


@dataclass(frozen=True)
class TextRaschAssessor:
    """Rasch difficulties regressed on text vectors (text-amortised Rasch, reeval; Truong et al., 2025)."""

    def fit(self, training: Training) -> FittedAssessor:
        """Regress difficulty on text vectors.

        Raises:
            InputError: No item has a text.
        """
        return difficulty_by_ridge(training, training.features.need_text("assessor 'text-rasch'"))


def difficulty_by_ridge(training: Training, features: np.ndarray) -> FittedAssessor:
    """Fit Rasch, regress the difficulties on item features (item, feature), and predict every item."""
    posterior = fit_rasch(training).posterior
    difficulty = -posterior.residual_mean
    answered = training.answered
    predicted = np.full(len(features), difficulty.mean())
    if len(difficulty) >= FEWEST_ITEMS:
        ridge = make_pipeline(StandardScaler(), RidgeCV(STRENGTHS)).fit(features[answered], difficulty)
        predicted = np.asarray(ridge.predict(features))
    sd = float(np.std(difficulty - predicted[answered]))
    chance = expit(posterior.ability_mean[:, :1] + posterior.weight.sum() - predicted[None])
    floor = training.features.floor
    return ChanceTable(floor + (1 - floor) * chance, np.full(chance.shape, sd))


RIDGE = AssessorEntry(
    name="ridge", help="Rasch difficulties regressed on demands", needs="demands", assessor=RidgeAssessor()
)
TEXT_RASCH = AssessorEntry(
    name="text-rasch", help="Rasch difficulties regressed on text vectors", needs="texts", assessor=TextRaschAssessor()
)
