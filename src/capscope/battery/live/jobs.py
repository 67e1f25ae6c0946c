"""From a bank on disk and an endpoint to a finished run on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capscope.battery.banks.storage import load_bank
from capscope.battery.live.adaptive import AdaptiveBattery
from capscope.battery.live.answering import EndpointAnswerer
from capscope.battery.live.questions import battery_questions
from capscope.battery.live.running import BatteryRun, RunSettings, run_battery
from capscope.battery.storage import save_run
from capscope.data import read_items
from capscope.endpoint import EndpointSettings, Prices, Sampling
from capscope.errors import InputError, OutputError

LEDGER_NAME = "replies.sqlite"
"""Name of the ledger in a run's folder."""


@dataclass(frozen=True)
class EndpointRun:
    """What is asked, of whom, and where everything lies."""

    bank: Path
    """The bank."""
    items: Path
    """Study folder or file with texts and right answers."""
    out: Path
    """Folder of the run: its ledger and what it found."""
    endpoint: EndpointSettings
    """Where to ask."""
    model: Sampling
    """The model under test, and how it is to answer."""
    judge: Sampling | None = None
    """The model that grades open answers."""
    grader: str = "auto"
    """How replies are graded."""
    prices: Prices | None = None
    """None where unknown."""
    max_usd: float | None = None
    """Hard stop in US dollars for the model under test."""


def run_at_endpoint(
    job: EndpointRun, settings: RunSettings, progress: Callable[[int, float], object] | None = None
) -> BatteryRun:
    """Run a battery against an endpoint and write what it found; run again to go on where a run was cut short.

    Args:
        job: What is asked, of whom.
        settings: When to stop.
        progress: Called after every question with their number and the score so far.

    Raises:
        InputError: The bank or the items cannot be read, or open answers have no judge.
        EndpointError: The endpoint refuses whatever is asked; replies so far are in the ledger.
        OutputError: The folder cannot be written.
    """
    bank = load_bank(job.bank)
    questions = battery_questions(read_items(job.items).require("items"), bank.items, job.grader)
    if job.judge is None and any(question.kind == "judge" for question in questions):
        raise InputError("grader 'judge' needs a model that judges; name it with --judge")
    try:
        job.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{job.out}: cannot be written ({error.strerror}); choose another --out") from None
    budget = (job.prices, job.max_usd)
    retries = np.random.default_rng(settings.seed)

    def shown(asked: int, state: AdaptiveBattery) -> None:
        if progress:
            progress(asked, float(state.estimate(settings.level, 1).score[0]))

    with EndpointAnswerer(job.out / LEDGER_NAME, job.endpoint, job.model, job.judge, budget, retries) as answer:
        found = run_battery(bank, questions, answer, job.model.model, settings, shown)
    save_run(found, job.out)
    return found
