"""The default: regression where the new model resembles the past ones, AIPW where it does not."""

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.curves import AIPW, root_mean_square
from capscope.battery.estimators.estimator import Estimate, Sample
from capscope.battery.estimators.regression import regress


class Blend:
    """Regression R and AIPW A, weighted by their variances and by how far they disagree.

    ``w = s2_A / (s2_A + s2_R + max(D^2 - s2_A - s2_R, 0))`` on R, with ``D = R - A``: what their variances do not
    explain of D is bias of the regression. A model whose A lies outside the scores of the past models gets ``w = 0``,
    because a regression does not extrapolate.
    """

    def estimate(self, sample: Sample, level: float) -> Estimate:
        """See `Estimator`."""
        design = AIPW().estimate(sample, level)
        regression, error = regress(sample)
        variance, error_variance = design.sd**2, root_mean_square(error) ** 2
        gap = regression - design.score
        share = regression_share(gap, variance, error_variance)
        scores = sample.pool.scores
        inside = (design.score >= scores.min()) & (design.score <= scores.max())
        share = np.where(inside, share, 0.0)
        score = share * regression + (1 - share) * design.score
        bias = np.maximum(gap**2 - variance - error_variance, 0)
        sd = np.sqrt(_blend_variance(sample, share, error, design.sd) + share**2 * bias)
        freedom = min(sample.n, len(sample.past)) - 1
        return Estimate.student(score, sd, freedom, level).reaching(sample.score)


def regression_share(gap: RowFloats, variance: RowFloats, error_variance: float) -> RowFloats:
    """Weight of the regression, given the gap between the two and their variances."""
    excess = np.maximum(gap**2 - variance - error_variance, 0)
    return variance / (variance + error_variance + excess)


def _blend_variance(sample: Sample, share: FloatArray, error: FloatArray, design_sd: FloatArray) -> FloatArray:
    """Variance of the blend; that both err together is read off their errors on the past models."""
    past = sample.past_fitted.corrected - sample.pool.scores
    together = float((past * error).mean()) / max(root_mean_square(past) * root_mean_square(error), 1e-12)
    regression_sd = root_mean_square(error)
    cross = 2 * share * (1 - share) * max(together, 0.0) * regression_sd * design_sd
    return share**2 * regression_sd**2 + (1 - share) ** 2 * design_sd**2 + cross
