"""An adaptive battery against an endpoint: from a bank and a table of items to a finished run in a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.battery.adaptive.adaptive_battery import AdaptiveBattery
from capscope.battery.adaptive.answering import EndpointAnswerer
from capscope.battery.adaptive.questions import BatteryQuestion, battery_questions
from capscope.battery.adaptive.running import BatteryRun, RunSettings, run_adaptively
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.sources import load_bank
from capscope.data import Study, read_items
from capscope.endpoint import EndpointSettings, Sampling, find_prices
from capscope.errors import InputError, OutputError

LEDGER_NAME = "replies.sqlite"
"""Name of the ledger in a run's folder."""


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

    Raises:
        InputError: The bank or the items cannot be read, or open answers have no judge.
        EndpointError: The endpoint refuses every question; replies so far are in the ledger.
        OutputError: The folder cannot be written.

    Example:
        >>> run = run_battery("bank", "study", model="gpt-4o", out="run")  # doctest: +SKIP
        >>> run.scores  # doctest: +SKIP
    """
    settings, folder = settings or RunSettings(), Path(out)
    loaded = load_bank(bank)
    questions = battery_questions(_items(items), loaded.items, settings.grader)
    answerer = _answerer(questions, model, folder, settings)
    _make(folder)

    def show(asked: int, state: AdaptiveBattery) -> None:
        if progress:
            progress(asked, float(state.estimate(settings.level, 1).score[0]))

    with answerer as answer:
        run = run_adaptively(loaded, questions, answer, model, settings, show)
    run.save(folder)
    return run


def _items(items: Study | pd.DataFrame | str | Path) -> pd.DataFrame:
    if isinstance(items, pd.DataFrame):
        return items
    return (items if isinstance(items, Study) else read_items(Path(items))).require("items")


def _answerer(questions: list[BatteryQuestion], model: str, folder: Path, settings: RunSettings) -> EndpointAnswerer:
    if not settings.judge and any(question.kind == "judge" for question in questions):
        raise InputError("grader 'judge' needs a model that judges; name it with --judge")
    endpoint = settings.endpoint
    if not isinstance(endpoint, EndpointSettings):
        endpoint = EndpointSettings.from_environment(endpoint, concurrency=1)
    return EndpointAnswerer(
        folder / LEDGER_NAME,
        endpoint,
        Sampling(model, settings.temperature, settings.max_tokens),
        Sampling(settings.judge, 0.0, settings.max_tokens) if settings.judge else None,
        (find_prices(model, settings.usd_in, settings.usd_out), settings.max_usd),
        np.random.default_rng(settings.seed),
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None
