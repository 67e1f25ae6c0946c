"""Time horizons: the human time of tasks at which a model's chance of success is a given value.

Each model has a logistic curve in the binary logarithm of human minutes (Kwa et al., 2025). The slopes of the models
are shrunken towards their common mean (random effects, DerSimonian & Laird, 1986). Uncertainty is that of new tasks of
the same kind: a Bayesian bootstrap (Rubin, 1981) over clusters of tasks, shared by all models, with priors whose
centres are redrawn for each draw (Fong, Lyddon & Holmes, 2019), so that a model without a success has an interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from capscope.axes import FloatArray
from capscope.data import ArrowTable, Responses, Study
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import InputError
from capscope.forecast.change import FEWEST_DATED, doubling_text, frontier_lines, growth_of
from capscope.forecast.facts import model_dates

DRAWS = 1000
"""Draws of the bootstrap."""
STEPS, SMALL_STEP = 40, 1e-5
"""Most Fisher scoring steps of a fit, and the step at which it ends."""
SLOPE_PRIOR = (0.5, 1.0)
"""Mean and standard deviation of a slope, in log-odds for each doubling of the minutes, before the models are seen."""
INTERCEPT_SD = 3.0
"""Standard deviation of a model's log-odds at the mean length, around 0."""
LEAST_SPREAD = 0.1
"""Least standard deviation of the slopes over models, as a share of their mean."""
FEWEST_CLUSTERS = 8
"""Fewest tasks that are taken as clusters by default; below, each item is one."""
FEWEST_ITEMS = 6
REACH = 6.0
"""Doublings beyond the shortest and longest task at which horizons are cut for the trend."""


@dataclass(frozen=True)
class Horizons(ArrowTables):
    """Time horizons of models, and how fast they grow."""

    models: pd.DataFrame
    """model, date (years), items, score, and for each chance (50: horizon_50) the minutes with `_lower`, `_upper` (0
    and infinity where the answers set no bound); slope (log-odds lost with each doubling of the minutes) with bounds;
    extrapolated (the first horizon lies outside the lengths that were tried)."""
    growth: dict[str, float] | None
    """Of the frontier's first horizon: `doubling_months` with `_lower`, `_upper`; None where few dates are known."""
    chances: tuple[float, ...]
    """Chances of success the horizons are for."""
    shortest: float
    """Minutes of the shortest task."""
    longest: float
    """Minutes of the longest task."""
    clusters: int
    """Clusters of tasks the uncertainty is over."""
    level: float
    """Coverage of the intervals."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; an open bound is null."""
        finite = self.models.replace([np.inf, -np.inf], np.nan)
        return {
            "level": self.level,
            "chances": list(self.chances),
            "minutes": {"shortest": self.shortest, "longest": self.longest},
            "clusters": self.clusters,
            "growth": self.growth,
            "models": finite.to_dict("records"),
        }

    def as_text(self) -> str:
        """Return the longest horizon, the growth of horizons, and a table of models as text."""
        first = percent_of(self.chances[0])
        best = self.models.iloc[0]
        lines = [
            f"{best['model']} has the longest horizon: it succeeds on {first} % of the tasks that take a human about"
            f" {_bounds_text(best, first)}"
        ]
        if self.growth is not None:
            lines.append(f"The frontier's horizons {doubling_text(self.growth)}")
        lines.append(
            f"Lengths tried: {duration(self.shortest)} to {duration(self.longest)}; {100 * self.level:.0f} % intervals"
            f" over new tasks of this kind ({self.clusters} clusters)"
        )
        lines += [f"  {self._row(row)}" for row in self.models.to_dict("records")]
        return "\n".join(lines)

    def _row(self, row: dict[Any, Any]) -> str:
        horizons = "; ".join(f"{percent_of(q)} %: {_bounds_text(row, percent_of(q))}" for q in self.chances)
        outside = "; outside the lengths tried" if row["extrapolated"] else ""
        unclear = "; success does not clearly fall with length" if row["slope_lower"] <= 0 else ""
        return f"{row['model']}: {horizons}{outside}{unclear}"

    def _repr_html_(self) -> str:
        return html_table("Time horizons in minutes", self.models)


@dataclass(frozen=True, kw_only=True)
class HorizonSettings:
    """Settings of `time_horizons`."""

    minutes: str = "minutes"
    """Column of the items with the minutes that a skilled human takes."""
    chances: tuple[float, ...] = (0.5, 0.8)
    """Chances of success that define horizons; the first is the one whose growth is measured."""
    cluster: str | None = None
    """Column of the items whose values are sampled together, such as a family of tasks; by default `task` where there
    are enough, else each item."""
    level: float = 0.9
    """Coverage of the intervals."""
    seed: int = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        """Check the chances.

        Raises:
            InputError: There is none, or one is not between 0 and 1.
        """
        if not self.chances or not all(0 < chance < 1 for chance in self.chances):
            raise InputError(f"chances {self.chances}: give shares between 0 and 1, such as 0.5")


def time_horizons(
    study: Study,
    models: pd.DataFrame | ArrowTable | str | Path | None = None,
    *,
    settings: HorizonSettings | None = None,
) -> Horizons:
    """Estimate the human time at which each model's chance of success is 50 and 80 %.

    Args:
        study: Items with human minutes, and responses; several trials of a task are averaged.
        models: Dates of the models (columns model and date), for the growth of the frontier.
        settings: Column of the minutes, chances, clusters, level and seed.

    Returns:
        Minutes at which the chance of success is 50 and 80 %, by model, and their growth with time.

    Raises:
        InputError: The minutes are missing or not positive, or too few items have them.
    """
    settings = settings or HorizonSettings()
    chances, level = settings.chances, settings.level
    tasks = _timed_items(study, settings.minutes, settings.cluster)
    answers = _answers(study, tasks)
    rng = np.random.default_rng([settings.seed, 43])
    curves = _curve_draws(answers, tasks, rng)
    centre = float(np.log2(tasks["minutes"]).mean())
    draws = np.stack([_horizon_draws(curves, chance) + centre for chance in chances])
    span = (float(tasks["minutes"].min()), float(tasks["minutes"].max()))
    dates = None if models is None else model_dates(models, list(answers.models))
    table = _table(answers, curves, draws, chances, level, span)
    table.insert(1, "date", np.nan if dates is None else dates)
    return Horizons(
        table.sort_values(f"horizon_{percent_of(chances[0])}", ascending=False, kind="stable", ignore_index=True),
        None if dates is None else _growth(dates, draws[0], span, rng, level),
        chances,
        *span,
        int(tasks["cluster"].nunique()),
        level,
    )


def percent_of(chance: float) -> str:
    """Name a chance in percent: 0.5 is ``50``.

    Args:
        chance: A share.
    """
    return f"{100 * chance:g}"


def duration(minutes: float) -> str:
    """Return a time as text in the largest unit in which it is above one.

    Args:
        minutes: The time; may be infinite.
    """
    for unit, size in (("days", 1440.0), ("h", 60.0), ("min", 1.0)):
        if np.isfinite(minutes) and minutes >= 2 * size - size * (unit == "min"):
            return f"{minutes / size:.3g} {unit}"
    return f"{60 * minutes:.3g} s" if np.isfinite(minutes) else "no bound"


def _bounds_text(row: Any, percent: str) -> str:  # noqa: ANN401 - a row of the table, as a dict or a series
    name = f"horizon_{percent}"
    return f"{duration(row[name])} ({duration(row[f'{name}_lower'])} to {duration(row[f'{name}_upper'])})"


def _timed_items(study: Study, minutes: str, cluster: str | None) -> pd.DataFrame:
    """Return item_id, minutes, chance and cluster of the items whose human time is known."""
    items = study.require("items")
    for column in (minutes, *([cluster] if cluster else [])):
        if column not in items:
            raise InputError(
                f"{study.name}: items have no column '{column}'; there are {', '.join(map(str, items.columns))}"
            )
    values = pd.to_numeric(items[minutes], errors="coerce")
    wrong = items[minutes].notna() & ~(values > 0)
    if wrong.any():
        item, value = items.loc[wrong, ["item_id", minutes]].iloc[0]
        raise InputError(f"{study.name}: item '{item}' has {minutes} '{value}'; give positive numbers of minutes")
    chance = items["chance"].fillna(0.0) if "chance" in items else 0.0
    timed = pd.DataFrame({"item_id": items["item_id"].astype(str), "minutes": values, "chance": chance})
    if cluster is None:
        cluster = "task" if items["task"].nunique() >= FEWEST_CLUSTERS else "item_id"
    timed["cluster"] = items[cluster].astype(str)
    timed = timed[np.isfinite(values) & (timed["chance"] < 1)]
    answered = set(study.require("responses")["item_id"].astype(str))
    timed = timed[timed["item_id"].isin(answered)].reset_index(drop=True)
    if len(timed) < FEWEST_ITEMS or timed["minutes"].nunique() < 2:
        raise InputError(
            f"{study.name}: {len(timed)} answered items have '{minutes}'; {FEWEST_ITEMS} or more of"
            " different lengths are needed"
        )
    return timed


@dataclass(frozen=True)
class _TriedTasks:
    """Scores and trials by model and timed item."""

    models: tuple[str, ...]
    right: FloatArray
    trials: FloatArray


def _answers(study: Study, tasks: pd.DataFrame) -> _TriedTasks:
    responses = Responses.of(study)
    dense = responses.dense()
    position = {item: column for column, item in enumerate(responses.items)}
    columns = [position[item] for item in tasks["item_id"]]
    right, trials = dense.right[:, columns], dense.n_trials[:, columns]
    # a task counts once whatever its number of trials
    share = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)
    kept = np.flatnonzero((trials > 0).any(1))
    return _TriedTasks(tuple(responses.models[row] for row in kept), share[kept], (trials[kept] > 0).astype(float))


@dataclass(frozen=True)
class _Curves:
    """Draws of the models' curves: log-odds at the mean length, and the log-odds lost with each doubling."""

    intercept: FloatArray
    slope: FloatArray


@dataclass(frozen=True)
class _Prior:
    """Gaussian prior of an intercept and a slope; centres have one value for each draw."""

    intercept: FloatArray
    slope: FloatArray
    slope_sd: float


def _curve_draws(answers: _TriedTasks, tasks: pd.DataFrame, rng: np.random.Generator) -> _Curves:
    """Draw every model's curve: shape (draw, model)."""
    length = np.log2(tasks["minutes"].to_numpy())
    length = length - length.mean()
    chance = tasks["chance"].to_numpy(dtype=float)
    code, names = pd.factorize(tasks["cluster"])
    one = np.ones((1, len(length)))
    first = _Prior(np.zeros(1), np.full(1, SLOPE_PRIOR[0]), SLOPE_PRIOR[1])
    fits = [_fit(y, n, length, chance, one, first) for y, n in zip(answers.right, answers.trials, strict=True)]
    mean, mean_se, spread = _slopes_over_models(
        np.array([float(slope[0]) for _, slope, _ in fits]), np.array([float(se[0]) for _, _, se in fits])
    )
    weight = _cluster_weights(len(names), rng)[:, code]
    centre = mean + mean_se * rng.standard_normal(DRAWS)
    intercepts, slopes = [], []
    for y, n in zip(answers.right, answers.trials, strict=True):
        prior = _Prior(INTERCEPT_SD * rng.standard_normal(DRAWS), centre + spread * rng.standard_normal(DRAWS), spread)
        intercept, slope, _ = _fit(y, n, length, chance, weight, prior)
        intercepts.append(intercept)
        slopes.append(slope)
    return _Curves(np.stack(intercepts, 1), np.stack(slopes, 1))


def _cluster_weights(clusters: int, rng: np.random.Generator) -> FloatArray:
    """Weights of clusters, shape (draw, cluster): Gamma with mean 1 and the variance ``n / (n - 4)``.

    Exponential weights (variance 1) would be the Bayesian bootstrap; the excess stands for the two parameters of a
    curve and for the tails of a t distribution with ``n - 2`` degrees of freedom, which few clusters need.
    """
    shape = max(1 - 4 / clusters, 0.25)
    weight = rng.gamma(shape, 1 / shape, (DRAWS, clusters))
    return weight / np.maximum(weight.mean(1, keepdims=True), 1e-9)


def _slopes_over_models(slope: FloatArray, se: FloatArray) -> tuple[float, float, float]:
    """Mean of the models' slopes, its standard error, and their standard deviation over models."""
    if len(slope) < 2:
        return SLOPE_PRIOR[0], 0.0, SLOPE_PRIOR[1]
    weight = 1 / se**2
    mean = float((weight * slope).sum() / weight.sum())
    excess = float((weight * (slope - mean) ** 2).sum()) - (len(slope) - 1)
    variance = max(excess / float(weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    spread = max(np.sqrt(variance), LEAST_SPREAD * abs(mean))
    weight = 1 / (se**2 + spread**2)
    return float((weight * slope).sum() / weight.sum()), float(weight.sum() ** -0.5), float(spread)


def _fit(
    right: FloatArray, trials: FloatArray, length: FloatArray, chance: FloatArray, weight: FloatArray, prior: _Prior
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit one model's curve for each row of weights by Fisher scoring; a guess succeeds with its known chance.

    Returns:
        Intercepts, slopes, and the slopes' standard errors.
    """
    tried = trials > 0
    y, x, c, w = right[tried], length[tried], chance[tried], weight[:, tried]
    a, b = np.zeros(len(w)), np.broadcast_to(prior.slope, len(w)).astype(float).copy()
    aa, ab, det = np.ones_like(a), np.zeros_like(a), np.ones_like(a)
    for _ in range(STEPS):
        known = expit(a[:, None] - b[:, None] * x)
        p = c + (1 - c) * known
        by_logit, variance = (1 - c) * known * (1 - known), np.maximum(p * (1 - p), 1e-12)
        pull, info = w * by_logit * (y - p) / variance, w * by_logit**2 / variance
        by_a = pull.sum(1) - (a - prior.intercept) / INTERCEPT_SD**2
        by_b = -(pull @ x) - (b - prior.slope) / prior.slope_sd**2
        aa, ab, bb = info.sum(1) + INTERCEPT_SD**-2, -(info @ x), info @ x**2 + prior.slope_sd**-2
        det = aa * bb - ab**2
        step = np.stack([bb * by_a - ab * by_b, aa * by_b - ab * by_a]) / det
        a, b = np.stack([a, b]) + step / np.maximum(1.0, np.abs(step).max(0) / 2)
        if np.abs(step).max() < SMALL_STEP:
            break
    return a, b, np.sqrt(aa / det)


def _horizon_draws(curves: _Curves, chance: float) -> FloatArray:
    """Doublings from the mean length to the horizon; infinite where success does not fall with length."""
    room = curves.intercept - logit(chance)
    falls = curves.slope > 1e-3
    return np.where(falls, room / np.where(falls, curves.slope, 1.0), np.where(room > 0, np.inf, -np.inf))


def _table(
    answers: _TriedTasks,
    curves: _Curves,
    draws: FloatArray,
    chances: Sequence[float],
    level: float,
    span: tuple[float, float],
) -> pd.DataFrame:
    tails = [(1 - level) / 2, 0.5, (1 + level) / 2]
    table = pd.DataFrame({"model": answers.models, "items": answers.trials.sum(1).astype(int)})
    table["score"] = answers.right.sum(1) / answers.trials.sum(1)
    for chance, values in zip(chances, draws, strict=True):
        lower, middle, upper = np.exp2(np.quantile(values, tails, axis=0, method="nearest"))
        name = f"horizon_{percent_of(chance)}"
        table[name], table[f"{name}_lower"], table[f"{name}_upper"] = middle, lower, upper
    lower, middle, upper = np.quantile(curves.slope, tails, axis=0)
    table["slope"], table["slope_lower"], table["slope_upper"] = middle, lower, upper
    first = table[f"horizon_{percent_of(chances[0])}"]
    table["extrapolated"] = (first < span[0]) | (first > span[1])
    return table


def _growth(
    dates: FloatArray, draws: FloatArray, span: tuple[float, float], rng: np.random.Generator, level: float
) -> dict[str, float] | None:
    known = np.isfinite(dates)
    if known.sum() < FEWEST_DATED or np.ptp(dates[known]) == 0:
        return None
    cut = np.clip(draws[:, known], np.log2(span[0]) - REACH, np.log2(span[1]) + REACH)
    slopes, _ = frontier_lines(dates[known], cut, rng)
    # horizons are in doublings; growth is of the natural logarithm
    return growth_of(np.log(2) * slopes, level)
