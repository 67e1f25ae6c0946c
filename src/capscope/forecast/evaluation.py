"""Evaluation of forecasters on hidden known scores: error, coverage and width of intervals."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import ArrowTable
from capscope.display import html_table, short_repr
from capscope.errors import InputError, nearest
from capscope.forecast.forecasters import FORECASTERS, CellForecasts
from capscope.forecast.masks import HIDINGS, hidden_cells
from capscope.forecast.table_of_scores import PublishedScores, published_scores
from capscope.tasks import run_tasks

LEVEL = 0.8
"""Level of the intervals that are measured."""


@dataclass(frozen=True, kw_only=True)
class ForecastEvaluationSettings:
    """Settings of an evaluation: hidden cells, seeds, forecaster."""

    hide: str = "half"
    """A name of `HIDINGS`."""
    seeds: int = 3
    """Draws of hidden cells; the results are means over them."""
    seed: int = 0
    """First seed."""
    forecaster: str = "hierarchical"
    """A name of `FORECASTERS`."""
    workers: int = 1
    """Processes."""


@dataclass(frozen=True)
class ForecastEvaluation:
    """Errors and coverage of the forecasts of hidden scores."""

    hide: str
    n_hidden: float
    """Hidden scores, mean over the seeds."""
    median_error: float
    """Median absolute error, mean over the seeds; of bounded scores, in the table's own units (see `own_units`)."""
    mean_error: float
    coverage80: float
    """Share of the hidden scores inside the 80 % intervals."""
    width80: float
    """Mean width of the 80 % intervals."""
    seconds: float
    """Mean time of a seed."""
    by_benchmark: dict[str, dict[str, float]]
    """n, median_error, mean_error, coverage80 and width80 of each benchmark, over all seeds, in its own units."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "hide": self.hide,
            "n_hidden": self.n_hidden,
            "median_error": self.median_error,
            "mean_error": self.mean_error,
            "coverage80": self.coverage80,
            "width80": self.width80,
            "seconds": self.seconds,
            "by_benchmark": self.by_benchmark,
        }

    def table(self) -> pd.DataFrame:
        """Return the values by benchmark."""
        return pd.DataFrame(self.by_benchmark).T.rename_axis("benchmark").reset_index()

    def _repr_html_(self) -> str:
        return html_table(f"Forecasts of {self.n_hidden:.0f} hidden scores ({self.hide})", self.table())


@dataclass(frozen=True)
class _Task:
    table: PublishedScores
    settings: ForecastEvaluationSettings


@dataclass(frozen=True)
class _Outcome:
    hidden: np.ndarray
    cells: CellForecasts
    seconds: float


def evaluate_forecast(
    scores: PublishedScores | pd.DataFrame | ArrowTable | str | Path,
    models: pd.DataFrame | ArrowTable | str | Path | None = None,
    settings: ForecastEvaluationSettings | None = None,
) -> ForecastEvaluation:
    """Hide scores of a table, forecast them, and measure errors and coverage.

    Args:
        scores: A table of scores or its file, see `published_scores`.
        models: Facts about the models (family, size, tokens, compute, date).
        settings: Hidden cells and forecaster.

    Returns:
        Errors, and coverage and width of the intervals, over all hidden scores and by benchmark.

    Raises:
        InputError: The table lacks columns that are needed, or a name is unknown.
    """
    chosen = settings or ForecastEvaluationSettings()
    table = scores if isinstance(scores, PublishedScores) else published_scores(scores, models)
    forecaster_entry(chosen.forecaster)
    if chosen.hide not in HIDINGS:
        raise InputError(f"--hide {chosen.hide}: use one of {', '.join(HIDINGS)}")
    tasks = [_Task(table, replace(chosen, seed=chosen.seed + index)) for index in range(chosen.seeds)]
    outcomes = run_tasks(_one_seed, tasks, workers=chosen.workers)
    return _summary(table, chosen.hide, outcomes)


def forecaster_entry(name: str):  # noqa: ANN201 - an entry of the family
    """Return a forecaster by name.

    Raises:
        InputError: There is none of the name.
    """
    if name not in FORECASTERS:
        raise InputError(f"--forecaster {name}: use one of {', '.join(FORECASTERS)}{nearest(name, FORECASTERS)}")
    return FORECASTERS[name]


def _one_seed(task: _Task) -> _Outcome:
    hidden = hidden_cells(task.table, task.settings.hide, task.settings.seed)
    start = time.perf_counter()
    fitted = FORECASTERS[task.settings.forecaster].make().fit(task.table.hidden(hidden), task.settings.seed)
    cells = fitted.cells(LEVEL)
    return _Outcome(hidden, cells, time.perf_counter() - start)


def own_units(table: PublishedScores) -> FloatArray:
    """Return the factor that brings each benchmark's scores to the unit errors are stated in; NaN leaves it out.

    Bounded scores count in the unit that most of them have; without any, every benchmark counts in its own.
    """
    tops = table.tops
    bounded = tops[np.isfinite(tops)]
    if not len(bounded):
        return np.ones(len(tops))
    values, counts = np.unique(bounded, return_counts=True)
    return np.where(np.isfinite(tops), values[np.argmax(counts)] / tops, np.nan)


def _summary(table: PublishedScores, hide: str, outcomes: list[_Outcome]) -> ForecastEvaluation:
    factor = own_units(table)
    rows = [_values(table.values, outcome, factor, np.ones(len(factor), dtype=bool)) for outcome in outcomes]
    over_seeds = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return ForecastEvaluation(
        hide=hide,
        n_hidden=float(np.mean([outcome.hidden.sum() for outcome in outcomes])),
        median_error=over_seeds["median_error"],
        mean_error=over_seeds["mean_error"],
        coverage80=over_seeds["coverage80"],
        width80=over_seeds["width80"],
        seconds=float(np.mean([outcome.seconds for outcome in outcomes])),
        by_benchmark=_by_benchmark(table, outcomes),
    )


def _by_benchmark(table: PublishedScores, outcomes: list[_Outcome]) -> dict[str, dict[str, float]]:
    merged = _Outcome(
        np.concatenate([outcome.hidden for outcome in outcomes]),
        CellForecasts(
            np.concatenate([outcome.cells.score for outcome in outcomes]),
            np.concatenate([outcome.cells.lower for outcome in outcomes]),
            np.concatenate([outcome.cells.upper for outcome in outcomes]),
        ),
        0.0,
    )
    values, ones = np.concatenate([table.values] * len(outcomes)), np.ones(len(table.benchmarks))
    each: dict[str, dict[str, float]] = {}
    for column, name in enumerate(table.benchmarks):
        chosen = np.arange(len(table.benchmarks)) == column
        if merged.hidden[:, column].any():
            each[name] = _values(values, merged, ones, chosen)
    return each


def _values(values: FloatArray, outcome: _Outcome, factor: FloatArray, columns: np.ndarray) -> dict[str, float]:
    """Errors of the hidden cells of some benchmarks; a benchmark without a factor counts for coverage only."""
    hidden = outcome.hidden & columns
    cells = outcome.cells
    error = (np.abs(cells.score - values) * factor)[hidden]
    inside = ((cells.lower <= values) & (values <= cells.upper))[hidden]
    width = ((cells.upper - cells.lower) * factor)[hidden]
    return {
        "n": float(hidden.sum()),
        "median_error": float(np.nanmedian(error)),
        "mean_error": float(np.nanmean(error)),
        "coverage80": float(inside.mean()),
        "width80": float(np.nanmean(width)),
    }
