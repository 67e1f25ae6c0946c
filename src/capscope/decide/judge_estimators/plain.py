"""Baselines without a prediction: the judge's mean, and the mean of the labels."""

import numpy as np

from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate, corrected_mean


def _judge_mean(answers: JudgedAnswers) -> MeanEstimate:
    n = len(answers.judge)
    return MeanEstimate(float(answers.judge.mean()), float(answers.judge.std(ddof=1) / np.sqrt(n)), float(n - 1))


def _label_mean(answers: JudgedAnswers) -> MeanEstimate:
    return corrected_mean(answers, np.zeros(len(answers.label)), answers.label[answers.labelled], 0)


JUDGE_ALONE = JudgeEstimator("judge", "the judge's mean score, taken for the truth", _judge_mean)
LABELS_ALONE = JudgeEstimator("labels", "the mean of the labels alone", _label_mean)
