"""From a fit to its page: gather the sources, summarize, write, open."""

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capscope.data import Demands, Responses, Study, read_items
from capscope.errors import JoinError, first_few
from capscope.fit import Fit, HeldOut, IRTPosterior, StudyFitSettings, load_fit, predict_held_out
from capscope.predict import PredictionSettings
from capscope.predict.fit_predictions import predict_from_fit
from capscope.profiles import demand_profile
from capscope.report.page import write_page
from capscope.report.plain import Summary
from capscope.report.provenance import Provenance, provenance_of
from capscope.report.section import ItemPart, PageSource
from capscope.report.summary import summarize

HELD_OUT_SHARE = 0.2
"""Share of a study's answers that are predicted by a fit which has not seen them."""


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the page of a fit shows beside the fit."""

    items: Path | None = None
    """Study folder or file of items to predict and, where they have demand levels, to profile."""
    study: Path | None = None
    """The study that the fit was made from: item texts, demands of its benchmarks, odd items, held-out answers."""
    model: str | None = None
    """Model that is shown in detail; by default the strongest."""
    against: str | None = None
    """Model it is compared with; by default the next one in the ranking."""
    seed: int = 0
    """Seed of all draws."""
    level: float = 0.9
    """Nominal coverage of all intervals, as a share."""


def item_part(fit: Fit[Any], path: Path, seed: int, level: float = 0.9) -> ItemPart:
    """Predict a file of items, or a study's, and profile its demands.

    Args:
        fit: A fit of any kind.
        path: Study folder, or file of items.
        seed: Seed of the draws.
        level: Nominal coverage of the intervals.

    Raises:
        InputError: The items cannot be read, or lack demand levels that the fit needs.
    """
    posterior = fit.posterior
    study = read_items(path, () if isinstance(posterior, IRTPosterior) else posterior.dims)
    predictions = predict_from_fit(posterior, study, PredictionSettings(level=level, seed=seed))
    if study.demands is None:
        return ItemPart(predictions=predictions, items=study.items)
    dims = None if isinstance(posterior, IRTPosterior) else posterior.dims
    demands = demand_profile(Demands.of(study, rubrics=dims))
    return ItemPart(predictions=predictions, demands=demands, items=study.items)


def held_out_answers(fit: Fit[Any], study: Study, seed: int) -> HeldOut | None:
    """Fit the same model without part of the study's answers, and predict these; None for a kind that cannot.

    Raises:
        JoinError: The study lacks items of the fit.
    """
    if not isinstance(fit.posterior, IRTPosterior):
        return None
    responses = Responses.of(study)
    known = set(responses.items)
    missing = [item for item in fit.posterior.items if item not in known]
    if missing:
        raise JoinError(
            f"{study.name}: has no answers to {first_few(missing)} of the fit; name the study it was made from"
        )
    model = "mirt" if fit.posterior.dims > 1 else fit.posterior.model_name
    settings = StudyFitSettings(model=model, dims=fit.posterior.dims, seed=seed)
    return predict_held_out(responses, settings, HELD_OUT_SHARE)


def page_source(fit: Fit[Any], provenance: Provenance, settings: PageSettings) -> PageSource:
    """Gather everything that the page of a fit can show.

    Raises:
        InputError: The items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
    """
    study = None if settings.study is None else Study.load(settings.study)
    items = settings.items
    return PageSource(
        fit=fit,
        provenance=provenance,
        study=study,
        part=None if items is None else item_part(fit, items, settings.seed, settings.level),
        held_out=None if study is None or study.responses is None else held_out_answers(fit, study, settings.seed),
        focus_model=settings.model,
        rival=settings.against,
        level=settings.level,
    )


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
    fit = load_fit(folder)
    inputs = (folder / "manifest.json", folder / "tensors.safetensors")
    source = f"the fit {folder.name}"
    provenance = provenance_of(f"Fit {folder.name}", source, seed=settings.seed, engine="", inputs=inputs)
    return summarize(page_source(fit, provenance, settings))


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
    return write_page(fit_summary(folder, settings), out, force=force)


def view_fit(folder: Path, settings: PageSettings | None = None, browser: bool = True) -> Path:
    """Write the page of a stored fit to a temporary folder and open it; see `report_fit`.

    Args:
        folder: The fit.
        settings: What to show beside the fit.
        browser: Whether to open it.

    Returns:
        The page, which stays until the system clears its temporary files.
    """
    page = report_fit(folder, Path(tempfile.mkdtemp(prefix="capscope-")) / "report.html", settings)
    if browser:
        webbrowser.open(page.as_uri())
    return page
