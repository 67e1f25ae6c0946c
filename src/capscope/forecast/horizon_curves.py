"""Curves of success over the length or the rating of tasks, by model, and draws of them over new tasks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from capscope.axes import FloatArray

DRAWS = 1000
"""Draws of the bootstrap."""
STEPS, SMALL_STEP = 40, 1e-5
"""Most Fisher scoring steps of a fit, and the step at which it ends."""
SLOPE_PRIOR = (0.5, 1.0)
"""Mean and standard deviation of a slope, in log-odds for each doubling of the minutes, before the models are seen."""
INTERCEPT_SD = 3.0
"""Standard deviation of a model's log-odds at the mean length, around 0."""
LEAST_SPREAD = 0.1
"""Least standard deviation of the slopes over models, as a share of their mean."""


@dataclass(frozen=True)
class TriedTasks:
    """Scores and trials by model and timed item."""

    models: tuple[str, ...]
    right: FloatArray
    trials: FloatArray


@dataclass(frozen=True)
class SuccessCurves:
    """Draws of the models' curves: log-odds at the mean length, and the log-odds lost with each doubling."""

    intercept: FloatArray
    slope: FloatArray


@dataclass(frozen=True)
class _Lengths:
    """Lengths of the items less their mean, what their uncertainty flattens the curve by (at most 1), and chances."""

    length: FloatArray
    flat: FloatArray
    chance: FloatArray


@dataclass(frozen=True)
class _Prior:
    """Gaussian prior of an intercept and a slope; centres have one value for each draw."""

    intercept: FloatArray
    slope: FloatArray
    slope_sd: float


def curve_draws(answers: TriedTasks, tasks: pd.DataFrame, rng: np.random.Generator) -> SuccessCurves:
    """Draw every model's curve: shape (draw, model).

    Args:
        answers: Scores by model and task.
        tasks: length (doublings of the minutes, or of a rating's odds), blur (its sd), chance, cluster.
        rng: Source of randomness.
    """
    length = tasks["length"].to_numpy()
    length, blur = length - length.mean(), tasks["blur"].to_numpy()
    chance = tasks["chance"].to_numpy(dtype=float)
    code, names = pd.factorize(tasks["cluster"])
    one = np.ones((1, len(length)))
    first = _Prior(np.zeros(1), np.full(1, SLOPE_PRIOR[0]), SLOPE_PRIOR[1])
    # a length known within `blur` makes the curve flatter (MacKay, 1992)
    flat = 1 / np.sqrt(1 + np.pi / 8 * (SLOPE_PRIOR[0] * blur) ** 2)
    items = _Lengths(length, flat, chance)
    fits = [_fit(y, n, items, one, first) for y, n in zip(answers.right, answers.trials, strict=True)]
    mean, mean_se, spread = _slopes_over_models(
        np.array([float(slope[0]) for _, slope, _ in fits]), np.array([float(se[0]) for _, _, se in fits])
    )
    weight = _cluster_weights(len(names), rng)[:, code]
    centre = mean + mean_se * rng.standard_normal(DRAWS)
    intercepts, slopes = [], []
    for y, n in zip(answers.right, answers.trials, strict=True):
        prior = _Prior(INTERCEPT_SD * rng.standard_normal(DRAWS), centre + spread * rng.standard_normal(DRAWS), spread)
        intercept, slope, _ = _fit(y, n, items, weight, prior)
        intercepts.append(intercept)
        slopes.append(slope)
    return SuccessCurves(np.stack(intercepts, 1), np.stack(slopes, 1))


def _cluster_weights(clusters: int, rng: np.random.Generator) -> FloatArray:
    """Weights of clusters, shape (draw, cluster): Gamma with mean 1 and the variance ``n / (n - 4)``.

    Exponential weights (variance 1) would be the Bayesian bootstrap; the excess stands for the two parameters of a
    curve and for the tails of a t distribution with ``n - 2`` degrees of freedom, which few clusters need.
    """
    shape = max(1 - 4 / clusters, 0.25)
    weight = rng.gamma(shape, 1 / shape, (DRAWS, clusters))
    return weight / np.maximum(weight.mean(1, keepdims=True), 1e-9)


def _slopes_over_models(slope: FloatArray, se: FloatArray) -> tuple[float, float, float]:
    """Mean of the models' slopes, its standard error, and their standard deviation over models."""
    if len(slope) < 2:
        return SLOPE_PRIOR[0], 0.0, SLOPE_PRIOR[1]
    weight = 1 / se**2
    mean = float((weight * slope).sum() / weight.sum())
    excess = float((weight * (slope - mean) ** 2).sum()) - (len(slope) - 1)
    variance = max(excess / float(weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    spread = max(np.sqrt(variance), LEAST_SPREAD * abs(mean))
    weight = 1 / (se**2 + spread**2)
    return float((weight * slope).sum() / weight.sum()), float(weight.sum() ** -0.5), float(spread)


def _fit(
    right: FloatArray, trials: FloatArray, items: _Lengths, weight: FloatArray, prior: _Prior
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit one model's curve for each row of weights by Fisher scoring; a guess succeeds with its known chance.

    Returns:
        Intercepts, slopes, and the slopes' standard errors.
    """
    tried = trials > 0
    y, x, c, w, k = right[tried], items.length[tried], items.chance[tried], weight[:, tried], items.flat[tried]
    a, b = np.zeros(len(w)), np.broadcast_to(prior.slope, len(w)).astype(float).copy()
    aa, ab, det = np.ones_like(a), np.zeros_like(a), np.ones_like(a)
    for _ in range(STEPS):
        known = expit(k * (a[:, None] - b[:, None] * x))
        p = c + (1 - c) * known
        by_logit, variance = k * (1 - c) * known * (1 - known), np.maximum(p * (1 - p), 1e-12)
        pull, info = w * by_logit * (y - p) / variance, w * by_logit**2 / variance
        by_a = pull.sum(1) - (a - prior.intercept) / INTERCEPT_SD**2
        by_b = -(pull @ x) - (b - prior.slope) / prior.slope_sd**2
        aa, ab, bb = info.sum(1) + INTERCEPT_SD**-2, -(info @ x), info @ x**2 + prior.slope_sd**-2
        det = aa * bb - ab**2
        step = np.stack([bb * by_a - ab * by_b, aa * by_b - ab * by_a]) / det
        a, b = np.stack([a, b]) + step / np.maximum(1.0, np.abs(step).max(0) / 2)
        if np.abs(step).max() < SMALL_STEP:
            break
    return a, b, np.sqrt(aa / det)


def horizon_draws(curves: SuccessCurves, chance: float) -> FloatArray:
    """Doublings from the mean length to the horizon; infinite where success does not fall with length.

    Args:
        curves: Draws of intercepts and slopes by model.
        chance: Chance of success that defines the horizon.
    """
    room = curves.intercept - logit(chance)
    falls = curves.slope > 1e-3
    return np.where(falls, room / np.where(falls, curves.slope, 1.0), np.where(room > 0, np.inf, -np.inf))
