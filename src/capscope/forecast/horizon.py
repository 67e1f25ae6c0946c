"""Time horizons: the human time of tasks at which a model's chance of success is a given value.

Each model has a logistic curve in the binary logarithm of human minutes (Kwa et al., 2025). The slopes of the models
are shrunken towards their common mean (random effects, DerSimonian & Laird, 1986). Uncertainty is that of new tasks of
the same kind: a Bayesian bootstrap (Rubin, 1981) over clusters of tasks, shared by all models, with priors whose
centres are redrawn for each draw (Fong, Lyddon & Holmes, 2019), so that a model without a success has an interval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import ArrowTable, Responses, Study
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import InputError
from capscope.forecast.change import FEWEST_DATED, doubling_text, frontier_lines, growth_of
from capscope.forecast.facts import model_dates
from capscope.forecast.horizon_curves import SuccessCurves, TriedTasks, curve_draws, horizon_draws

FEWEST_CLUSTERS = 8
"""Fewest tasks that are taken as clusters by default; below, each item is one."""
FEWEST_ITEMS = 6
REACH = 6.0
"""Doublings beyond the shortest and longest task at which horizons are cut for the trend."""


@dataclass(frozen=True)
class LengthUnit:
    """What the length of a task is measured in."""

    name: str
    to_length: Callable[[FloatArray], FloatArray]
    """Map values to lengths; one more is half the odds of success for a typical model."""
    from_length: Callable[[FloatArray], FloatArray]
    text: Callable[[float], str]
    slope_factor: float
    """What a slope is multiplied with: lengths in the unit that slopes are stated for."""


POINTS = 400 * float(np.log10(2))
"""Rating points that double the odds."""


@dataclass(frozen=True)
class Horizons(ArrowTables):
    """Time horizons of models, and how fast they grow."""

    models: pd.DataFrame
    """model, date (years), items, score, and for each chance (50: horizon_50) the minutes or rating with `_lower`,
    `_upper` (of minutes 0 and infinity where the answers set no bound); slope (log-odds lost with each doubling of the
    minutes, or each 400 points) with bounds; extrapolated (the first horizon lies outside what was tried)."""
    growth: dict[str, float] | None
    """Of the frontier's first horizon: `doubling_months`, or of a rating `points_per_year`, with `_lower`, `_upper`;
    None where few dates are known."""
    chances: tuple[float, ...]
    """Chances of success the horizons are for."""
    shortest: float
    """Minutes, or rating, of the shortest or easiest task."""
    longest: float
    """Minutes, or rating, of the longest or hardest task."""
    clusters: int
    """Clusters of tasks the uncertainty is over."""
    level: float
    """Coverage of the intervals."""
    unit: str = "minutes"
    """What horizons are in: `minutes` or `rating`."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; an open bound is null."""
        finite = self.models.replace([np.inf, -np.inf], np.nan)
        timed = self.unit == MINUTES.name
        return {
            "level": self.level,
            "chances": list(self.chances),
            "unit": self.unit,
            "minutes": {"shortest": self.shortest, "longest": self.longest} if timed else None,
            "rating": None if timed else {"lowest": self.shortest, "highest": self.longest},
            "clusters": self.clusters,
            "growth": self.growth,
            "models": finite.to_dict("records"),
        }

    def as_text(self) -> str:
        """Return the longest horizon, the growth of horizons, and a table of models as text."""
        first = percent_of(self.chances[0])
        best = self.models.iloc[0]
        unit, timed = UNITS[self.unit], self.unit == MINUTES.name
        what = "tasks that take a human about" if timed else "tasks with a rating of about"
        kind = "longest horizon" if timed else "highest rating"
        lines = [
            f"{best['model']} has the {kind}: it succeeds on {first} % of the {what} {_bounds_text(best, first, unit)}"
        ]
        if self.growth is not None:
            lines.append(f"The frontier's {'horizons' if timed else 'ratings'} {_growth_text(self.growth)}")
        lines.append(
            f"{'Lengths' if timed else 'Ratings'} tried: {unit.text(self.shortest)} to {unit.text(self.longest)};"
            f" {100 * self.level:.0f} % intervals over new tasks of this kind ({self.clusters} clusters)"
        )
        lines += [f"  {self._row(row)}" for row in self.models.to_dict("records")]
        return "\n".join(lines)

    def _row(self, row: dict[Any, Any]) -> str:
        unit, name = UNITS[self.unit], "length" if self.unit == MINUTES.name else "rating"
        horizons = "; ".join(f"{percent_of(q)} %: {_bounds_text(row, percent_of(q), unit)}" for q in self.chances)
        outside = f"; outside the {name}s tried" if row["extrapolated"] else ""
        unclear = f"; success does not clearly fall with {name}" if row["slope_lower"] <= 0 else ""
        return f"{row['model']}: {horizons}{outside}{unclear}"

    def _repr_html_(self) -> str:
        return html_table(f"Horizons in {self.unit}", self.models)


@dataclass(frozen=True, kw_only=True)
class HorizonSettings:
    """Settings of `time_horizons`."""

    minutes: str = "minutes"
    """Column of the items with the minutes that a skilled human takes."""
    rating: str | None = None
    """Column of the items with a rating (Elo, Glicko) in place of minutes; its standard deviation is in the column of
    that name with `_sd`, where there is one."""
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
    unit = MINUTES if settings.rating is None else RATING
    tasks = _timed_items(study, settings.rating or settings.minutes, settings.cluster, unit)
    answers = _answers(study, tasks)
    rng = np.random.default_rng([settings.seed, 43])
    curves = curve_draws(answers, tasks, rng)
    centre = float(tasks["length"].mean())
    draws = np.stack([horizon_draws(curves, chance) + centre for chance in chances])
    span = (float(tasks["value"].min()), float(tasks["value"].max()))
    dates = None if models is None else model_dates(models, list(answers.models))
    table = _table(answers, curves, draws, settings, span, unit)
    table.insert(1, "date", np.nan if dates is None else dates)
    return Horizons(
        table.sort_values(f"horizon_{percent_of(chances[0])}", ascending=False, kind="stable", ignore_index=True),
        None if dates is None else _growth(dates, draws[0], span, rng, level, unit),
        chances,
        *span,
        int(tasks["cluster"].nunique()),
        level,
        unit.name,
    )


def percent_of(chance: float) -> str:
    """Name a chance in percent: 0.5 is ``50``.

    Args:
        chance: A share.
    """
    return f"{100 * chance:g}"


def points(rating: float) -> str:
    """Return a rating as text."""
    return f"{rating:.0f}" if np.isfinite(rating) else "no bound"


def duration(minutes: float) -> str:
    """Return a time as text in the largest unit in which it is above one.

    Args:
        minutes: The time; may be infinite.
    """
    for unit, size in (("days", 1440.0), ("h", 60.0), ("min", 1.0)):
        if np.isfinite(minutes) and minutes >= 2 * size - size * (unit == "min"):
            return f"{minutes / size:.3g} {unit}"
    return f"{60 * minutes:.3g} s" if np.isfinite(minutes) else "no bound"


MINUTES = LengthUnit("minutes", np.log2, np.exp2, duration, 1.0)
RATING = LengthUnit("rating", lambda value: value / POINTS, lambda length: length * POINTS, points, 400 / POINTS)
UNITS = {unit.name: unit for unit in (MINUTES, RATING)}
"""Units of length by name."""


def _bounds_text(row: Any, percent: str, unit: LengthUnit) -> str:  # noqa: ANN401 - a row, as a dict or a series
    name = f"horizon_{percent}"
    return f"{unit.text(row[name])} ({unit.text(row[f'{name}_lower'])} to {unit.text(row[f'{name}_upper'])})"


def _timed_items(study: Study, minutes: str, cluster: str | None, unit: LengthUnit) -> pd.DataFrame:
    """Return item_id, value, length, blur (sd of the length), chance and cluster of the items with a time or rating."""
    items = study.require("items")
    for column in (minutes, *([cluster] if cluster else [])):
        if column not in items:
            raise InputError(
                f"{study.name}: items have no column '{column}'; there are {', '.join(map(str, items.columns))}"
            )
    values = pd.to_numeric(items[minutes], errors="coerce")
    of_minutes = unit is MINUTES
    wrong = items[minutes].notna() & ~((values > 0) if of_minutes else np.isfinite(values))
    if wrong.any():
        item, value = items.loc[wrong, ["item_id", minutes]].iloc[0]
        need = "positive numbers of minutes" if of_minutes else "numbers"
        raise InputError(f"{study.name}: item '{item}' has {minutes} '{value}'; give {need}")
    chance = items["chance"].fillna(0.0) if "chance" in items else 0.0
    stated = pd.to_numeric(items[f"{minutes}_sd"], errors="coerce") if f"{minutes}_sd" in items else None
    blur = 0.0 if of_minutes or stated is None else stated.fillna(stated.median()).fillna(0.0) / POINTS
    timed = pd.DataFrame({"item_id": items["item_id"].astype(str), "value": values, "chance": chance, "blur": blur})
    if cluster is None:
        cluster = "task" if items["task"].nunique() >= FEWEST_CLUSTERS else "item_id"
    timed["cluster"] = items[cluster].astype(str)
    timed = timed[np.isfinite(values) & (timed["chance"] < 1)]
    answered = set(study.require("responses")["item_id"].astype(str))
    timed = timed[timed["item_id"].isin(answered)].reset_index(drop=True)
    if len(timed) < FEWEST_ITEMS or timed["value"].nunique() < 2:
        raise InputError(
            f"{study.name}: {len(timed)} answered items have '{minutes}'; {FEWEST_ITEMS} or more of"
            f" different {'lengths' if unit is MINUTES else 'ratings'} are needed"
        )
    return timed.assign(length=unit.to_length(timed["value"].to_numpy(dtype=float)))


def _answers(study: Study, tasks: pd.DataFrame) -> TriedTasks:
    responses = Responses.of(study)
    dense = responses.dense()
    position = {item: column for column, item in enumerate(responses.items)}
    columns = [position[item] for item in tasks["item_id"]]
    right, trials = dense.right[:, columns], dense.n_trials[:, columns]
    # a task counts once whatever its number of trials
    share = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)
    kept = np.flatnonzero((trials > 0).any(1))
    return TriedTasks(tuple(responses.models[row] for row in kept), share[kept], (trials[kept] > 0).astype(float))


def _table(
    answers: TriedTasks,
    curves: SuccessCurves,
    draws: FloatArray,
    settings: HorizonSettings,
    span: tuple[float, float],
    unit: LengthUnit,
) -> pd.DataFrame:
    chances, level = settings.chances, settings.level
    tails = [(1 - level) / 2, 0.5, (1 + level) / 2]
    table = pd.DataFrame({"model": answers.models, "items": answers.trials.sum(1).astype(int)})
    table["score"] = answers.right.sum(1) / answers.trials.sum(1)
    for chance, values in zip(chances, draws, strict=True):
        lower, middle, upper = unit.from_length(np.quantile(values, tails, axis=0, method="nearest"))
        name = f"horizon_{percent_of(chance)}"
        table[name], table[f"{name}_lower"], table[f"{name}_upper"] = middle, lower, upper
    lower, middle, upper = unit.slope_factor * np.quantile(curves.slope, tails, axis=0)
    table["slope"], table["slope_lower"], table["slope_upper"] = middle, lower, upper
    first = table[f"horizon_{percent_of(chances[0])}"]
    table["extrapolated"] = (first < span[0]) | (first > span[1])
    return table


def _growth(
    dates: FloatArray,
    draws: FloatArray,
    span: tuple[float, float],
    rng: np.random.Generator,
    level: float,
    unit: LengthUnit,
) -> dict[str, float] | None:
    known = np.isfinite(dates)
    if known.sum() < FEWEST_DATED or np.ptp(dates[known]) == 0:
        return None
    low, high = unit.to_length(np.array(span))
    cut = np.clip(draws[:, known], low - REACH, high + REACH)
    slopes, _ = frontier_lines(dates[known], cut, rng)
    if unit is MINUTES:
        # horizons are in doublings; growth is of the natural logarithm
        return growth_of(np.log(2) * slopes, level)
    lower, middle, upper = POINTS * np.quantile(slopes, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return {
        "points_per_year": float(middle),
        "points_per_year_lower": float(lower),
        "points_per_year_upper": float(upper),
    }


def _growth_text(growth: dict[str, float]) -> str:
    if "doubling_months" in growth:
        return doubling_text(growth)
    middle, lower, upper = (growth[f"points_per_year{end}"] for end in ("", "_lower", "_upper"))
    return f"rise by {middle:.0f} points a year ({lower:.0f} to {upper:.0f})"
