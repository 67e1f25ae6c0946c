"""Chances of success by item from few runs: a Beta distribution, and one with a share of items with chance 0.

The chance of success varies over items as a Beta distribution, fitted to a model's counts by marginal likelihood
(Skellam, 1948); an item's own runs update it. Up to as many runs as an item has, the share of all choices of k of them
is unbiased (Chen et al., 2021); for more runs the estimate is extrapolated by the distribution. With many unsolved
items a plain Beta distribution is U-shaped, which overestimates the success of many runs in a row; the alternative has
a share of items with chance 0. Both are averaged by their evidence (BIC; Schwarz, 1978).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import betainc, betaln, comb, digamma, expit, logit, ndtri

from capscope.axes import Float, FloatArray

ItemFloats = Float[np.ndarray, " item"]
Parameters = tuple[float, float]
MIXED = (0.1, 0.9)
"""Chances of success between which an item is flaky."""
STARTS = (0.02, 0.3)
"""Starting values of the share of items with chance 0; the better optimum is kept."""

LEAST_WEIGHT = 0.5
"""Chance of a share of items that are never right from which on its own error counts."""
GROUPS = 8
"""Groups of items of the jackknife that estimates that error."""

LOG_PARAMETER_RIDGE = 0.02
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
    """Posterior probability of this model against the plain Beta distribution."""

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
            return LOG_PARAMETER_RIDGE * float((point[:2] ** 2).sum()) - log_likelihood(point)

        from scipy.optimize import minimize

        rate = (right.sum() + 0.5) / (runs.sum() + 1)
        starts = ([np.log(rate + 0.1), np.log(1.1 - rate), logit(share)] for share in STARTS)
        best = min(
            (minimize(loss, start, method="L-BFGS-B", bounds=BOUNDS) for start in starts), key=lambda end: end.fun
        )
        gain = log_likelihood(best.x) - plain - 0.5 * np.log(len(right))
        a, b = np.exp(best.x[:2])
        return cls(float(expit(best.x[2])), float(a), float(b), float(expit(gain)))

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


@dataclass(frozen=True)
class ItemChances:
    """A Beta distribution of the chance of success over one model's items, and each item's own counts."""

    right: ItemFloats
    """Successes of each item."""
    runs: ItemFloats
    """Runs of each item, at least 1."""

    @cached_property
    def parameters(self) -> Parameters:
        """The two parameters of the distribution, by marginal likelihood."""
        (s, r), times = np.unique(np.stack([self.right, self.runs]), axis=1, return_counts=True)

        def loss(logs: FloatArray) -> float:
            a, b = np.exp(np.clip(logs, -30, 30))
            likelihood = times * (betaln(a + s, b + r - s) - betaln(a, b))
            return float(LOG_PARAMETER_RIDGE * (logs**2).sum() - likelihood.sum())

        from scipy.optimize import minimize

        rate = (self.right.sum() + 0.5) / (self.runs.sum() + 1)
        optimum = minimize(loss, np.log([rate + 0.1, 1.1 - rate]), method="L-BFGS-B")
        a, b = np.exp(np.clip(optimum.x, -30, 30))
        return float(a), float(b)

    def posterior(self) -> tuple[ItemFloats, ItemFloats]:
        """Parameters of each item's own Beta distribution."""
        alpha, beta = self.parameters
        return alpha + self.right, beta + self.runs - self.right

    def log_evidence(self) -> ItemFloats:
        """Log probability of each item's sequence of outcomes, its chance integrated out."""
        return betaln(*self.posterior()) - betaln(*self.parameters)

    def powers(self, k: int | ItemFloats, parameters: Parameters | None = None) -> ItemFloats:
        """Posterior mean of each item's chance that all of k runs succeed.

        Args:
            k: Number of runs.
            parameters: Those of the distribution; by default the fitted ones.
        """
        alpha, beta = parameters or self.parameters
        a, b = alpha + self.right, beta + self.runs - self.right
        return np.exp(betaln(a + k, b) - betaln(a, b))

    def estimates(self, k: int, parameters: Parameters | None = None) -> ItemFloats:
        """Each item's part in the mean chance that all of k runs succeed; unbiased for k up to the observed runs.

        Args:
            k: Number of runs.
            parameters: Those of the distribution; by default the fitted ones.
        """
        known = np.minimum(self.runs, k)
        counted = comb(self.right, known) / comb(self.runs, known)
        more = known < k
        if not more.any():
            return counted
        alpha, beta = parameters or self.parameters
        a, b = alpha + self.right, beta + self.runs - self.right
        fall = np.exp(betaln(a + k, b) - betaln(a, b)) - np.exp(betaln(a + known, b) - betaln(a, b))
        return counted + np.where(more, fall, 0.0)

    def all_of(self, k: int, level: float) -> tuple[float, float, float]:
        """Mean chance that all of k runs succeed, with bounds over other runs of these items.

        Args:
            k: Number of runs.
            level: Coverage of the bounds.
        """
        part = self.estimates(k)
        mean = self.powers(k)
        spread = np.maximum(self.powers(2 * k) - mean**2, 0.0)
        error = part + self._of_parameters(k) - mean
        n = len(part)
        variance = float(((error - error.mean()) ** 2 + spread).sum()) / n**2
        value = self._mean_of_all(k)
        if (self.runs < k).any():
            # average of both distributions, weighted by their evidence
            shape, other = self.never_right, self._mean_of_all(k, self.never_right)
            variance += shape.weight * (1 - shape.weight) * (other - value) ** 2
            if shape.weight > LEAST_WEIGHT:
                variance += shape.weight * self._of_share(k)
            value += shape.weight * (other - value)
        return value, *_bounds(value, float(np.sqrt(variance)), level, n)

    @cached_property
    def never_right(self) -> NeverRight:
        """The distribution with a share of items that are never right, and its evidence against the plain one."""
        return NeverRight.fit(self.right, self.runs, float(self.log_evidence().sum()))

    def _of_share(self, k: int) -> float:
        """Variance that the share of items that are never right, and the others' distribution, add to the mean.

        A jackknife over groups of items: the share is refitted without a group, and applied to all items.
        """
        group = np.random.default_rng(0).permutation(np.arange(len(self.runs)) % min(GROUPS, len(self.runs)))
        kept = [group != number for number in range(group.max() + 1)]
        fits = [NeverRight.fit(self.right[keep], self.runs[keep], 0.0) for keep in kept]
        means = np.array([self._mean_of_all(k, fit) for fit in fits])
        return (len(fits) - 1) / len(fits) * float(((means - means.mean()) ** 2).sum())

    def _mean_of_all(self, k: int, shape: NeverRight | None = None) -> float:
        """Mean chance that all of k runs succeed: by counting up to the number of runs, then extrapolated."""
        known = np.minimum(self.runs, k)
        counted = comb(self.right, known) / comb(self.runs, known)
        more = known < k
        both = [self.powers(of) if shape is None else shape.powers(self.right, self.runs, of) for of in (k, known)]
        far, reached = (float(of[more].sum()) for of in both)
        seen = float(counted[more].sum())
        beyond = seen * far / reached if seen > 0 else far
        return float(np.clip((counted[~more].sum() + beyond) / len(known), 0.0, 1.0))

    def swapped(self) -> "ItemChances":
        """Exchange successes and failures."""
        return ItemChances(self.runs - self.right, self.runs)

    def mixed_chance(self) -> ItemFloats:
        """Posterior chance that an item's chance of success lies between 0.1 and 0.9."""
        a, b = self.posterior()
        low, high = MIXED
        return betainc(a, b, high) - betainc(a, b, low)

    def disagreement(self) -> float:
        """Mean chance that two runs of one item differ; unbiased, over items with two runs or more."""
        many = self.runs > 1
        s, r = self.right[many], self.runs[many]
        return float((2 * s * (r - s) / (r * (r - 1))).mean())

    def _of_parameters(self, k: int) -> ItemFloats:
        """Influence of each item on the mean through the distribution's parameters."""
        if not (self.runs < k).any():
            return np.zeros(len(self.runs))
        alpha, beta = self.parameters
        step = 1e-4
        slope = np.array(
            [
                (self.estimates(k, up).mean() - self.estimates(k, down).mean()) / (2 * step)
                for up, down in (
                    ((alpha * np.exp(step), beta), (alpha * np.exp(-step), beta)),
                    ((alpha, beta * np.exp(step)), (alpha, beta * np.exp(-step))),
                )
            ]
        )
        score = self._scores(self.parameters)
        information = np.array(
            [
                (self._scores((alpha * np.exp(-step), beta)) - self._scores((alpha * np.exp(step), beta))).mean(1),
                (self._scores((alpha, beta * np.exp(-step))) - self._scores((alpha, beta * np.exp(step)))).mean(1),
            ]
        ) / (2 * step) + np.eye(2) * 2 * LOG_PARAMETER_RIDGE / len(self.runs)
        return slope @ np.linalg.pinv((information + information.T) / 2) @ score

    def _scores(self, parameters: Parameters) -> Float[np.ndarray, "2 item"]:
        """Derivatives of each item's log-likelihood by the logarithms of the parameters."""
        a, b = parameters
        s, f, r = self.right, self.runs - self.right, self.runs
        both = digamma(a + b) - digamma(a + b + r)
        return np.stack([a * (digamma(a + s) - digamma(a) + both), b * (digamma(b + f) - digamma(b) + both)])


def _bounds(value: float, se: float, level: float, n: int) -> tuple[float, float]:
    """Bounds within 0 and 1: the wider of those symmetric in log-odds and of those symmetric in the value itself."""
    inside = float(np.clip(value, 0.5 / (n + 1), 1 - 0.5 / (n + 1)))
    quantile = float(ndtri(0.5 + level / 2))
    half, centre = quantile * se / (inside * (1 - inside)), float(logit(inside))
    lower, upper = float(expit(centre - half)), float(expit(centre + half))
    return max(0.0, min(value - quantile * se, lower)), min(1.0, max(value + quantile * se, upper))
