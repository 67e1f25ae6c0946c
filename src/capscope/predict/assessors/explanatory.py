"""The explanatory item response model: demands, text, task and benchmark explain an item, up to its own departure."""

from dataclasses import dataclass

from capscope.fit import DemandSettings
from capscope.predict.assessor import Training
from capscope.predict.core import FittedCore, fit_core


@dataclass(frozen=True)
class ExplanatoryAssessor:
    """Fits the demand-ability model; predictions integrate over all that is unknown about an item."""

    monotone: bool = True
    """No demand may raise the chance of success."""
    interactions: bool = False
    """Demands may act together."""
    text: bool = False
    """Texts explain difficulty too, where there are any."""

    def fit(self, training: Training) -> FittedCore:
        """Fit on the answered items; without demands, their text, tasks and benchmarks are all that explains them."""
        settings = DemandSettings(monotone=self.monotone, interactions=self.interactions, seed=training.seed)
        return fit_core(training, settings, text=self.text or training.features.demands is None)
