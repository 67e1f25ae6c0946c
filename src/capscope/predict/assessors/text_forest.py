"""The forest on sentence embeddings: for each model a random forest on the vectors of the texts."""

from dataclasses import dataclass

from capscope.predict.assessor import FittedAssessor, Training
from capscope.predict.assessors.forest import ForestAssessor


@dataclass(frozen=True)
class TextForestAssessor:
    """ADeLe's forest with embeddings in the place of demands."""

    forest: ForestAssessor = ForestAssessor()

    def fit(self, training: Training) -> FittedAssessor:
        """Grow the forests.

        Raises:
            InputError: No item has a text.
        """
        return self.forest.grow(training, training.features.need_text("assessor 'text-forest'"))
