"""Responses to posteriors over abilities and items; the only room that knows torch."""

from capscope.fit.irt import fit_irt, score_models
from capscope.fit.irt_model import IRTSettings
from capscope.fit.irt_population import ItemPopulation
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.marginal import MarginalPosterior, fit_marginal
from capscope.fit.result import Fit, Status
from capscope.fit.simulate import IRTTruth, draw_truth, simulate_irt
from capscope.fit.storage import load_fit, save_fit

__all__ = [
    "Fit",
    "IRTPosterior",
    "IRTSettings",
    "IRTTruth",
    "ItemPopulation",
    "MarginalPosterior",
    "Status",
    "draw_truth",
    "fit_irt",
    "fit_marginal",
    "load_fit",
    "save_fit",
    "score_models",
    "simulate_irt",
]
