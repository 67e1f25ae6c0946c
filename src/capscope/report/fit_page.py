"""From a fit to its page: gather the sources, summarize, write, open."""

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data import Demands, Responses, Study, read_items
from capscope.errors import JoinError, first_few
from capscope.files import refuse_file
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

    items: Study | pd.DataFrame | Path | str | None = None
    """Items to predict and, where they have demand levels, to profile: a study or a table of items, or its path."""
    study: Study | Path | str | None = None
    """The study that the fit was made from, or its folder: item texts, demands of its benchmarks, odd items, held-out
    answers."""
    model: str | None = None
    """Model that is shown in detail; by default the strongest."""
    against: str | None = None
    """Model it is compared with; by default the next one in the ranking."""
    seed: int = 0
    """Seed of all draws."""
    level: float = 0.9
    """Nominal coverage of all intervals, as a share."""


def report(  # noqa: PLR0913 - every setting has a default and is given by keyword
    fit: Fit[Any] | Path | str,
    out: Path | str,
    *,
    study: Study | Path | str | None = None,
    items: Study | pd.DataFrame | Path | str | None = None,
    model: str | None = None,
    against: str | None = None,
    level: float = 0.9,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Write one self-contained page about a fit.

    Args:
        fit: A fit of any kind, or its folder.
        out: HTML file to write.
        study: The study that the fit was made from; adds item texts, demands, odd items and held-out answers.
        items: Items to predict on the page.
        model: Model that is shown in detail; by default the strongest.
        against: Model it is compared with; by default the next one in the ranking.
        level: Nominal coverage of all intervals, as a share.
        seed: Seed of all draws.
        force: An existing file may be replaced.

    Returns:
        The page.

    Raises:
        InputError: The fit, the items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
        OutputError: The file exists and `force` is not set, or it cannot be written.

    Example:
        >>> report(fit(study, "2pl"), "report.html", study=study)  # doctest: +SKIP
    """
    refuse_file(Path(out), force=force)
    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed, level=level)
    return write_page(fit_summary(fit, settings), Path(out), force=force)


def report_fit(folder: Path | str, out: Path | str, settings: PageSettings | None = None, force: bool = False) -> Path:
    """Write the page of a stored fit; see `report`.

    Args:
        folder: The fit.
        out: HTML file to write.
        settings: What to show beside the fit.
        force: Replace an existing file.

    Raises:
        OutputError: The file exists and `force` is not set.
    """
    refuse_file(Path(out), force=force)
    return write_page(fit_summary(folder, settings), Path(out), force=force)


def view_fit(folder: Path | str, settings: PageSettings | None = None, browser: bool = True) -> Path:
    """Write the page of a stored fit to a temporary folder and open it; see `report`.

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


def fit_summary(fit: Fit[Any] | Path | str, settings: PageSettings | None = None) -> Summary:
    """Summarise a fit.

    Args:
        fit: A fit of any kind, or its folder.
        settings: What to show beside it.

    Raises:
        InputError: The fit, the items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
    """
    settings = settings or PageSettings()
    fitted = fit if isinstance(fit, Fit) else load_fit(Path(fit))
    return summarize(page_source(fitted, _provenance(fit, settings), settings))


def _provenance(fit: Fit[Any] | Path | str, settings: PageSettings) -> Provenance:
    if isinstance(fit, Fit):
        return provenance_of("Fit", "a fit of this session", seed=settings.seed, engine="")
    folder = Path(fit)
    inputs = (folder / "manifest.json", folder / "tensors.safetensors")
    source = f"the fit {folder.name}"
    return provenance_of(f"Fit {folder.name}", source, seed=settings.seed, engine="", inputs=inputs)


def page_source(fit: Fit[Any], provenance: Provenance, settings: PageSettings) -> PageSource:
    """Gather everything that the page of a fit can show.

    Raises:
        InputError: The items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
    """
    study = Study.load(settings.study) if isinstance(settings.study, Path | str) else settings.study
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


def item_part(fit: Fit[Any], items: Study | pd.DataFrame | Path | str, seed: int = 0, level: float = 0.9) -> ItemPart:
    """Predict items and profile their demands.

    Args:
        fit: A fit of any kind.
        items: A study or a table of items, or the path of one.
        seed: Seed of the draws.
        level: Nominal coverage of the intervals.

    Raises:
        InputError: The items cannot be read, or lack demand levels that the fit needs.
    """
    posterior = fit.posterior
    dims = () if isinstance(posterior, IRTPosterior) else posterior.dims
    study = _items_study(items, dims)
    predictions = predict_from_fit(posterior, study, PredictionSettings(level=level, seed=seed))
    if study.demands is None:
        return ItemPart(predictions=predictions, items=study.items)
    demands = demand_profile(Demands.of(study, rubrics=dims or None))
    return ItemPart(predictions=predictions, demands=demands, items=study.items)


def _items_study(items: Study | pd.DataFrame | Path | str, dims: tuple[str, ...]) -> Study:
    if isinstance(items, Study):
        return items
    return Study.of(items) if isinstance(items, pd.DataFrame) else read_items(items, dims)


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
