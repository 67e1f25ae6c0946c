"""Explained difficulty: demands, text, task and benchmark explain how hard items are, jointly or in two steps.

The explanatory item response model estimates abilities and effects of features together, with a residual for each item;
without features it is Rasch's model (1960). The two-step regression fits Rasch's model first, then its difficulties.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from capscope.fit import DemandSettings
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training
from capscope.predict.demand_model import FittedDemandModel, fit_demand_model, fit_rasch


@dataclass(frozen=True)
class RaschAssessor:
    """One ability for each model, one difficulty for each item; a new item's difficulty has the population's spread."""

    parts: bool = False
    """Give agents with few answers the sum of their model's, scaffold's and effort's effects."""

    def fit(self, training: Training) -> FittedDemandModel:
        """Fit abilities and difficulties."""
        return fit_rasch(training, parts=self.parts)


@dataclass(frozen=True)
class ExplanatoryAssessor:
    """The demand-ability model; its predictions integrate over everything unknown about an item."""

    monotone: bool = True
    """No demand may raise the chance of success."""
    interactions: bool = False
    """Include products of demands."""
    text: bool = False
    """Use texts as predictors of difficulty, where there are any."""

    def fit(self, training: Training) -> FittedDemandModel:
        """Fit on the answered items; without demands, text, task and benchmark are the predictors."""
        settings = DemandSettings(monotone=self.monotone, interactions=self.interactions, seed=training.seed)
        return fit_demand_model(training, settings, text=self.text or training.features.demands is None)


RASCH = AssessorEntry(
    name="rasch", help="Rasch model: one ability for each model, one difficulty for each item", assessor=RaschAssessor()
)
EXPLANATORY = AssessorEntry(
    name="explanatory",
    help="explanatory item response model with monotone demand effects",
    assessor=ExplanatoryAssessor(),
)
EXPLANATORY_TEXT = AssessorEntry(
    name="explanatory-text",
    help="explanatory item response model with free demand effects, their interactions and texts",
    needs="demands or texts",
    assessor=ExplanatoryAssessor(monotone=False, interactions=True, text=True),
)


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
    """Fit a Rasch model, and regress difficulties on item features by ridge regression.

    Args:
        training: Answers to learn from.
        features: Features of all items, shape (item, feature).

    Returns:
        Chances of success, shape (model, item).
    """
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
