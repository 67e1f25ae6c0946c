"""``capscope report``."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, Force, Seed
from capscope.cli.output import emit


def report(
    fit: FitFolder,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    items: Annotated[Path | None, typer.Option(help="Study folder or file of items to predict on the page.")] = None,
    study: Annotated[
        Path | None, typer.Option(help="Study of an item response fit: item texts, predicted against observed.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model whose curves are drawn; by default the strongest.")] = None,
    against: Annotated[str | None, typer.Option(help="Model it is compared with; by default the next.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page about a fit. Example: capscope report FIT --out report.html."""
    from capscope.report import PageSettings, report_fit

    page = report_fit(fit, out, PageSettings(items, study, model, against, seed), force=force)
    emit({"report": str(page)}, as_json, str(page))
