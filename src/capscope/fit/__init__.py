"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU."""

from importlib import import_module
from typing import TYPE_CHECKING

from capscope.fit.cells.answers import GridAnswers
from capscope.fit.curves.classical import ClassicalCurves, fit_classical
from capscope.fit.curves.posterior import FEW_ANSWERS, CurvePosterior
from capscope.fit.curves.slices import Slices, dominant_slices
from capscope.fit.demand.basis import DemandItems
from capscope.fit.demand.model import DemandSettings, fit_demand
from capscope.fit.demand.posterior import DemandPosterior, LogOdds, draw_demand_chances, draw_demand_log_odds
from capscope.fit.demand.study import asked_items, fit_demand_study
from capscope.fit.engines.mml.binary import MarginalPosterior, fit_marginal
from capscope.fit.engines.mml.with_extras import MarginalHeadPosterior, fit_marginal_head
from capscope.fit.engines.variational.fitting import fit_irt, score_models
from capscope.fit.folder_fit import fit_folder
from capscope.fit.held_out import HeldOut, HoldoutScore, fit_holdout, predict_held_out
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import NEW_ITEM, IRTPosterior, draw_chances
from capscope.fit.irt.score_models.beta import BetaScores
from capscope.fit.irt.score_models.binary import Asymptotes
from capscope.fit.irt.score_models.graded import Graded
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.irt.simulation import IRTTruth, draw_truth, replicated, simulate_irt
from capscope.fit.links import PROBIT_SCALE, score_and_information, success_probability
from capscope.fit.outcome import Fit, Status
from capscope.fit.psychometrics.differential_functioning import GroupDifference, group_difference
from capscope.fit.psychometrics.dimension_meaning import DimensionSources, dimension_sources
from capscope.fit.psychometrics.linking import calibrate_items
from capscope.fit.psychometrics.reliability import (
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
from capscope.fit.psychometrics.s_x2 import ItemFit, item_fit
from capscope.fit.psychometrics.scale_links import Link, mean_sigma, stocking_lord
from capscope.fit.psychometrics.scoring import AbilityScores, ability_scores
from capscope.fit.resources import Cost, Meter, single_threaded_blas
from capscope.fit.storage import AnyFit, is_fit, load_fit, save_fit
from capscope.fit.study_fit import StudyFitSettings, fit_study, item_chance

if TYPE_CHECKING:
    from capscope.fit.curves.hierarchical import CurveEngine, fit_curves
    from capscope.fit.curves.simulation import CurveWorld, simulate_counts
    from capscope.fit.engines.pyro.arviz_export import to_arviz
    from capscope.fit.engines.pyro.sampling import SampledPosterior, SamplerSettings, sample_irt

NEED_PYRO = {
    "to_arviz": "engines.pyro.arviz_export",
    "CurveWorld": "curves.simulation",
    "simulate_counts": "curves.simulation",
    "CurveEngine": "curves.hierarchical",
    "fit_curves": "curves.hierarchical",
    "SampledPosterior": "engines.pyro.sampling",
    "SamplerSettings": "engines.pyro.sampling",
    "sample_irt": "engines.pyro.sampling",
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
