"""Chance of success on unseen items; assessors side by side; splits scored."""

from capscope.predict.assessor import Assessor, FittedAssessor, Training
from capscope.predict.assessors import ASSESSORS, ExplanatoryAssessor, ForestAssessor, MeanAssessor
from capscope.predict.evaluate import Evaluation, EvaluationSettings, evaluate
from capscope.predict.metrics import Metrics, Outcomes, score_outcomes
from capscope.predict.predictions import Predictions, predict_from_curves, score_table

__all__ = [
    "ASSESSORS",
    "Assessor",
    "Evaluation",
    "EvaluationSettings",
    "ExplanatoryAssessor",
    "FittedAssessor",
    "ForestAssessor",
    "MeanAssessor",
    "Metrics",
    "Outcomes",
    "Predictions",
    "Training",
    "evaluate",
    "predict_from_curves",
    "score_outcomes",
    "score_table",
]
