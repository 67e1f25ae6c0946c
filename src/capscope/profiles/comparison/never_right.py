"""Chances of success of which some are zero: a Beta distribution with a share of items that no run ever solves.

A Beta distribution alone has to explain many unsolved items by a shape that piles chances up at one too, and so expects
too many runs in a row to succeed. The share counts by its evidence against the plain distribution (Schwarz, 1978), so
that items without such a share are estimated as before.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit

from capscope.axes import FloatArray

ItemFloats = Float[np.ndarray, " item"]
STARTS = (0.02, 0.3)
"""Shares of items that are never solved from which the fit starts; the better end is kept."""

PULL = 0.02
"""Weight of the prior on the logarithms of the Beta distribution's parameters."""

BOUNDS = ((-6.0, 6.0), (-6.0, 6.0), (-9.0, 4.0))
"""Bounds of these logarithms, and of the share's log-odds."""


@dataclass(frozen=True)
class NeverRight:
    """A share of items with chance zero, and a Beta distribution of the chances of the others."""

    never: float
    """Share of items that no run solves."""
    alpha: float
    """First parameter of the others' Beta distribution."""
    beta: float
    """Second parameter."""
    weight: float
    """Chance that there is such a share, against the plain Beta distribution, from 0 to 1."""

    @classmethod
    def fit(cls, right: ItemFloats, runs: ItemFloats, plain: float) -> "NeverRight":
        """Fit by marginal likelihood.

        Args:
            right: Successes of each item.
            runs: Runs of each item.
            plain: Log-likelihood of the plain Beta distribution.
        """
        (s, r), times = np.unique(np.stack([right, runs]), axis=1, return_counts=True)

        def log_likelihood(point: FloatArray) -> float:
            a, b = np.exp(point[:2])
            return float(times @ np.log(_likelihood(s, r, float(expit(point[2])), a, b)))

        def loss(point: FloatArray) -> float:
            return PULL * float((point[:2] ** 2).sum()) - log_likelihood(point)

        rate = (right.sum() + 0.5) / (runs.sum() + 1)
        starts = ([np.log(rate + 0.1), np.log(1.1 - rate), logit(share)] for share in STARTS)
        found = min(
            (minimize(loss, start, method="L-BFGS-B", bounds=BOUNDS) for start in starts), key=lambda end: end.fun
        )
        gain = log_likelihood(found.x) - plain - 0.5 * np.log(len(right))
        a, b = np.exp(found.x[:2])
        return cls(float(expit(found.x[2])), float(a), float(b), float(expit(gain)))

    def powers(self, right: ItemFloats, runs: ItemFloats, k: int | ItemFloats) -> ItemFloats:
        """Posterior mean of each item's chance that all of k further runs succeed.

        Args:
            right: Successes of each item.
            runs: Runs of each item.
            k: Number of runs.
        """
        a, b = self.alpha, self.beta
        some = (1 - self.never) * np.exp(betaln(a + right + k, b + runs - right) - betaln(a, b))
        return some / _likelihood(right, runs, self.never, a, b)


def _likelihood(right: ItemFloats, runs: ItemFloats, never: float, a: float, b: float) -> ItemFloats:
    """Chance of each item's sequence of outcomes."""
    return (1 - never) * np.exp(betaln(a + right, b + runs - right) - betaln(a, b)) + never * (right == 0)
