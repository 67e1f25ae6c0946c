"""Estimators side by side on held-out models: how far off, and do the intervals hold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.banks.building import BankSettings, build_bank, dims_for, fit_bank_items
from capscope.battery.banks.pool import Pool
from capscope.battery.design.selection import METHODS, select_battery
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Estimate, Sample
from capscope.battery.families import families
from capscope.battery.live.adaptive import AdaptiveBattery
from capscope.battery.model_splits import ModelSplit, model_split
from capscope.data import Responses, Study
from capscope.errors import InputError, nearest

ADAPTIVE = "adaptive"
FORM_SHARED_BY = 5
"""So many held-out models answer one battery; then another is drawn, so that few draws do not decide the figures."""


@dataclass(frozen=True)
class BatteryTrial:
    """What to try out."""

    n: tuple[int, ...] = (100,)
    """Numbers of items drawn."""
    split: str = "interpolation"
    """Which models are held out."""
    seeds: int = 10
    """Number of seeds, each with its own split and draws."""
    seed: int = 0
    """First seed."""
    most_new: int = 40
    """Most models held out at once."""
    most_past: int = 300
    """Most models learned from; others are left out at random."""
    level: float = 0.95
    """Nominal coverage."""
    method: str = "random"
    """How items are drawn: one of `METHODS`, or `adaptive` (item by item, scored by `AdaptiveBattery`)."""


@dataclass(frozen=True)
class Figures:
    """How one estimator did."""

    mae_pp: float
    """Mean absolute error of the score, in percentage points."""
    rmse_pp: float
    """Root mean squared error."""
    coverage95: float
    """Share of intervals that hold the true score."""
    width95_pp: float
    """Mean width of the intervals."""


@dataclass(frozen=True)
class BatteryEvaluation:
    """Estimators side by side at one number of items."""

    n: int
    """Items drawn."""
    split: str
    """Which models were held out."""
    method: str
    """How items were drawn."""
    seeds: int
    """Number of seeds."""
    estimates: int
    """Number of scores estimated by each."""
    figures: dict[str, Figures]
    """By estimator."""

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers in the published JSON layout."""
        rows = {name: vars(figures) for name, figures in self.figures.items()}
        default = ADAPTIVE if self.method == ADAPTIVE else DEFAULT
        head = {"n": self.n, "split": self.split, "seeds": self.seeds, "estimates": self.estimates}
        return {**head, "method": self.method, "default": default, "estimators": rows}


def evaluate_battery(
    study: Study,
    trial: BatteryTrial,
    names: Sequence[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[BatteryEvaluation]:
    """Score estimators on models held out of a study: items are drawn from those that a model answered.

    Args:
        study: A study with responses.
        trial: Sizes, split, seeds.
        names: Estimators; all by default.
        progress: Called with the share of the work done.

    Returns:
        One evaluation for each number of items, in the order asked.

    Raises:
        InputError: Unknown estimator or split, or too few models or items.
    """
    chosen = _chosen(names, trial.method)
    whole = build_bank(study, BankSettings(dims=1, max_sweeps=50))
    family = families(whole) if trial.split == "family" else np.arange(len(whole.models))
    tally: dict[tuple[int, str], list[FloatArray]] = {(n, name): [] for n in trial.n for name in chosen}
    for number in range(trial.seeds):
        rng = np.random.default_rng(trial.seed + number)
        split = model_split(trial.split, whole.posterior.ability_mean[:, 0], family, trial.most_new, rng)
        for n, name, errors in _held_out_errors(whole, split, trial, chosen, rng):
            tally[n, name].append(errors)
        if progress:
            progress((number + 1) / trial.seeds)
    short = [n for n in trial.n if not tally[n, chosen[0]]]
    if short:
        raise InputError(f"no held-out model answered {2 * short[0]} items, twice the {short[0]} to draw; lower -n")
    return [_summary(n, trial, {name: np.concatenate(tally[n, name], axis=1) for name in chosen}) for n in trial.n]


def _chosen(names: Sequence[str] | None, method: str) -> tuple[str, ...]:
    known = (*METHODS, ADAPTIVE)
    if method not in known:
        raise InputError(f"unknown method '{method}'{nearest(method, known)}; use one of {', '.join(known)}")
    if method == ADAPTIVE:
        return ("mean", ADAPTIVE)
    unknown = [name for name in names or () if name not in ESTIMATORS]
    if unknown:
        hint = nearest(unknown[0], ESTIMATORS)
        raise InputError(f"unknown estimator '{unknown[0]}'{hint}; there are {', '.join(ESTIMATORS)}")
    return tuple(names or ESTIMATORS)


def _held_out_errors(
    whole: Bank, split: ModelSplit, trial: BatteryTrial, names: tuple[str, ...], rng: np.random.Generator
) -> Iterator[tuple[int, str, FloatArray]]:
    """Yield numbers of items, estimators and their errors on held-out models.

    Models that answered the same items share a draw, up to `FORM_SHARED_BY` of them.
    """
    past = split.past
    if len(past) > trial.most_past:
        past = np.sort(rng.choice(past, trial.most_past, replace=False))
    bank = past_bank(whole, past)
    pool = Pool.of(bank)
    for models, answered in _patterns(whole.known_scores(), split.new):
        part = pool.take(answered)
        score = whole.known_scores()[np.ix_(models, answered)]
        sizes = [n for n in trial.n if 2 * n <= len(answered)]
        if trial.method == ADAPTIVE:
            yield from _adaptive_errors(part, score, sizes, trial.level, rng)
            continue
        items = bank.take_items(answered) if trial.method != "random" else bank
        for n, start in product(sizes, range(0, len(models), FORM_SHARED_BY)):
            group = score[start : start + FORM_SHARED_BY]
            drawn, chance = _draw(items, part, n, trial.method, rng)
            sample = Sample(part, drawn, group[:, drawn], chance)
            for name in names:
                yield n, name, _errors(ESTIMATORS[name].estimate(sample, trial.level), group.mean(1))


def _draw_evenly(pool: Pool, n: int, rng: np.random.Generator) -> tuple[Index, RowFloats]:
    return np.sort(rng.choice(pool.size, n, replace=False)), np.full(n, n / pool.size)


def _draw(items: Bank, pool: Pool, n: int, method: str, rng: np.random.Generator) -> tuple[Index, RowFloats]:
    if method == "random":
        return _draw_evenly(pool, n, rng)
    table = select_battery(items, n, method, int(rng.integers(2**31))).table
    drawn = items.positions(tuple(str(item) for item in table["item_id"]))
    return drawn, table["draw_chance"].to_numpy(dtype=float)


def _adaptive_errors(
    pool: Pool, score: FloatArray, sizes: list[int], level: float, rng: np.random.Generator
) -> Iterator[tuple[int, str, FloatArray]]:
    """Run each model through its own adaptive battery, and draw as many items evenly to compare with."""
    for answers in score:
        run, truth = AdaptiveBattery.start(pool), answers.mean(keepdims=True)
        for step in range(1, max(sizes, default=0) + 1):
            item, chance = run.draw(rng)
            run = run.with_answer(item, chance, float(answers[item]))
            if step in sizes:
                yield step, ADAPTIVE, _errors(run.estimate(level), truth)
                drawn, even = _draw_evenly(pool, step, rng)
                plain = ESTIMATORS["mean"].estimate(Sample(pool, drawn, answers[None, drawn], even), level)
                yield step, "mean", _errors(plain, truth)


def past_bank(whole: Bank, past: Index) -> Bank:
    """A bank fitted to some of the models of another, over the same items."""
    history = whole.known_scores()[past]
    model, item = np.nonzero(~np.isnan(history))
    score = history[model, item]
    names = tuple(whole.models[place] for place in past)
    responses = Responses(names, whole.items, model, item, score, np.ones(len(score)))
    settings = BankSettings(max_sweeps=60)
    return replace(whole, posterior=fit_bank_items(responses, dims_for(len(past)), settings), history=history)


def _patterns(history: FloatArray, models: Index) -> Iterator[tuple[Index, Index]]:
    """Groups of models that answered the same items, and those items."""
    seen = ~np.isnan(history[models])
    patterns, group = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)
    for number in range(len(patterns)):
        rows = np.flatnonzero(group.ravel() == number)
        yield models[rows], np.flatnonzero(seen[rows[0]])


def _errors(estimate: Estimate, truth: RowFloats) -> FloatArray:
    """Error, width and whether the interval holds the truth, as (3, model)."""
    inside = (estimate.lower <= truth + 1e-12) & (truth <= estimate.upper + 1e-12)
    return np.stack([estimate.score - truth, estimate.upper - estimate.lower, inside.astype(float)])


def _summary(n: int, trial: BatteryTrial, tally: dict[str, FloatArray]) -> BatteryEvaluation:
    figures = {
        name: Figures(
            mae_pp=100 * float(np.abs(error).mean()),
            rmse_pp=100 * float(np.sqrt((error**2).mean())),
            coverage95=float(inside.mean()),
            width95_pp=100 * float(width.mean()),
        )
        for name, (error, width, inside) in tally.items()
    }
    estimates = next(iter(tally.values())).shape[1]
    return BatteryEvaluation(n, trial.split, trial.method, trial.seeds, estimates, figures)
