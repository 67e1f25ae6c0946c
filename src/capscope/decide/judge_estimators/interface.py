"""Interface of estimators of a model's true mean score, and the augmented mean that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logit, stdtrit

from capscope.axes import Float
from capscope.decide.difference import drawn_se, variance_of
from capscope.decide.judge_data import JudgedAnswers

RARE = 2.5
"""Skewness of the errors from which positive and negative errors get separate bounds (one error in nine or rarer)."""

SMALLEST_ERROR = 1e-6
"""Range below which errors count as equal."""

FLATTEST = 1e-12
"""Variance below which errors count as equal."""

MOST_LOG_ODDS = 2.0
"""Largest half-width in log-odds of bounds that are symmetric on that scale."""


@dataclass(frozen=True)
class MeanEstimate:
    """An estimated mean score over a model's judged answers."""

    value: float
    """The estimate, in [0, 1] up to sampling error."""
    se: float
    """Standard error over draws of the labels."""
    freedom: float
    """Degrees of freedom of the standard error."""
    error: Float[np.ndarray, " label"] = field(default_factory=lambda: np.zeros(0), repr=False)
    """Label minus prediction of each labelled answer; empty where weights differ or where all predictions are right."""
    skewed: bool = False
    """Whether bounds are asymmetric, by the skewness of the errors."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Bounds within 0 and 1: symmetric by Student's t, or asymmetric by the skewness of the errors."""
        if self.skewed and self.se > 0:
            return skewed_bounds(self, level)
        half = float(stdtrit(max(self.freedom, 1.0), 0.5 + level / 2)) * self.se
        return max(0.0, self.value - half), min(1.0, self.value + half)


@dataclass(frozen=True)
class JudgeEstimator:
    """A member of the family: an estimator of a model's true mean score from judged and labelled answers."""

    name: str
    """Name on the command line and in JSON."""
    help: str
    """One line for help texts and tables."""
    estimate: Callable[[JudgedAnswers], MeanEstimate]
    """Estimate from answers of which at least two are labelled, sampled with equal or known probabilities."""


def corrected_mean(
    answers: JudgedAnswers,
    predicted: Float[np.ndarray, " answer"],
    error: Float[np.ndarray, " label"],
    lost: int,
) -> MeanEstimate:
    """Mean of the labels, and of corrected predictions for answers without a label.

    Predictions are corrected by their mean error on the labelled answers, weighted by inverse probability (augmented
    inverse probability weighting; Robins, Rotnitzky & Zhao, 1994).

    Args:
        answers: Judged answers.
        predicted: Prediction of each answer's truth.
        error: Label minus prediction of each labelled answer, predicted without its own label.
        lost: Number of parameters of the prediction that were fitted to the labels.
    """
    n, n_answers = len(error), len(answers.label)
    freedom = float(max(n - 1 - lost, 1))
    lost_spread = (n - 1) / freedom
    no_errors = _has_no_errors(answers.label[answers.labelled], error)
    kept = np.zeros(0) if no_errors else error
    if answers.chance is not None:
        share = 1 / answers.weight
        offset = float(np.average(error, weights=answers.weight))
        se = drawn_se(np.zeros(n) if no_errors else error - offset, share, n_answers) * float(np.sqrt(lost_spread))
        return MeanEstimate(float(predicted.mean()) + offset, se, freedom)
    rest = ~answers.labelled
    unseen = float((predicted[rest] + error.mean()).sum())
    value = (float(np.nansum(answers.label)) + unseen) / n_answers
    spread = variance_of(np.zeros(n) if no_errors else error, np.ones(n)) * lost_spread
    return MeanEstimate(value, float(np.sqrt((1 - n / n_answers) * spread / n)), freedom, kept)


def _has_no_errors(label: Float[np.ndarray, " label"], error: Float[np.ndarray, " label"]) -> bool:
    """Whether every prediction is right; the variance of the errors then underestimates that of unlabelled answers."""
    if not np.isin(label, (0.0, 1.0)).all():
        return float(np.ptp(error)) < SMALLEST_ERROR
    return float(np.abs(error - error.mean()).max()) < 0.5 - SMALLEST_ERROR


def skewed_bounds(estimate: MeanEstimate, level: float) -> tuple[float, float]:
    """Bounds of a mean in [0, 1] whose errors are skewed.

    They are symmetric in log-odds, except where the judge is nearly always right: positive and negative errors then
    get separate score intervals (Wilson, 1927), which are combined by their variances (Zou & Donner, 2008). These show
    which side is less certain; where they are wider than symmetric bounds, they are scaled to the same width, which
    costs no coverage that could be measured (`benchmarks/decide.md`).

    Args:
        estimate: The estimate; its standard error is above 0.
        level: Coverage of the bounds.
    """
    t = float(stdtrit(max(estimate.freedom, 1.0), 0.5 + level / 2))
    if abs(_skewness(estimate.error)) > RARE:
        below, above = _two_sided(estimate.error, estimate.se, t)
        shrink = min(1.0, 2 * t * estimate.se / (below + above))
        return max(0.0, estimate.value - shrink * below), min(1.0, estimate.value + shrink * above)
    mean = min(max(estimate.value, 0.0), 1.0)
    if t * estimate.se > MOST_LOG_ODDS * mean * (1 - mean):  # near 0 or 1, where log-odds diverge
        return max(0.0, estimate.value - t * estimate.se), min(1.0, estimate.value + t * estimate.se)
    half, centre = t * estimate.se / (mean * (1 - mean)), float(logit(mean))
    return float(expit(centre - half)), float(expit(centre + half))


def _skewness(error: Float[np.ndarray, " label"]) -> float:
    variance = float(error.var()) if len(error) else 0.0
    return float(((error - error.mean()) ** 3).mean() / variance**1.5) if variance > FLATTEST else 0.0


def _two_sided(error: Float[np.ndarray, " label"], se: float, t: float) -> tuple[float, float]:
    """Distances from the mean error to its bounds."""
    scale = se**2 / error.var(ddof=1)
    up, down = np.clip(error, 0, 1), np.clip(-error, 0, 1)
    (up_below, up_above), (down_below, down_above) = (_score_interval(part, scale, t) for part in (up, down))
    together = float(np.corrcoef(up, down)[0, 1]) if up.std() > 0 and down.std() > 0 else 0.0
    below = up_below**2 + down_above**2 - 2 * together * up_below * down_above
    above = up_above**2 + down_below**2 - 2 * together * up_above * down_below
    return float(np.sqrt(max(below, 0.0))), float(np.sqrt(max(above, 0.0)))


def _score_interval(part: Float[np.ndarray, " label"], scale: float, t: float) -> tuple[float, float]:
    """Distances from the mean of values in [0, 1] to the bounds of a score interval."""
    mean, variance = float(part.mean()), float(part.var(ddof=1))
    if variance < FLATTEST:  # no error in the sample does not prove an error rate of 0
        return 0.0, t**2 * scale / (1 + t**2 * scale)
    n = mean * (1 - mean) / (variance * scale)
    centre = (mean + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * float(np.sqrt(mean * (1 - mean) / n + t**2 / (4 * n**2)))
    return mean - (centre - half), centre + half - mean
