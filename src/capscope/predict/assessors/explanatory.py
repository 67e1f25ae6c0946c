"""Explanatory item response models: demands, text, task and benchmark explain an item's difficulty, up to a residual.

Without item features the model is Rasch's (1960).
"""

from dataclasses import dataclass

from capscope.fit import DemandSettings
from capscope.predict.assessor import AssessorEntry, Training
from capscope.predict.demand_model import FittedDemandModel, fit_demand_model, fit_rasch


@dataclass(frozen=True)
class RaschAssessor:
    """One ability for each model, one difficulty for each item; a new item's difficulty has the population's spread."""

    def fit(self, training: Training) -> FittedDemandModel:
        """Fit abilities and difficulties."""
        return fit_rasch(training)


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
