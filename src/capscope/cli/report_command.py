"""``capscope report``, ``view`` and ``demo``: pages about fits."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, Force, PageAgainst, PageItems, PageModel, PageStudy, Seed
from capscope.cli.output import emit, progress_bar
from capscope.errors import counted


def report(
    fit: FitFolder,
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write; with --open a temporary one by default.")
    ] = None,
    items: PageItems = None,
    study: PageStudy = None,
    model: PageModel = None,
    against: PageAgainst = None,
    card: Annotated[
        Path | None, typer.Option(help="JSON file for a card: what was measured, on what, how, and how well.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who measured, for the card.")] = None,
    claim: Annotated[list[str] | None, typer.Option(help="What it is to support, for the card; may repeat.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page about a fit, or open it.

    Example: capscope report FIT --study STUDY --out report.html --open
    """
    from capscope.files import refuse_file
    from capscope.report import PageSettings, open_page, report_fit, view_fit, write_card

    if card is not None:
        refuse_file(card, force=force, option="--card")
    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed)
    if out is None and not show and card is None:
        raise typer.BadParameter("give --out FILE.html to keep the page, --open to look at it, or --card FILE.json")
    if card is not None:
        write_card(fit, card, study, by=by, claims=claim or (), force=force)
    if out is None and not show:
        emit({"card": str(card)}, as_json, str(card))
        return
    page = view_fit(fit, settings, browser=False) if out is None else report_fit(fit, out, settings, force=force)
    if show:
        open_page(page)
    result = {"report": str(page)} if card is None else {"report": str(page), "card": str(card)}
    emit(result, as_json, "\n".join(result.values()))


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
    """Open the page about a fit in the browser: the earlier name of 'capscope report FIT --open'."""
    from capscope.report import PageSettings, view_fit

    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed)
    page = view_fit(fit, settings, browser)
    emit({"report": str(page)}, as_json, str(page))


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("capscope-demo"),
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Profile 15 published models and predict 54 questions; no key.

    Needs no network either, and ends with the path of a page. Example: capscope demo
    """
    with progress_bar("profiling 15 models") as progress:
        from capscope.report import run_demo

        result = run_demo(out, seed, progress)
    lines = [
        f"{counted(result.models, 'model')} profiled on {counted(result.dims, 'dimension')} in {result.seconds:.0f} s",
        f"abilities and chances: {out / 'abilities.csv'}, {out / 'chances.csv'}",
        result.report,
    ]
    emit(asdict(result), as_json, "\n".join(lines))
