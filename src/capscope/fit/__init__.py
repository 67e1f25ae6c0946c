"""Responses to posteriors over abilities and items; the only room that knows torch.

Names that need Pyro are resolved on first use: its import takes longer than most fits.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from capscope.fit.sampled import SampledPosterior as SampledPosterior
    from capscope.fit.sampled import SamplerSettings as SamplerSettings
    from capscope.fit.sampled import sample_irt as sample_irt

_HOMES = dict.fromkeys(("SampledPosterior", "SamplerSettings", "sample_irt"), "capscope.fit.sampled")

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
    "SampledPosterior",
    "SamplerSettings",
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
    "sample_irt",
    "save_fit",
    "score_models",
    "simulate_irt",
    "stocking_lord",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have many types
    """Import a name that needs Pyro on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'capscope.fit' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
