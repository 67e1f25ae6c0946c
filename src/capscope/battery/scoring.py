"""Scores on a whole pool and ability profiles, estimated from the answers to a battery."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from capscope.axes import AGENT_FACETS, FloatArray, RowFloats
from capscope.battery.adaptive.running import ability_table, replayed, score_table
from capscope.battery.banks.ability import Curves, ItemPool, ability_posterior
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.banks.sources import is_bank, load_answers
from capscope.battery.estimators import DEFAULT, ESTIMATORS, WITHOUT_BANK, Estimate, Estimator, Sample
from capscope.battery.other_agents import scores_elsewhere
from capscope.battery.selection import Battery
from capscope.data import ArrowTable, Responses, Study, as_frame, subjects_of
from capscope.data.formats import LoggedBattery, LoggedDraws, read_draws
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, counted, first_few, nearest
from capscope.files import kind_of
from capscope.intervals import normal_quantile
from capscope.predict import read_expected

PROFILE_LEVEL = 0.9
"""Nominal coverage of ability intervals."""
FEWEST_ANSWERS = 5
"""A benchmark with fewer answers of its own gets no score."""
FEWEST_OF_ALL = 2
"""A bank with fewer answers gets no score as a whole."""
ALL = "all"
"""Name of the whole bank beside its benchmarks."""
ADAPTIVE_ESTIMATOR = "adaptive"
"""Name of the estimator of adaptive draws, which is that of `battery run`."""
EDGE = 1e-9
SOURCE_REMEDY = "make one with 'capscope bank build' or 'capscope battery select'"
BANK_COLUMNS = ("model", "benchmark", "answered", "score", "lower", "upper")


@dataclass(frozen=True, kw_only=True, repr=False)
class BatteryScores(ArrowTables):
    """Estimated scores of models on a pool and, with a bank, their abilities."""

    scores: pd.DataFrame
    """Columns model, answered, score, lower, upper; with a bank also benchmark (`all` for the whole bank), and
    benchmarks with fewer than 5 answers are absent."""
    level: float
    """Nominal coverage of the scores' bounds."""
    estimator: str
    """Name of the estimator."""
    profile: pd.DataFrame | None = None
    """Columns model, dim, mean, lower, upper: abilities on the bank's scale, on which past models have mean 0 and
    standard deviation 1; None without a bank."""
    unanswered: int = 0
    """Pairs of model and drawn item without an answer; they are left out, never counted as wrong."""
    elsewhere: pd.DataFrame | None = None
    """Columns model, score, lower, upper: expected scores in the bank's other scaffolds and efforts, where it has such
    and the answers say in which they were given."""
    notes: tuple[str, ...] = ()
    """What limits the abilities."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        scores = self.scores.to_dict("records")
        if self.profile is None:
            return {"level": self.level, "unanswered": self.unanswered, "scores": scores}
        result: dict[str, object] = {
            "level": self.level,
            "profile_level": PROFILE_LEVEL,
            "estimator": self.estimator,
            "scores": scores,
            "profile": self.profile.to_dict("records"),
            **({"notes": list(self.notes)} if self.notes else {}),
        }
        return result if self.elsewhere is None else {**result, "elsewhere": self.elsewhere.to_dict("records")}

    def __repr__(self) -> str:
        models = self.scores["model"].nunique()
        shown = self.scores.head(5).round(3).to_string(index=False, na_rep="-")
        return (
            f"BatteryScores({counted(models, 'model')}, estimator {self.estimator},"
            f" {self.level:.0%} intervals)\n{shown}"
        )

    def _repr_html_(self) -> str:
        """Show the scores as a table in a notebook."""
        return html_table("Estimated scores", self.scores, f"{self.estimator}, {self.level:.0%} intervals")


def score_battery(
    source: Bank | Battery | str | Path,
    answers: Study | pd.DataFrame | ArrowTable | str | Path,
    *,
    battery: Battery | str | Path | None = None,
    estimator: str | None = None,
    expected: pd.DataFrame | ArrowTable | str | Path | None = None,
    level: float = 0.95,
) -> BatteryScores:
    """Estimate scores on the whole pool, and abilities where there is a bank, from answers to a few items.

    Args:
        source: A bank (or its folder), whose past models make the estimates more precise; or a battery (or its file),
            whose pool is then known by its size alone.
        answers: A study with responses; a table with columns model, item_id, score (or its file); or logs of another
            tool, such as the samples of lm-evaluation-harness. Answers to other items are not used. A log of Inspect
            whose samples a battery drew (`capscope_battery`, `capscope_stopping`) is scored by the chances that it
            holds; limits and scorer are those of the run.
        battery: With a bank, the battery by which the items were drawn; without it, all answered items count as drawn
            with equal chance.
        estimator: One of `ESTIMATORS`; by default `blend` with a bank and `mean` without.
        expected: With a bank: scores on its benchmarks that are expected from elsewhere, as prior of each score that
            it names; the answers update it, and a forecast that they contradict counts for less. A table of
            `capscope.forecast` or its file; or a score with its 80 % interval as text, ``62:55:70`` or, where there
            are several benchmarks, ``gsm8k=62:55:70``.
        level: Nominal coverage of the scores' intervals; abilities have 0.9.

    Returns:
        Scores with intervals, and profiles of abilities where there is a bank.

    Raises:
        InputError: No answer to any of the items, an unknown estimator, one that needs a bank without one, or a
            battery drawn from elsewhere.

    Example:
        >>> scores = score_battery("bank", "answers.csv", battery="battery.csv")  # doctest: +SKIP
        >>> scores.scores, scores.profile  # doctest: +SKIP
    """
    loaded = _loaded(source)
    drawn_log = read_draws(answers) if isinstance(answers, str | Path) and Path(answers).is_file() else None
    if expected is not None and not isinstance(loaded, Bank):
        raise InputError("expected scores are of a bank's benchmarks, and a battery knows none; give the bank first")
    if isinstance(drawn_log, LoggedBattery) and isinstance(loaded, Bank) and battery is None:
        return _updated(_score_logged(loaded, drawn_log, _estimator(estimator or DEFAULT), level), expected, loaded)
    if isinstance(drawn_log, LoggedDraws) and isinstance(loaded, Bank) and estimator is None and battery is None:
        return _updated(_score_draws(loaded, drawn_log, level), expected, loaded)
    given = load_answers(answers, loaded if isinstance(loaded, Bank) else None)
    if isinstance(loaded, Battery):
        if battery is not None:
            raise InputError("two batteries are given; give a bank first where the battery was drawn from one")
        return _score_without_bank(loaded, given, _estimator(estimator or WITHOUT_BANK), level)
    drawn = Battery.load(battery) if isinstance(battery, str | Path) else battery
    return _updated(_score_with_bank(loaded, given, drawn, _estimator(estimator or DEFAULT), level), expected, loaded)


def _updated(
    result: BatteryScores, expected: pd.DataFrame | ArrowTable | str | Path | None, bank: Bank
) -> BatteryScores:
    """Combine scores with expected ones: both are Gaussian in log-odds, weighed by their precision.

    Raises:
        InputError: The table of expected scores is wrong, or about other models or benchmarks.
    """
    if expected is None:
        return result
    scores = result.scores.copy()
    if len(bank.benchmarks) == 1:
        scores["benchmark"] = bank.benchmarks[0]
    prior = read_expected(as_frame(expected), tuple(scores["model"].astype(str).unique()), bank.benchmarks)
    prior = scores[["model", "benchmark"]].merge(prior, on=["model", "benchmark"], how="left")
    edge = 0.5 / np.maximum(scores["answered"].to_numpy(dtype=float), 1)
    middle, lower, upper = (
        logit(np.clip(scores[name].to_numpy(dtype=float), edge, 1 - edge)) for name in ("score", "lower", "upper")
    )
    quantile = normal_quantile(result.level)
    own = (2 * quantile / np.maximum(upper - lower, EDGE)) ** 2
    known = prior["log_odds"].notna().to_numpy()
    mean, precision = combined(middle, own, prior["log_odds"].to_numpy(dtype=float), prior["sd"].to_numpy(dtype=float))
    reach = quantile / np.sqrt(precision)
    for name, value in (("score", mean), ("lower", mean - reach), ("upper", mean + reach)):
        scores[name] = np.where(known, expit(value), scores[name])
    scores["benchmark"] = result.scores["benchmark"]
    return replace(result, scores=scores)


def combined(
    log_odds: np.ndarray, precision: np.ndarray, expected: np.ndarray, expected_sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Combine estimates with expected values that may be wrong.

    The variance of an expected value is at least what it states, what its distance from the estimate says (its maximum
    likelihood, as in empirical Bayes; Morris, 1983), and the variance of the estimate: so it counts for as much as the
    answers at most, and for nothing where it is far off.

    Args:
        log_odds: Estimates from answers, in log-odds.
        precision: Their precisions.
        expected: Expected values, NaN where there is none.
        expected_sd: Their stated standard deviations.

    Returns:
        Combined estimates and their precisions.
    """
    distance = np.where(np.isfinite(expected), expected - log_odds, 0.0)
    variance = np.maximum(np.maximum(expected_sd**2, distance**2 - 1 / precision), 1 / precision)
    weight = np.where(np.isfinite(expected), 1 / variance, 0.0)
    return log_odds + weight * distance / (precision + weight), precision + weight


def _loaded(source: Bank | Battery | str | Path) -> Bank | Battery:
    if isinstance(source, Bank | Battery):
        return source
    if is_bank(source):
        return Bank.load(source)
    if kind_of(Path(source)) in ("study", "folder"):
        raise InputError(f"{source}: this is a {kind_of(Path(source))}, not a bank or a battery; {SOURCE_REMEDY}")
    return Battery.load(source)


def _estimator(name: str) -> Estimator:
    if name not in ESTIMATORS:
        raise InputError(f"unknown estimator '{name}'{nearest(name, ESTIMATORS)}; there are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name]


def _score_draws(bank: Bank, log: LoggedDraws, level: float) -> BatteryScores:
    """Score the log of an adaptive battery."""
    state = replayed(bank, log.draws)
    table = score_table(state, level)
    asked = state.targets.member[:, [draw.item for draw in state.draws]] > 0
    table = table.assign(model=log.model, answered=asked.sum(1), benchmark=[ALL, *table["target"].iloc[1:]])
    enough = table["answered"] >= np.where(table["benchmark"] == ALL, FEWEST_OF_ALL, FEWEST_ANSWERS)
    ability = ability_table(state, PROFILE_LEVEL).rename(columns={"ability": "mean"}).assign(model=log.model)
    return BatteryScores(
        scores=table.loc[enough, list(BANK_COLUMNS)].reset_index(drop=True),
        profile=ability[["model", "dim", "mean", "lower", "upper"]],
        level=level,
        estimator=ADAPTIVE_ESTIMATOR,
    )


def _score_logged(bank: Bank, log: LoggedBattery, estimator: Estimator, level: float) -> BatteryScores:
    """Score the log of a battery that was drawn before the run; its pool are the items that the task had samples of."""
    pool = bank.take_items(bank.positions(log.pool))
    battery = Battery(log.drawn, len(pool.items), log.method, log.seed)
    scored = _score_with_bank(pool, Study.of(responses=log.answers()), battery, estimator, level)
    return replace(scored, notes=(*scored.notes, *log.notes))


def _score_without_bank(battery: Battery, answers: Study, estimator: Estimator, level: float) -> BatteryScores:
    if estimator.needs == "bank":
        raise InputError(f"estimator '{estimator.name}' needs past models; give a bank, or use {WITHOUT_BANK}")
    models, matrix = _answers_to(answers, battery.items, "the battery")
    pool = ItemPool.without_models(battery.pool)
    rows: list[dict[str, object]] = []
    for model, score in zip(models, matrix, strict=True):
        answered = np.flatnonzero(~np.isnan(score))
        sample = Sample(pool, answered, score[None, answered], battery.draw_chance[answered])
        rows.append({"model": model, "answered": len(answered), **_bounds(estimator.estimate(sample, level))})
    unanswered = int(np.isnan(matrix).sum())
    return BatteryScores(scores=pd.DataFrame(rows), level=level, estimator=estimator.name, unanswered=unanswered)


def _score_with_bank(
    bank: Bank, answers: Study, battery: Battery | None, estimator: Estimator, level: float
) -> BatteryScores:
    wanted = bank.items if battery is None else battery.items
    places = bank.positions(wanted)
    chance = np.full(len(bank.items), np.nan)
    if battery is not None:
        chance[places] = battery.draw_chance
    models, matrix = _answers_to(answers, wanted, "the bank")
    pool = ItemPool.of(bank)
    scores: list[dict[str, object]] = []
    profile: list[dict[Hashable, Any]] = []
    for model, score in zip(models, matrix, strict=True):
        seen = ~np.isnan(score)
        for benchmark, sample in _samples(bank, pool, places[seen], score[seen], chance):
            bounds = _bounds(estimator.estimate(sample, level))
            scores.append({"model": model, "benchmark": benchmark, "answered": sample.n, **bounds})
        profile += _profile(model, pool.curves.take(places[seen]), score[seen])
    return BatteryScores(
        scores=pd.DataFrame(scores, columns=list(BANK_COLUMNS)),
        profile=pd.DataFrame(profile),
        level=level,
        estimator=estimator.name,
        unanswered=0 if battery is None else int(np.isnan(matrix).sum()),
        elsewhere=scores_elsewhere(bank, answers, models, places, matrix, level),
        notes=bank.notes,
    )


def _bounds(estimate: Estimate) -> dict[str, float]:
    return {"score": estimate.score[0], "lower": estimate.lower[0], "upper": estimate.upper[0]}


def _samples(
    bank: Bank, pool: ItemPool, drawn: Index, score: RowFloats, chance: FloatArray
) -> Iterator[tuple[str, Sample]]:
    """Yield the whole bank as `all`, then each benchmark with enough answers, each with the answers to its items."""
    benchmark = np.array(bank.benchmark)
    names = bank.benchmarks if len(bank.benchmarks) > 1 else ()
    parts = [(ALL, np.arange(len(benchmark)), np.arange(len(drawn)), FEWEST_OF_ALL)]
    for name in names:
        rows = np.flatnonzero(benchmark[drawn] == name)
        parts.append((name, np.flatnonzero(benchmark == name), rows, FEWEST_ANSWERS))
    for name, part, rows, fewest in parts:
        if len(rows) < fewest:
            continue
        known = chance[drawn[rows]]
        share = np.where(np.isnan(known), len(rows) / len(part), known)
        yield name, Sample(pool.take(part), np.searchsorted(part, drawn[rows]), score[None, rows], share)


def _profile(model: str, curves: Curves, score: RowFloats, level: float = PROFILE_LEVEL) -> list[dict[Hashable, Any]]:
    ability = ability_posterior(curves, score[None])
    mean, sd = ability.mean[0], np.sqrt(np.diagonal(ability.cov[0]))
    width = normal_quantile(level) * sd
    table = pd.DataFrame({"model": model, "dim": np.arange(1, len(mean) + 1), "mean": mean})
    return table.assign(lower=mean - width, upper=mean + width).to_dict("records")


def _answers_to(answers: Study, items: tuple[str, ...], what: str) -> tuple[tuple[str, ...], FloatArray]:
    """Return the models that answered any of the items, and their scores (model, item), NaN where there is none."""
    responses = Responses.of(subjects_of(answers, AGENT_FACETS)[0])
    column = {item: place for place, item in enumerate(responses.items)}
    if not any(item in column for item in items):
        raise InputError(f"{answers.name}: no answer to any item of {what} ({first_few(items)}); check the item ids")
    scores = responses.dense().score
    matrix = np.full((len(scores), len(items)), np.nan)
    answered = [place for place, item in enumerate(items) if item in column]
    matrix[:, answered] = scores[:, [column[items[place]] for place in answered]]
    some = ~np.asarray(np.isnan(matrix).all(axis=1))
    return tuple(name for name, kept in zip(responses.models, some, strict=True) if kept), matrix[some]
