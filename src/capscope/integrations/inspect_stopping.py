"""A manager of early stopping for Inspect: a task left as it is runs the samples of a battery and skips the others.

Inspect asks the manager in the order of the data set whether a sample shall run, so that the samples are drawn when the
task starts, each with a known chance, and nothing depends on the answers: the score is unbiased, and its interval is as
wide as planned from the answers of past models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, EvalSpec
from inspect_ai.scorer import SampleScore
from inspect_ai.util import EarlyStop
from pydantic import JsonValue

from capscope.battery import AdaptiveBattery, Bank, HeldItem, RunSettings, begin_run, load_bank, run_status, score_table
from capscope.errors import InputError
from capscope.integrations.inspect_samples import METADATA, matched_samples, number_of, stop_settings

MANAGER = "capscope"
"""Name of the manager in logs."""
PLANNING_MODELS = 12
"""Past models on whose answers the number of samples is planned."""
PLANNED_SHARE = 0.75
"""Share of those past models that the planned number of samples suffices for."""
FEWEST = 10
"""Smallest number of samples that is planned."""
GROWTH = 1.1
"""Factor by which the number of samples grows until it suffices."""


def capscope_early_stopping(  # noqa: PLR0913 - every setting has a default and is given by keyword
    bank: Bank | Path | str,
    *,
    stop: str = "width:0.05",
    most: int | None = None,
    benchmarks: tuple[str, ...] = (),
    task: str = "",
    scorer: str | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> "BatteryStopping":
    """Return a manager that skips all samples of a task but those that the wanted interval needs.

    Use `capscope_battery` where the data set of the task can be given: it draws the next samples from the answers so
    far, and needs fewer. One manager is good for several runs, one after the other.

    Args:
        bank: Items with their parameters and the answers of past models, or the folder of one (`capscope bank build`).
        stop: `width:0.05`, `ability:0.3` or `items:100`, as in `capscope_battery`; the number of samples for a width or
            an ability is planned on past models.
        most: Largest number of samples; by default all.
        benchmarks: Benchmarks of the bank whose mean score is wanted; all by default.
        task: Name of the task in the bank's item ids (`task:id`), where several tasks have samples of one id.
        scorer: The scorer whose score counts; by default the task's first.
        level: Nominal coverage of the intervals.
        seed: Seed of the draws.

    Returns:
        The manager, for `Task(early_stopping=...)`; its score and the draws stand in the log's results.

    Raises:
        InputError: The bank or the stop rule cannot be read.
    """
    loaded = load_bank(bank)
    size = len(loaded.items) if most is None else most
    settings = replace(RunSettings(size=size, benchmarks=tuple(benchmarks), level=level), **stop_settings(stop))
    settings = replace(settings, size=min(size, settings.size))
    return BatteryStopping(bank=loaded, settings=settings, task=task, scorer=scorer, seed=seed)


@dataclass
class BatteryStopping:
    """Decides which samples of a task run; Inspect calls its methods (protocol `inspect_ai.util.EarlyStopping`)."""

    bank: Bank
    """The bank that items are drawn from."""
    settings: RunSettings
    """Stop rule."""
    task: str
    """Name of the task in the bank's item ids; empty where ids name one item each."""
    scorer: str | None
    """The scorer whose score counts; None for the task's first."""
    seed: int
    """Seed of the draws."""
    state: AdaptiveBattery | None = None
    """The run, its draws made and not yet answered."""
    held: dict[str, HeldItem] = field(default_factory=dict[str, HeldItem])
    """Items drawn, by sample id."""
    missing: tuple[str, ...] = ()
    """Items of the benchmarks that have no sample; the mean score is that of the others."""
    scores: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    """Score of each epoch of each sample."""
    running: str = ""
    """The model whose run goes on."""

    async def start_task(self, task: EvalSpec, samples: list[Sample], epochs: int) -> str:  # noqa: ARG002 - protocol
        """Draw the samples of a run; a run that starts again draws the same ones.

        Raises:
            InputError: No sample is an item of the bank, or another model's run goes on.
        """
        if self.running and self.running != task.model:
            raise InputError(
                f"the run of '{self.running}' goes on; give each model that runs at the same time a task of its own"
            )
        by_item = matched_samples(self.bank, samples, self.task)
        state = begin_run(self.bank, by_item.keys(), self.settings)
        wanted = (self.bank.items[place] for place in self.bank.of_benchmarks(self.settings.benchmarks))
        self.missing = tuple(item for item in wanted if item not in by_item)
        self.state, drawn = _drawn(state, self.settings, np.random.default_rng(self.seed))
        self.held = {str(by_item[self.bank.items[each.item]].id): each for each in drawn}
        self.scores, self.running = {}, task.model
        return MANAGER

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:  # noqa: A002 - protocol
        """Skip a sample that was not drawn."""
        return None if str(id) in self.held else EarlyStop(id=id, epoch=epoch, reason="not drawn")

    async def complete_sample(self, id: str | int, epoch: int, scores: dict[str, SampleScore]) -> None:  # noqa: A002
        """Take the score of a sample; one that ended in an error never comes here, and is unscored.

        Raises:
            InputError: The score is no number from 0 to 1, or the scorer is not there.
        """
        if str(id) not in self.held or not scores:
            return
        name = self.scorer or next(iter(scores))
        if name not in scores:
            raise InputError(f"sample '{id}' has no scorer '{name}'; it has {', '.join(scores)}")
        value = number_of(scores[name].score, f"sample '{id}'")
        if value is not None:
            self.scores.setdefault(str(id), {})[epoch] = value

    async def complete_task(self) -> dict[str, JsonValue]:
        """Return the score with its interval, and how every sample was drawn."""
        self.running = ""
        draws: dict[str, JsonValue] = {key: self._draw(held) for key, held in self.held.items()}
        result: dict[str, JsonValue] = {"drawn": len(self.held), "answers": len(self.scores), METADATA: draws}
        answered = self.answered
        if answered is not None and len(answered.draws) > 1:
            first = score_table(answered, self.settings.level).iloc[0]
            result |= {name: float(first[name]) for name in ("score", "lower", "upper")} | {
                "level": self.settings.level
            }
        return result

    @property
    def answered(self) -> AdaptiveBattery | None:
        """The run with the answers so far; None before a task starts."""
        if self.state is None or not self.scores:
            return self.state
        means = [float(np.mean(list(epochs.values()))) for epochs in self.scores.values()]
        return self.state.with_held_answers([self.held[key] for key in self.scores], means)

    def _draw(self, held: HeldItem) -> dict[str, JsonValue]:
        draw: dict[str, JsonValue] = {
            "item": self.bank.items[held.item],
            "number": held.number,
            "chance": held.chance,
            "spread": [float(value) for value in held.spread],
        }
        if self.missing:
            draw["missing"] = list(self.missing)
        if self.scorer is not None:
            draw["scorer"] = self.scorer
        return draw


def stopped_draws(log: EvalLog) -> Mapping[str, Mapping[str, Any]]:
    """Return the draws that a manager of early stopping left in a log, by sample id; empty where there was none."""
    summary = None if log.results is None else log.results.early_stopping
    draws = None if summary is None else summary.metadata.get(METADATA)
    return {key: draw for key, draw in draws.items() if isinstance(draw, dict)} if isinstance(draws, dict) else {}


def _drawn(
    state: AdaptiveBattery, settings: RunSettings, rng: np.random.Generator
) -> tuple[AdaptiveBattery, list[HeldItem]]:
    """Draw as many items as past models would have needed; at most `settings.size`."""
    most = min(settings.size, len(state.left))
    start, held = state, list[HeldItem]()
    size = min(most, FEWEST if settings.width is not None or settings.ability_sd is not None else most)
    while True:
        while len(held) < size:
            state, each = state.hold(len(held), rng)
            held.append(each)
        if size == most or _suffice(start, held, settings):
            break
        size = min(most, max(size + 1, int(np.ceil(size * GROWTH))))
    return state, held


def _suffice(start: AdaptiveBattery, held: list[HeldItem], settings: RunSettings) -> bool:
    """Return whether most past models would meet the stop rule by their answers to these items."""
    past = start.past
    if past is None or not len(past.answers):
        return False
    order = np.argsort(past.truth[:, 0], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(PLANNING_MODELS, len(order))).astype(int)]
    met: list[bool] = []
    for row in chosen:
        others = replace(past, answers=np.delete(past.answers, row, 0), truth=np.delete(past.truth, row, 0))
        state = replace(start, past=others)
        state = state.with_held_answers(held, [float(past.answers[row, each.item]) for each in held])
        met.append(run_status(state, 0, settings) in ("width", "ability_sd"))
    return float(np.mean(met)) >= PLANNED_SHARE
