"""Estimators that use item response curves: p-IRT, gp-IRT, and AIPW with the curves as its outcome model."""

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.estimator import Estimate, Estimator, Sample

DESIGN_WEIGHT = 20
"""Weight of the design's variance against errors on past models, in models; its share is at least a third."""


def estimate_pirt(sample: Sample, level: float) -> Estimate:
    """Estimate scores by answers where drawn and chances of a multidimensional 2PL elsewhere (Maia Polo et al., 2024).

    The interval is the error of the same estimate on the past models.

    Args:
        sample: The drawn items and the answers.
        level: Nominal coverage.
    """
    score = sample.fitted.filled
    sd = root_mean_square(sample.past_fitted.filled - sample.pool.scores)
    return Estimate.student(score, np.full_like(score, sd), len(sample.past) - 1, level)


def estimate_gpirt(sample: Sample, level: float) -> Estimate:
    """Estimate scores by weighted mean and p-IRT, mixed by their errors on past models (Maia Polo et al., 2024).

    Args:
        sample: The drawn items and the answers.
        level: Nominal coverage.
    """
    error_mean = (sample.past * sample.weight).sum(1) - sample.pool.scores
    error_curves = sample.past_fitted.filled - sample.pool.scores
    share = mixing_share(error_mean, error_curves)
    curves = sample.fitted.filled
    score = share * (sample.score * sample.weight).sum(1) + (1 - share) * curves
    sd = root_mean_square(share * error_mean + (1 - share) * error_curves)
    return Estimate.student(score, np.full_like(score, sd), len(sample.past) - 1, level)


def estimate_aipw(sample: Sample, level: float) -> Estimate:
    """Estimate scores by chances on the whole pool, corrected by the weighted residuals of the drawn answers.

    The estimate is unbiased over draws whatever the quality of the curves, which only make the interval narrower
    (augmented inverse propensity weighting; Robins, Rotnitzky & Zhao, 1994). The interval is that of the draw, from
    residuals that leave the answer itself out.

    Args:
        sample: The drawn items and the answers.
        level: Nominal coverage.
    """
    sd = np.maximum(_calibration(sample) * sample.design_sd(sample.fitted.left_out), smallest_sd(sample))
    return Estimate.student(sample.fitted.corrected, sd, sample.n - 1, level).reaching(sample.score)


def _calibration(sample: Sample) -> RowFloats:
    error = sample.past_fitted.corrected - sample.pool.scores
    return design_calibration(error, sample.design_sd(sample.past_fitted.left_out) ** 2, sample.misfit)


def design_calibration(error: FloatArray, variance: FloatArray, misfit: RowFloats) -> RowFloats:
    """Return the factor on the standard deviation of a draw: observed errors on past models over stated ones.

    Abilities adapt to the drawn answers, so errors are smaller than residuals suggest, except for a model whose
    answers do not fit the curves. The factor is shrunk to 1 where past models are few.

    Args:
        error: Error on each past model.
        variance: Variance of each error as the draw states it.
        misfit: Probability that each new model's answers do not fit the curves.
    """
    ratio = (error**2).mean() / max(variance.mean(), 1e-12)
    n_past = min(len(error), 2 * DESIGN_WEIGHT)
    square = np.clip((n_past * ratio + DESIGN_WEIGHT) / (n_past + DESIGN_WEIGHT), 0.25, 2.25)
    return np.sqrt((1 - misfit) * square + misfit * max(square, 1.0))


def smallest_sd(sample: Sample) -> float:
    """Return the smallest standard deviation after so many answers, all right or all wrong: half an answer."""
    left = max(1 - sample.n / sample.pool.size, 0.0)
    return 0.5 / (sample.n + 1) * left**0.5


def mixing_share(first: RowFloats, second: RowFloats) -> float:
    """Return the share of the first estimate in the mixture with the least squared error, between 0 and 1.

    Args:
        first: Errors of the first estimate, one per past model.
        second: Errors of the second estimate, in the same order.
    """
    gap = second - first
    return float(np.clip((second * gap).mean() / max((gap**2).mean(), 1e-12), 0, 1))


def root_mean_square(error: RowFloats) -> float:
    """Return the root mean square."""
    return float(np.sqrt((error**2).mean()))


PIRT = Estimator(
    name="pirt", help="answers, and chances of the fitted curves elsewhere", needs="bank", estimate=estimate_pirt
)
GPIRT = Estimator(name="gpirt", help="mean and pirt, mixed", needs="bank", estimate=estimate_gpirt)
AIPW = Estimator(
    name="aipw", help="chances corrected by weighted residuals; unbiased", needs="bank", estimate=estimate_aipw
)
