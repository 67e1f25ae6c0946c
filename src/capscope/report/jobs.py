"""From a fit to its page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import demand_matrix, read_items
from capscope.fit import AnyFit, CurvePosterior, Fit, load_fit
from capscope.predict import Predictions, predict_from_curves
from capscope.profiles import DemandProfile, ability_profiles, demand_profile
from capscope.report.page import write_report
from capscope.report.provenance import Provenance, provenance_of
from capscope.report.summary import Summary, summarize
from capscope.report.summary_irt import summarize_irt


@dataclass(frozen=True)
class ItemPart:
    """What a page says about a set of items."""

    predictions: Predictions
    """Every model's chance on every item."""
    demands: DemandProfile
    """What the set asks for."""
    items: pd.DataFrame
    """The items' texts."""


def item_part(posterior: CurvePosterior, path: Path, seed: int, level: float = 0.9) -> ItemPart:
    """Predict a file of items, or a study's, and profile its demands.

    Raises:
        InputError: The items cannot be read, or lack demands.
    """
    study = read_items(path, posterior.dims)
    demands = demand_matrix(study, rubrics=posterior.dims)
    predictions = predict_from_curves(posterior, demands, np.random.default_rng(seed), level)
    return ItemPart(predictions, demand_profile(demands), study.require("items"))


def curve_summary(
    fit: Fit[CurvePosterior], part: ItemPart | None, provenance: Provenance, focus_model: str | None = None
) -> Summary:
    """Summarise a curve fit, and a set of items if there is one."""
    profiles = ability_profiles(fit.posterior)
    if part is None:
        return summarize(fit, profiles, None, None, None, focus_model=focus_model, provenance=provenance)
    return summarize(
        fit, profiles, part.predictions, part.demands, part.items, focus_model=focus_model, provenance=provenance
    )


def report_fit(
    folder: Path,
    out: Path,
    *,
    items: Path | None = None,
    model: str | None = None,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Write the page of a stored fit.

    Args:
        folder: The fit.
        out: HTML file to write.
        items: Study folder or file of items with demands, for a curve fit: predicted and profiled on the page.
        model: Model whose curves are drawn; by default the strongest.
        seed: Seed of the prediction draws.
        force: Replace an existing file.

    Raises:
        InputError: The fit or the items cannot be read.
        OutputError: The file exists and `force` is not set.
    """
    fit: AnyFit = load_fit(folder)
    inputs = (folder / "manifest.json", folder / "tensors.safetensors")
    provenance = provenance_of(f"Fit {folder.name}", f"the fit {folder.name}", seed=seed, engine="", inputs=inputs)
    posterior = fit.posterior
    if isinstance(posterior, CurvePosterior):
        part = item_part(posterior, items, seed) if items else None
        summary = curve_summary(Fit(posterior, fit.status, fit.history), part, provenance, model)
    else:
        summary = summarize_irt(Fit(posterior, fit.status, fit.history), provenance=provenance)
    return write_report(summary, out, force=force)
