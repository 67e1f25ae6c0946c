"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU."""

from importlib import import_module
from typing import TYPE_CHECKING

from capscope.fit.ability_scores import AbilityScores, ability_scores
from capscope.fit.answers import GridAnswers
from capscope.fit.beta_scores import BetaScores
from capscope.fit.calibration import calibrate_items
from capscope.fit.cost import Cost, Meter
from capscope.fit.curve_posterior import FEW_ANSWERS, CurvePosterior
from capscope.fit.curves_classical import ClassicalCurves, fit_classical
from capscope.fit.demand_basis import DemandItems
from capscope.fit.demand_draws import draw_demand_chances
from capscope.fit.demand_model import DemandSettings, fit_demand
from capscope.fit.demand_posterior import DemandPosterior, LogOdds
from capscope.fit.demand_study import asked_items, fit_demand_study
from capscope.fit.dimension_sources import DimensionSources, dimension_sources
from capscope.fit.folder_fit import fit_folder
from capscope.fit.graded import Graded
from capscope.fit.group_difference import GroupDifference, group_difference
from capscope.fit.heads import Asymptotes
from capscope.fit.irt import fit_irt, score_models
from capscope.fit.irt_draws import NEW_ITEM, draw_chances
from capscope.fit.irt_model import IRTSettings
from capscope.fit.irt_population import ItemPopulation
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.linking import Link, mean_sigma, stocking_lord
from capscope.fit.links import PROBIT_SCALE, score_and_information, success_probability
from capscope.fit.marginal import MarginalPosterior, fit_marginal
from capscope.fit.marginal_heads import MarginalHeadPosterior, fit_marginal_head
from capscope.fit.result import Fit, Status
from capscope.fit.scale_checks import (
    LocalDependence,
    MeanSquares,
    ScaleInformation,
    information,
    local_dependence,
    marginal_reliability,
    mean_squares,
    reliability_interval,
    scale_information,
)
from capscope.fit.simulate import IRTTruth, draw_truth, replicated, simulate_irt
from capscope.fit.slices import Slices, dominant_slices
from capscope.fit.storage import AnyFit, load_fit, save_fit
from capscope.fit.study_fit import (
    HeldOut,
    HoldoutScore,
    StudyFitSettings,
    fit_holdout,
    fit_study,
    item_chance,
    predict_held_out,
)
from capscope.fit.sum_score_fit import ItemFit, item_fit

if TYPE_CHECKING:
    from capscope.fit.arviz_export import to_arviz
    from capscope.fit.curve_simulation import CurveWorld, simulate_counts
    from capscope.fit.curves_hierarchical import CurveEngine, fit_curves
    from capscope.fit.sampled import SampledPosterior, SamplerSettings, sample_irt

NEED_PYRO = {
    "to_arviz": "arviz_export",
    "CurveWorld": "curve_simulation",
    "simulate_counts": "curve_simulation",
    "CurveEngine": "curves_hierarchical",
    "fit_curves": "curves_hierarchical",
    "SampledPosterior": "sampled",
    "SamplerSettings": "sampled",
    "sample_irt": "sampled",
}
"""Names whose modules import Pyro, which most work does without; they are loaded when they are asked for."""


def __getattr__(name: str) -> object:
    """Load what needs Pyro."""
    if name not in NEED_PYRO:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"capscope.fit.{NEED_PYRO[name]}"), name)


__all__ = [
    "Asymptotes",
    "Graded",
    "MarginalHeadPosterior",
    "fit_marginal_head",
    "AnyFit",
    "BetaScores",
    "ClassicalCurves",
    "Cost",
    "CurveEngine",
    "CurvePosterior",
    "CurveWorld",
    "DimensionSources",
    "DemandItems",
    "asked_items",
    "draw_demand_chances",
    "fit_demand_study",
    "DemandPosterior",
    "DemandSettings",
    "FEW_ANSWERS",
    "Fit",
    "GridAnswers",
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
    "Meter",
    "NEW_ITEM",
    "PROBIT_SCALE",
    "SampledPosterior",
    "SamplerSettings",
    "Slices",
    "Status",
    "StudyFitSettings",
    "calibrate_items",
    "dimension_sources",
    "AbilityScores",
    "ItemFit",
    "ScaleInformation",
    "ability_scores",
    "item_fit",
    "reliability_interval",
    "scale_information",
    "dominant_slices",
    "draw_chances",
    "draw_truth",
    "fit_classical",
    "fit_curves",
    "fit_folder",
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
    "replicated",
    "sample_irt",
    "save_fit",
    "score_and_information",
    "score_models",
    "simulate_counts",
    "simulate_irt",
    "stocking_lord",
    "success_probability",
    "to_arviz",
]
