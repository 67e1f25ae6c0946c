"""What an estimator of a model's true mean score is given and returns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from capscope.decide.difference import variance_of
from capscope.decide.judge_data import JudgedAnswers


@dataclass(frozen=True)
class MeanEstimate:
    """An estimated mean score over a model's judged answers."""

    value: float
    """The estimate, in [0, 1] up to sampling error."""
    se: float
    """Standard error as to the labels that happened to be drawn."""
    freedom: float
    """Degrees of freedom of the standard error."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Bounds by Student's t, within 0 and 1."""
        half = float(stdtrit(max(self.freedom, 1.0), 0.5 + level / 2)) * self.se
        return max(0.0, self.value - half), min(1.0, self.value + half)


@dataclass(frozen=True)
class JudgeEstimator:
    """One way to estimate a model's true mean score from judged and labelled answers."""

    name: str
    """What it is called on the command line and in JSON."""
    help: str
    """What it does, in one line."""
    estimate: Callable[[JudgedAnswers], MeanEstimate]
    """Estimate from answers of which at least two are labelled, evenly drawn."""


def corrected_mean(
    answers: JudgedAnswers,
    predicted: Float[np.ndarray, " answer"],
    error: Float[np.ndarray, " label"],
    lost: int,
) -> MeanEstimate:
    """The mean of the labels and, where there is none, of predictions shifted by their mean error on the labels.

    Args:
        answers: Judged answers.
        predicted: Prediction of each answer's truth.
        error: Label less prediction of each labelled answer, the prediction made without its label.
        lost: Parameters of the prediction that the labels determined.
    """
    rest = ~answers.labelled
    n, n_answers = len(error), len(answers.label)
    unseen = float((predicted[rest] + error.mean()).sum())
    value = (float(np.nansum(answers.label)) + unseen) / n_answers
    freedom = float(max(n - 1 - lost, 1))
    spread = variance_of(error, np.ones(n)) * (n - 1) / freedom
    return MeanEstimate(value, float(np.sqrt((1 - n / n_answers) * spread / n)), freedom)
