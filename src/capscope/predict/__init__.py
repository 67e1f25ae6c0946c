"""Chance of success on unseen items; assessors side by side; splits scored."""

from capscope.predict.assessor import (
    Assessor,
    Chances,
    ExplainingAssessor,
    FittedAssessor,
    JointAssessor,
    Parts,
    Training,
)
from capscope.predict.assessors import ASSESSORS, ExplanatoryAssessor, ForestAssessor, MeanAssessor
from capscope.predict.evaluate import Evaluation, EvaluationFiles, EvaluationSettings, evaluate
from capscope.predict.features import ItemFeatures, ItemTexts, item_features
from capscope.predict.finishing import PredictionSettings
from capscope.predict.jobs import predict_items, predict_set
from capscope.predict.metrics import Metrics, Outcomes, score_outcomes
from capscope.predict.predictions import Predictions, predict_from_curves, predict_from_irt, score_table
from capscope.predict.study_predictions import predict_from_study

__all__ = [
    "ASSESSORS",
    "Assessor",
    "Chances",
    "Evaluation",
    "EvaluationFiles",
    "EvaluationSettings",
    "ExplainingAssessor",
    "ExplanatoryAssessor",
    "FittedAssessor",
    "ForestAssessor",
    "ItemFeatures",
    "ItemTexts",
    "JointAssessor",
    "MeanAssessor",
    "Metrics",
    "Outcomes",
    "Parts",
    "PredictionSettings",
    "Predictions",
    "Training",
    "evaluate",
    "item_features",
    "predict_from_curves",
    "predict_from_irt",
    "predict_from_study",
    "predict_items",
    "predict_set",
    "score_outcomes",
    "score_table",
]
