"""Evaluation of estimators and selectors on held-out models: error, coverage and width of intervals, side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, RowFloats
from capscope.battery.adaptive.adaptive_battery import AdaptiveBattery
from capscope.battery.banks.ability import ItemPool
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.banks.building import dims_for, fit_bank_items
from capscope.battery.estimators import DEFAULT, ESTIMATORS, WITHOUT_BANK, Estimate, Sample
from capscope.battery.model_splits import ModelSplit, model_families, model_split
from capscope.battery.selection import select_battery
from capscope.battery.selectors import SELECTORS
from capscope.data import Responses, Study
from capscope.display import html_table
from capscope.errors import InputError, counted, nearest
from capscope.tasks import run_tasks

ADAPTIVE = "adaptive"
"""Name of the method that draws item by item and is scored by `AdaptiveBattery`."""
MODELS_PER_DRAW = 5
"""Most held-out models that answer one drawn battery, so that the result does not depend on few draws."""
USUAL_ITEMS, FEWEST_ITEMS = 100, 2
"""Default number of items drawn, and the smallest one."""
WHOLE_SWEEPS, PAST_SWEEPS = 50, 60
"""Largest numbers of sweeps of the fit to all models, and of the fits to past models."""


@dataclass(frozen=True, kw_only=True)
class BatteryTrial:
    """Settings of an evaluation."""

    n: tuple[int, ...] = ()
    """Numbers of items drawn; by default 100, or half of what nearly every model answered."""
    split: str = "interpolation"
    """Which models are held out: one of `SPLITS`."""
    seeds: int = 10
    """Number of seeds, each with its own split and draws."""
    seed: int = 0
    """First seed."""
    most_new: int = 40
    """Largest number of models held out at once."""
    most_past: int = 300
    """Largest number of models learned from; with more, as many are chosen at random."""
    level: float = 0.95
    """Nominal coverage."""
    method: str = "random"
    """How items are drawn: one of `SELECTORS`, or `adaptive` (item by item)."""


@dataclass(frozen=True)
class EstimatorFigures:
    """Errors and intervals of one estimator."""

    mae_pp: float
    """Mean absolute error of the score, in percentage points."""
    rmse_pp: float
    """Root mean squared error, in percentage points."""
    coverage95: float
    """Share of intervals that contain the true score."""
    width95_pp: float
    """Mean width of the intervals, in percentage points."""


@dataclass(frozen=True, repr=False)
class BatteryEvaluation:
    """Estimators side by side at one number of items."""

    n: int
    """Number of items drawn."""
    split: str
    """Which models were held out."""
    method: str
    """How items were drawn."""
    seeds: int
    """Number of seeds."""
    estimates: int
    """Number of scores that each estimator estimated."""
    figures: dict[str, EstimatorFigures]
    """Figures by estimator."""

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers in the published JSON layout."""
        rows = {name: vars(figures) for name, figures in self.figures.items()}
        default = ADAPTIVE if self.method == ADAPTIVE else DEFAULT
        head = {"n": self.n, "split": self.split, "seeds": self.seeds, "estimates": self.estimates}
        return {**head, "method": self.method, "default": default, "estimators": rows}

    def table(self) -> pd.DataFrame:
        """Return one row for each estimator: n, estimator, mae_pp, rmse_pp, coverage95, width95_pp."""
        rows = [{"n": self.n, "estimator": name, **vars(figures)} for name, figures in self.figures.items()]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        head = f"BatteryEvaluation({counted(self.n, 'item')}, {self.split}, {self.method}, {self.seeds} seeds)"
        return f"{head}\n{self.table().round(3).to_string(index=False, na_rep='-')}"

    def _repr_html_(self) -> str:
        """Show the figures as a table in a notebook."""
        return html_table(f"{counted(self.n, 'item')}, {self.split}", self.table(), f"{self.estimates} estimates")


Tally = dict[tuple[int, str], list[FloatArray]]
"""By number of items and estimator: arrays (error, width, contains; model)."""


@dataclass(frozen=True)
class SeedTask:
    """The work of one seed; it can be sent to another process."""

    bank: Bank
    """All models, fitted with one ability."""
    family: Index
    """Family of each model."""
    trial: BatteryTrial
    """Settings."""
    names: tuple[str, ...]
    """Names of the estimators."""
    seed: int
    """Seed of the split and the draws."""


def evaluate_battery(
    study: Study | str | Path,
    trial: BatteryTrial | None = None,
    names: Sequence[str] | None = None,
    *,
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> list[BatteryEvaluation]:
    """Score estimators on models held out of a study; items are drawn from those that a model answered.

    Args:
        study: A study with responses, or its folder.
        trial: Sizes, split, method, seeds.
        names: Names of estimators; all by default.
        workers: Number of processes; 0 takes one for each processor. The numbers do not depend on it.
        progress: Called with the share of the seeds done.

    Returns:
        One evaluation for each number of items, in the order given.

    Raises:
        InputError: Unknown estimator, method or split, or too few models or items.
    """
    trial = trial or BatteryTrial()
    chosen = _chosen(names, trial.method)
    loaded = study if isinstance(study, Study) else Study.load(Path(study))
    bank = Bank.build(loaded, dims=1, max_sweeps=WHOLE_SWEEPS)
    trial = trial if trial.n else replace(trial, n=(_usual_size(bank),))
    family = model_families(bank) if trial.split == "family" else np.arange(len(bank.models))
    tasks = [SeedTask(bank, family, trial, chosen, trial.seed + number) for number in range(trial.seeds)]

    def show(done: int, _: Tally) -> None:
        if progress:
            progress(done / trial.seeds)

    tallies = run_tasks(evaluate_seed, tasks, workers=workers, on_done=show)
    total = {key: [part for tally in tallies for part in tally[key]] for key in product(trial.n, chosen)}
    short = [n for n in trial.n if not total[n, chosen[0]]]
    if short:
        raise InputError(f"no held-out model answered {2 * short[0]} items, twice the {short[0]} to draw; lower -n")
    return [_summary(n, trial, {name: np.concatenate(total[n, name], axis=1) for name in chosen}) for n in trial.n]


def _usual_size(bank: Bank) -> int:
    """Return 100, or half of the items that nine in ten models answered where no model answered twice as many."""
    answered = (~np.isnan(bank.known_scores())).sum(axis=1)
    if answered.max() >= 2 * USUAL_ITEMS:
        return USUAL_ITEMS
    return max(int(np.quantile(answered, 0.1)) // 2, FEWEST_ITEMS)


def _chosen(names: Sequence[str] | None, method: str) -> tuple[str, ...]:
    known = (*SELECTORS, ADAPTIVE)
    if method not in known:
        raise InputError(f"unknown method '{method}'{nearest(method, known)}; use one of {', '.join(known)}")
    if method == ADAPTIVE:
        return (WITHOUT_BANK, ADAPTIVE)
    unknown = [name for name in names or () if name not in ESTIMATORS]
    if unknown:
        hint = nearest(unknown[0], ESTIMATORS)
        raise InputError(f"unknown estimator '{unknown[0]}'{hint}; there are {', '.join(ESTIMATORS)}")
    return tuple(names or ESTIMATORS)


def evaluate_seed(task: SeedTask) -> Tally:
    """Split the models by one seed and collect the errors on the held-out ones."""
    rng = np.random.default_rng(task.seed)
    ability = task.bank.posterior.ability_mean[:, 0]
    split = model_split(task.trial.split, ability, task.family, task.trial.most_new, rng)
    tally: Tally = {key: [] for key in product(task.trial.n, task.names)}
    for n, name, errors in _held_out_errors(task.bank, split, task.trial, task.names, rng):
        tally[n, name].append(errors)
    return tally


def _held_out_errors(
    bank: Bank, split: ModelSplit, trial: BatteryTrial, names: tuple[str, ...], rng: np.random.Generator
) -> Iterator[tuple[int, str, FloatArray]]:
    """Yield numbers of items, estimators and their errors on held-out models.

    Models that answered the same items share a draw, up to `MODELS_PER_DRAW` of them.
    """
    past = split.past
    if len(past) > trial.most_past:
        past = np.sort(rng.choice(past, trial.most_past, replace=False))
    learned = past_bank(bank, past)
    pool = ItemPool.of(learned)
    for models, answered in _patterns(bank.known_scores(), split.new):
        part = pool.take(answered)
        score = bank.known_scores()[np.ix_(models, answered)]
        sizes = [n for n in trial.n if 2 * n <= len(answered)]
        if trial.method == ADAPTIVE:
            yield from _adaptive_errors(part, score, sizes, trial.level, rng)
            continue
        items = learned.take_items(answered) if trial.method != "random" else learned
        for n, start in product(sizes, range(0, len(models), MODELS_PER_DRAW)):
            group = score[start : start + MODELS_PER_DRAW]
            drawn, chance = _draw(items, part, n, trial.method, rng)
            sample = Sample(part, drawn, group[:, drawn], chance)
            for name in names:
                yield n, name, _errors(ESTIMATORS[name].estimate(sample, trial.level), group.mean(1))


def _draw_uniformly(pool: ItemPool, n: int, rng: np.random.Generator) -> tuple[Index, RowFloats]:
    return np.sort(rng.choice(pool.size, n, replace=False)), np.full(n, n / pool.size)


def _draw(items: Bank, pool: ItemPool, n: int, method: str, rng: np.random.Generator) -> tuple[Index, RowFloats]:
    if method == "random":
        return _draw_uniformly(pool, n, rng)
    battery = select_battery(items, n, method=method, seed=int(rng.integers(2**31)))
    return items.positions(battery.items), battery.draw_chance


def _adaptive_errors(
    pool: ItemPool, score: FloatArray, sizes: list[int], level: float, rng: np.random.Generator
) -> Iterator[tuple[int, str, FloatArray]]:
    """Run an adaptive battery for each model, and draw as many items with equal chances for comparison."""
    for answers in score:
        run, truth = AdaptiveBattery.start(pool), answers.mean(keepdims=True)
        for step in range(1, max(sizes, default=0) + 1):
            item, chance = run.draw(rng)
            run = run.with_answer(item, chance, float(answers[item]))
            if step in sizes:
                yield step, ADAPTIVE, _errors(run.estimate(level), truth)
                drawn, even = _draw_uniformly(pool, step, rng)
                sample = Sample(pool, drawn, answers[None, drawn], even)
                yield step, WITHOUT_BANK, _errors(ESTIMATORS[WITHOUT_BANK].estimate(sample, level), truth)


def past_bank(bank: Bank, past: Index) -> Bank:
    """Return a bank fitted to some of the models of another, over the same items.

    Args:
        bank: The bank with all models.
        past: Positions on its model axis of the models to keep.
    """
    history = bank.known_scores()[past]
    model, item = np.nonzero(~np.isnan(history))
    score = history[model, item]
    models = tuple(bank.models[place] for place in past)
    responses = Responses(models, bank.items, model, item, score, np.ones(len(score)))
    posterior = fit_bank_items(responses, dims=dims_for(len(past)), max_sweeps=PAST_SWEEPS)
    return replace(bank, posterior=posterior, history=history)


def _patterns(history: FloatArray, models: Index) -> Iterator[tuple[Index, Index]]:
    """Yield groups of models that answered the same items, and those items."""
    seen = ~np.isnan(history[models])
    patterns, group = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)
    for number in range(len(patterns)):
        rows = np.flatnonzero(group.ravel() == number)
        yield models[rows], np.flatnonzero(seen[rows[0]])


def _errors(estimate: Estimate, truth: RowFloats) -> FloatArray:
    """Return error, width and whether the interval contains the truth, as (3, model)."""
    inside = (estimate.lower <= truth + 1e-12) & (truth <= estimate.upper + 1e-12)
    return np.stack([estimate.score - truth, estimate.upper - estimate.lower, inside.astype(float)])


def _summary(n: int, trial: BatteryTrial, tally: dict[str, FloatArray]) -> BatteryEvaluation:
    figures = {
        name: EstimatorFigures(
            mae_pp=100 * float(np.abs(error).mean()),
            rmse_pp=100 * float(np.sqrt((error**2).mean())),
            coverage95=float(inside.mean()),
            width95_pp=100 * float(width.mean()),
        )
        for name, (error, width, inside) in tally.items()
    }
    estimates = next(iter(tally.values())).shape[1]
    return BatteryEvaluation(n, trial.split, trial.method, trial.seeds, estimates, figures)
