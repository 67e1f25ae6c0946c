"""Every formula for P(success) of the item response models, in log-odds.

The log-odds of model m on item i are ``z = a_i . theta_m + d_i``. A floor c of guessing and a ceiling u (below 1 for
slips) give ``P = c + (u - c) sigmoid(z)`` (Birnbaum, 1968; Barton & Lord, 1981): a model knows the answer with chance
``sigmoid(z)``; it gives a right answer with chance u if it knows it, else with chance c. Where z is uncertain, with
mean and variance known, the expectation of the logistic is taken by probit attenuation (MacKay, 1992): ``E sigmoid(z)
~ sigmoid(k mean)``, ``k = rsqrt(1 + pi/8 variance)``.
"""

import math
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import expit, log_expit
from torch import Tensor
from torch.nn.functional import softplus

from capscope.axes import FloatArray

PROBIT_SCALE = math.pi / 8
"""Factor of the variance of log-odds in the probit approximation of the logistic."""

CLIP = 1e-6
"""Least distance of predicted chances from 0 and 1 where they are scored."""

Block = Float[Tensor, "*cells"]


def logit_mean(ability: FloatArray, slope: FloatArray, intercept: FloatArray) -> FloatArray:
    """Log-odds of success ``a . theta + d``; abilities and slopes share their last axis, the dimension."""
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
    """
    return floor + (ceiling - floor) * expit(attenuated(mean, variance))


def attenuated(mean: FloatArray, variance: FloatArray | float) -> FloatArray:
    """Log-odds whose logistic is the expected chance under Gaussian log-odds (MacKay, 1992)."""
    return mean / np.sqrt(1 + PROBIT_SCALE * variance)


def log_likelihood(logit: FloatArray, score: FloatArray, trials: FloatArray | float = 1.0) -> FloatArray:
    """Log-likelihood of scores in [0, 1] given log-odds: binomial up to its constant, quasi-binomial between."""
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
    """
    known = expit(logit)
    chance = floor + (1 - floor) * known
    share = known / chance
    # `item_information` without a ceiling, from what is at hand
    return score * share - known, known * share * (1 - chance)


def log_odds_of(chance: FloatArray) -> FloatArray:
    """Log-odds of chances, kept off 0 and 1 by `CLIP`, so that one sure mistake does not cost without end."""
    bounded = np.clip(chance, CLIP, 1 - CLIP)
    return np.log(bounded) - np.log1p(-bounded)


def log_loss(log_odds: FloatArray, score: FloatArray) -> FloatArray:
    """Cross-entropy of predictions against scores in [0, 1], row by row, in nats: the one Bernoulli loss.

    Args:
        log_odds: Predicted log-odds of success.
        score: Observed scores.
    """
    return -log_likelihood(log_odds, score)


def log_loss_of(chance: FloatArray, score: FloatArray, trials: FloatArray | None = None) -> float:
    """Mean cross-entropy of predicted chances over all trials, in nats.

    Args:
        chance: Predicted chances of success.
        score: Observed scores in [0, 1].
        trials: Number of trials behind each score; None for one each.
    """
    return float(np.average(log_loss(log_odds_of(chance), score), weights=trials))


def signed_residuals(mean: Block, variance: Block, sign: Block) -> tuple[Block, Block]:
    """Expected residual and curvature of binary answers, in place on all three arguments.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance, plus one attenuation unit (``8 / pi``), so that ``k`` is one product and one root.
        sign: 1 for right, -1 for wrong, 0 for not administered.

    Returns:
        ``E[y - P]`` and ``-E[d2 log P / dz2]``; both 0 where nothing was administered.
    """
    attenuation = variance.mul_(PROBIT_SCALE).rsqrt_()
    opposite = mean.mul_(attenuation).mul_(sign).neg_().sigmoid_()
    residual = sign.mul_(opposite)
    # |r| - r^2 is p (1 - p) on observed cells and 0 on the others, so no mask is needed
    magnitude = torch.abs(residual, out=mean)
    curvature = magnitude.addcmul_(residual, residual, value=-1).mul_(attenuation)
    return residual, curvature


def weighted_residuals(
    mean: Block, variance: Block, score: Block, trials: Block, floor: Float[Tensor, "*#cells"] | None = None
) -> tuple[Block, Block]:
    """Expected residual and curvature of scores in [0, 1] with trials behind them, in place on mean and variance.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance, plus one attenuation unit.
        score: Score of each cell.
        trials: Trials of each cell; 0 for not administered.
        floor: Chance of a right guess, on each row or on each column; None for none.
    """
    attenuation = variance.mul_(PROBIT_SCALE).rsqrt_()
    if floor is not None:
        residual, curvature = asymptote_residuals(mean, attenuation, score, floor, torch.ones_like(floor))
        return residual.mul_(trials), curvature.mul_(trials)
    known = mean.mul_(attenuation).sigmoid_()
    residual = (score - known).mul_(trials)
    curvature = known.addcmul_(known, known, value=-1)
    return residual, curvature.mul_(attenuation).mul_(trials)


def asymptote_residuals(
    mean: Tensor, attenuation: Tensor, score: Tensor, floor: Tensor, ceiling: Tensor
) -> tuple[Tensor, Tensor]:
    """Expected residual and curvature of scores between a floor and a ceiling.

    The residual is the gradient of the log-likelihood in the log-odds: the change in the chance that the answer was
    known, once the score is observed. The curvature is minus its derivative, and negative for right answers far below
    even odds, which are likely guesses; the expected information in its place would let slopes run away.

    Args:
        mean: Mean of the log-odds.
        attenuation: ``k`` of their variance; 1 where they are known.
        score: Scores in [0, 1].
        floor: Chance of a right guess.
        ceiling: Chance of a right answer from a model that knows it.
    """
    right, wrong = knowing_shares(mean, attenuation, floor, ceiling)
    known = torch.sigmoid(mean * attenuation)
    residual = score * right + (1 - score) * wrong - known
    spread = score * right * (1 - right) + (1 - score) * wrong * (1 - wrong)
    return residual, attenuation * (known * (1 - known) - spread)


def signed_log_likelihood(mean: Block, variance: Block, sign: Block) -> Block:
    """Log of the expected chance of binary answers, in place on mean and variance.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance.
        sign: 1 for right, -1 for wrong, 0 for not administered (which adds ``-log 2``, the same at any log-odds).
    """
    attenuation = variance.mul_(PROBIT_SCALE).add_(1).rsqrt_()
    return torch.nn.functional.logsigmoid(mean.mul_(attenuation).mul_(sign))


def weighted_log_likelihood(
    mean: Block, variance: Block, score: Block, trials: Block, floor: Float[Tensor, "*#cells"] | None = None
) -> Block:
    """Log of the expected chance of scores in [0, 1] with trials behind them, above a floor."""
    logit = mean * torch.rsqrt(1 + PROBIT_SCALE * variance)
    if floor is not None:
        return log_likelihood_of(logit, score, trials, floor)
    right, wrong = torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)
    return trials * (score * right + (1 - score) * wrong)


def knowing_shares(mean: Tensor, attenuation: Tensor, floor: Tensor, ceiling: Tensor) -> tuple[Tensor, Tensor]:
    """Expected chance that the answer was known, given that it is right (``u p / P``) and given that it is wrong.

    As log-odds they are those of knowing plus a constant, so that they are never 0 / 0: without asymptotes a right
    answer was known and a wrong one was not. The constant is attenuated along: the expectation is over what is
    believed of the log-odds once the answer is seen.
    """
    right = torch.sigmoid(attenuation * (mean + (torch.log(ceiling) - torch.log(floor))))
    wrong = torch.sigmoid(attenuation * (mean + (torch.log1p(-ceiling) - torch.log1p(-floor))))
    return right, wrong


def answer_log_chances(logit: Tensor, floor: Tensor, ceiling: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the chance of a right and of a wrong answer between a floor and a ceiling, differentiable.

    ``P = u p (1 + exp(log c - log u - z))``, and likewise for a wrong answer, stays exact in the tails.
    """
    log, log1p = torch.log, torch.log1p
    softplus, logsigmoid = torch.nn.functional.softplus, torch.nn.functional.logsigmoid
    right = log(ceiling) + logsigmoid(logit) + softplus(log(floor) - log(ceiling) - logit)
    wrong = log1p(-floor) + logsigmoid(-logit) + softplus(log1p(-ceiling) - log1p(-floor) + logit)
    return right, wrong


def log_likelihood_of(
    logit: Tensor, score: Tensor, trials: Tensor, floor: Tensor, ceiling: Tensor | None = None
) -> Tensor:
    """Log-likelihood of scores in [0, 1] at known log-odds, differentiable; see `log_likelihood`."""
    right, wrong = answer_log_chances(logit, floor, torch.ones_like(floor) if ceiling is None else ceiling)
    return trials * (score * right + (1 - score) * wrong)


AREA_TOP = 10.0
"""Upper end of the demand scale over which the area under a curve is taken (Zhou et al., 2026)."""

Number = TypeVar("Number", float, torch.Tensor, NDArray[np.floating])


def curve_log_odds(midpoint: Number, slope: Number, level: Number) -> Number:
    """Log-odds of success at a demand level; the arguments broadcast.

    Args:
        midpoint: Demand level at which success has even odds.
        slope: Log-odds lost with each level, positive.
        level: Demand level.
    """
    return slope * (midpoint - level)


def curve_area(midpoint: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Area under a curve over demand levels 0 to 10, in demand levels: the ability (Zhou et al., 2026).

    For a curve that starts near 1 and ends near 0 this is the midpoint; unlike the midpoint it is never negative.
    """
    return (
        softplus(curve_log_odds(midpoint, slope, torch.zeros_like(midpoint)))
        - softplus(curve_log_odds(midpoint, slope, torch.full_like(midpoint, AREA_TOP)))
    ) / slope


def trapezoid_area(probability: FloatArray, grid: FloatArray) -> FloatArray:
    """Area under curves given on a grid of levels, along the last axis."""
    return (np.diff(grid) * (probability[..., 1:] + probability[..., :-1]) / 2.0).sum(axis=-1)
