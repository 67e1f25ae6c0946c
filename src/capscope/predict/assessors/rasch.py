"""Rasch: one ability for each model, one difficulty for each item; a new item is drawn from the population."""

from dataclasses import dataclass

from capscope.predict.assessor import Training
from capscope.predict.core import FittedCore, fit_rasch


@dataclass(frozen=True)
class RaschAssessor:
    """Predicts an answered item with its own difficulty and a new one with the spread of all."""

    def fit(self, training: Training) -> FittedCore:
        """Fit abilities and difficulties."""
        return fit_rasch(training)
