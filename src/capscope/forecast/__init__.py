"""Forecasts of published scores: missing and future scores of a table, structure, change over time."""

from capscope.forecast.change import FrontierChange, score_change, series_signal
from capscope.forecast.evaluation import ForecastEvaluation, ForecastEvaluationSettings, evaluate_forecast
from capscope.forecast.facts import COVARIATE_NAMES, LOGARITHMIC, facts_of, models_of_study
from capscope.forecast.features import fact_blocks
from capscope.forecast.forecasters import FORECASTERS, CellForecasts, Forecaster, ForecasterEntry
from capscope.forecast.forecasting import Forecast, ForecastSettings, forecast
from capscope.forecast.horizon import Horizons, HorizonSettings, time_horizons
from capscope.forecast.links import LINKS
from capscope.forecast.masks import HIDINGS, hidden_cells
from capscope.forecast.scaling import ItemScaling, ScalingSettings, item_scaling
from capscope.forecast.structure import ScoreStructure, forecast_structure
from capscope.forecast.table_of_scores import PublishedScores, published_scores
from capscope.members import make_callable

__all__ = [
    "COVARIATE_NAMES",
    "FORECASTERS",
    "HIDINGS",
    "LINKS",
    "LOGARITHMIC",
    "ItemScaling",
    "ScalingSettings",
    "CellForecasts",
    "Forecast",
    "ForecastEvaluation",
    "ForecastEvaluationSettings",
    "ForecastSettings",
    "Forecaster",
    "ForecasterEntry",
    "HorizonSettings",
    "Horizons",
    "PublishedScores",
    "FrontierChange",
    "ScoreStructure",
    "evaluate_forecast",
    "fact_blocks",
    "facts_of",
    "forecast",
    "forecast_structure",
    "hidden_cells",
    "item_scaling",
    "models_of_study",
    "published_scores",
    "score_change",
    "series_signal",
    "time_horizons",
]

make_callable(__name__, "capscope.forecast.forecasting:forecast")
