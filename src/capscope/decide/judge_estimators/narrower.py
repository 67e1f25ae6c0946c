"""The narrower of the kernel estimate and PPI++, with bounds that follow the skew of the errors.

Where nothing but one judge is known the kernel loses a little to PPI++, since its error is taken out of sample; where
other judges and tasks tell more it is the narrower one. Choosing by the standard error costs no coverage that could be
measured (`benchmarks/decide.md`): the two share most of their error.
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
