"""From a battery's answers to scores on the whole pool and to an ability profile, with intervals."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, RowFloats
from capscope.battery.ability import Curves, ability_posterior
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.banks.building import score_matrix
from capscope.battery.banks.pool import Pool
from capscope.battery.design.selection import Battery
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Sample
from capscope.data import Responses, Study
from capscope.errors import InputError, first_few, nearest
from capscope.intervals import normal_quantile

PROFILE_LEVEL = 0.9
FEWEST_ANSWERS = 5
"""A benchmark with fewer answers of its own gets no score."""


@dataclass(frozen=True)
class BatteryScores:
    """Estimated scores on the pool."""

    table: pd.DataFrame
    """Columns model, answered, score, lower, upper."""
    level: float
    """Nominal coverage of the bounds."""
    unanswered: int
    """Model and item pairs of the battery without an answer; they are left out, never counted as wrong."""


@dataclass(frozen=True)
class BankScores:
    """What answers to items of a bank say of the models that gave them."""

    scores: pd.DataFrame
    """Columns model, benchmark (`all` for the whole bank), answered, score, lower, upper; benchmarks with fewer than
    `FEWEST_ANSWERS` answers are absent."""
    profile: pd.DataFrame
    """Columns model, dim, mean, lower, upper: abilities on the bank's scale, where past models have mean 0 and
    standard deviation 1."""
    level: float
    """Nominal coverage of the scores' bounds."""
    profile_level: float
    """Nominal coverage of the profile's bounds."""
    estimator: str
    """How the scores were estimated."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "level": self.level,
            "profile_level": self.profile_level,
            "estimator": self.estimator,
            "scores": self.scores.to_dict("records"),
            "profile": self.profile.to_dict("records"),
        }


def score_battery(battery: Battery, answers: Study, level: float = 0.95) -> BatteryScores:
    """Estimate each model's score on the pool from its answers to the battery, without past models.

    The estimate is the mean of the answers, weighted by their draw chances, with a Beta interval under Jeffreys' prior
    (Brown, Cai & DasGupta, 2001).

    Args:
        battery: The items drawn.
        answers: A study with responses to them.
        level: Nominal coverage.

    Raises:
        InputError: No answer to any item of the battery.
    """
    items = [str(item) for item in battery.table["item_id"]]
    names, matrix = _answers_to(answers, tuple(items), "the battery")
    chance = battery.table["draw_chance"].to_numpy(dtype=float)
    pool = _bare_pool(battery.pool)
    rows: list[dict[str, object]] = []
    for model, score in zip(names, matrix, strict=True):
        seen = np.flatnonzero(~np.isnan(score))
        sample = Sample(pool, seen, score[None, seen], chance[seen])
        found = ESTIMATORS["mean"].estimate(sample, level)
        bounds = {"score": found.score[0], "lower": found.lower[0], "upper": found.upper[0]}
        rows.append({"model": model, "answered": len(seen), **bounds})
    return BatteryScores(pd.DataFrame(rows), level, int(np.isnan(matrix).sum()))


def score_with_bank(
    bank: Bank,
    answers: Study,
    battery: Battery | None = None,
    level: float = 0.95,
    estimator: str = DEFAULT,
) -> BankScores:
    """Estimate scores on every benchmark of a bank and on all of it, and abilities.

    Args:
        bank: Items with their history.
        answers: A study with responses; items outside the bank (or outside the battery) are not used.
        battery: How the items were drawn; without it, all items answered count as drawn alike.
        level: Nominal coverage of the scores. Abilities have 0.9.
        estimator: One of `ESTIMATORS`.

    Raises:
        InputError: No answer to an item of the bank, an unknown estimator, or a battery from elsewhere.
    """
    if estimator not in ESTIMATORS:
        hint = nearest(estimator, ESTIMATORS)
        raise InputError(f"unknown estimator '{estimator}'{hint}; there are {', '.join(ESTIMATORS)}")
    chance = np.full(len(bank.items), np.nan) if battery is None else _chances(bank, battery)
    wanted = bank.items if battery is None else tuple(str(item) for item in battery.table["item_id"])
    names, matrix = _answers_to(answers, wanted, "the bank")
    places = bank.positions(wanted)
    pool = Pool.of(bank)
    scores: list[dict[str, object]] = []
    profile: list[dict[Hashable, Any]] = []
    for model, score in zip(names, matrix, strict=True):
        seen = ~np.isnan(score)
        for benchmark, sample in _samples(bank, pool, places[seen], score[seen], chance):
            found = ESTIMATORS[estimator].estimate(sample, level)
            bounds = {"score": found.score[0], "lower": found.lower[0], "upper": found.upper[0]}
            scores.append({"model": model, "benchmark": benchmark, "answered": sample.n, **bounds})
        profile += _profile(model, pool.curves.take(places[seen]), score[seen])
    return BankScores(pd.DataFrame(scores), pd.DataFrame(profile), level, PROFILE_LEVEL, estimator)


def _samples(
    bank: Bank, pool: Pool, drawn: Index, score: RowFloats, chance: FloatArray
) -> Iterator[tuple[str, Sample]]:
    """Yield the whole bank as `all`, and each benchmark with enough answers, with the answers that are its own."""
    benchmark = np.array(bank.benchmark)
    names = bank.benchmarks if len(bank.benchmarks) > 1 else ()
    parts = [("all", np.arange(len(benchmark)), np.arange(len(drawn)))] if len(drawn) >= 2 else []
    parts += [(name, np.flatnonzero(benchmark == name), np.flatnonzero(benchmark[drawn] == name)) for name in names]
    for name, part, rows in parts:
        if name != "all" and len(rows) < FEWEST_ANSWERS:
            continue
        known = chance[drawn[rows]]
        share = np.where(np.isnan(known), len(rows) / len(part), known)
        yield name, Sample(pool.take(part), np.searchsorted(part, drawn[rows]), score[None, rows], share)


def _profile(model: str, curves: Curves, score: RowFloats, level: float = PROFILE_LEVEL) -> list[dict[Hashable, Any]]:
    found = ability_posterior(curves, score[None])
    mean, sd = found.mean[0], np.sqrt(np.diagonal(found.cov[0]))
    width = normal_quantile(level) * sd
    table = pd.DataFrame({"model": model, "dim": np.arange(1, len(mean) + 1), "mean": mean})
    return table.assign(lower=mean - width, upper=mean + width).to_dict("records")


def _answers_to(answers: Study, items: tuple[str, ...], what: str) -> tuple[tuple[str, ...], FloatArray]:
    """Models that answered any of the items, and their scores (model, item), NaN where there is none."""
    responses = Responses.of(answers)
    column = {item: place for place, item in enumerate(responses.items)}
    if not any(item in column for item in items):
        raise InputError(f"{answers.name}: no answer to any item of {what} ({first_few(items)}); check the item ids")
    whole = score_matrix(responses)
    matrix = np.full((len(whole), len(items)), np.nan)
    answered = [place for place, item in enumerate(items) if item in column]
    matrix[:, answered] = whole[:, [column[items[place]] for place in answered]]
    some = ~np.asarray(np.isnan(matrix).all(axis=1))
    return tuple(name for name, kept in zip(responses.models, some, strict=True) if kept), matrix[some]


def _chances(bank: Bank, battery: Battery) -> RowFloats:
    chance = np.full(len(bank.items), np.nan)
    places = bank.positions(tuple(str(item) for item in battery.table["item_id"]))
    chance[places] = battery.table["draw_chance"].to_numpy(dtype=float)
    return chance


def _bare_pool(size: int) -> Pool:
    """A pool of which only the size is known."""
    curves = Curves(np.zeros((size, 1)), np.zeros(size), np.zeros(size), np.zeros(1), np.eye(1))
    return Pool(curves, np.zeros((0, size)), np.zeros((0, size)))
