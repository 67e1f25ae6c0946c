"""``capscope report``."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, Force, PageAgainst, PageItems, PageModel, PageStudy, Seed
from capscope.cli.output import emit


def report(
    fit: FitFolder,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    items: PageItems = None,
    study: PageStudy = None,
    model: PageModel = None,
    against: PageAgainst = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page about a fit. Example: capscope report FIT --out report.html."""
    from capscope.report import PageSettings, report_fit

    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed)
    page = report_fit(fit, out, settings, force=force)
    emit({"report": str(page)}, as_json, str(page))
