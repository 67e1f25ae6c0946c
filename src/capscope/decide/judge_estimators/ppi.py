"""Prediction-powered inference: the judge's mean, corrected by its mean error on the labels.

PPI subtracts the judge's mean error (Angelopoulos et al., 2023); PPI++ first scales the judge's scores by the factor
that minimises the variance (Angelopoulos, Duchi & Zrnic, 2023).
"""

import numpy as np

from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate, corrected_mean


def _ppi(answers: JudgedAnswers) -> MeanEstimate:
    rows = answers.labelled
    return corrected_mean(answers, answers.judge, answers.label[rows] - answers.judge[rows], 0)


def powered_mean(answers: JudgedAnswers) -> MeanEstimate:
    """The mean of PPI++.

    Args:
        answers: Judged answers, at least two of them labelled.
    """
    rows = answers.labelled
    label, judge = answers.label[rows], answers.judge[rows]
    moments = np.cov(label, judge, aweights=answers.weight, ddof=0)
    power = float(moments[0, 1] / moments[1, 1]) if moments[1, 1] > 0 else 0.0
    return corrected_mean(answers, power * answers.judge, label - power * judge, 1)


PPI = JudgeEstimator("ppi", "the judge's mean less its mean error on the labels", _ppi)
PPI_PLUS = JudgeEstimator("ppi++", "the same, the judge weighed by how well it follows the labels", powered_mean)
