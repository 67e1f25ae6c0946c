"""Chance of success on unseen items; assessors side by side on held-out answers."""

from capscope.members import make_callable
from capscope.predict.adjust import PredictionSettings
from capscope.predict.assessor import (
    Assessor,
    AssessorEntry,
    Chances,
    ExplainingAssessor,
    FittedAssessor,
    JointAssessor,
    LogOddsParts,
    Training,
)
from capscope.predict.assessors import ASSESSORS
from capscope.predict.assessors.baselines import MeanAssessor
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.assessors.forest import ForestAssessor
from capscope.predict.evaluation.metrics import METRICS, Metric, score_outcomes
from capscope.predict.evaluation.result import Evaluation, EvaluationSettings
from capscope.predict.evaluation.runner import evaluate, out_of_fold
from capscope.predict.features import ItemFeatures, ItemTexts, item_features
from capscope.predict.from_fit import predict_from_curves, predict_from_irt
from capscope.predict.outcomes import Outcomes
from capscope.predict.prediction_run import Items, open_requests, predict, predict_items
from capscope.predict.predictions import Predictions, refuse_prediction_file, score_table
from capscope.predict.scores.deferral import deferral_rules
from capscope.predict.scores.expected import read_expected

__all__ = [
    "ASSESSORS",
    "METRICS",
    "Assessor",
    "AssessorEntry",
    "Chances",
    "Evaluation",
    "EvaluationSettings",
    "ExplainingAssessor",
    "ExplanatoryAssessor",
    "FittedAssessor",
    "ForestAssessor",
    "ItemFeatures",
    "ItemTexts",
    "JointAssessor",
    "MeanAssessor",
    "Metric",
    "Outcomes",
    "LogOddsParts",
    "PredictionSettings",
    "Predictions",
    "Training",
    "deferral_rules",
    "evaluate",
    "Items",
    "item_features",
    "open_requests",
    "out_of_fold",
    "predict",
    "predict_from_curves",
    "predict_from_irt",
    "predict_items",
    "read_expected",
    "refuse_prediction_file",
    "score_outcomes",
    "score_table",
]

make_callable(__name__, "capscope.predict.prediction_run:predict")
