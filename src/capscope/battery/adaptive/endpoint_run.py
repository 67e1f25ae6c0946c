"""An adaptive battery against an endpoint: from a bank and a table of items to a finished run in a folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from capscope.battery.adaptive.adaptive_battery import AdaptiveBattery
from capscope.battery.adaptive.answering import EndpointAnswerer
from capscope.battery.adaptive.planning import LEDGER_NAME, RunSettings, askable
from capscope.battery.adaptive.running import BUDGET, ENDPOINT, BatteryRun, run_adaptively
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.sources import load_bank
from capscope.data import Study
from capscope.errors import Interrupted, OutputError
from capscope.files import refuse_unwritable


def run_battery(
    bank: Bank | str | Path,
    items: Study | pd.DataFrame | str | Path,
    *,
    model: str,
    out: str | Path,
    settings: RunSettings | None = None,
    progress: Callable[[int, float], object] | None = None,
) -> BatteryRun:
    """Run an adaptive battery against an endpoint and write the result; run again to continue an interrupted run.

    Args:
        bank: A bank, or its folder.
        items: A study with texts and right answers of the bank's items, its folder or file, or an items table.
        model: Name of the model at the endpoint.
        out: Folder of the run: its ledger of replies and its result.
        settings: Stop rules, and how the endpoint is asked.
        progress: Called after every question with their number and the score so far.

    Returns:
        The run, which is written to the folder too; its status is `budget` where a limit ended it.

    Raises:
        InputError: The bank or the items cannot be read, or open answers have no judge.
        EndpointError: The endpoint cannot be used, or ended the run; answers so far are written.
        OutputError: The folder or the ledger cannot be written; replies so far are in the ledger.
        Interrupted: Ctrl-C; replies so far are in the ledger.

    Example:
        >>> run = run_battery("bank", "study", model="gpt-4o", out="run")  # doctest: +SKIP
        >>> run.scores  # doctest: +SKIP
    """
    settings, folder = settings or RunSettings(), Path(out)
    loaded = load_bank(bank)
    questions = askable(loaded, items, settings)
    answerer = EndpointAnswerer(folder / LEDGER_NAME, model, settings)
    _make(folder)

    def show(asked: int, state: AdaptiveBattery) -> None:
        if progress:
            progress(asked, float(state.estimate(settings.level, 1).score[0]))

    with answerer as answer:
        try:
            run = run_adaptively(loaded, questions, answer, model, settings, show)
        except KeyboardInterrupt:
            kept = f"{answer.replies} replies are kept in {folder / LEDGER_NAME}"
            raise Interrupted(f"stopped by Ctrl-C; {kept}; run the same command again to go on") from None
        run = replace(run, usd=answer.usd if settings.prices(model) else None, unmetered=answer.unmetered)
        if run.status == BUDGET:
            run = replace(run, cause=f"stopped at ${answer.usd:.4f} of {answer.limit}")
    run.save(folder)
    if run.status == ENDPOINT:
        run.refuse_unfinished()
    return run


def _make(folder: Path) -> None:
    """Make the folder of a run and see that files can be written there, before anything is asked.

    Raises:
        OutputError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None
    refuse_unwritable(folder / "result.json")
