"""Regression on the sample: scores of past models on the pool, regressed on their answers to the drawn items."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.curves import root_mean_square
from capscope.battery.estimators.estimator import Estimate, Estimator, Fitted, Sample

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
SUMMARY_SHARE = 3.0
"""Weight of the two summaries (mean answer, mean chance) against single answers, times the root of their number."""


@dataclass(frozen=True)
class Ridge:
    """A ridge regression with an unpenalised intercept, its penalty chosen by leaving out one model at a time."""

    center: Float[np.ndarray, " feature"]
    """Means of the features."""
    coefficient: Float[np.ndarray, " feature"]
    """Coefficients."""
    intercept: float
    """Mean of the target."""
    left_out: RowFloats
    """Target minus prediction for each row, from a regression without that row (exact)."""

    @classmethod
    def of(cls, features: FloatArray, target: RowFloats) -> "Ridge":
        """Fit by one singular value decomposition for all penalties (Golub, Heath & Wahba, 1979).

        Args:
            features: Answers of past models to the drawn items, shape (model, item).
            target: Their scores on the whole pool, shape (model,).

        Returns:
            The regression with the penalty of the smallest leave-one-out error.
        """
        center, intercept = features.mean(0), float(target.mean())
        left, size, right = np.linalg.svd(features - center, full_matrices=False)
        rotated = left.T @ (target - intercept)
        trials = [_left_out(left, rotated, size**2 / (size**2 + penalty), target - intercept) for penalty in PENALTIES]
        chosen = int(np.argmin([root_mean_square(trial) for trial in trials]))
        coefficient = right.T @ (rotated * size / (size**2 + PENALTIES[chosen]))
        return cls(center, coefficient, intercept, trials[chosen])

    def predict(self, features: FloatArray) -> RowFloats:
        """Predictions for new rows."""
        return self.intercept + (features - self.center) @ self.coefficient


def _left_out(left: FloatArray, rotated: FloatArray, kept: FloatArray, target: FloatArray) -> FloatArray:
    leverage = (left**2 * kept).sum(1) + 1 / len(target)
    return (target - left @ (kept * rotated)) / np.maximum(1 - leverage, 1e-3)


def estimate_rsl(sample: Sample, level: float) -> Estimate:
    """Estimate scores by ridge regression on the sampled answers and two summaries: their mean, and p-IRT's estimate.

    It is the best estimator for a model similar to the past ones (Zhang, Dorner & Hardt, 2025; summaries as in
    metabench, Kipnis et al., 2025), and confidently wrong for a model unlike them. The interval is the
    cross-validated error on the past models.

    Args:
        sample: The drawn items and the answers.
        level: Nominal coverage.
    """
    score, error = regress(sample)
    sd = np.full_like(score, root_mean_square(error))
    return Estimate.student(score, sd, len(sample.past) - 1, level)


def regress(sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return predicted scores of the new models, and left-out errors on the past ones (predicted minus true)."""
    ridge = Ridge.of(_features(sample, sample.past, sample.past_fitted), sample.pool.scores)
    return ridge.predict(_features(sample, sample.score, sample.fitted)), -ridge.left_out


def _features(sample: Sample, score: FloatArray, fitted: Fitted) -> FloatArray:
    return summarised(fitted.filled, (score * sample.weight).sum(1), score)


def summarised(first: RowFloats, second: RowFloats, answers: FloatArray) -> FloatArray:
    """Return the features of models for a ridge regression: two summaries of their answers, and the answers.

    Args:
        first: One summary of each model.
        second: The other.
        answers: Scores (model, drawn).
    """
    summary = np.stack([first, second], 1)
    return np.concatenate([SUMMARY_SHARE * np.sqrt(answers.shape[1]) * summary, answers], 1)


RSL = Estimator(name="rsl", help="ridge regression on past models' scores", needs="bank", estimate=estimate_rsl)
