"""Text-amortised Rasch: difficulty is a linear function of the text's embedding (reeval; Truong et al., 2025)."""

from dataclasses import dataclass

from capscope.predict.assessor import FittedAssessor, Training
from capscope.predict.assessors.ridge import difficulty_by_ridge


@dataclass(frozen=True)
class TextRaschAssessor:
    """Rasch with difficulties predicted from texts."""

    def fit(self, training: Training) -> FittedAssessor:
        """Regress difficulty on the vectors of the texts.

        Raises:
            InputError: No item has a text.
        """
        return difficulty_by_ridge(training, training.features.need_text("assessor 'text-rasch'"))
