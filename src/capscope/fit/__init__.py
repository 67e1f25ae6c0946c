"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU."""

from capscope.fit.curve_posterior import FEW_ANSWERS, CurvePosterior
from capscope.fit.curve_simulation import CurveWorld, simulate_counts
from capscope.fit.curves_classical import ClassicalCurves, fit_classical
from capscope.fit.curves_hierarchical import CurveEngine, fit_curves
from capscope.fit.result import Fit, Status
from capscope.fit.slices import Slices, dominant_slices

__all__ = [
    "FEW_ANSWERS",
    "ClassicalCurves",
    "CurveEngine",
    "CurvePosterior",
    "CurveWorld",
    "Fit",
    "Slices",
    "Status",
    "dominant_slices",
    "fit_classical",
    "fit_curves",
    "simulate_counts",
]
