"""Estimators of a model's true mean score from judged and labelled answers: one file and one line each."""

from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate
from capscope.decide.judge_estimators.isotonic import ISOTONIC
from capscope.decide.judge_estimators.kernel import KERNEL, kernel_prediction
from capscope.decide.judge_estimators.narrower import NARROWER
from capscope.decide.judge_estimators.plain import JUDGE_ALONE, LABELS_ALONE
from capscope.decide.judge_estimators.ppi import PPI, PPI_PLUS

__all__ = ["DEFAULT", "JUDGE_ESTIMATORS", "JudgeEstimator", "MeanEstimate", "kernel_prediction"]

JUDGE_ESTIMATORS: dict[str, JudgeEstimator] = {
    entry.name: entry
    for entry in (
        NARROWER,
        KERNEL,
        PPI_PLUS,
        PPI,
        ISOTONIC,
        LABELS_ALONE,
        JUDGE_ALONE,
    )
}
"""Estimators by name."""

DEFAULT = NARROWER.name
"""Name of the default estimator."""
