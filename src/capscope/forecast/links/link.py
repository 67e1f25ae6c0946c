"""Interface of links, which map the scores of benchmarks to an unbounded scale and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from capscope.axes import FloatArray


@runtime_checkable
class ScoreLink(Protocol):
    """A map between scores and the link scale, for several benchmarks at once (the last axis)."""

    def to_link(self, scores: FloatArray) -> FloatArray:
        """Map scores, shape (..., benchmark), to the link scale; NaN stays NaN."""
        ...

    def from_link(self, value: FloatArray) -> FloatArray:
        """Map values of the link scale back to scores."""
        ...

    def squared_slope(self, value: FloatArray) -> FloatArray:
        """Return (d link / d score)^2 at values of the link scale, scores in units of their range."""
        ...

    def column(self, place: int) -> "ScoreLink":
        """Return the link of one of the benchmarks, for arrays whose last axis has length 1."""
        ...


@dataclass(frozen=True, kw_only=True)
class LinkEntry:
    """One member of the family of links."""

    name: str
    """Name of the unit by which users choose it."""
    help: str
    """What the scores are, in a few words."""
    top: float
    """Largest possible score; infinity without a bound."""
    fits: Callable[[FloatArray, str, float], bool]
    """Whether scores of a benchmark look like this: observed scores, name, median of the table's maxima."""
    make: Callable[[list[FloatArray]], ScoreLink]
    """Make the link of some benchmarks from the observed scores of each."""
