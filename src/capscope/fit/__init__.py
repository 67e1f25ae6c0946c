"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU."""

from capscope.fit.calibration import calibrate_items
from capscope.fit.curve_posterior import FEW_ANSWERS, CurvePosterior
from capscope.fit.curve_simulation import CurveWorld, simulate_counts
from capscope.fit.curves_classical import ClassicalCurves, fit_classical
from capscope.fit.curves_hierarchical import CurveEngine, fit_curves
from capscope.fit.demand_basis import DemandItems
from capscope.fit.demand_model import DemandSettings, fit_demand
from capscope.fit.demand_posterior import DemandPosterior, LogOdds
from capscope.fit.group_difference import GroupDifference, group_difference
from capscope.fit.irt import fit_irt, score_models
from capscope.fit.irt_draws import NEW_ITEM, draw_chances
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
from capscope.fit.links import PROBIT_SCALE, score_and_information
from capscope.fit.marginal import MarginalPosterior, fit_marginal
from capscope.fit.result import Fit, Status
from capscope.fit.sampled import SampledPosterior, SamplerSettings, sample_irt
from capscope.fit.simulate import IRTTruth, draw_truth, simulate_irt
from capscope.fit.slices import Slices, dominant_slices
from capscope.fit.storage import load_fit, save_fit
from capscope.fit.study_fit import (
    AnyFit,
    HeldOut,
    HoldoutScore,
    StudyFitSettings,
    fit_holdout,
    fit_study,
    item_chance,
    predict_held_out,
)

__all__ = [
    "sample_irt",
    "SamplerSettings",
    "PROBIT_SCALE",
    "SampledPosterior",
    "AnyFit",
    "ClassicalCurves",
    "CurveEngine",
    "CurvePosterior",
    "CurveWorld",
    "DemandItems",
    "DemandPosterior",
    "DemandSettings",
    "FEW_ANSWERS",
    "Fit",
    "GroupDifference",
    "HeldOut",
    "HoldoutScore",
    "IRTPosterior",
    "IRTSettings",
    "IRTTruth",
    "ItemPopulation",
    "Link",
    "LocalDependence",
    "LogOdds",
    "MarginalPosterior",
    "MeanSquares",
    "NEW_ITEM",
    "Slices",
    "Status",
    "StudyFitSettings",
    "calibrate_items",
    "dominant_slices",
    "draw_chances",
    "draw_truth",
    "fit_classical",
    "fit_curves",
    "fit_demand",
    "fit_holdout",
    "fit_irt",
    "fit_marginal",
    "fit_study",
    "group_difference",
    "information",
    "item_chance",
    "load_fit",
    "local_dependence",
    "marginal_reliability",
    "mean_sigma",
    "mean_squares",
    "predict_held_out",
    "save_fit",
    "score_and_information",
    "score_models",
    "simulate_counts",
    "simulate_irt",
    "stocking_lord",
]
