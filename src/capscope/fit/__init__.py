"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU."""

from capscope.fit.curve_posterior import FEW_ANSWERS, CurvePosterior
from capscope.fit.curve_simulation import CurveWorld, simulate_counts
from capscope.fit.curves_classical import ClassicalCurves, fit_classical
from capscope.fit.curves_hierarchical import CurveEngine, fit_curves
from capscope.fit.irt import fit_irt, score_models
from capscope.fit.irt_model import IRTSettings
from capscope.fit.irt_population import ItemPopulation
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.result import Fit, Status
from capscope.fit.simulate import IRTTruth, draw_truth, simulate_irt
from capscope.fit.slices import Slices, dominant_slices
from capscope.fit.storage import load_fit, save_fit

__all__ = [
    "FEW_ANSWERS",
    "ClassicalCurves",
    "CurveEngine",
    "CurvePosterior",
    "CurveWorld",
    "Fit",
    "IRTPosterior",
    "IRTSettings",
    "IRTTruth",
    "ItemPopulation",
    "Slices",
    "Status",
    "dominant_slices",
    "draw_truth",
    "fit_classical",
    "fit_curves",
    "fit_irt",
    "load_fit",
    "save_fit",
    "score_models",
    "simulate_counts",
    "simulate_irt",
]
