"""`forecast`: forecasts of the missing scores of a table, with intervals and reasons."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data import ArrowTable
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import InputError, first_few, nearest
from capscope.forecast.evaluation import forecaster_entry
from capscope.forecast.explanations import next_scores, odd_cells, reasons
from capscope.forecast.forecasters import FittedHierarchical
from capscope.forecast.table_of_scores import PublishedScores, published_scores

MOST_REASONS = 20_000
"""Largest number of missing cells with reasons."""
MOST_ODD_MODELS = 1_000
"""Largest number of models for which odd published scores are searched."""
COLUMNS = ["model", "benchmark", "score", "lower", "upper", "level", "unit", "reason"]


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """Settings of a forecast."""

    level: float = 0.8
    """Coverage of the intervals."""
    forecaster: str = "hierarchical"
    """A name of `FORECASTERS`."""
    benchmark: str | None = None
    """Forecast this benchmark only."""
    model: str | None = None
    """Forecast this model only."""
    add: str | None = None
    """Name of a model to add."""
    add_scores: dict[str, float] = field(default_factory=dict)
    """Known scores of the added model, in the units of the table."""
    at: dict[str, object] = field(default_factory=dict)
    """Facts about the added model: family, size, tokens, compute, date."""
    seed: int = 0


@dataclass(frozen=True)
class Forecast(ArrowTables):
    """Forecasts of the missing scores of a table."""

    cells: pd.DataFrame
    """Columns model, benchmark, score, lower, upper, level, unit, reason; one row a missing cell."""
    next: pd.DataFrame
    """Scores to get next: model, benchmark, and the share of the model's forecast variance they explain, cumulated."""
    odd: pd.DataFrame
    """Published scores far from their forecast: model, benchmark, score, expected, distance (sd)."""
    level: float
    """Coverage of the intervals."""
    forecaster: str
    """Name of the forecaster."""
    factors: int | None
    """Rank of the factor model, chosen on hidden cells."""
    notes: tuple[str, ...]
    """Remarks on the recognised columns and units."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "forecaster": self.forecaster,
            "factors": self.factors,
            "level": self.level,
            "n_cells": len(self.cells),
            "cells": self.cells.to_dict("records"),
            "next": self.next.to_dict("records"),
            "odd": self.odd.to_dict("records"),
            "notes": list(self.notes),
        }

    def as_text(self, most: int = 40) -> str:
        """Lay the forecast out as text.

        Args:
            most: Cells to list.
        """
        percent = f"{100 * self.level:g} %"
        lines = [
            f"  {cell['model']}, {cell['benchmark']}: {_points(cell['score'])}"
            f" ({_points(cell['lower'])} to {_points(cell['upper'])}), from {cell['reason']}"
            for cell in self.cells.head(most).to_dict("records")
        ]
        more = [f"  and {len(self.cells) - most:,} more; --out writes them all"] if len(self.cells) > most else []
        head = f"{len(self.cells):,} missing scores with {percent} intervals"
        parts = [head, *lines, *more]
        if len(self.next):
            parts.append("Scores to get next, and how much of the uncertainty about the other scores they take away:")
            parts += [
                f"  {row['model']}: {row['benchmark']} ({100 * row['explains']:.0f} %)"
                for row in self.next.to_dict("records")
            ]
        if len(self.odd):
            parts.append("Published scores that nothing in the table explains:")
            parts += [
                f"  {row['model']}, {row['benchmark']}: {row['score']:g}, expected {_points(row['expected'])}"
                f" ({row['distance']:+.1f} sd)"
                for row in self.odd.head(10).to_dict("records")
            ]
        return "\n".join([*parts, *self.notes])

    def _repr_html_(self) -> str:
        return html_table(f"Forecasts with {100 * self.level:g} % intervals", self.cells)


def forecast(
    scores: PublishedScores | pd.DataFrame | ArrowTable | str | Path,
    models: pd.DataFrame | ArrowTable | str | Path | None = None,
    settings: ForecastSettings | None = None,
) -> Forecast:
    """Forecast every missing score of a table.

    Args:
        scores: A long or wide table of scores or its file, see `published_scores`.
        models: Facts about the models (family, size, tokens, compute, date), or their file.
        settings: Level, forecaster, cells to forecast, a model to add.

    Returns:
        Forecasts with intervals and reasons, scores to get next, and published scores that are odd.

    Raises:
        InputError: The table is invalid, or has no such model or benchmark.

    Example:
        >>> asked = ForecastSettings(add="my-model", add_scores={"gsm8k": 62})
        >>> forecast("scores.csv", settings=asked)  # doctest: +SKIP
    """
    chosen = settings or ForecastSettings()
    entry = forecaster_entry(chosen.forecaster)
    table = scores if isinstance(scores, PublishedScores) else published_scores(scores, models)
    table, added = _with_added(table, chosen)
    rows, columns = _asked(table, chosen, added)
    fitted = entry.make().fit(table, chosen.seed)
    cells = fitted.cells(chosen.level)
    asked = ~np.isfinite(table.values) & rows[:, None] & columns
    row, column = np.nonzero(asked)
    listed = pd.DataFrame(
        {
            "model": [table.names[place] for place in row],
            "benchmark": [table.benchmarks[place] for place in column],
            "score": cells.score[row, column],
            "lower": cells.lower[row, column],
            "upper": cells.upper[row, column],
            "level": chosen.level,
            "unit": [table.units[table.benchmarks[place]] for place in column],
        }
    )
    if not isinstance(fitted, FittedHierarchical):
        listed["reason"] = entry.help
        empty = pd.DataFrame()
        return Forecast(listed[COLUMNS], empty, empty, chosen.level, entry.name, None, table.notes)
    listed["reason"] = _all_reasons(fitted, row, column)
    odd = odd_cells(fitted) if len(table.names) <= MOST_ODD_MODELS else odd_cells_skipped()
    return Forecast(listed[COLUMNS], _next(fitted, asked), odd, chosen.level, entry.name, fitted.factors, table.notes)


def _points(value: float) -> str:
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.1f}"


def odd_cells_skipped() -> pd.DataFrame:
    """Return an empty table of odd cells: there are too many models to check each score."""
    return pd.DataFrame(columns=["model", "benchmark", "score", "expected", "distance"])


def _with_added(table: PublishedScores, settings: ForecastSettings) -> tuple[PublishedScores, str | None]:
    """Add the model that is asked for; facts without a name make a model called by them."""
    if settings.add is None and not settings.at:
        if settings.add_scores:
            raise InputError("--scores: name the model they belong to with --add-model")
        return table, None
    unknown = [key for key in settings.at if key != "family" and key not in table.models]
    if unknown:
        known = [str(column) for column in table.models.columns]
        has = f"it knows {first_few(known)}" if known else "give them with --models"
        raise InputError(f"--at {unknown[0]}: the table says nothing of the {unknown[0]} of its models; {has}")
    name = settings.add or ",".join(f"{key}={value}" for key, value in settings.at.items())
    return table.with_model(name, settings.add_scores, settings.at), name


def _asked(table: PublishedScores, settings: ForecastSettings, added: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return which models and benchmarks are to be forecast."""
    model = settings.model or added
    rows, columns = np.ones(len(table.names), dtype=bool), np.ones(len(table.benchmarks), dtype=bool)
    if model is not None:
        if model not in table.names:
            raise InputError(f"--model {model}: not in the table{nearest(model, table.names)}")
        rows = np.array([name == model for name in table.names])
    if settings.benchmark is not None:
        wanted = table.benchmark(settings.benchmark)
        columns = np.array([name == wanted for name in table.benchmarks])
    return rows, columns


def _all_reasons(fitted: FittedHierarchical, row: np.ndarray, column: np.ndarray) -> list[str]:
    if len(row) > MOST_REASONS:
        return ["ask for a model or a benchmark to see reasons"] * len(row)
    result: list[str] = []
    for place in np.unique(row):
        result += reasons(fitted, int(place), column[row == place])
    return result


def _next(fitted: FittedHierarchical, asked: np.ndarray) -> pd.DataFrame:
    """Name three scores for the one model that is asked for, else for the model whose forecasts are least certain."""
    rows = np.flatnonzero(asked.any(1))
    if not len(rows):
        return pd.DataFrame(columns=["model", "benchmark", "explains"])
    known = np.isfinite(fitted.table.values).sum(1)
    return next_scores(fitted, int(rows[np.argmin(known[rows])]))
