"""``capscope view``."""

from typing import Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, PageAgainst, PageItems, PageModel, PageStudy, Seed
from capscope.cli.output import emit


def view(
    fit: FitFolder,
    items: PageItems = None,
    study: PageStudy = None,
    model: PageModel = None,
    against: PageAgainst = None,
    browser: Annotated[bool, typer.Option(help="Open the page, or only write it.")] = True,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Open the page about a fit in the browser. Example: capscope view FIT --study STUDY."""
    from capscope.report import PageSettings, view_fit

    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed)
    page = view_fit(fit, settings, browser)
    emit({"report": str(page)}, as_json, str(page))
