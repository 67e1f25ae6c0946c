"""Every formula for P(success) of the item response models, in log-odds.

The log-odds of model m on item i are ``z = a_i . theta_m + d_i``. A floor c of guessing and a ceiling u (below 1 for
slips) give ``P = c + (u - c) sigmoid(z)`` (Birnbaum, 1968; Barton & Lord, 1981): a model knows the answer with chance
``sigmoid(z)``; it gives a right answer with chance u if it knows it, else with chance c. Where z is uncertain, with
mean and variance known, the expectation of the logistic is taken by probit attenuation (MacKay, 1992): ``E sigmoid(z)
~ sigmoid(k mean)``, ``k = rsqrt(1 + pi/8 variance)``.

Here they are on arrays; `tensor_links` has those that engines compute on tensors, so that reading a fit loads no torch.
"""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

from capscope.axes import FloatArray

if TYPE_CHECKING:
    import torch

PROBIT_SCALE = math.pi / 8
"""Factor of the variance of log-odds in the probit approximation of the logistic."""

CLIP = 1e-6
"""Least distance of predicted chances from 0 and 1 where they are scored."""

NEWTON_STEPS = 30
"""Largest number of steps of a logistic regression, which needs about six."""


def logit_mean(ability: FloatArray, slope: FloatArray, intercept: FloatArray) -> FloatArray:
    """Log-odds of success ``a . theta + d``; abilities and slopes share their last axis, the dimension.

    Args:
        ability: Abilities, shape (..., dim).
        slope: Slopes, shape (..., dim).
        intercept: Intercepts, in log-odds.

    Returns:
        Log-odds.
    """
    return (ability * slope).sum(-1) + intercept


def success_probability(
    mean: FloatArray,
    variance: FloatArray | float,
    floor: FloatArray | float = 0.0,
    ceiling: FloatArray | float = 1.0,
) -> FloatArray:
    """Expected chance of success where the log-odds are Gaussian.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance; 0 where they are known.
        floor: Chance of a right guess, or its expectation.
        ceiling: Chance of a right answer from a model that knows it, or its expectation.

    Returns:
        Chances, 0 to 1.
    """
    return floor + (ceiling - floor) * expit(attenuated(mean, variance))


def attenuated(mean: FloatArray, variance: FloatArray | float) -> FloatArray:
    """Log-odds whose logistic is the expected chance under Gaussian log-odds (MacKay, 1992).

    Args:
        mean: Mean of the log-odds.
        variance: Their variance.

    Returns:
        Log-odds, nearer to 0 the larger the variance.
    """
    return mean / np.sqrt(1 + PROBIT_SCALE * variance)


def log_likelihood(logit: FloatArray, score: FloatArray, trials: FloatArray | float = 1.0) -> FloatArray:
    """Log-likelihood of scores in [0, 1] given log-odds: binomial up to its constant, quasi-binomial between.

    Args:
        logit: Log-odds of success.
        score: Observed scores, 0 to 1.
        trials: Number of trials behind each score.

    Returns:
        Log-likelihood of each score, in nats.
    """
    return trials * (score * log_expit(logit) + (1 - score) * log_expit(-logit))


def item_information(
    logit: FloatArray, slope: FloatArray, floor: FloatArray | float = 0.0, ceiling: FloatArray | float = 1.0
) -> FloatArray:
    """Fisher information about ability of an answer with these log-odds: ``a^2 p (1 - p)`` without asymptotes.

    Args:
        logit: Log-odds of knowing the answer.
        slope: Slope of the item.
        floor: Chance of a right guess; it costs the share ``(1 - c) p / P`` (Birnbaum, 1968).
        ceiling: Chance of a right answer from a model that knows it.
    """
    with np.errstate(divide="ignore"):
        knew_right = expit(logit + np.log(ceiling) - np.log(floor))
        knew_wrong = expit(logit + np.log1p(-np.asarray(ceiling)) - np.log1p(-np.asarray(floor)))
    chance = success_probability(logit, 0.0, floor, ceiling)
    return slope**2 * chance * (1 - chance) * (knew_right - knew_wrong) ** 2


def score_and_information(
    logit: FloatArray, score: FloatArray, floor: FloatArray | float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Derivative of the log-likelihood of an answer by its log-odds, and its expected information.

    Args:
        logit: Log-odds of knowing the answer.
        score: Score in [0, 1].
        floor: Chance of a right guess.

    Returns:
        The derivative and the information of each answer.
    """
    known = expit(logit)
    chance = floor + (1 - floor) * known
    share = known / chance
    # `item_information` without a ceiling, from the chance alone
    return score * share - known, known * share * (1 - chance)


def log_odds_of(chance: FloatArray) -> FloatArray:
    """Log-odds of chances, clipped to `CLIP` and 1 - `CLIP`, so that a certain but wrong prediction has a finite loss.

    Args:
        chance: Chances, 0 to 1.

    Returns:
        Log-odds.
    """
    bounded = np.clip(chance, CLIP, 1 - CLIP)
    return np.log(bounded) - np.log1p(-bounded)


def log_loss(log_odds: FloatArray, score: FloatArray) -> FloatArray:
    """Cross-entropy of predictions against scores in [0, 1], row by row, in nats: the one Bernoulli loss.

    Args:
        log_odds: Predicted log-odds of success.
        score: Observed scores.

    Returns:
        Loss of each row.
    """
    return -log_likelihood(log_odds, score)


def effective_trials(trials: FloatArray, correlation: float) -> FloatArray:
    """Number of independent trials that correlated ones count as: n / (1 + (n - 1) r) (Kish, 1965).

    Args:
        trials: Numbers of trials; those up to one are kept.
        correlation: Correlation of two trials of one model on one item, 0 to 1.
    """
    return trials / (1 + np.maximum(trials - 1, 0) * correlation)


def log_loss_of(chance: FloatArray, score: FloatArray, trials: FloatArray | None = None) -> float:
    """Mean cross-entropy of predicted chances over all trials, in nats.

    Args:
        chance: Predicted chances of success.
        score: Observed scores in [0, 1].
        trials: Number of trials behind each score; None for one each.

    Returns:
        The mean loss.
    """
    return float(np.average(log_loss(log_odds_of(chance), score), weights=trials))


CONFIDENCE_BOUNDS = (0.01, 0.99)
"""Limits to which stated confidences are clipped before their log-odds are taken."""


def confidence_log_odds(confidence: FloatArray) -> FloatArray:
    """Log-odds of confidences that models state, clipped to `CONFIDENCE_BOUNDS`, since many state 0 or 1.

    Args:
        confidence: Stated confidences, 0 to 1.

    Returns:
        Log-odds, finite.
    """
    return logit(np.clip(confidence, *CONFIDENCE_BOUNDS))


def logistic_regression(
    design: FloatArray,
    score: FloatArray,
    trials: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
    start: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Logistic regression with a Gaussian prior: posterior mode by bounded Newton steps, and Laplace covariance.

    Args:
        design: Predictors of each row (row, predictor).
        score: Scores (row,), 0 to 1.
        trials: Number of trials behind each score (row,).
        mean: Mean of the prior (predictor,).
        precision: Inverse covariance of the prior (predictor, predictor).
        start: Coefficients to start from; the prior's mean by default.

    Returns:
        Coefficients in log-odds (predictor,), and their covariance (predictor, predictor).
    """
    weight, curvature = mean if start is None else start, precision
    for _ in range(NEWTON_STEPS):
        chance = expit(design @ weight)
        gradient = design.T @ (trials * (score - chance)) - precision @ (weight - mean)
        curvature = (design * (trials * chance * (1 - chance))[:, None]).T @ design + precision
        step = np.linalg.solve(curvature, gradient)
        weight = weight + step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-8:
            break
    return weight, np.linalg.inv(curvature)


AREA_TOP = 10.0
"""Upper end of the demand scale over which the area under a curve is taken (Zhou et al., 2026)."""

Number = TypeVar("Number", float, "torch.Tensor", NDArray[np.floating])


def curve_log_odds(midpoint: Number, slope: Number, level: Number) -> Number:
    """Log-odds of success at a demand level; the arguments broadcast.

    Args:
        midpoint: Demand level at which success has even odds.
        slope: Log-odds lost with each level, positive.
        level: Demand level.
    """
    return slope * (midpoint - level)


def trapezoid_area(probability: FloatArray, grid: FloatArray) -> FloatArray:
    """Area under curves given on a grid of levels, along the last axis.

    Args:
        probability: Values of the curves, shape (..., level).
        grid: Demand levels, shape (level,).

    Returns:
        Areas, in demand levels, shape (...,).
    """
    return (np.diff(grid) * (probability[..., 1:] + probability[..., :-1]) / 2.0).sum(axis=-1)
