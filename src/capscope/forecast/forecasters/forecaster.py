"""Interface of forecasters, which are fitted to a table of scores and forecast every cell with an interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from capscope.axes import FloatArray
from capscope.forecast.table_of_scores import PublishedScores


@dataclass(frozen=True)
class CellForecasts:
    """Forecasts of all cells of a table, in the units of its benchmarks; arrays of shape (model, benchmark)."""

    score: FloatArray
    """Median forecast."""
    lower: FloatArray
    """Lower bound."""
    upper: FloatArray
    """Upper bound."""


@runtime_checkable
class FittedForecaster(Protocol):
    """A forecaster that has learned from a table."""

    def cells(self, level: float) -> CellForecasts:
        """Forecast every cell, the known ones too, as if a further score were published.

        Args:
            level: Nominal coverage of the intervals.
        """
        ...


@runtime_checkable
class Forecaster(Protocol):
    """A method of forecasting scores."""

    def fit(self, table: PublishedScores, seed: int) -> FittedForecaster:
        """Learn from the known scores.

        Args:
            table: Scores, NaN where missing.
            seed: Seed of everything random.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ForecasterEntry:
    """A member of the family of forecasters."""

    name: str
    """Name that `--forecaster` takes."""
    help: str
    """A few words for help texts and tables."""
    needs: str
    """Columns that the tables need, in words, for documentation."""
    make: Callable[[], Forecaster]
    """Creates the forecaster with default settings."""
