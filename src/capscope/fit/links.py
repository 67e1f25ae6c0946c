"""Every formula for P(success) of the item response models, in log-odds.

The log-odds of model m on item i are ``z = a_i . theta_m + d_i``; a known floor c of guessing gives
``P = c + (1 - c) sigmoid(z)``. Where z is uncertain, with mean and variance known, the expectation of the logistic
is taken by probit attenuation (MacKay, 1992): ``E sigmoid(z) ~ sigmoid(k mean)``, ``k = rsqrt(1 + pi/8 variance)``.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import expit, log_expit
from torch import Tensor

from capscope.axes import FloatArray

PROBIT_SCALE = math.pi / 8
"""The variance of log-odds is worth this much in the probit approximation of the logistic."""

Block = Float[Tensor, "*cells"]


def logit_mean(ability: FloatArray, slope: FloatArray, intercept: FloatArray) -> FloatArray:
    """Log-odds of success ``a . theta + d``; abilities and slopes share their last axis, the dimension."""
    return (ability * slope).sum(-1) + intercept


def success_probability(mean: FloatArray, variance: FloatArray, floor: FloatArray | float = 0.0) -> FloatArray:
    """Expected chance of success where the log-odds are Gaussian.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance; 0 where they are known.
        floor: Chance of a right guess.
    """
    return floor + (1 - floor) * expit(mean / np.sqrt(1 + PROBIT_SCALE * variance))


def log_likelihood(logit: FloatArray, score: FloatArray, trials: FloatArray | float = 1.0) -> FloatArray:
    """Log-likelihood of scores in [0, 1] given log-odds: binomial up to its constant, quasi-binomial between."""
    return trials * (score * log_expit(logit) + (1 - score) * log_expit(-logit))


def item_information(logit: FloatArray, slope: FloatArray, floor: FloatArray | float = 0.0) -> FloatArray:
    """Fisher information about ability of an answer with these log-odds: ``a^2 p (1 - p)`` without a floor.

    Args:
        logit: Log-odds of knowing the answer.
        slope: Slope of the item.
        floor: Chance of a right guess; it costs the share ``(1 - c) p / P`` (Birnbaum, 1968).
    """
    known = expit(logit)
    share = (1 - floor) * known / (floor + (1 - floor) * known)
    return slope**2 * known * (1 - known) * share


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
    share = known / (floor + (1 - floor) * known)
    return score * share - known, item_information(logit, np.ones_like(logit), floor)


def score_log_loss(probability: FloatArray, score: FloatArray) -> FloatArray:
    """Log-loss of predicted chances of success against scores in [0, 1]; chances are kept off 0 and 1 by 1e-6."""
    chance = np.clip(probability, 1e-6, 1 - 1e-6)
    return -(score * np.log(chance) + (1 - score) * np.log1p(-chance))


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

    A floor enters by the chance that a right answer was known, ``h = p / P``; the curvature is then the expected
    information, which stays positive.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance, plus one attenuation unit.
        score: Score of each cell.
        trials: Trials of each cell; 0 for not administered.
        floor: Chance of a right guess, on each row or on each column; None for none.
    """
    attenuation = variance.mul_(PROBIT_SCALE).rsqrt_()
    logit = mean.mul_(attenuation)
    # p / P = sigmoid(z - log c), which is 1 without a floor and never 0 / 0
    share = None if floor is None else torch.sigmoid(logit - torch.log(floor))
    known = logit.sigmoid_()
    residual = (score - known if share is None else score * share - known).mul_(trials)
    curvature = known.addcmul_(known, known, value=-1)
    if share is not None and floor is not None:
        curvature = curvature.mul_(share).mul_(1 - floor)
    return residual, curvature.mul_(attenuation).mul_(trials)


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
    wrong = torch.nn.functional.logsigmoid(-logit)
    if floor is None:
        return trials * (score * torch.nn.functional.logsigmoid(logit) + (1 - score) * wrong)
    right = torch.log(floor + (1 - floor) * torch.sigmoid(logit)).clamp_min(-80)
    return trials * (score * right + (1 - score) * (torch.log1p(-floor) + wrong))


def log_likelihood_of(
    logit: Float[Tensor, "..."], score: Float[Tensor, "..."], trials: Float[Tensor, "..."], floor: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Log-likelihood of scores in [0, 1] at known log-odds above a floor, differentiable; see `log_likelihood`."""
    wrong = torch.nn.functional.logsigmoid(-logit) + torch.log1p(-floor)
    guessed = torch.log(floor.clamp_min(torch.finfo(floor.dtype).tiny)) - logit
    right = torch.nn.functional.logsigmoid(logit) + torch.where(
        floor > 0, torch.nn.functional.softplus(guessed), torch.zeros_like(guessed)
    )
    return trials * (score * right + (1 - score) * wrong)
