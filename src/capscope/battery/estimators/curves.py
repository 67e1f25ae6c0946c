"""Estimators that read the score off item response curves: p-IRT, gp-IRT, and AIPW with curves as its guess."""

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.estimator import Estimate, Sample

TRUSTED_MODELS = 20
"""The design's own variance counts as much as the errors of so many past models, and never less than a third."""


class PIRT:
    """Answers where drawn, chances of a multidimensional 2PL elsewhere (p-IRT; Maia Polo et al., 2024).

    The interval is the error of the same estimate on the past models.
    """

    def estimate(self, sample: Sample, level: float) -> Estimate:
        """See `Estimator`."""
        score = sample.fitted.filled
        sd = root_mean_square(sample.past_fitted.filled - sample.pool.scores)
        return Estimate.student(score, np.full_like(score, sd), len(sample.past) - 1, level)


class GPIRT:
    """Weighted mean and p-IRT, mixed by their errors on the past models (gp-IRT; Maia Polo et al., 2024)."""

    def estimate(self, sample: Sample, level: float) -> Estimate:
        """See `Estimator`."""
        error_mean = (sample.past * sample.weight).sum(1) - sample.pool.scores
        error_curves = sample.past_fitted.filled - sample.pool.scores
        share = mixing_share(error_mean, error_curves)
        curves = sample.fitted.filled
        score = share * (sample.score * sample.weight).sum(1) + (1 - share) * curves
        sd = root_mean_square(share * error_mean + (1 - share) * error_curves)
        return Estimate.student(score, np.full_like(score, sd), len(sample.past) - 1, level)


class AIPW:
    """Chances on the whole pool, corrected by the residuals of the answers drawn, with their draw chances.

    Unbiased over draws whatever the curves are worth (augmented inverse propensity weighting; Robins, Rotnitzky &
    Zhao, 1994); the curves only make it narrower. The interval is that of the draw, from left-out residuals.
    """

    def estimate(self, sample: Sample, level: float) -> Estimate:
        """See `Estimator`."""
        sd = np.maximum(_calibration(sample) * sample.design_sd(sample.fitted.left_out), smallest_sd(sample))
        return Estimate.student(sample.fitted.corrected, sd, sample.n - 1, level).reaching(sample.score)


def _calibration(sample: Sample) -> RowFloats:
    error = sample.past_fitted.corrected - sample.pool.scores
    return design_calibration(error, sample.design_sd(sample.past_fitted.left_out) ** 2, sample.misfit)


def design_calibration(error: FloatArray, variance: FloatArray, misfit: RowFloats) -> RowFloats:
    """Factor on the standard deviation of a draw: how large errors on past models are, against what the draw says.

    Abilities adapt to the answers drawn, so that errors are smaller than residuals suggest; not so those of a model
    whose answers do not fit the curves. The factor is drawn to 1 where past models are few.

    Args:
        error: Error on each past model.
        variance: The variance that the draw says it has.
        misfit: Chance that each new model is no case for their curves.
    """
    ratio = (error**2).mean() / max(variance.mean(), 1e-12)
    n_past = min(len(error), 2 * TRUSTED_MODELS)
    square = np.clip((n_past * ratio + TRUSTED_MODELS) / (n_past + TRUSTED_MODELS), 0.25, 2.25)
    return np.sqrt((1 - misfit) * square + misfit * max(square, 1.0))


def smallest_sd(sample: Sample) -> float:
    """The least a draw of so many answers can leave open: half an answer more or less (all right, all wrong)."""
    left = max(1 - sample.n / sample.pool.size, 0.0)
    return 0.5 / (sample.n + 1) * left**0.5


def mixing_share(first: RowFloats, second: RowFloats) -> float:
    """Share of the first estimate in the mixture with the least squared error, between 0 and 1."""
    gap = second - first
    return float(np.clip((second * gap).mean() / max((gap**2).mean(), 1e-12), 0, 1))


def root_mean_square(error: RowFloats) -> float:
    """Root mean square."""
    return float(np.sqrt((error**2).mean()))
