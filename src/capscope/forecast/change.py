"""Change over time: abilities on one scale, the frontier's speed, saturation dates, signal to noise of benchmarks.

The scale is the mean of all benchmarks on the link scale (log-odds for bounded scores), so that models with
different benchmarks at different dates can be compared; benchmarks that models have in common link the scale.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from capscope.axes import FloatArray
from capscope.data import ArrowTable
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import InputError, counted, first_few
from capscope.forecast.forecasters import FittedHierarchical, HierarchicalForecaster
from capscope.forecast.links import LINKS
from capscope.forecast.table_of_scores import PublishedScores, published_scores

SATURATED = 0.95
"""Share of the top at which a benchmark counts as saturated."""
FACTORS = 5
FEWEST_DATED, FEWEST_OF_SERIES = 6, 6
FRONTIER, SWEEPS = 0.9, 30
"""Quantile of ability at a date that is the frontier, and iterations of its regression."""
LATEST = 30.0
"""Years after the last model beyond which a date is `never`."""
SPAN = 0.5
"""Share of a series in the smoothing window of each point."""
MONTHS = 12
NO_GROWTH = 12_000.0
"""Doubling time in months above which growth counts as none."""


@dataclass(frozen=True)
class FrontierChange(ArrowTables):
    """How abilities and benchmarks change over time."""

    abilities: pd.DataFrame
    """model, date (years), ability (mean link-scale score), lower, upper, record (the best until then)."""
    frontier: dict[str, float]
    """Of the best tenth: `per_year` (link scale) and `doubling_months` of the odds, each with `_lower`, `_upper`."""
    benchmarks: pd.DataFrame
    """benchmark, unit, best, per_year, saturates (years; NaN: not within 30 years), lower, upper."""
    level: float
    """Coverage of the intervals."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "level": self.level,
            "notes": list(self.notes),
            "frontier": self.frontier,
            "benchmarks": self.benchmarks.to_dict("records"),
            "abilities": self.abilities.to_dict("records"),
        }

    def as_text(self) -> str:
        """Return the frontier's speed and saturation dates as sentences."""
        speed = self.frontier
        lines = [
            *(f"note: {note}" for note in self.notes),
            f"The best models rise by {speed['per_year']:.2f} log-odds a year ({speed['per_year_lower']:.2f} to"
            f" {speed['per_year_upper']:.2f}); odds of success {doubling_text(speed)}",
        ]
        for row in self.benchmarks.to_dict("records"):
            when = "not within 30 years" if not np.isfinite(row["saturates"]) else f"{row['saturates']:.1f}"
            until = f"to {row['upper']:.1f}" if np.isfinite(row["upper"]) else "or later"
            bounds = f" ({row['lower']:.1f} {until})" if np.isfinite(row["lower"]) else ""
            goal = f"at {100 * SATURATED:.0f} % of its top {when}{bounds}"
            goal = goal if np.isfinite(LINKS[row["unit"]].top) else "its scores have no top"
            lines.append(f"  {row['benchmark']}: best {row['best']:.3g}; {goal}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_table("Benchmarks over time", self.benchmarks)


def score_change(
    scores: PublishedScores | pd.DataFrame | ArrowTable | str | Path,
    models: pd.DataFrame | ArrowTable | str | Path | None = None,
    *,
    level: float = 0.8,
    seed: int = 0,
) -> FrontierChange:
    """Estimate how fast the best models improve, and when benchmarks saturate by extrapolation.

    Args:
        scores: A table of scores or its file.
        models: Dates of the models (columns model and date).
        level: Coverage of the intervals.
        seed: Seed of all draws.

    Returns:
        Growth of the best scores on each benchmark, and when it saturates.

    Raises:
        InputError: Too few models have dates.
    """
    table = scores if isinstance(scores, PublishedScores) else published_scores(scores, models)
    date = table.covariate("date")
    if date is None or np.isfinite(date).sum() < FEWEST_DATED:
        raise InputError(_few_dates(table, date))
    fitted = HierarchicalForecaster(factors=FACTORS, questions=0).fit(table, seed)
    centre = np.stack([fitted.draws.centre(slice(None), column) for column in range(len(table.benchmarks))], axis=2)
    ability = centre.mean(2)
    record = records(date, ability.mean(0))
    rng = np.random.default_rng([seed, 41])
    lower, upper = np.quantile(ability, _tails(level), axis=0)
    known = np.isfinite(date)
    abilities = pd.DataFrame(
        {
            "model": table.names,
            "date": date,
            "ability": ability.mean(0),
            "lower": lower,
            "upper": upper,
            "record": record,
        }
    ).sort_values("date", ignore_index=True)
    slopes, _ = frontier_lines(date[known], ability[:, known], rng)
    saturation = _saturation(fitted, date, centre, rng, level)
    return FrontierChange(abilities, _speed(slopes, level), saturation, level, _left_out(table, date))


def _unreadable(table: PublishedScores, date: FloatArray) -> list[str]:
    """Name the dates that are there and cannot be read, each with its model."""
    cells = table.models["date"].reindex(table.scores.index).astype("string").str.strip().fillna("")
    wrong = np.flatnonzero((cells != "").to_numpy(dtype=bool) & ~np.isfinite(date))
    return [f"date '{cells.iloc[row]}' of model '{table.names[row]}'" for row in wrong]


def _left_out(table: PublishedScores, date: FloatArray) -> tuple[str, ...]:
    """Lines on models without a readable date, which are left out of the frontier."""
    wrong = _unreadable(table, date)
    without = int((~np.isfinite(date)).sum()) - len(wrong)
    lines: list[str] = []
    if wrong:
        lines.append(
            f"{counted(len(wrong), 'date')} cannot be read and the models are left out of the frontier:"
            f" {first_few(wrong, 3)}; write dates as 2025-03-31 or 2025-03"
        )
    if without:
        lines.append(f"{counted(without, 'model', 'have')} no date: left out of the frontier")
    return tuple(lines)


def _few_dates(table: PublishedScores, date: FloatArray | None) -> str:
    """Return a message on missing or invalid dates."""
    need = f"change over time needs the dates of at least {FEWEST_DATED} models"
    if date is None:
        return f"{need}; give them with --models"
    wrong = _unreadable(table, date)
    if not wrong:
        return f"{need}, and {int(np.isfinite(date).sum())} have one; give them with --models"
    return (
        f"{need}: {wrong[0]} cannot be read"
        f" ({counted(len(wrong), 'date')} in all); write dates as 2025-03-31 or 2025-03"
    )


def records(date: FloatArray, ability: FloatArray) -> np.ndarray:
    """Return which models were the best at their date.

    Args:
        date: Dates in years, NaN where unknown.
        ability: Abilities.
    """
    order = np.argsort(np.where(np.isfinite(date), date, np.inf), kind="stable")
    best = np.maximum.accumulate(np.where(np.isfinite(date[order]), ability[order], -np.inf))
    result = np.zeros(len(date), dtype=bool)
    result[order] = np.isfinite(date[order]) & (ability[order] >= best)
    return result


def _tails(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]


def frontier_lines(date: FloatArray, values: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Fit a line to the upper tenth of models given their date, for each draw, over models drawn with replacement.

    Quantile regression (Koenker & Bassett, 1978) by iterated weights. A line through record models would be too steep,
    since the first model is always a record.

    Args:
        date: Dates of the models, in years.
        values: Shape (draw, model).
        rng: Source of randomness.

    Returns:
        Slopes a year, and values of the lines at the last date, for each draw.
    """
    index = rng.integers(len(date), size=values.shape)
    x, y = date[index] - date.max(), np.take_along_axis(values, index, axis=1)
    flat = np.ptp(x, axis=1) == 0
    x, y = np.where(flat[:, None], date - date.max(), x), np.where(flat[:, None], values, y)
    weight = np.ones_like(y)
    slope, last = np.zeros(len(y)), np.zeros(len(y))
    for _ in range(SWEEPS):
        total = weight.sum(1)
        x_mean, y_mean = (weight * x).sum(1) / total, (weight * y).sum(1) / total
        centred = x - x_mean[:, None]
        slope = (weight * centred * y).sum(1) / np.maximum((weight * centred**2).sum(1), 1e-9)
        last = y_mean - slope * x_mean
        residual = y - last[:, None] - slope[:, None] * x
        weight = np.where(residual > 0, FRONTIER, 1 - FRONTIER) / np.maximum(np.abs(residual), 1e-3)
    return slope, last


def _speed(slopes: FloatArray, level: float) -> dict[str, float]:
    lower, upper = np.quantile(slopes, _tails(level))
    return {
        "per_year": float(np.median(slopes)),
        "per_year_lower": float(lower),
        "per_year_upper": float(upper),
        **growth_of(slopes, level),
    }


def growth_of(slopes: FloatArray, level: float) -> dict[str, float]:
    """Return the doubling time of a quantity in months; infinite where it does not grow.

    Args:
        slopes: Draws of the growth of its natural logarithm a year.
        level: Coverage of the interval.

    Returns:
        `doubling_months` with `_lower` and `_upper`.
    """
    lower, upper = np.quantile(slopes, _tails(level))

    def months(slope: float) -> float:
        return MONTHS * float(np.log(2)) / slope if slope > 0 else float("inf")

    return {
        "doubling_months": months(float(np.median(slopes))),
        "doubling_months_lower": months(float(upper)),
        "doubling_months_upper": months(float(lower)),
    }


def doubling_text(growth: dict[str, float]) -> str:
    """Describe a doubling time of `growth_of` with its interval."""
    middle, lower, upper = (growth[f"doubling_months{end}"] for end in ("", "_lower", "_upper"))
    slowest = "no growth" if upper > NO_GROWTH else f"{upper:.1f}"
    if middle > NO_GROWTH:
        return "do not double" if lower > NO_GROWTH else f"do not clearly double ({lower:.1f} months to {slowest})"
    return f"double every {middle:.1f} months ({lower:.1f} to {slowest})"


def _saturation(
    fitted: FittedHierarchical,
    date: FloatArray,
    centre: FloatArray,
    rng: np.random.Generator,
    level: float,
) -> pd.DataFrame:
    table = fitted.table
    rows: list[dict[str, object]] = []
    known = np.isfinite(date)
    last = float(date[known].max())
    goal = fitted.link.to_link(np.where(np.isfinite(table.tops), SATURATED * table.tops, np.nan)[None])[0]
    for column, name in enumerate(table.benchmarks):
        slope, now = frontier_lines(date[known], centre[:, known, column], rng)
        wait = np.where(slope > 0, (goal[column] - now) / np.maximum(slope, 1e-9), np.inf)
        when = np.where(np.isfinite(goal[column]) & (wait < LATEST), last + np.maximum(wait, 0), np.inf)
        middle, lower, upper = np.quantile(when, [0.5, *_tails(level)], method="nearest")
        rows.append(
            {
                "benchmark": name,
                "unit": table.units[name],
                "best": float(np.nanmax(table.values[:, column])),
                "per_year": float(np.median(slope)),
                "saturates": _finite(middle),
                "lower": _finite(lower),
                "upper": _finite(upper),
            }
        )
    return pd.DataFrame(rows)


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")


def series_signal(table: PublishedScores, series: str, time: str) -> pd.DataFrame:
    """Measure how clearly each benchmark shows progress along series of models, such as checkpoints of a training run.

    Args:
        table: Scores of the models of all series.
        series: Column of the table of models that names the series.
        time: Column with the order in it, such as the training step.

    Returns:
        Columns benchmark, series (number of them), signal_to_noise (standard deviation of the smoothed path over that
        of what is left; median over series), monotone (Kendall's tau of score and time, median over series).

    Raises:
        InputError: A column is missing, or no series is long enough.
    """
    for column in (series, time):
        if column not in table.models:
            raise InputError(f"the table of models has no column '{column}'; give it with --models")
    facts = table.models.reindex(table.scores.index)
    clock = pd.to_numeric(facts[time], errors="coerce").to_numpy(dtype=float)
    names = facts[series].astype(str).to_numpy()
    link = table.link().to_link(table.values)
    rows: list[dict[str, object]] = []
    for column, benchmark in enumerate(table.benchmarks):
        bounds: list[tuple[float, float]] = []
        for name in np.unique(names):
            rows_of = np.flatnonzero((names == name) & np.isfinite(clock) & np.isfinite(link[:, column]))
            rows_of = rows_of[np.argsort(clock[rows_of], kind="stable")]
            if len(rows_of) >= FEWEST_OF_SERIES:
                bounds.append(_signal(clock[rows_of], link[rows_of, column]))
        if bounds:
            ratio, tau = np.median(bounds, axis=0)
            rows.append(
                {
                    "benchmark": benchmark,
                    "series": len(bounds),
                    "signal_to_noise": float(ratio),
                    "monotone": float(tau),
                }
            )
    if not rows:
        raise InputError(f"no series of '{series}' has {FEWEST_OF_SERIES} scores on a benchmark")
    return pd.DataFrame(rows).sort_values("signal_to_noise", ascending=False, ignore_index=True)


def _signal(time: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Signal to noise and Kendall's tau of one path; degrees of freedom of the smoother are counted."""
    smoother = local_lines(np.argsort(np.argsort(time)).astype(float))
    path = smoother @ values
    freedom = max(len(values) - float(np.trace(2 * smoother - smoother @ smoother.T)), 1.0)
    noise = float(np.sqrt(((values - path) ** 2).sum() / freedom))
    if values.std() == 0:
        return 0.0, 0.0
    return float(path.std() / max(noise, 1e-9)), float(kendalltau(time, values).statistic)


def local_lines(time: FloatArray) -> FloatArray:
    """Return the matrix of a local-linear smoother with tricube weights (Cleveland, 1979), shape (time, time).

    Args:
        time: Ordered times.
    """
    width = max(FEWEST_OF_SERIES, int(np.ceil(SPAN * len(time))))
    rows: list[FloatArray] = []
    for point in time:
        distance = np.abs(time - point)
        reach = np.sort(distance)[min(width, len(time)) - 1] * 1.001 + 1e-12
        weight = np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
        design = np.column_stack([np.ones(len(time)), time - point])
        gram = design.T @ (weight[:, None] * design) + 1e-9 * np.eye(2)
        rows.append(np.linalg.solve(gram, design.T * weight)[0])
    return np.array(rows)
