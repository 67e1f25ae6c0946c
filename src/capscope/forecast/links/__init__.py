"""The family of links: maps of scores to an unbounded scale for each unit, and recognition of units.

To add one, write a module with a `LinkEntry` and add one line to `FAMILY`. The first that fits is taken.
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.links.link import LinkEntry, ScoreLink
from capscope.members import family

FAMILY = (
    "bounded:OUT_OF_TEN",
    "bounded:SHARE",
    "bounded:PERCENT",
    "unbounded:ELO",
    "unbounded:POSITIVE",
    "unbounded:UNBOUNDED",
)
"""The members, as ``module:entry``, in the order in which they are tried."""

LINKS: dict[str, LinkEntry] = family(__name__, FAMILY, LinkEntry)
"""The links by the name of their unit, in the order in which they are tried."""


def recognised_unit(scores: FloatArray, name: str, typical: float) -> str:
    """Return the unit that the scores of a benchmark seem to be in.

    Args:
        scores: Observed scores; not empty.
        name: Name of the benchmark.
        typical: Median over the table's benchmarks of their largest score.
    """
    return next(entry.name for entry in LINKS.values() if entry.fits(scores, name, typical))


@dataclass(frozen=True)
class TableLink:
    """The links of all benchmarks of a table, applied to arrays whose last axis is the benchmark."""

    parts: tuple[tuple[np.ndarray, ScoreLink], ...]
    """Columns, and their link."""

    def to_link(self, scores: FloatArray) -> FloatArray:
        """Map scores to the link scale."""
        return self._apply(scores, "to_link")

    def from_link(self, value: FloatArray) -> FloatArray:
        """Map values of the link scale to scores."""
        return self._apply(value, "from_link")

    def squared_slope(self, value: FloatArray) -> FloatArray:
        """Return the squared slope of the link at values of the link scale."""
        return self._apply(value, "squared_slope")

    def of_column(self, column: int) -> "TableLink":
        """Return the link of one benchmark, for arrays whose last axis has length 1.

        Raises:
            IndexError: No part of the table has this column.
        """
        for columns, link in self.parts:
            place = np.flatnonzero(columns == column)
            if len(place):
                return TableLink(((np.array([0]), link.column(int(place[0]))),))
        raise IndexError(column)

    def _apply(self, values: FloatArray, method: str) -> FloatArray:
        result = np.empty(values.shape)
        for columns, link in self.parts:
            result[..., columns] = getattr(link, method)(values[..., columns])
        return result


def table_link(scores: FloatArray, units: list[str]) -> TableLink:
    """Make the links of a table.

    Args:
        scores: Scores, shape (model, benchmark), NaN where missing.
        units: Unit of each benchmark.
    """
    parts: list[tuple[np.ndarray, ScoreLink]] = []
    for name, entry in LINKS.items():
        columns = np.flatnonzero([unit == name for unit in units])
        if len(columns):
            observed = [scores[np.isfinite(scores[:, column]), column] for column in columns]
            parts.append((columns, entry.make(observed)))
    return TableLink(tuple(parts))


__all__ = ["LINKS", "ScoreLink", "LinkEntry", "TableLink", "recognised_unit", "table_link"]
