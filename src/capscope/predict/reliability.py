"""How far chances are from what comes: calibration error, and the line of outcomes on predicted log-odds."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from capscope.axes import RowFloats

ECE_BINS = 10
SMALLEST_CHANCE = 1e-6
"""A chance of 0 or 1 is scored as this far from it, as if one in a million were the most one can know."""
STEEPEST_LINE = 1e3
"""A calibration line steeper than this means that the chances part successes from failures: it has no estimate."""


def predicted_log_odds(chance: RowFloats) -> RowFloats:
    """Log-odds of chances; those of 0 and 1 are kept finite by `SMALLEST_CHANCE`."""
    return logit(np.clip(chance, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE))


def expected_calibration_error(score: RowFloats, chance: RowFloats, bins: int = ECE_BINS) -> float:
    """Mean distance between chance and success rate over bins of equal width, weighted by their size."""
    gap = np.bincount(_equal_width(chance, bins), weights=chance - score, minlength=bins)
    return float(np.abs(gap).sum() / len(score))


def calibration_error_by_chance(chance: RowFloats, bins: int = ECE_BINS) -> float:
    """Calibration error that right chances are expected to show, because each bin holds few answers.

    The gap of a bin is about normal with the variance of its coin flips, and its distance from 0 half-normal. Sharper
    chances, and more answers, show less.
    """
    variance = np.bincount(_equal_width(chance, bins), weights=chance * (1 - chance), minlength=bins)
    return float(np.sqrt(2 * variance / np.pi).sum() / len(chance))


def _equal_width(chance: RowFloats, bins: int) -> np.ndarray:
    return np.minimum((chance * bins).astype(int), bins - 1)


def debiased_calibration_error(score: RowFloats, chance: RowFloats, bins: int = ECE_BINS) -> float:
    """Root mean squared distance between chance and success rate over bins of equal size, less what noise adds.

    The squared gap of each bin is lessened by the variance of its mean, so that its expectation is the squared
    calibration error (Kumar, Liang & Ma, 2019). Equal chances share a bin; a sum below 0 is 0.
    """
    index = np.minimum(((rankdata(chance) - 0.5) / len(chance) * bins).astype(int), bins - 1)
    gap = score - chance
    size = np.bincount(index, minlength=bins)
    size_or_one, spare = np.maximum(size, 1), np.maximum(size - 1, 1)
    mean = np.bincount(index, weights=gap, minlength=bins) / size_or_one
    squares = np.bincount(index, weights=(gap - mean[index]) ** 2, minlength=bins)
    unbiased = mean**2 - squares / spare / size_or_one
    return float(np.sqrt(max((size * unbiased).sum() / len(score), 0.0)))


def calibration_slope(score: RowFloats, chance: RowFloats) -> float:
    """Slope of outcomes on predicted log-odds: 1 is right, below 1 the chances are too extreme (Cox, 1958)."""
    line = predicted_log_odds(chance)
    if np.ptp(line) < 1e-9:
        return float("nan")
    return float(_logistic_fit(np.column_stack([line, np.ones_like(line)]), score, np.zeros_like(line))[0])


def calibration_intercept(score: RowFloats, chance: RowFloats) -> float:
    """Log-odds to add to every prediction so that the mean comes right: 0 is right, above 0 chances are too low."""
    line = predicted_log_odds(chance)
    return float(_logistic_fit(np.ones((len(line), 1)), score, line)[0])


def _logistic_fit(design: np.ndarray, score: RowFloats, offset: RowFloats, steps: int = 50) -> np.ndarray:
    """Coefficients of a logistic regression by Newton's method with bounded steps; NaN where there is no maximum."""
    nothing = np.full(design.shape[1], np.nan)
    coefficients = np.zeros(design.shape[1])
    for _ in range(steps):
        chance = expit(design @ coefficients + offset)
        gradient = design.T @ (score - chance)
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        if np.linalg.cond(information) > 1e12:
            return nothing
        step = np.linalg.solve(information, gradient)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-9:
            return coefficients if np.abs(coefficients).max() < STEEPEST_LINE else nothing
    return nothing
