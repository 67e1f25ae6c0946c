"""From a fit to its page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import Demands, Responses, Study, read_items
from capscope.errors import InputError, JoinError, first_few
from capscope.fit import (
    AnyFit,
    CurvePosterior,
    DemandPosterior,
    Fit,
    IRTPosterior,
    StudyFitSettings,
    load_fit,
    predict_held_out,
)
from capscope.predict import Predictions, predict_from_curves
from capscope.profiles import DemandProfile, ability_profiles, demand_profile
from capscope.report.page import write_report
from capscope.report.provenance import Provenance, provenance_of
from capscope.report.summary import Summary, summarize
from capscope.report.summary_irt import summarize_irt
from capscope.report.summary_study import with_study


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
    demands = Demands.of(study, rubrics=posterior.dims)
    predictions = predict_from_curves(posterior, demands, np.random.default_rng(seed), level)
    return ItemPart(predictions, demand_profile(demands), study.require("items"))


def curve_summary(
    fit: Fit[CurvePosterior],
    part: ItemPart | None,
    provenance: Provenance,
    focus_model: str | None = None,
    rival: str | None = None,
) -> Summary:
    """Summarise a curve fit, and a set of items if there is one."""
    parts = (None, None, None) if part is None else (part.predictions, part.demands, part.items)
    profiles = ability_profiles(fit.posterior)
    return summarize(fit, profiles, *parts, focus_model=focus_model, rival=rival, provenance=provenance)


def study_summary(fit: Fit[IRTPosterior], study: Study, provenance: Provenance, share: float = 0.2) -> Summary:
    """Summarise an item response fit with the study it was made from: texts, and predictions of held-out answers.

    Raises:
        JoinError: The fit's items are not the study's.
    """
    responses = Responses.of(study)
    known = set(responses.items)
    missing = [item for item in fit.posterior.items if item not in known]
    if missing:
        raise JoinError(
            f"{study.name}: has no answers to {first_few(missing)} of the fit; name the study it was made from"
        )
    model = "mirt" if fit.posterior.dims > 1 else fit.posterior.model_name
    settings = StudyFitSettings(model=model, dims=fit.posterior.dims, seed=provenance.seed)
    held_out = predict_held_out(responses, settings, share)
    summary = summarize_irt(fit, study.items, provenance=provenance, held_out=held_out)
    return with_study(summary, study, provenance.seed)


@dataclass(frozen=True)
class PageSettings:
    """What the page of a fit shows beside the fit."""

    items: Path | None = None
    """Study folder or file of items with demands, for a curve fit: predicted and profiled on the page."""
    study: Path | None = None
    """The study that the fit was made from: what its benchmarks demand and what looks odd in it; for an item response
    fit also item texts, and predictions of held-out answers."""
    model: str | None = None
    """Model whose curves are drawn; by default the strongest."""
    against: str | None = None
    """Model it is compared with; by default the one next to it."""
    seed: int = 0
    """Seed of all draws."""


def fit_summary(folder: Path, settings: PageSettings | None = None) -> Summary:
    """Summarise a stored fit.

    Args:
        folder: The fit.
        settings: What to show beside it.

    Raises:
        InputError: The fit, the items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
    """
    settings = settings or PageSettings()
    fit: AnyFit = load_fit(folder)
    inputs = (folder / "manifest.json", folder / "tensors.safetensors")
    source, seed = f"the fit {folder.name}", settings.seed
    provenance = provenance_of(f"Fit {folder.name}", source, seed=seed, engine="", inputs=inputs)
    posterior = fit.posterior
    if isinstance(posterior, CurvePosterior):
        part = item_part(posterior, settings.items, seed) if settings.items else None
        of_curves = Fit(posterior, fit.status, fit.history)
        summary = curve_summary(of_curves, part, provenance, settings.model, settings.against)
        return with_study(summary, Study.load(settings.study), seed) if settings.study else summary
    if isinstance(posterior, DemandPosterior):
        raise InputError(
            f"{folder}: a demand fit has no page yet; see 'capscope profile' and 'capscope predict --explain'"
        )
    of_items = Fit(posterior, fit.status, fit.history)
    if settings.study is None:
        return summarize_irt(of_items, provenance=provenance)
    return study_summary(of_items, Study.load(settings.study), provenance)


def report_fit(folder: Path, out: Path, settings: PageSettings | None = None, force: bool = False) -> Path:
    """Write the page of a stored fit; see `fit_summary`.

    Args:
        folder: The fit.
        out: HTML file to write.
        settings: What to show beside the fit.
        force: Replace an existing file.

    Raises:
        OutputError: The file exists and `force` is not set.
    """
    return write_report(fit_summary(folder, settings), out, force=force)
