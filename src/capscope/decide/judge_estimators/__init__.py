"""The family of judge estimators: a model's true mean score from judged and labelled answers.

To add one, write a module with a `JudgeEstimator` and add one line to `FAMILY`.
"""

from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate
from capscope.decide.judge_estimators.kernel import kernel_prediction
from capscope.members import family

__all__ = ["DEFAULT_JUDGE_ESTIMATOR", "JUDGE_ESTIMATORS", "JudgeEstimator", "MeanEstimate", "kernel_prediction"]

FAMILY = (
    "narrower:NARROWER",
    "kernel:KERNEL",
    "ppi:PPI_PLUS",
    "ppi:PPI",
    "isotonic:ISOTONIC",
    "plain:LABELS_ALONE",
    "plain:JUDGE_ALONE",
)
"""The members, as ``module:entry``, the default first."""

JUDGE_ESTIMATORS: dict[str, JudgeEstimator] = family(__name__, FAMILY, JudgeEstimator)
"""Estimators by name."""

DEFAULT_JUDGE_ESTIMATOR = next(iter(JUDGE_ESTIMATORS))
"""Name of the default estimator."""
