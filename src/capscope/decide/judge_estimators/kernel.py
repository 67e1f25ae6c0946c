"""Gaussian process prediction of the labels from the judge, other judges, the task and other models' labels.

Weak predictors are shrunken, so that an uninformative judge does not widen the interval. The noise variance, and
whether features beyond the judge's score are used, are chosen by leave-one-out error; each error is that of a
leave-one-out prediction.
"""

import numpy as np

from capscope.decide.item_predictor import LEVEL_SCALE, Prediction, predict_differences
from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate, corrected_mean


def kernel_prediction(answers: JudgedAnswers) -> Prediction:
    """Predicted label of every answer, and errors out of sample on the labelled ones.

    Args:
        answers: Judged answers, at least two of them labelled.
    """
    rows = np.flatnonzero(answers.labelled)
    level = np.full((len(answers.judge), 1), LEVEL_SCALE)
    weight = answers.weight
    predictions = [
        predict_differences(np.concatenate([level, features], axis=1), rows, answers.label[rows], weight)
        for features in (answers.features[:, :1], answers.features)
    ]
    return min(predictions, key=lambda prediction: float(np.average(prediction.error**2, weights=weight)))


def kernel_mean(answers: JudgedAnswers) -> MeanEstimate:
    """The mean of labels and kernel predictions.

    Args:
        answers: Judged answers, at least two of them labelled.
    """
    best = kernel_prediction(answers)
    return corrected_mean(answers, best.fitted, best.error, 0)


KERNEL = JudgeEstimator("kernel", "labels predicted from all judges, the task and other models' labels", kernel_mean)
