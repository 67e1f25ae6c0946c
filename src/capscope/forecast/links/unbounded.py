"""Unbounded scores: ratings on their logistic scale, positive quantities by their logarithm, others standardised."""

import re
from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.links.link import LinkEntry

ELO_UNIT = np.log(10) / 400
"""Log-odds in one point of Elo."""
SPREAD = 0.8
"""Standard deviation that scores are given on the link scale, about that of the logits of published scores."""


@dataclass(frozen=True)
class LinearLink:
    """Scores less their centre, times a factor."""

    centre: FloatArray
    """Score that becomes 0, for each benchmark."""
    factor: FloatArray
    """ScoreLink scale units in one point of the score."""

    def to_link(self, scores: FloatArray) -> FloatArray:
        """Centre and scale."""
        return (scores - self.centre) * self.factor

    def from_link(self, value: FloatArray) -> FloatArray:
        """Undo the scaling."""
        return value / self.factor + self.centre

    def squared_slope(self, value: FloatArray) -> FloatArray:
        """Return ones: noise is as large everywhere."""
        return np.ones_like(value)

    def column(self, place: int) -> "LinearLink":
        """Return the link of one of the benchmarks."""
        return LinearLink(self.centre[[place]], self.factor[[place]])


@dataclass(frozen=True)
class LogLink:
    """Logarithms of positive scores, centred and scaled."""

    linear: LinearLink
    """ScoreLink of the logarithms."""

    def to_link(self, scores: FloatArray) -> FloatArray:
        """Take logarithms, centre and scale; a score that is not positive becomes the smallest number."""
        known = np.isfinite(scores)
        return np.where(known, self.linear.to_link(np.log(np.maximum(np.where(known, scores, 1), 1e-300))), np.nan)

    def from_link(self, value: FloatArray) -> FloatArray:
        """Undo the scaling and the logarithm."""
        return np.exp(np.clip(self.linear.from_link(value), -700, 700))

    def squared_slope(self, value: FloatArray) -> FloatArray:
        """Return ones: noise is relative."""
        return np.ones_like(value)

    def column(self, place: int) -> "LogLink":
        """Return the link of one of the benchmarks."""
        return LogLink(self.linear.column(place))


def _elo(columns: list[FloatArray]) -> LinearLink:
    return LinearLink(np.array([np.median(column) for column in columns]), np.full(len(columns), ELO_UNIT))


def _standard(columns: list[FloatArray]) -> LinearLink:
    spread = np.array([np.std(column) if len(column) > 1 else 0.0 for column in columns])
    centre = np.array([np.median(column) for column in columns])
    return LinearLink(centre, SPREAD / np.where(spread > 0, spread, np.maximum(np.abs(centre), 1)))


def _log(columns: list[FloatArray]) -> LogLink:
    return LogLink(_standard([np.log(np.maximum(column, 1e-300)) for column in columns]))


def _is_elo(scores: FloatArray, name: str, typical: float) -> bool:  # noqa: ARG001 - one signature for all
    named = re.search(r"\belo\b|elo$|arena|rating|codeforces|glicko", name.lower())
    return bool(scores.max() > 100 and scores.min() >= 0 and scores.max() < 5000 and (named or scores.min() > 400))


def _is_positive(scores: FloatArray, name: str, typical: float) -> bool:  # noqa: ARG001 - one signature for all
    return bool(scores.min() > 0 and scores.max() > 100 and scores.max() > 30 * scores.min())


ELO = LinkEntry(name="elo", help="ratings (Elo, Glicko, Bradley-Terry x 400)", top=np.inf, fits=_is_elo, make=_elo)
POSITIVE = LinkEntry(name="positive", help="positive quantities over decades", top=np.inf, fits=_is_positive, make=_log)
UNBOUNDED = LinkEntry(
    name="unbounded",
    help="any other number",
    top=np.inf,
    fits=lambda scores, name, typical: True,  # noqa: ARG005
    make=_standard,
)
