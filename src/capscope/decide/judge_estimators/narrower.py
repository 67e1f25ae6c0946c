"""The default estimator: the narrower of the kernel estimate and PPI++, with bounds by the skewness of the errors.

With a single judge and no other features the kernel is slightly wider than PPI++, because its errors are out of sample;
with other judges and tasks it is narrower. The choice by standard error had no measurable cost in coverage
(`benchmarks/decide.md`), because most of the error is common to both.
"""

from dataclasses import replace

from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate
from capscope.decide.judge_estimators.kernel import kernel_mean
from capscope.decide.judge_estimators.ppi import powered_mean


def _narrower(answers: JudgedAnswers) -> MeanEstimate:
    best = min((kernel_mean(answers), powered_mean(answers)), key=lambda estimate: estimate.se)
    return replace(best, skewed=True)


NARROWER = JudgeEstimator("narrower", "the narrower of `kernel` and `ppi++`, bounds by the skew of errors", _narrower)
