"""The default estimator: regression where the new model resembles the past ones, AIPW where it does not."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats
from capscope.battery.estimators.curves import estimate_aipw
from capscope.battery.estimators.estimator import Estimate, Estimator, Sample, misfit_log_ratio
from capscope.battery.estimators.regression import regress

OUTSIDE_ODDS = 10.0
"""The odds that a model is unlike the past ones are so many times the odds that its score is outside theirs."""

LEAST_SD = 1e-9


def estimate_blend(sample: Sample, level: float) -> Estimate:
    """Estimate scores by regression R and AIPW A, mixed by the probability that the model is unlike the past ones.

    For a model like the past ones, R and A are combined as is best on the past models. For a model unlike them A
    alone is used, because a regression does not extrapolate. Three observations indicate a model unlike them: an A
    near or beyond the range of past scores, a gap between R and A wider than on past models, and an answer pattern
    unlike theirs. The interval is that of the mixture, so that a doubtful case has a wide one.

    Args:
        sample: The drawn items and the answers.
        level: Nominal coverage.
    """
    design = estimate_aipw(sample, level)
    regression, error = regress(sample)
    past = PastErrors.of(sample.past_fitted.corrected - sample.pool.scores, error)
    score, sd = blended(design, regression, past, sample.pool.scores, sample.misfit)
    freedom = min(sample.n, len(sample.past)) - 1
    return Estimate.student(score, sd, freedom, level).reaching(sample.score)


def blended(
    design: Estimate, regression: RowFloats, past: "PastErrors", scores: FloatArray, misfit: RowFloats
) -> tuple[RowFloats, RowFloats]:
    """Return scores and standard deviations of the mixture.

    Args:
        design: Estimates that hold for any model (AIPW).
        regression: Estimates that hold for models like the past ones.
        past: Errors of both on the past models.
        scores: Scores of the past models.
        misfit: Probability that each new model's answer pattern is unlike that of every past model.
    """
    unlike = chance_unlike(design, regression, scores, past.gap_variance)
    unlike = unlike + (1 - unlike) * misfit
    alike = past.share * regression + (1 - past.share) * design.score
    apart = unlike * (1 - unlike) * (alike - design.score) ** 2
    variance = (1 - unlike) * past.variance + unlike * design.sd**2 + apart
    return (1 - unlike) * alike + unlike * design.score, np.sqrt(variance)


@dataclass(frozen=True)
class PastErrors:
    """Joint errors of AIPW and the regression on the past models."""

    share: float
    """Share of the regression in the combination with the least squared error."""
    variance: float
    """Mean squared error of that combination."""
    gap_variance: float
    """Mean squared difference of the two."""

    @classmethod
    def of(cls, design: RowFloats, regression: RowFloats, weight: RowFloats | None = None) -> "PastErrors":
        """Return the combination of both with the least squared error on the past models.

        Args:
            design: Errors of AIPW, by past model.
            regression: Errors of the regression, each from a fit without that model.
            weight: Weight of each past model; equal by default.
        """
        gap, count = regression - design, np.ones(len(design)) if weight is None else weight
        count = count / count.sum()
        share = float(np.clip(-(count @ (design * gap)) / max(float(count @ gap**2), 1e-12), 0, 1))
        return cls(share, float(count @ (design + share * gap) ** 2), max(float((gap**2).mean()), 1e-12))


def chance_unlike(design: Estimate, regression: RowFloats, past: FloatArray, gap_variance: float) -> RowFloats:
    """Return the probability that each new model is unlike the past ones.

    Args:
        design: Estimates by AIPW.
        regression: Estimates by regression.
        past: Scores of the past models.
        gap_variance: Mean squared difference of the two estimates on the past models.
    """
    # a pool that was answered as a whole leaves no uncertainty
    sd = np.maximum(design.sd, LEAST_SD)
    outside = stats.norm.cdf(design.score, past.max(), sd) + stats.norm.sf(design.score, past.min(), sd)
    log_ratio = misfit_log_ratio((regression - design.score) ** 2 / gap_variance)
    return expit(np.log(OUTSIDE_ODDS) + logit(np.clip(outside, 1e-12, 1 - 1e-12)) + log_ratio)


BLEND = Estimator(
    name="blend", help="rsl and aipw, by how much the model resembles past ones", needs="bank", estimate=estimate_blend
)
