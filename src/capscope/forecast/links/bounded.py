"""Bounded scores: the logit of the share above a guessing floor, softened at both ends."""

import re
from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.links.link import LinkEntry

SOFTNESS = 0.01
"""Width, as a share, over which the link bends at the floor and at the top, so that a score of 0 has a finite logit."""
CHANCE_LEVELS = (1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 10)
"""Chances of a guess that a floor may be at."""
NEAR_CHANCE = (-0.03, 0.08)
"""Range of the lowest decile of scores, relative to a chance level, in which that level is used as floor."""
SHARE_OF_CHANCE = 0.9
"""Floor as a share of the chance level, since models may do worse than guessing."""
FEWEST_FOR_FLOOR = 10
"""Scores a benchmark needs before a floor is estimated."""
STEEPEST = 2500.0
"""Largest squared slope; beyond it a score has no information about the ability."""
TINY = 1e-9


@dataclass(frozen=True)
class BoundedLink:
    """Logit link of shares in [0, 1] above a floor, with soft ends."""

    top: float
    """The score of a perfect model: 1 or 100."""
    floor: FloatArray
    """Floor of each benchmark, as a share."""

    def to_link(self, scores: FloatArray) -> FloatArray:
        """Return the logit of the softened share above the floor."""
        known = np.isfinite(scores)
        above = (np.where(known, scores, 0) / self.top - self.floor) / (1 - self.floor)
        soft = SOFTNESS * (np.logaddexp(0, above / SOFTNESS) - np.logaddexp(0, (above - 1) / SOFTNESS))
        soft = np.clip(soft, 1e-3, 1 - 1e-3)
        return np.where(known, np.log(soft) - np.log1p(-soft), np.nan)

    def from_link(self, value: FloatArray) -> FloatArray:
        """Invert the logit, then the softening; the result lies in [0, top]."""
        share = np.clip(1 / (1 + np.exp(-np.clip(value, -30, 30))), TINY, 1 - TINY)
        edge = np.minimum(share, 1 - share)
        hard = np.where(edge < 30 * SOFTNESS, SOFTNESS * np.log(np.expm1(np.minimum(edge / SOFTNESS, 30))), edge)
        above = np.where(share > 0.5, 1 - hard, hard)
        return np.clip(self.top * (self.floor + (1 - self.floor) * above), 0, self.top)

    def squared_slope(self, value: FloatArray) -> FloatArray:
        """Return the squared slope of the logit by the share, softening included."""
        share = 1 / (1 + np.exp(-np.clip(value, -30, 30)))
        soft = np.expm1(-share / SOFTNESS) * np.expm1(-(1 - share) / SOFTNESS)
        slope = soft / np.maximum(share * (1 - share) * (1 - self.floor), TINY)
        return np.clip(slope * slope, 1.0, STEEPEST)

    def column(self, place: int) -> "BoundedLink":
        """Return the link of one of the benchmarks."""
        return BoundedLink(self.top, self.floor[[place]])


def estimated_floor(shares: FloatArray) -> float:
    """Return a floor for a benchmark: 0.9 of a level of chance at which its lowest scores lie, else 0.

    Args:
        shares: Its observed scores, 0 to 1.
    """
    if len(shares) < FEWEST_FOR_FLOOR:
        return 0.0
    low = float(np.quantile(shares, 0.1))
    near = [level for level in CHANCE_LEVELS if NEAR_CHANCE[0] <= low - level <= NEAR_CHANCE[1]]
    return SHARE_OF_CHANCE * max(near, default=0.0)


def _maker(top: float):  # noqa: ANN202 - a function of ScoreLink
    def make(columns: list[FloatArray]) -> BoundedLink:
        return BoundedLink(top, np.array([estimated_floor(column / top) for column in columns]))

    return make


def _out_of_ten(scores: FloatArray, name: str, typical: float) -> bool:  # noqa: ARG001 - one signature for all
    named = re.search(r"mt-?_?\s?bench|out of 10\b|/10\b", name.lower())
    return bool(named and scores.min() >= 0 and 1 < scores.max() <= 10)


def _is_share(scores: FloatArray, name: str, typical: float) -> bool:  # noqa: ARG001 - one signature for all
    inside = scores.min() >= 0 and scores.max() <= 1
    # in a table of percents, a benchmark that no model can do has small percents rather than shares
    return bool(inside and (typical <= 1 or np.median(scores) > 0.1))


SHARE = LinkEntry(name="share", help="shares from 0 to 1", top=1.0, fits=_is_share, make=_maker(1.0))
OUT_OF_TEN = LinkEntry(name="ten", help="points out of 10", top=10.0, fits=_out_of_ten, make=_maker(10.0))
PERCENT = LinkEntry(
    name="percent",
    help="percent from 0 to 100",
    top=100.0,
    fits=lambda scores, name, typical: bool(scores.min() >= 0 and scores.max() <= 100),  # noqa: ARG005
    make=_maker(100.0),
)
