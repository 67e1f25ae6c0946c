"""Inspect: an adaptive battery as the samples of a task, and its score with an interval as a metric.

``Task(dataset=capscope_battery("bank", samples, stop="width:0.05"), ...)`` runs only the samples that the interval
needs, with any solver, scorer, sandbox and number of epochs. Each sample's metadata say with what chance it was drawn,
so that a log can be scored alone. Inspect 0.3.250 or newer (extra ``inspect``).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from inspect_ai import SampleSource
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.scorer import Metric, SampleScore, Score, metric, value_to_float

from capscope.battery import (
    AdaptiveBattery,
    Bank,
    HeldItem,
    RunSettings,
    ability_table,
    begin_run,
    load_bank,
    replayed,
    run_status,
    score_table,
)
from capscope.data import Study
from capscope.data.formats import import_logs, merge_studies
from capscope.errors import InputError, counted, first_few

METADATA = "capscope"
"""Key of a sample's metadata that holds its draw."""
Limits = Literal["scored", "wrong", "missing"]
"""What a sample that met a limit of messages, tokens or time counts as: its score, wrong, or no answer."""
STOPS = {"width": "width", "ability": "ability_sd", "items": "size"}
"""Stop rules of `capscope_battery` and the setting of a run that each one is."""
EXAMPLES = {"width": "width:0.05", "ability": "ability:0.3", "items": "items:100"}
"""An example of each stop rule, for messages."""
VALUES = frozenset({"C", "P", "I", "N"})
"""Inspect's values of a right, half right and wrong reply, and of one without an answer, which counts as wrong."""
WORDS = frozenset({"yes", "true", "no", "false"})
"""Words, in any case, that Inspect reads as 1 and 0."""


def capscope_battery(  # noqa: PLR0913 - every setting has a default and is given by keyword
    bank: Bank | Path | str,
    samples: Iterable[Sample],
    *,
    stop: str = "width:0.05",
    most: int | None = None,
    benchmarks: Sequence[str] = (),
    task: str = "",
    scorer: str | None = None,
    limits: Limits = "scored",
    in_flight: int = 4,
    level: float = 0.95,
    seed: int = 0,
) -> "BatterySource":
    """Return the samples of a task as an adaptive battery: the next ones are drawn from what was answered so far.

    Make one source for each model under test: it holds the state of that model's run.

    Args:
        bank: Items with their parameters and the answers of past models, or the folder of one (`capscope bank build`).
        samples: All samples of the task; those whose id is an item of the bank can be drawn.
        stop: `width:0.05` stops when the interval of the mean score is so wide, in shares of 1; `ability:0.3` when
            every ability is known to so many log-odds; `items:100` after so many samples.
        most: Largest number of samples; by default all.
        benchmarks: Benchmarks of the bank whose mean score is wanted; all by default.
        task: Name of the task in the bank's item ids (`task:id`), where several tasks have samples of one id.
        scorer: The scorer whose score counts; by default the task's first.
        limits: What a sample that met a limit counts as.
        in_flight: Samples that run at the same time. Fewer adapt better, more run faster.
        level: Nominal coverage of the intervals.
        seed: Seed of the draws.

    Raises:
        InputError: The bank cannot be read, no sample is one of its items, or the stop rule cannot be read.
    """
    loaded = load_bank(bank)
    by_item = matched_samples(loaded, samples, task)
    size = len(by_item) if most is None else most
    settings = replace(RunSettings(size=size, benchmarks=tuple(benchmarks), level=level), **_stop(stop))
    state = begin_run(loaded, by_item.keys(), settings)
    wanted = (loaded.items[place] for place in loaded.of_benchmarks(settings.benchmarks))
    missing = tuple(item for item in wanted if item not in by_item)
    rng = np.random.default_rng(seed)
    return BatterySource(loaded, by_item, settings, state, rng, in_flight, scorer, limits, missing)


@dataclass
class BatterySource(SampleSource):
    """The samples of one run. Inspect asks it for the first samples, and reports every sample that is complete."""

    bank: Bank
    """The bank that items are drawn from."""
    samples: Mapping[str, Sample]
    """The task's samples, by item id."""
    settings: RunSettings
    """Stop rules."""
    state: AdaptiveBattery
    """The run so far."""
    rng: np.random.Generator
    """Source of the draws."""
    in_flight: int
    """Samples that run at the same time."""
    scorer: str | None
    """The scorer whose score counts; None for the task's first."""
    limits: Limits
    """What a sample that met a limit counts as."""
    missing: tuple[str, ...] = ()
    """Items of the benchmarks that have no sample; the mean score is that of the others."""
    held: dict[str, HeldItem] = field(default_factory=dict[str, HeldItem])
    """Items drawn, by sample id."""
    scores: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    """Score of each epoch of each sample."""
    follow_ups: dict[str, list[Sample] | None] = field(default_factory=dict[str, "list[Sample] | None"])
    """What followed each sample; a retry of the task reports finished samples again and gets the same."""

    def initial_samples(self) -> list[Sample]:
        """Return the first samples, as many as run at the same time."""
        if not self.held:
            return [sample for _ in range(self.in_flight) for sample in self._next()]
        return [self._sample(key) for key in list(self.held)[: self.in_flight]]

    async def sample_complete(self, sample: EvalSample) -> list[Sample] | None:
        """Take the answer of a sample; return the one to run in its place, until a stop rule holds."""
        key = str(sample.id)
        score = score_of(sample, self.scorer, self.limits)
        if key in self.held and score is not None:
            epochs = self.scores.setdefault(key, {})
            epochs[sample.epoch] = score
            self.state = self.state.with_held_answer(self.held[key], float(np.mean(list(epochs.values()))))
        # Inspect runs every epoch of a sample at once: one of them is followed by another sample
        return self._follow_up(key) if sample.epoch == 1 else None

    async def sample_abandoned(self, sample: Sample, epoch: int) -> list[Sample] | None:
        """Replace a sample that was cancelled before it ran; it counts as not asked.

        Args:
            sample: The sample.
            epoch: Number of its run, from 1.

        Returns:
            The next sample; None in later epochs.
        """
        return self._follow_up(str(sample.id)) if epoch == 1 else None

    def _follow_up(self, key: str) -> list[Sample] | None:
        if key not in self.follow_ups:
            self.follow_ups[key] = self._next() or None
        return self.follow_ups[key]

    def _next(self) -> list[Sample]:
        if run_status(self.state, len(self.held), self.settings):
            return []
        self.state, held = self.state.hold(len(self.held), self.rng)
        key = str(self.samples[self.bank.items[held.item]].id)
        self.held[key] = held
        return [self._sample(key)]

    def _sample(self, key: str) -> Sample:
        held = self.held[key]
        item = self.bank.items[held.item]
        draw = {"item": item, "number": held.number, "chance": held.chance, "spread": held.spread.tolist()}
        if self.missing:
            draw["missing"] = list(self.missing)
        if self.scorer is not None:
            draw["scorer"] = self.scorer
        if self.limits != "scored":
            draw["limits"] = self.limits
        sample = self.samples[item]
        return sample.model_copy(update={"metadata": {**(sample.metadata or {}), METADATA: draw}})


@metric(name="capscope_score")
def capscope_score(bank: str, benchmarks: Sequence[str] = (), level: float = 0.95) -> Metric:
    """Mean score over the whole bank, with past models and an interval: `score`, `lower`, `upper`, `answers`.

    Args:
        bank: Folder of the bank that the samples were drawn from.
        benchmarks: Benchmarks of the bank whose mean score is wanted, as in `capscope_battery`.
        level: Nominal coverage of the interval.
    """

    def score(scores: list[SampleScore]) -> dict[str, str | int | float | bool | None]:
        state = replayed(load_bank(bank), drawn_scores(scores), benchmarks)
        first = score_table(state, level).iloc[0]
        return {"answers": len(state.draws), **{name: float(first[name]) for name in ("score", "lower", "upper")}}

    return score


@metric(name="capscope_ability")
def capscope_ability(bank: str, benchmarks: Sequence[str] = (), level: float = 0.95) -> Metric:
    """Ability on the bank's first dimension, in log-odds, with an interval: `ability`, `lower`, `upper`.

    Args:
        bank: Folder of the bank that the samples were drawn from.
        benchmarks: Benchmarks of the bank whose mean score is wanted, as in `capscope_battery`.
        level: Nominal coverage of the interval.
    """

    def score(scores: list[SampleScore]) -> dict[str, str | int | float | bool | None]:
        state = replayed(load_bank(bank), drawn_scores(scores), benchmarks)
        first = ability_table(state, level).iloc[0]
        return {name: float(first[name]) for name in ("ability", "lower", "upper")}

    return score


def score_log(
    bank: Bank | Path | str, log: EvalLog, benchmarks: Sequence[str] = (), level: float = 0.95
) -> pd.DataFrame:
    """Score the log of a run of `capscope_battery` alone.

    Args:
        bank: The bank that the samples were drawn from, or its folder.
        log: The log, with its samples (`inspect_ai.log.read_eval_log`).
        benchmarks: Benchmarks of the bank whose mean score is wanted, as in `capscope_battery`.
        level: Nominal coverage of the intervals.

    Returns:
        Columns target, items, score, lower, upper: the whole bank, then each benchmark.

    Raises:
        InputError: The log holds no draw of a battery, or draws of another bank.
    """
    scores: dict[str, list[float]] = {}
    draws: dict[str, Mapping[str, Any]] = {}
    for sample in log.samples or []:
        draw = (sample.metadata or {}).get(METADATA)
        if draw is None:
            continue
        score = score_of(sample, draw.get("scorer"), draw.get("limits", "scored"))
        if score is not None:
            scores.setdefault(str(sample.id), []).append(score)
            draws[str(sample.id)] = draw
    pairs = [(draws[key], float(np.mean(values))) for key, values in scores.items()]
    return score_table(replayed(load_bank(bank), pairs, benchmarks), level)


def drawn_scores(scores: Iterable[SampleScore]) -> list[tuple[Mapping[str, Any], float]]:
    """Return the draw and the score of every sample that was drawn and scored.

    Raises:
        InputError: A score is no number from 0 to 1.
    """
    pairs: list[tuple[Mapping[str, Any], float]] = []
    for each in scores:
        draw = (each.sample_metadata or {}).get(METADATA)
        value = None if draw is None else _number(each.score, f"sample '{each.sample_id}'")
        if draw is not None and value is not None:
            pairs.append((draw, value))
    return pairs


def score_of(sample: EvalSample, scorer: str | None = None, limits: Limits = "scored") -> float | None:
    """Return the score of a sample from 0 to 1; None where it ended in an error or was not scored.

    Args:
        sample: A sample that is complete.
        scorer: The scorer whose score counts; by default the first.
        limits: What a sample that met a limit counts as.

    Raises:
        InputError: The sample has other scorers only, or its score is no number from 0 to 1.
    """
    if sample.error is not None:
        return None
    if sample.limit is not None and limits != "scored":
        return 0.0 if limits == "wrong" else None
    if not sample.scores:
        return None
    name = scorer or next(iter(sample.scores))
    if name not in sample.scores:
        raise InputError(f"sample '{sample.id}' has no scorer '{name}'; it has {first_few(sample.scores)}")
    return _number(sample.scores[name], f"sample '{sample.id}'")


def add_log(folder: Path | str, log: Path | str) -> Study:
    """Add the answers of a log to a study, which is made where there is none; a later run of a model counts.

    Args:
        folder: Folder of the study.
        log: File of the log.

    Raises:
        InputError: The log or the study cannot be read, or an item of both has another text.
        OutputError: The study cannot be written.
    """
    folder, new = Path(folder), import_logs(log, "inspect")
    study = merge_studies([Study.load(folder), new], "latest").study if folder.exists() else new
    study.save(folder, force=True)
    return study


def _number(score: Score, where: str) -> float | None:
    """Return the value of a score from 0 to 1; None where it is not a number (`Score.unscored`).

    Raises:
        InputError: The score holds several values, a text that is no number, or a number below 0 or above 1.
    """
    value = score.value
    if isinstance(value, list | dict):
        names = f" ({first_few(value)})" if isinstance(value, dict) else ""
        raise InputError(
            f"{where}: the score holds {counted(len(value), 'value')}{names}; give one number from 0 to 1"
            f" with a scorer of its own"
        )
    if isinstance(value, str) and not (value in VALUES or value.lower() in WORDS or _is_number(value)):
        raise InputError(f"{where}: the score '{value}' is no number; give one from 0 to 1, or C, P, I or N")
    number = value_to_float()(value)
    if not np.isfinite(number):
        return None
    if not 0 <= number <= 1:
        raise InputError(f"{where}: the score {number:g} is not from 0 to 1; scale it in the scorer")
    return number


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def matched_samples(bank: Bank, samples: Iterable[Sample], task: str) -> dict[str, Sample]:
    """Return the samples that are items of a bank.

    Args:
        bank: The bank.
        samples: Samples of a task.
        task: Name of the task in the bank's item ids (`task:id`), where several tasks have samples of one id.

    Returns:
        The samples by item id.

    Raises:
        InputError: No sample is one of the items, or a sample may be several of them.
    """
    full = set(bank.items)
    of_id: dict[str, list[str]] = {}
    for item in bank.items:
        of_id.setdefault(item.split(":", 1)[-1], []).append(item)
    matched: dict[str, Sample] = {}
    unknown: list[str] = []
    for sample in samples:
        key = str(sample.id)
        named = [f"{task}:{key}"] if task else [key] if key in full else of_id.get(key, [])
        if len(named) > 1:
            raise InputError(f"sample '{key}' may be {first_few(named)} of the bank; say which with task=")
        if named and named[0] in full:
            matched[named[0]] = sample
        else:
            unknown.append(key)
    if not matched:
        raise InputError(
            f"no sample is an item of the bank: {first_few(unknown)}; the bank has {first_few(bank.items)}"
        )
    return matched


def stop_rule(rule: str, examples: Mapping[str, str]) -> tuple[str, float]:
    """Read a stop rule such as `width:0.05`.

    Args:
        rule: Name and number.
        examples: An example of each rule that is known, by its name.

    Returns:
        The name and the number; `items` has a whole one.

    Raises:
        InputError: The rule is unknown, or its number is not positive and finite.
    """
    name, _, number = rule.partition(":")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    whole = value >= 1 and value.is_integer()
    if name not in examples or not 0 < value < math.inf or (name == "items" and not whole):
        *others, last = examples.values()
        raise InputError(f"stop rule '{rule}' cannot be read; write {', '.join(others)} or {last}")
    return name, value


def _stop(rule: str) -> dict[str, Any]:
    name, value = stop_rule(rule, EXAMPLES)
    return {STOPS[name]: int(value) if name == "items" else value}
