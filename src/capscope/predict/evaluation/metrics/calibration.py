"""Calibration metrics: calibration error in bins, and the regression of outcomes on predicted log-odds."""

import numpy as np
from scipy.special import expit

from capscope.axes import RowFloats
from capscope.fit import log_odds_of
from capscope.predict.outcomes import UNDEFINED, Metric, Outcomes

ECE_BINS = 10
STEEPEST_LINE = 1e3
"""A calibration slope above this means that the chances separate successes from failures; it has no estimate then."""


def expected_calibration_error(
    score: RowFloats, chance: RowFloats, weight: RowFloats | None = None, bins: int = ECE_BINS
) -> float:
    """Return the mean distance between chance and success rate over bins of equal width, weighted by size (ECE).

    Args:
        score: Scores, 0 to 1.
        chance: Predicted chances, 0 to 1.
        weight: Number of trials of each; None for one each.
        bins: Number of bins.
    """
    weight = np.ones(len(score)) if weight is None else weight
    gap = np.bincount(_equal_width(chance, bins), weights=weight * (chance - score), minlength=bins)
    return float(np.abs(gap).sum() / weight.sum())


def calibration_error_by_chance(chance: RowFloats, weight: RowFloats | None = None, bins: int = ECE_BINS) -> float:
    """Return the calibration error that is expected if every chance is exactly right, from sampling noise alone.

    The gap of a bin is approximately normal with binomial variance, so its absolute value is half-normal. Sharper
    chances and more trials have a smaller expected error.

    Args:
        chance: Predicted chances, 0 to 1.
        weight: Number of trials of each; None for one each.
        bins: Number of bins.
    """
    weight = np.ones(len(chance)) if weight is None else weight
    variance = np.bincount(_equal_width(chance, bins), weights=weight * (chance * (1 - chance)), minlength=bins)
    return float(np.sqrt(2 * variance / np.pi).sum() / weight.sum())


def _equal_width(chance: RowFloats, bins: int) -> np.ndarray:
    return np.minimum((chance * bins).astype(int), bins - 1)


def debiased_calibration_error(
    score: RowFloats, chance: RowFloats, weight: RowFloats | None = None, bins: int = ECE_BINS
) -> float:
    """Return the root mean squared calibration error over bins of equal size, corrected for sampling noise.

    The variance of each bin's mean gap is subtracted from its square, so that its expectation is the squared
    calibration error (Kumar, Liang & Ma, 2019). Answers with equal chances share a bin; a negative sum becomes 0.

    Args:
        score: Scores, 0 to 1.
        chance: Predicted chances, 0 to 1.
        weight: Number of trials of each; None for one each.
        bins: Number of bins.
    """
    weight = np.ones(len(score)) if weight is None else weight
    index = np.minimum((_mid_quantile(chance, weight) * bins).astype(int), bins - 1)
    gap = score - chance
    size = np.bincount(index, minlength=bins)
    mass = np.bincount(index, weights=weight, minlength=bins)
    size_or_one, spare = np.maximum(size, 1), np.maximum(size - 1, 1)
    mean_weight = np.where(mass > 0, mass, 1) / size_or_one
    mean = np.bincount(index, weights=weight * gap, minlength=bins) / np.where(mass > 0, mass, 1)
    deviations = (weight / mean_weight[index]) ** 2 * (gap - mean[index]) ** 2
    squares = np.bincount(index, weights=deviations, minlength=bins)
    unbiased = mean**2 - squares / spare / size_or_one
    return float(np.sqrt(max((mass * unbiased).sum() / mass.sum(), 0.0)))


def _mid_quantile(chance: RowFloats, weight: RowFloats) -> RowFloats:
    """Share of trials with a smaller chance, plus half of those with an equal one."""
    _, tie = np.unique(chance, return_inverse=True)
    mass = np.bincount(tie, weights=weight)
    middle = np.cumsum(mass) - mass / 2
    return middle[tie] / weight.sum()


def calibration_slope(score: RowFloats, chance: RowFloats, weight: RowFloats | None = None) -> float:
    """Return the slope of outcomes on predicted log-odds (Cox, 1958): below 1 the chances are too extreme.

    Args:
        score: Outcomes (row,), 0 to 1.
        chance: Predicted chances of success (row,).
        weight: Number of trials of each outcome (row,).
    """
    line = log_odds_of(chance)
    if np.ptp(line) < 1e-9:
        return UNDEFINED
    design = np.column_stack([line, np.ones_like(line)])
    return float(_logistic_fit(design, score, np.zeros_like(line), weight)[0])


def calibration_intercept(score: RowFloats, chance: RowFloats, weight: RowFloats | None = None) -> float:
    """Return the constant to add to all predicted log-odds to make their mean right: above 0 chances are too low.

    Args:
        score: Outcomes (row,), 0 to 1.
        chance: Predicted chances of success (row,).
        weight: Number of trials of each outcome (row,).
    """
    line = log_odds_of(chance)
    return float(_logistic_fit(np.ones((len(line), 1)), score, line, weight)[0])


def _logistic_fit(
    design: np.ndarray, score: RowFloats, offset: RowFloats, weight: RowFloats | None, steps: int = 50
) -> np.ndarray:
    """Coefficients of a logistic regression by Newton's method with bounded steps; NaN where there is no maximum."""
    weight = np.ones(len(score)) if weight is None else weight
    undefined = np.full(design.shape[1], UNDEFINED)
    coefficients = np.zeros(design.shape[1])
    for _ in range(steps):
        chance = expit(design @ coefficients + offset)
        gradient = design.T @ (weight * (score - chance))
        information = design.T @ (design * (weight * (chance * (1 - chance)))[:, None])
        if np.linalg.cond(information) > 1e12:
            return undefined
        step = np.linalg.solve(information, gradient)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-9:
            return coefficients if np.abs(coefficients).max() < STEEPEST_LINE else undefined
    return undefined


def _ece(outcomes: Outcomes) -> float:
    return expected_calibration_error(outcomes.score, outcomes.chance, outcomes.weight)


ECE = Metric(name="ece", help="expected calibration error over ten bins of equal width", better="lower", of=_ece)
ECE_BY_CHANCE = Metric(
    name="ece_by_chance",
    help="the `ece` that exactly right chances would show, from sampling noise alone",
    better="for reference",
    of=lambda outcomes: calibration_error_by_chance(outcomes.chance, outcomes.weight),
)
ECE_DEBIASED = Metric(
    name="ece_debiased",
    help="root mean squared calibration error over ten bins of equal size, corrected for sampling noise",
    better="lower",
    of=lambda outcomes: debiased_calibration_error(outcomes.score, outcomes.chance, outcomes.weight),
)
SLOPE = Metric(
    name="calibration_slope",
    help="slope of outcomes on predicted log-odds; below 1 the chances are too extreme",
    better="closer to 1",
    of=lambda outcomes: calibration_slope(outcomes.score, outcomes.chance, outcomes.weight),
)
INTERCEPT = Metric(
    name="calibration_intercept",
    help="log-odds missing from the predictions; above 0 the chances are too low",
    better="closer to 0",
    of=lambda outcomes: calibration_intercept(outcomes.score, outcomes.chance, outcomes.weight),
)
ECE_ALL_MODELS = Metric(
    name="ece_all_models",
    help="expected calibration error of all models' answers together",
    better="lower",
    of=_ece,
    over="all models",
)
