"""Isotonic calibration of the judge's scores to the labels, cross-fitted."""

import numpy as np

from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate, corrected_mean

FOLDS = 5


def _isotonic(answers: JudgedAnswers) -> MeanEstimate:
    from sklearn.isotonic import IsotonicRegression  # scikit-learn takes a second to load

    rows = np.flatnonzero(answers.labelled)
    label, judge, weight = answers.label[rows], answers.judge[rows], answers.weight
    fold = np.arange(len(rows)) % FOLDS
    error = np.empty(len(rows))
    predicted = np.zeros(len(answers.judge))
    for number in range(min(FOLDS, len(rows))):
        left_out = fold == number
        curve = IsotonicRegression(out_of_bounds="clip").fit(judge[~left_out], label[~left_out], weight[~left_out])
        error[left_out] = label[left_out] - curve.predict(judge[left_out])
        predicted += curve.predict(answers.judge) * left_out.mean()
    return corrected_mean(answers, predicted, error, 0)


ISOTONIC = JudgeEstimator("isotonic", "the judge calibrated by a rising step function, cross-fitted", _isotonic)
