"""The default: regression where the new model resembles the past ones, AIPW where it does not."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.curves import AIPW
from capscope.battery.estimators.estimator import Estimate, Sample
from capscope.battery.estimators.regression import regress

STRANGE_SPREAD = 3.0
"""A model unlike the past ones has a gap between both estimates this many times as wide as theirs."""
OUTSIDE_ODDS = 10.0
"""So many times the odds that a score lies outside the past ones are the odds that the model is unlike them."""


class Blend:
    """Regression R and AIPW A, mixed by the chance that the new model is unlike the past ones.

    For a model like them R and A are combined as serves the past models best. For another kind only A holds, because a
    regression does not extrapolate. Two things speak for another kind: an A near or beyond the edge of what past models
    scored, and a gap between R and A wider than theirs. The interval is that of the mixture, so that a doubtful case
    has a wide one.
    """

    def estimate(self, sample: Sample, level: float) -> Estimate:
        """See `Estimator`."""
        design = AIPW().estimate(sample, level)
        regression, error = regress(sample)
        past = PastErrors.of(sample.past_fitted.corrected - sample.pool.scores, error)
        unlike = chance_unlike(design, regression, sample.pool.scores, past.gap_variance)
        alike = past.share * regression + (1 - past.share) * design.score
        score = (1 - unlike) * alike + unlike * design.score
        apart = unlike * (1 - unlike) * (alike - design.score) ** 2
        variance = (1 - unlike) * past.variance + unlike * design.sd**2 + apart
        freedom = min(sample.n, len(sample.past)) - 1
        return Estimate.student(score, np.sqrt(variance), freedom, level).reaching(sample.score)


@dataclass(frozen=True)
class PastErrors:
    """How AIPW and the regression err on the past models, together."""

    share: float
    """Share of the regression in the combination with the least squared error."""
    variance: float
    """Mean squared error of that combination."""
    gap_variance: float
    """Mean squared difference of the two."""

    @classmethod
    def of(cls, design: RowFloats, regression: RowFloats) -> "PastErrors":
        """From both errors on each past model, the regression's left out."""
        gap = regression - design
        gap_variance = max(float((gap**2).mean()), 1e-12)
        share = float(np.clip(-(design * gap).mean() / gap_variance, 0, 1))
        return cls(share, float(((design + share * gap) ** 2).mean()), gap_variance)


def chance_unlike(design: Estimate, regression: RowFloats, past: FloatArray, gap_variance: float) -> RowFloats:
    """Chance that each new model is unlike the past ones.

    Args:
        design: Estimates by AIPW.
        regression: Estimates by regression.
        past: Scores of the past models.
        gap_variance: Mean squared difference of the two estimates on the past models.
    """
    outside = stats.norm.cdf(design.score, past.max(), design.sd) + stats.norm.sf(design.score, past.min(), design.sd)
    wide = STRANGE_SPREAD**2 / (1 + STRANGE_SPREAD**2)
    square = (regression - design.score) ** 2 / gap_variance
    log_ratio = 0.5 * wide * square - 0.5 * np.log1p(STRANGE_SPREAD**2)
    return expit(np.log(OUTSIDE_ODDS) + logit(np.clip(outside, 1e-12, 1 - 1e-12)) + log_ratio)
