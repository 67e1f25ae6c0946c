"""From a latent number with its uncertainty to the chances of the levels 0 to 5: a probit with free cut points."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.stats import norm

from capscope.axes import RowFloats, RowIndex

TINY = 1e-6


@dataclass(frozen=True)
class OrdinalLink:
    """Cut points on the latent scale (McCullagh, 1980)."""

    cuts: Float[np.ndarray, " cut"]
    """Five rising cut points; level l lies between cut l-1 and cut l."""
    widening: float
    """Factor on the latent standard deviation that makes the chances calibrated."""

    def probability(
        self, latent: Float[np.ndarray, " row"], sd: Float[np.ndarray, " row"]
    ) -> Float[np.ndarray, "row 6"]:
        """Return the chances of the six levels."""
        below = norm.cdf((self.cuts[None, :] - latent[:, None]) / (self.widening * sd[:, None]))
        edges = np.hstack([np.zeros((len(latent), 1)), below, np.ones((len(latent), 1))])
        chances = np.maximum(np.diff(edges, axis=1), TINY)
        return chances / chances.sum(axis=1, keepdims=True)


def fit_link(latent: RowFloats, sd: RowFloats, level: RowIndex) -> OrdinalLink:
    """Find the cut points and the widening under which the observed levels are likeliest.

    Levels that were never seen keep a narrow band, by half a pseudo-observation each.

    Args:
        latent: Predictions made without the row's own level.
        sd: Their standard deviations.
        level: Whole levels, 0 to 5.
    """
    counts = np.bincount(level, minlength=6) + 0.5
    share = np.cumsum(counts / counts.sum())[:-1]
    total = np.sqrt(latent.var() + np.mean(sd**2))
    start_cuts = np.asarray(latent.mean() + total * norm.ppf(share))
    start = np.concatenate([[start_cuts[0]], np.log(np.maximum(np.diff(start_cuts), 1e-3)), [0.0]])
    index = np.arange(len(level))

    def cost(theta: np.ndarray) -> float:
        chances = _link(theta).probability(latent, sd)[index, level]
        return float(-np.log(chances).mean() + ((theta - start) ** 2).sum() / (2 * len(level)))

    found = minimize(cost, start, method="L-BFGS-B", options={"maxiter": 60})
    return _link(found.x if found.fun < cost(start) else start)


def _link(theta: np.ndarray) -> OrdinalLink:
    steps = np.exp(np.clip(theta[1:5], -8, 4))
    return OrdinalLink(
        np.concatenate([theta[:1], theta[0] + np.cumsum(steps)]), float(np.exp(np.clip(theta[5], -1, 1)))
    )
