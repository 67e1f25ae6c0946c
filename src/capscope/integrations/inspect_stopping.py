"""Inspect: a battery for tasks that stay unchanged; samples that were not drawn are stopped before they run.

``eval(task_with(my_task(), early_stopping=capscope_stopping("bank", stop="width:0.05")))`` runs the samples of one
battery, drawn from the bank with known chances, and leaves the task's data set, solver and scorer as they are. Inspect
asks for each sample in the order of the data set, so that the draw is made beforehand and does not adapt to answers;
`capscope_battery` does. Inspect 0.3.250 or newer (extra ``inspect``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inspect_ai.dataset import Sample
from inspect_ai.event import InfoEvent
from inspect_ai.log import EvalLog, EvalSpec, transcript
from inspect_ai.scorer import SampleScore
from inspect_ai.util import EarlyStop, EarlyStopping

from capscope.battery import Bank, Battery, BatteryDesign, load_bank, score_battery, select_battery, size_for_width
from capscope.data.formats import battery_of_draws, pool_runs
from capscope.errors import InputError, first_few
from capscope.integrations.inspect_ai import Limits, matched_samples, score_of, stop_rule

MANAGER = "capscope"
"""Name of the manager in logs, and key of its metadata."""
EXAMPLES = {"width": "width:0.05", "items": "items:100"}
"""An example of each stop rule, for messages."""
NOT_DRAWN = "not drawn for the battery"
"""Why a sample was stopped."""


def capscope_stopping(  # noqa: PLR0913 - every setting has a default and is given by keyword
    bank: Bank | Path | str,
    *,
    stop: str = "width:0.05",
    method: str = "variance",
    task: str = "",
    level: float = 0.95,
    seed: int = 0,
    scorer: str | None = None,
    limits: Limits = "scored",
) -> "BatteryStopping":
    """Return an early stopping manager that runs the samples of one battery and no others.

    Make one manager for each run.

    Args:
        bank: Items with their parameters and the answers of past models, or the folder of one (`capscope bank build`).
        stop: `width:0.05` draws so many samples that the interval of the mean score is expected to be so wide, in
            shares of 1; `items:100` draws so many.
        method: Name of a selector, one of `capscope.battery.SELECTORS`.
        task: Name of the task in the bank's item ids (`task:id`), where several tasks have samples of one id.
        level: Nominal coverage of the interval whose width is `width`.
        seed: Seed of the draw.
        scorer: The scorer whose score counts when the log is scored; by default the first.
        limits: What a sample that met a limit counts as when the log is scored.

    Returns:
        The manager, for `Task(early_stopping=...)` or `task_with(task, early_stopping=...)`.

    Raises:
        InputError: The bank cannot be read, or the stop rule cannot be read.
    """
    draw = StoppingDraw(method=method, task=task, level=level, seed=seed, scorer=scorer, limits=limits)
    return BatteryStopping(load_bank(bank), stop_rule(stop, EXAMPLES), draw)


@dataclass(frozen=True, kw_only=True)
class StoppingDraw:
    """How the battery of a run is drawn and scored; see `capscope_stopping`."""

    method: str = "variance"
    """Name of a selector."""
    task: str = ""
    """Name of the task in the bank's item ids."""
    level: float = 0.95
    """Nominal coverage of the interval whose width is asked."""
    seed: int = 0
    """Seed of the draw."""
    scorer: str | None = None
    """The scorer whose score counts; the first where None."""
    limits: Limits = "scored"
    """What a sample that met a limit counts as."""


class BatteryStopping(EarlyStopping):
    """The battery of one run. Inspect asks before each sample whether it is to run."""

    def __init__(self, bank: Bank, rule: tuple[str, float], draw: StoppingDraw) -> None:
        """Draw nothing yet; see `capscope_stopping` for the arguments."""
        self.bank, self.rule, self.draw = bank, rule, draw
        self.items: dict[str, str] = {}
        self.pool: list[list[Any]] = []
        self.battery: Battery | None = None

    async def start_task(self, task: EvalSpec, samples: list[Sample], epochs: int) -> str:  # noqa: ARG002
        """Draw the battery from those of the bank's items that the task has samples of.

        Args:
            task: The task; not used.
            samples: Its samples.
            epochs: Runs of each sample; not used.

        Returns:
            Name of this manager in the log.

        Raises:
            InputError: No sample is an item of the bank, or more items are asked for than there are.
        """
        draw = self.draw
        by_item = matched_samples(self.bank, samples, draw.task)
        self.bank = self.bank.take_items(self.bank.positions(tuple(sorted(by_item))))
        name, value = self.rule
        by_width = name == "width"
        size = size_for_width(self.bank, value, method=draw.method, level=draw.level) if by_width else int(value)
        self.battery = select_battery(self.bank, size, method=draw.method, seed=draw.seed, design=BatteryDesign())
        self.items = {str(by_item[item].id): item for item in self.battery.items}
        of_pool = {str(sample.id): item for item, sample in by_item.items()}
        self.pool = pool_runs(of_pool, [sample.id for sample in samples])
        return MANAGER

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:
        """Return nothing for a sample that was drawn, and an early stop for the others.

        An event of a drawn sample says how it was drawn, so that a run that ends early can be scored from its log.

        Args:
            id: Id of the sample.
            epoch: Number of its run, from 1.
        """
        if str(id) not in self.items or self.battery is None:
            return EarlyStop(id=id, epoch=epoch, reason=NOT_DRAWN)
        rows = self._drawn()
        row = next(row for row in rows if row["sample_id"] == str(id))
        noted: Any = self._settings() | {"drawn": [row], "pool": self.pool, "size": len(rows)}
        transcript().info(noted, source=MANAGER)
        return None

    async def complete_sample(self, id: str | int, epoch: int, scores: dict[str, SampleScore]) -> None:
        """Do nothing: the draw does not depend on answers.

        Args:
            id: Id of the sample.
            epoch: Number of its run, from 1.
            scores: Its scores by scorer.
        """

    async def complete_task(self) -> dict[str, Any]:
        """Return the battery, so that the log can be scored alone."""
        if self.battery is None:
            return {}
        return {MANAGER: self._settings() | {"drawn": self._drawn(), "pool": list(self.bank.items)}}

    def _settings(self) -> dict[str, Any]:
        draw = self.draw
        return {"method": draw.method, "seed": draw.seed, "scorer": draw.scorer, "limits": draw.limits}

    def _drawn(self) -> list[dict[str, Any]]:
        """Return the rows of the battery, with the samples of its items."""
        if self.battery is None:
            return []
        samples = {item: sample for sample, item in self.items.items()}
        drawn = self.battery.table.assign(sample_id=[samples[item] for item in self.battery.items])
        return [{str(name): value for name, value in row.items()} for row in drawn.to_dict("records")]


def score_stopped_log(
    bank: Bank | Path | str,
    log: EvalLog,
    *,
    scorer: str | None = None,
    limits: Limits | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score the log of a run whose samples `capscope_stopping` drew; its file goes into `score_battery` instead.

    Args:
        bank: The bank that the samples were drawn from, or its folder.
        log: The log, with its samples (`inspect_ai.log.read_eval_log`).
        scorer: The scorer whose score counts; by default the manager's.
        limits: What a sample that met a limit counts as; by default the manager's choice.
        level: Nominal coverage of the intervals.

    Returns:
        Columns model, benchmark (`all` for all samples' items), answered, score, lower, upper.

    Raises:
        InputError: The log holds no battery, no scored sample, or one of another bank.
    """
    stopped = log.results.early_stopping if log.results else None
    held: Any = (stopped.metadata if stopped else {}).get(MANAGER) or _of_events(log)
    if not isinstance(held, dict):
        raise InputError(f"{log.location}: the log holds no battery of capscope_stopping; score it as a plain log")
    table = pd.DataFrame(held["drawn"])
    item_of = dict(zip(table["sample_id"].astype(str), table["item_id"].astype(str), strict=True))
    scorer, limits = scorer or held.get("scorer"), limits or held.get("limits", "scored")
    scores: dict[str, list[float]] = {}
    for sample in log.samples or []:
        score = score_of(sample, scorer, limits)
        if score is not None and str(sample.id) in item_of:
            scores.setdefault(item_of[str(sample.id)], []).append(score)
    if not scores:
        raise InputError(f"{log.location}: no drawn sample has a score ({first_few(item_of)}); run it again")
    loaded = load_bank(bank)
    pool = loaded.take_items(loaded.positions(tuple(held["pool"])))
    battery = Battery(table.drop(columns="sample_id"), len(pool.items), str(held["method"]), int(held["seed"]))
    rows = {"item_id": list(scores), "score": [float(np.mean(values)) for values in scores.values()]}
    answers = pd.DataFrame(rows).assign(model=str(log.eval.model))
    return score_battery(pool, answers, battery=battery, level=level).scores


def _of_events(log: EvalLog) -> dict[str, Any] | None:
    """Return the battery of a run that ended early; None where no sample has a draw."""
    draws = [
        event.data
        for sample in log.samples or []
        for event in sample.events
        if isinstance(event, InfoEvent) and event.source == MANAGER and isinstance(event.data, dict)
    ]
    return battery_of_draws(log.eval.dataset.sample_ids or [], draws) if draws else None
