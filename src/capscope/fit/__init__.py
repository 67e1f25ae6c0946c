"""Responses to posteriors over abilities and items; the only room that knows torch."""

from capscope.fit.group_difference import GroupDifference, group_difference
from capscope.fit.irt import fit_irt, score_models
from capscope.fit.irt_model import IRTSettings
from capscope.fit.irt_population import ItemPopulation
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.item_fit import (
    LocalDependence,
    MeanSquares,
    information,
    local_dependence,
    marginal_reliability,
    mean_squares,
)
from capscope.fit.linking import Link, mean_sigma, stocking_lord
from capscope.fit.marginal import MarginalPosterior, fit_marginal
from capscope.fit.result import Fit, Status
from capscope.fit.simulate import IRTTruth, draw_truth, simulate_irt
from capscope.fit.storage import load_fit, save_fit

__all__ = [
    "Fit",
    "GroupDifference",
    "IRTPosterior",
    "IRTSettings",
    "IRTTruth",
    "ItemPopulation",
    "Link",
    "LocalDependence",
    "MarginalPosterior",
    "MeanSquares",
    "Status",
    "draw_truth",
    "fit_irt",
    "fit_marginal",
    "group_difference",
    "information",
    "load_fit",
    "local_dependence",
    "marginal_reliability",
    "mean_sigma",
    "mean_squares",
    "save_fit",
    "score_models",
    "simulate_irt",
    "stocking_lord",
]
