"""What an estimator of a model's true mean score is given and returns."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit, stdtrit

from capscope.decide.difference import drawn_se, variance_of
from capscope.decide.judge_data import JudgedAnswers

RARE = 2.5
"""Skewness of the errors from which bounds are built from positive and negative ones apart: one in nine or rarer."""

SMALLEST_ERROR = 1e-6
"""Range of errors under which they are one value."""

FLATTEST = 1e-12
"""Variance under which errors are one value."""

MOST_LOG_ODDS = 2.0
"""Half-width in log-odds up to which bounds are symmetric on that scale."""


@dataclass(frozen=True)
class MeanEstimate:
    """An estimated mean score over a model's judged answers."""

    value: float
    """The estimate, in [0, 1] up to sampling error."""
    se: float
    """Standard error as to the labels that happened to be drawn."""
    freedom: float
    """Degrees of freedom of the standard error."""
    error: Float[np.ndarray, " label"] = field(default_factory=lambda: np.zeros(0), repr=False)
    """Label less prediction of each labelled answer; none where their weights differ or none speaks against them."""
    skewed: bool = False
    """Whether bounds follow the skew of the errors; else they are symmetric."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Bounds within 0 and 1: symmetric by Student's t, or following the skew of the errors."""
        if self.skewed and self.se > 0:
            return skewed_bounds(self, level)
        half = float(stdtrit(max(self.freedom, 1.0), 0.5 + level / 2)) * self.se
        return max(0.0, self.value - half), min(1.0, self.value + half)


@dataclass(frozen=True)
class JudgeEstimator:
    """One way to estimate a model's true mean score from judged and labelled answers."""

    name: str
    """What it is called on the command line and in JSON."""
    help: str
    """What it does, in one line."""
    estimate: Callable[[JudgedAnswers], MeanEstimate]
    """Estimate from answers of which at least two are labelled, drawn evenly or with known chances."""


def corrected_mean(
    answers: JudgedAnswers,
    predicted: Float[np.ndarray, " answer"],
    error: Float[np.ndarray, " label"],
    lost: int,
) -> MeanEstimate:
    """The mean of the labels and, where there is none, of predictions shifted by their mean error on the labels.

    Labels drawn with unequal chances count by the inverse of these (augmented inverse probability weighting).

    Args:
        answers: Judged answers.
        predicted: Prediction of each answer's truth.
        error: Label less prediction of each labelled answer, the prediction made without its label.
        lost: Parameters of the prediction that the labels determined.
    """
    n, n_answers = len(error), len(answers.label)
    freedom = float(max(n - 1 - lost, 1))
    lost_spread = (n - 1) / freedom
    faultless = _faultless(answers.label[answers.labelled], error)
    kept = np.zeros(0) if faultless else error
    if answers.chance is not None:
        share = 1 / answers.weight
        offset = float(np.average(error, weights=answers.weight))
        se = drawn_se(np.zeros(n) if faultless else error - offset, share, n_answers) * float(np.sqrt(lost_spread))
        return MeanEstimate(float(predicted.mean()) + offset, se, freedom)
    rest = ~answers.labelled
    unseen = float((predicted[rest] + error.mean()).sum())
    value = (float(np.nansum(answers.label)) + unseen) / n_answers
    spread = variance_of(np.zeros(n) if faultless else error, np.ones(n)) * lost_spread
    return MeanEstimate(value, float(np.sqrt((1 - n / n_answers) * spread / n)), freedom, kept)


def _faultless(label: Float[np.ndarray, " label"], error: Float[np.ndarray, " label"]) -> bool:
    """Whether no label speaks against the prediction: small errors then say nothing of those still to be seen."""
    if not np.isin(label, (0.0, 1.0)).all():
        return float(np.ptp(error)) < SMALLEST_ERROR
    return float(np.abs(error - error.mean()).max()) < 0.5 - SMALLEST_ERROR


def skewed_bounds(estimate: MeanEstimate, level: float) -> tuple[float, float]:
    """Bounds of a mean in [0, 1] whose errors are skewed.

    Usually they are symmetric in log-odds. Where the judge is nearly always right, few errors carry the whole doubt:
    positive and negative errors then get score intervals (Wilson, 1927) of their own, combined by their variances
    (Zou & Donner, 2008). These say to which side the doubt lies; where they are wider than symmetric bounds they are
    drawn in to the same width, which costs no coverage that could be measured (`benchmarks/decide.md`).

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
    if t * estimate.se > MOST_LOG_ODDS * mean * (1 - mean):  # hard by 0 or 1, log-odds are no scale
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
    if variance < FLATTEST:  # none seen among so many rules none out
        return 0.0, t**2 * scale / (1 + t**2 * scale)
    n = mean * (1 - mean) / (variance * scale)
    centre = (mean + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * float(np.sqrt(mean * (1 - mean) / n + t**2 / (4 * n**2)))
    return mean - (centre - half), centre + half - mean
