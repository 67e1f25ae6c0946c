"""Chance of success on unseen items; assessors side by side; splits scored."""

from capscope.predict.predictions import Predictions, predict_from_curves, score_table

__all__ = ["Predictions", "predict_from_curves", "score_table"]
