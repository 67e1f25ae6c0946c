"""Predict the labels from the judge, other judges, the task and other models' labels, by a Gaussian process.

The process shrinks what few labels cannot tell, so that a weak judge costs nothing; its noise is chosen by
leave-one-out error, as is whether more than the judge's own score is used, and each correction uses a prediction made
without the label that it corrects.
"""

import numpy as np

from capscope.decide.item_predictor import LEVEL_SCALE, predict_differences
from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators.interface import JudgeEstimator, MeanEstimate, corrected_mean


def _kernel(answers: JudgedAnswers) -> MeanEstimate:
    rows = np.flatnonzero(answers.labelled)
    level = np.full((len(answers.judge), 1), LEVEL_SCALE)
    even = np.ones(len(rows))
    predictions = [
        predict_differences(np.concatenate([level, features], axis=1), rows, answers.label[rows], even)
        for features in (answers.features[:, :1], answers.features)
    ]
    best = min(predictions, key=lambda prediction: float((prediction.error**2).mean()))
    return corrected_mean(answers, best.fitted, best.error, 0)


KERNEL = JudgeEstimator("kernel", "labels predicted from all judges, the task and other models' labels", _kernel)
