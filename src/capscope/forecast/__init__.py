"""Forecasts of published scores: missing and future scores of a table, structure, change over time."""

from capscope.display import make_callable
from capscope.forecast.evaluation import ForecastEvaluation, ForecastEvaluationSettings, evaluate_forecast
from capscope.forecast.forecasters import FORECASTERS, CellForecasts, Forecaster, ForecasterEntry
from capscope.forecast.forecasting import Forecast, ForecastSettings, forecast
from capscope.forecast.links import LINKS
from capscope.forecast.masks import HIDINGS, hidden_cells
from capscope.forecast.table_of_scores import PublishedScores, published_scores

__all__ = [
    "FORECASTERS",
    "HIDINGS",
    "LINKS",
    "CellForecasts",
    "Forecast",
    "ForecastEvaluation",
    "ForecastEvaluationSettings",
    "ForecastSettings",
    "Forecaster",
    "ForecasterEntry",
    "PublishedScores",
    "evaluate_forecast",
    "forecast",
    "hidden_cells",
    "published_scores",
]

make_callable(__name__, forecast)
