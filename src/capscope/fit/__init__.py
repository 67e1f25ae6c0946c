"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU."""

from importlib import import_module
from typing import TYPE_CHECKING

from capscope.fit.cells.answers import GridAnswers
from capscope.fit.cost import Cost, Meter
from capscope.fit.curves.classical import ClassicalCurves, fit_classical
from capscope.fit.curves.posterior import FEW_ANSWERS, CurvePosterior
from capscope.fit.curves.slices import Slices, dominant_slices
from capscope.fit.demand.basis import DemandItems
from capscope.fit.demand.draws import draw_demand_chances, draw_demand_log_odds
from capscope.fit.demand.model import DemandSettings, fit_demand
from capscope.fit.demand.posterior import DemandPosterior, LogOdds
from capscope.fit.demand.study import asked_items, fit_demand_study
from capscope.fit.engine.beta_scores import BetaScores
from capscope.fit.engine.graded import Graded
from capscope.fit.engine.heads import Asymptotes
from capscope.fit.folder_fit import fit_folder
from capscope.fit.held_out import HeldOut, HoldoutScore, fit_holdout, predict_held_out
from capscope.fit.irt import fit_irt, score_models
from capscope.fit.irt_model import IRTSettings
from capscope.fit.links import PROBIT_SCALE, attenuated, log_likelihood, score_and_information, success_probability
from capscope.fit.marginal.heads import MarginalHeadPosterior, fit_marginal_head
from capscope.fit.marginal.likelihood import MarginalPosterior, fit_marginal
from capscope.fit.posterior.draws import NEW_ITEM, draw_chances
from capscope.fit.posterior.irt import IRTPosterior
from capscope.fit.posterior.population import ItemPopulation
from capscope.fit.psychometrics.ability_scores import AbilityScores, ability_scores
from capscope.fit.psychometrics.calibration import calibrate_items
from capscope.fit.psychometrics.dimension_sources import DimensionSources, dimension_sources
from capscope.fit.psychometrics.group_difference import GroupDifference, group_difference
from capscope.fit.psychometrics.linking import Link, mean_sigma, stocking_lord
from capscope.fit.psychometrics.scale_checks import (
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
from capscope.fit.psychometrics.sum_score_fit import ItemFit, item_fit
from capscope.fit.result import Fit, Status
from capscope.fit.simulate import IRTTruth, draw_truth, replicated, simulate_irt
from capscope.fit.storage import AnyFit, is_fit, load_fit, save_fit
from capscope.fit.study_fit import StudyFitSettings, fit_study, item_chance
from capscope.fit.threads import single_threaded_blas

if TYPE_CHECKING:
    from capscope.fit.curves.hierarchical import CurveEngine, fit_curves
    from capscope.fit.curves.simulation import CurveWorld, simulate_counts
    from capscope.fit.sampling.arviz_export import to_arviz
    from capscope.fit.sampling.irt import SampledPosterior, SamplerSettings, sample_irt

NEED_PYRO = {
    "to_arviz": "sampling.arviz_export",
    "CurveWorld": "curves.simulation",
    "simulate_counts": "curves.simulation",
    "CurveEngine": "curves.hierarchical",
    "fit_curves": "curves.hierarchical",
    "SampledPosterior": "sampling.irt",
    "SamplerSettings": "sampling.irt",
    "sample_irt": "sampling.irt",
}
"""Names whose modules import Pyro, which most work does without; they are loaded when they are asked for."""


def __getattr__(name: str) -> object:
    """Load what needs Pyro."""
    if name not in NEED_PYRO:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"capscope.fit.{NEED_PYRO[name]}"), name)


__all__ = [
    "single_threaded_blas",
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
    "draw_demand_log_odds",
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
    "attenuated",
    "log_likelihood",
    "group_difference",
    "information",
    "item_chance",
    "is_fit",
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
