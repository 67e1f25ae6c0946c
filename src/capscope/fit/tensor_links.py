"""The formulas of `links` that engines compute on tensors, many of them in place, and the areas under curves.

See `links` for what the symbols mean. This module loads torch; `links` does not.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from capscope.fit.links import AREA_TOP, PROBIT_SCALE, curve_log_odds

Block = Float[Tensor, "*cells"]


def signed_residuals(mean: Block, variance: Block, sign: Block) -> tuple[Block, Block]:
    """Expected residual and curvature of binary answers, in place on all three arguments.

    Args:
        mean: Mean of the log-odds.
        variance: Their variance, plus 1 / `PROBIT_SCALE` (``8 / pi``), so that ``k`` is one product and one root.
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
        variance: Their variance, plus 1 / `PROBIT_SCALE`.
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
    even odds, which are likely guesses; with the expected information in its place slopes could diverge.

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
    """Log of the expected probability of scores in [0, 1], weighted by trials, above a floor.

    Args:
        mean: Means of the cells' log-odds.
        variance: Their variances.
        score: Scores of the cells.
        trials: Number of trials of each cell.
        floor: Chance of a right guess; None for 0.

    Returns:
        Log-likelihood of each cell.
    """
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

    Args:
        mean: Means of the log-odds of knowing.
        attenuation: Factor from 0 to 1 on the log-odds that stands for their uncertainty.
        floor: Chance of a right guess.
        ceiling: Chance of a right answer of a model that knows it.

    Returns:
        Probability of knowing given a right answer, and given a wrong one.
    """
    right = torch.sigmoid(attenuation * (mean + (torch.log(ceiling) - torch.log(floor))))
    wrong = torch.sigmoid(attenuation * (mean + (torch.log1p(-ceiling) - torch.log1p(-floor))))
    return right, wrong


def answer_log_chances(logit: Tensor, floor: Tensor, ceiling: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the chance of a right and of a wrong answer between a floor and a ceiling, differentiable.

    ``P = u p (1 + exp(log c - log u - z))``, and likewise for a wrong answer, stays exact in the tails.

    Args:
        logit: Log-odds of knowing.
        floor: Chance of a right guess.
        ceiling: Chance of a right answer of a model that knows it.

    Returns:
        Log probability of a right answer, and of a wrong one.
    """
    log, log1p = torch.log, torch.log1p
    softplus, logsigmoid = torch.nn.functional.softplus, torch.nn.functional.logsigmoid
    right = log(ceiling) + logsigmoid(logit) + softplus(log(floor) - log(ceiling) - logit)
    wrong = log1p(-floor) + logsigmoid(-logit) + softplus(log1p(-ceiling) - log1p(-floor) + logit)
    return right, wrong


def log_likelihood_of(
    logit: Tensor, score: Tensor, trials: Tensor, floor: Tensor, ceiling: Tensor | None = None
) -> Tensor:
    """Log-likelihood of scores in [0, 1] at known log-odds, differentiable; see `log_likelihood`.

    Args:
        logit: Log-odds of knowing.
        score: Scores, from 0 to 1.
        trials: Number of trials of each score.
        floor: Chance of a right guess.
        ceiling: Chance of a right answer of a model that knows it; None for 1.

    Returns:
        Log-likelihood of each score.
    """
    right, wrong = answer_log_chances(logit, floor, torch.ones_like(floor) if ceiling is None else ceiling)
    return trials * (score * right + (1 - score) * wrong)


def curve_area(midpoint: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Area under a curve over demand levels 0 to 10, in demand levels: the ability (Zhou et al., 2026).

    For a curve that starts near 1 and ends near 0 this is the midpoint; unlike the midpoint it is never negative.

    Args:
        midpoint: Demand level at which the chance is one half.
        slope: Decrease of the log-odds for each demand level.

    Returns:
        Areas, in demand levels.
    """
    return (
        softplus(curve_log_odds(midpoint, slope, torch.zeros_like(midpoint)))
        - softplus(curve_log_odds(midpoint, slope, torch.full_like(midpoint, AREA_TOP)))
    ) / slope


def lognormal_moments(mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of ``(a, d)`` with ``d = -a b`` where ``(log a, b)`` is Gaussian.

    Args:
        mean: Means of ``(log a, b)``, as (item, 2).
        cov: Their covariances, as (item, 2, 2).
    """
    log_slope, difficulty = mean[:, 0], mean[:, 1]
    var, cross, var_b = cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]
    slope = torch.exp(log_slope + var / 2)
    square = torch.exp(2 * log_slope + 2 * var)
    # weighting a Gaussian by a^k shifts the mean of b by k Cov(log a, b)
    once, twice = difficulty + cross, difficulty + 2 * cross
    moments = torch.empty_like(cov)
    moments[:, 0, 0] = square - slope.square()
    moments[:, 0, 1] = moments[:, 1, 0] = -(square * twice - slope.square() * once)
    moments[:, 1, 1] = square * (var_b + twice.square()) - (slope * once).square()
    return torch.stack([slope, -slope * once], 1), moments
