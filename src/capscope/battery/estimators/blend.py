"""The default: regression where the new model resembles the past ones, AIPW where it does not."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.curves import AIPW
from capscope.battery.estimators.estimator import Estimate, Sample
from capscope.battery.estimators.person_fit import strange_log_odds
from capscope.battery.estimators.regression import regress

OUTSIDE_ODDS = 10.0
"""So many times the odds that a score lies outside the past ones are the odds that the model is unlike them."""


class Blend:
    """Regression R and AIPW A, mixed by the chance that the new model is unlike the past ones.

    For a model like them R and A are combined as serves the past models best. For another kind only A holds, because a
    regression does not extrapolate. Three things speak for another kind: an A near or beyond the edge of what past
    models scored, a gap between R and A wider than theirs, and answers in a pattern that no past model has. The
    interval is that of the mixture, so that a doubtful case has a wide one.
    """

    def estimate(self, sample: Sample, level: float) -> Estimate:
        """See `Estimator`."""
        design = AIPW().estimate(sample, level)
        regression, error = regress(sample)
        past = PastErrors.of(sample.past_fitted.corrected - sample.pool.scores, error)
        score, sd = blended(design, regression, past, sample.pool.scores, sample.misfit)
        freedom = min(sample.n, len(sample.past)) - 1
        return Estimate.student(score, sd, freedom, level).reaching(sample.score)


def blended(
    design: Estimate, regression: RowFloats, past: "PastErrors", scores: FloatArray, misfit: RowFloats
) -> tuple[RowFloats, RowFloats]:
    """Scores and standard deviations of the mixture of both kinds.

    Args:
        design: Estimates that hold for any model.
        regression: Estimates that hold for models like the past ones.
        past: How both err on the past models.
        scores: Scores of the past models.
        misfit: Chance that each new model answers in a pattern that no past model has.
    """
    unlike = chance_unlike(design, regression, scores, past.gap_variance)
    unlike = unlike + (1 - unlike) * misfit
    alike = past.share * regression + (1 - past.share) * design.score
    apart = unlike * (1 - unlike) * (alike - design.score) ** 2
    variance = (1 - unlike) * past.variance + unlike * design.sd**2 + apart
    return (1 - unlike) * alike + unlike * design.score, np.sqrt(variance)


@dataclass(frozen=True)
class PastErrors:
    """How the estimate of the draw (AIPW) and the regression err on the past models, together."""

    share: float
    """Share of the regression in the combination with the least squared error."""
    variance: float
    """Mean squared error of that combination."""
    gap_variance: float
    """Mean squared difference of the two."""

    @classmethod
    def of(cls, design: RowFloats, regression: RowFloats, weight: RowFloats | None = None) -> "PastErrors":
        """From both errors on each past model, the regression's left out.

        Args:
            design: Errors of the estimate of the draw.
            regression: Errors of the regression.
            weight: What each past model counts in share and variance; all alike by default.
        """
        gap, count = regression - design, np.ones(len(design)) if weight is None else weight
        count = count / count.sum()
        share = float(np.clip(-(count @ (design * gap)) / max(float(count @ gap**2), 1e-12), 0, 1))
        return cls(share, float(count @ (design + share * gap) ** 2), max(float((gap**2).mean()), 1e-12))


def chance_unlike(design: Estimate, regression: RowFloats, past: FloatArray, gap_variance: float) -> RowFloats:
    """Chance that each new model is unlike the past ones.

    Args:
        design: Estimates by AIPW.
        regression: Estimates by regression.
        past: Scores of the past models.
        gap_variance: Mean squared difference of the two estimates on the past models.
    """
    outside = stats.norm.cdf(design.score, past.max(), design.sd) + stats.norm.sf(design.score, past.min(), design.sd)
    log_ratio = strange_log_odds((regression - design.score) ** 2 / gap_variance)
    return expit(np.log(OUTSIDE_ODDS) + logit(np.clip(outside, 1e-12, 1 - 1e-12)) + log_ratio)
