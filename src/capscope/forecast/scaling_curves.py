"""Curves of pass rates over scale: binomial fits with differences between models, and draws of their extrapolation.

A pass rate is ``floor + (ceiling - floor) F(a + b x)`` at the log scale `x`, counts are binomial, and each model has a
normal effect on the link scale. `F` is logistic, or that of a power law of the log pass rate, ``-log p = A C^-b``
(PassUntil: Hu et al., 2023; clusters of difficulty: Xu et al., 2025). Counts enter as k of n, so that a model that
passed nothing in n samples adds the likelihood of n samples. Forms, floors and ceilings are averaged by likelihood.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from scipy.stats import chi2

from capscope.axes import FloatArray

SPREADS = np.r_[0.0, np.geomspace(1e-4, 9.0, 40)]
"""Grid of variances of the models' effects."""
PRIOR_SD = (4.0, 3.0)
"""Standard deviations of intercept and slope, for a scale with standard deviation 1."""
BEND = 0.03
"""Standard deviation of a bend that begins at the end of the ladder: link scale for each unit of squared scale."""
STEPS = 25
FLOORS = (0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5)
"""Chances of a guess that are tried where the items state none."""
ENDS = 1e-9
FARTHEST_VALUE = 30.0
"""Values of the link scale beyond which rates are 0 and 1."""
LEAST_WEIGHT = 0.02
"""Candidates with less weight than this share of the best one's are left out."""
CEILINGS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Rates at which a group of items may level off."""
CEILING_WEIGHT = 0.03
"""Prior weight of a ceiling below 1."""


@dataclass(frozen=True)
class CurveForm:
    """A distribution function that turns the link scale into a share, and its derivative."""

    name: str
    share: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]


def _logistic_slope(value: FloatArray) -> FloatArray:
    share = expit(value)
    return share * (1 - share)


FORMS = (
    CurveForm("logistic", expit, _logistic_slope),
    CurveForm("power law", lambda value: np.exp(-np.exp(-value)), lambda value: np.exp(-value - np.exp(-value))),
)
"""The forms that are averaged."""


@dataclass(frozen=True)
class Counts:
    """Passes of a group of items by model."""

    scale: FloatArray
    """Log scale of each model."""
    right: FloatArray
    """Passes, summed over items and trials; may be fractional."""
    trials: FloatArray
    """Trials; a model without any does not count."""
    chance: float | None
    """Mean chance of a guess, None where the items state none."""

    @property
    def rate(self) -> FloatArray:
        """Share of passes."""
        return self.right / np.maximum(self.trials, ENDS)

    def rows(self, keep: np.ndarray) -> "Counts":
        """Return the passes of some models."""
        return Counts(self.scale[keep], self.right[keep], self.trials[keep], self.chance)


@dataclass(frozen=True)
class ScalingCurve:
    """A pass rate over scale, averaged over forms, floors and ceilings; the first axis of arrays is the candidate."""

    form: np.ndarray
    """Place among `FORMS`."""
    floor: FloatArray
    ceiling: FloatArray
    place: FloatArray
    """Intercept and slope, shape (candidate, 2)."""
    weight: FloatArray
    """Posterior probability."""
    fit_of_spread: FloatArray
    """Sum of the squared standardised residuals at each variance of the grid, shape (candidate, grid)."""
    covariance: FloatArray
    """Of intercept and slope, shape (candidate, grid, 2, 2)."""
    residuals: FloatArray
    """Standardised residuals of the most probable candidate, by model."""
    centre: float
    unit: float
    freedom: float
    """Independent models less the two parameters of a curve; models of one scale may share an error."""
    ends: tuple[float, float]
    """Ends of the ladder, standardised."""

    def rises(self) -> float:
        """Return the chance that the rate rises with scale."""
        draws = Draws.of(1, 4000, np.random.default_rng(0))
        slope = self._drawn(draws, 0, np.zeros(draws.size))[2]
        return float((slope > 0).mean())

    def slopes(self, draws: "Draws", place: int) -> FloatArray:
        """Draw the slope: link-scale units for each unit of the log scale.

        Args:
            draws: Random numbers of the draws, shared by several curves.
            place: Number of the curve's group among them.
        """
        return self._drawn(draws, place, np.zeros(draws.size))[2] / self.unit

    def rates(self, scale: FloatArray | float, draws: "Draws", place: int, *, of_models: bool = True) -> FloatArray:
        """Draw the pass rate of a new model at a scale.

        Args:
            scale: Log scale, one or one for each draw.
            draws: Random numbers shared by the groups of items, so that a model is above all curves or below all.
            place: Number of the group.
            of_models: Whether the model's own effect is drawn; else the curve alone.
        """
        x = (np.broadcast_to(np.asarray(scale, dtype=float), draws.size) - self.centre) / self.unit
        curve, effect, _ = self._drawn(draws, place, x)
        value = curve + effect if of_models else curve
        picked = self._picked(draws)
        low, high = self.floor[picked], self.ceiling[picked]
        return np.clip(low + (high - low) * _shares(self.form[picked], value), ENDS, 1 - ENDS)

    def expected(self, scale: FloatArray) -> FloatArray:
        """Return the fitted rate at log scales."""
        x = (scale - self.centre) / self.unit
        share = _shares(self.form[:, None], self.place[:, :1] + self.place[:, 1:] * x)
        rate = self.floor[:, None] + (self.ceiling - self.floor)[:, None] * share
        return np.clip(self.weight @ rate, ENDS, 1 - ENDS)

    def _picked(self, draws: "Draws") -> np.ndarray:
        return np.searchsorted(np.cumsum(self.weight)[:-1], draws.form)

    def _drawn(self, draws: "Draws", place: int, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return draws of the curve at `x`, of a model's effect, and of the slope."""
        picked = self._picked(draws)
        curve, effect, slope = np.empty(draws.size), np.empty(draws.size), np.empty(draws.size)
        wanted = chi2.ppf(draws.spread, self.freedom)
        for number in range(len(self.weight)):
            rows = np.flatnonzero(picked == number)
            # the variance at which the residuals have the drawn sum of squares (Paule & Mandel, 1982)
            variance = np.interp(wanted[rows], self.fit_of_spread[number, ::-1], SPREADS[::-1])
            grid = np.interp(variance, SPREADS, np.arange(len(SPREADS)))
            low = np.minimum(grid.astype(int), len(SPREADS) - 2)
            part = (grid - low)[:, None, None]
            covariance = (1 - part) * self.covariance[number, low] + part * self.covariance[number, low + 1]
            at, normal = x[rows], draws.curve[rows, place]
            aa, ab, bb = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
            beyond = np.maximum(np.maximum(at - self.ends[1], self.ends[0] - at), 0)
            bend = BEND * beyond * (beyond + self.ends[1] - self.ends[0])
            sd = np.sqrt(np.maximum(aa + 2 * ab * at + bb * at**2, 0) + bend**2)
            curve[rows] = self.place[number, 0] + self.place[number, 1] * at + sd * normal
            effect[rows] = np.sqrt(variance) * draws.model[rows, place]
            slope[rows] = self.place[number, 1] + np.sqrt(bb) * normal
        return curve, effect, slope


@dataclass(frozen=True)
class Draws:
    """Random numbers behind the draws of several curves."""

    curve: FloatArray
    """Normal, shape (draw, group): errors of the curves."""
    model: FloatArray
    """Normal, shape (draw, group): effects of the new model."""
    spread: FloatArray
    """Uniform: where in its distribution the models' variance lies."""
    form: FloatArray
    """Uniform: chooses the form of the curve."""

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(self.spread)

    def with_models(self, rng: np.random.Generator) -> "Draws":
        """Return the same draws for another model: effects of its own."""
        return replace(self, model=rng.standard_normal(self.model.shape))

    @classmethod
    def of(cls, groups: int, size: int, rng: np.random.Generator, correlation: FloatArray | None = None) -> "Draws":
        """Draw the numbers.

        Args:
            groups: Number of groups of items.
            size: Number of draws.
            rng: Source of randomness.
            correlation: Of the groups' residuals, shape (group, group).
        """
        root = np.eye(groups) if correlation is None else np.linalg.cholesky(correlation)
        curve = rng.standard_normal((size, groups)) @ root.T
        model = rng.standard_normal((size, groups)) @ root.T
        return cls(curve, model, rng.uniform(1e-6, 1 - 1e-6, size), rng.uniform(size=size))


def fit_curve(counts: Counts) -> ScalingCurve:
    """Fit pass rates over scale.

    Args:
        counts: Passes by model; three models at least with two scales.
    """
    seen = counts.trials > 0
    x, right, trials = counts.scale[seen], counts.right[seen], counts.trials[seen]
    centre, unit = float(x.mean()), float(x.std())
    x = (x - centre) / unit
    rate = right / trials
    error = 2 * np.sqrt((rate * (1 - rate) + 0.25 / trials) / trials)
    form, floor, ceiling, prior = _candidates(counts.chance, float((rate + error).min()), float((rate - error).max()))
    data = _Data(x, rate, trials, form, floor[:, None], ceiling[:, None])
    place, spread = _fit(data)
    share, sampling, slope = data.curve(place)
    point = sampling + spread[:, None] * slope**2
    score = np.log(prior) - 0.5 * (np.log(point) + (rate - share) ** 2 / point).sum(1)
    weight = np.exp(score - score.max())
    kept = np.flatnonzero(weight >= LEAST_WEIGHT)
    total = sampling[kept, None] + SPREADS[:, None] * slope[kept, None] ** 2
    residual = (rate - share) / np.sqrt(point)
    best = residual[int(np.argmax(weight))]
    shared = _shared_error(best, np.round(x, 6))
    return ScalingCurve(
        form[kept],
        floor[kept],
        ceiling[kept],
        place[kept],
        weight[kept] / weight[kept].sum(),
        ((rate - share)[kept, None] ** 2 / total).sum(2) * max(len(x) / shared - 2, 1.0) / max(len(x) - 2, 1),
        np.linalg.inv(_information(x, slope[kept, None] ** 2 / total / shared)),
        best,
        centre,
        unit,
        max(len(x) / shared - 2, 1.0),
        (float(x.min()), float(x.max())),
    )


def _candidates(
    chance: float | None, lowest: float, highest: float
) -> tuple[np.ndarray, FloatArray, FloatArray, FloatArray]:
    """Return form, floor, ceiling and prior weight of each candidate that the rates allow."""
    floors = FLOORS if chance is None else tuple({0.0, chance})
    rows = [
        (form, floor, ceiling, CEILING_WEIGHT if ceiling < 1 else 1.0)
        for form in range(len(FORMS))
        for floor in floors
        for ceiling in CEILINGS
        if (floor <= lowest or not floor) and (ceiling >= highest or ceiling == 1) and floor < ceiling - 0.1
    ]
    form, floor, ceiling, prior = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return form.astype(int), floor, ceiling, prior


@dataclass(frozen=True)
class _Data:
    """Rates by model, and the candidates, which are the first axis."""

    x: FloatArray
    rate: FloatArray
    trials: FloatArray
    form: np.ndarray
    floor: FloatArray
    ceiling: FloatArray

    def curve(self, place: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the expected rates, their sampling variance, and their slope by the link scale."""
        value = np.clip(place[:, :1] + place[:, 1:] * self.x, -FARTHEST_VALUE, FARTHEST_VALUE)
        height = self.ceiling - self.floor
        share = np.clip(self.floor + height * _shares(self.form[:, None], value), ENDS, 1 - ENDS)
        slope = np.maximum(height * _slopes(self.form[:, None], value), ENDS)
        return share, share * (1 - share) / self.trials, slope


def _shares(form: np.ndarray, value: FloatArray) -> FloatArray:
    value = np.clip(value, -FARTHEST_VALUE, FARTHEST_VALUE)
    return np.where(form == 0, FORMS[0].share(value), FORMS[1].share(value))


def _slopes(form: np.ndarray, value: FloatArray) -> FloatArray:
    return np.where(form == 0, FORMS[0].slope(value), FORMS[1].slope(value))


def _shared_error(residual: FloatArray, scale: FloatArray) -> float:
    """Return by how much errors shared by models of one scale enlarge the variance of a mean (Kish, 1965)."""
    same = np.equal.outer(scale, scale) & ~np.eye(len(scale), dtype=bool)
    if not same.any():
        return 1.0
    correlation = float(residual @ same @ residual / same.sum() / max(float(np.mean(residual**2)), ENDS))
    return 1 + min(max(correlation, 0.0), 1.0) * float(same.sum()) / len(scale)


def _information(x: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the precision matrices of intercept and slope for weights of shape (..., model)."""
    design = np.column_stack([np.ones_like(x), x])
    return np.einsum("mi,...m,mj->...ij", design, weight, design) + np.diag(np.array(PRIOR_SD) ** -2.0)


def _fit(data: _Data) -> tuple[FloatArray, FloatArray]:
    """Fit all candidates by Fisher scoring; return places and variances of the models' effects (Paule and Mandel)."""
    design = np.column_stack([np.ones_like(data.x), data.x])
    mean = float(data.rate @ data.trials / data.trials.sum())
    start = np.clip((mean - data.floor[:, 0]) / (data.ceiling - data.floor)[:, 0], 0.02, 0.98)
    place = np.zeros((len(data.form), 2))
    place[:, 0] = np.where(data.form == 0, np.log(start / (1 - start)), -np.log(-np.log(start)))
    spread = np.zeros(len(place))
    for step in range(STEPS):
        share, sampling, slope = data.curve(place)
        if step >= 3:
            spread = _spreads(data.rate - share, sampling, slope)
        total = sampling + spread[:, None] * slope**2
        pull = (slope * (data.rate - share) / total) @ design - place * np.array(PRIOR_SD) ** -2.0
        move = np.linalg.solve(_information(data.x, slope**2 / total), pull[..., None])[..., 0]
        place = place + move / np.maximum(1.0, np.abs(move).max(1, keepdims=True))
        if step > 3 and np.abs(move).max() < 1e-4:
            break
    return place, spread


def _spreads(residual: FloatArray, sampling: FloatArray, slope: FloatArray) -> FloatArray:
    """Return the variances at which the squared standardised residuals sum to their degrees of freedom."""
    fit = (residual[:, None] ** 2 / (sampling[:, None] + SPREADS[:, None] * slope[:, None] ** 2)).sum(2)
    wanted = max(residual.shape[1] - 2, 1)
    return np.array([np.interp(wanted, row[::-1], SPREADS[::-1]) for row in fit])
