"""Ordered grades: the graded response model (Samejima, 1969) as a score model."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from capscope.axes import ItemFloats, RowFloats
from capscope.errors import FitError
from capscope.fit.irt.score_models.score_model import Derivatives, ExtraPrior, Extras, NormalPrior
from capscope.fit.links import PROBIT_SCALE

MOST_GRADES = 21
"""Largest number of grades."""


def count_grades(score: RowFloats) -> int:
    """Number K of evenly spaced grades ``k / (K - 1)`` on which all scores lie, the smallest of at least 3.

    Raises:
        FitError: There is none up to `MOST_GRADES`.
    """
    levels = np.unique(score)
    for steps in range(2, MOST_GRADES):
        if np.abs(levels * steps - np.round(levels * steps)).max() < 1e-6:
            return steps + 1
    raise FitError(
        f"graded scores must lie on at most {MOST_GRADES} evenly spaced grades from 0 to 1; "
        f"found {len(levels)} different scores, such as {levels[len(levels) // 2]:.6g}"
    )


@dataclass(frozen=True)
class _Bounds:
    """Log-odds of reaching a grade and of reaching the next one; infinite at the ends."""

    reach: Tensor
    beyond: Tensor

    @property
    def log_chance(self) -> Tensor:
        """``log(sigmoid(a) - sigmoid(b))``, which needs no difference of near equals: a - b is a sum of gaps."""
        return logsigmoid(self.reach) + logsigmoid(-self.beyond) + torch.log(-torch.expm1(self.beyond - self.reach))

    @property
    def slope(self) -> Tensor:
        """Derivative of the log chance when both bounds move."""
        return 1 - torch.sigmoid(self.reach) - torch.sigmoid(self.beyond)

    @property
    def curvature(self) -> Tensor:
        """Minus its derivative."""
        a, b = torch.sigmoid(self.reach), torch.sigmoid(self.beyond)
        return a * (1 - a) + b * (1 - b)

    @property
    def apart(self) -> tuple[Tensor, Tensor]:
        """Derivatives of the log chance in each bound alone."""
        odds = 1 / torch.expm1(self.reach - self.beyond)
        return 1 - torch.sigmoid(self.reach) + odds, -torch.sigmoid(self.beyond) - odds


class GradedResponse:
    """Scores ``k / (K - 1)`` with ``P(grade >= k) = sigmoid(z + t_k)``.

    The thresholds ``t_1 > ... > t_{K-1}`` of an item have mean 0, so that its intercept is the mean of its boundaries'
    intercepts; the coordinates are the logs of the ``K - 2`` gaps between them.
    """

    name: ClassVar[str] = "graded"
    stored: ClassVar[str] = "graded"

    def __init__(self, grades: int) -> None:
        """Set the number of grades K, at least 3."""
        self.grades = grades
        steps = torch.arange(grades - 1)
        below = -(steps[:, None] > torch.arange(grades - 2)[None, :]).double()
        self._mix = below - below.mean(0)

    @classmethod
    def from_scores(cls, score: RowFloats, model: str = "2pl", chance: ItemFloats | None = None) -> "GradedResponse":  # noqa: ARG003
        """Make the score model with the number of grades of the scores; see `count_grades`."""
        return cls(count_grades(score))

    @classmethod
    def from_code(cls, code: str) -> "GradedResponse":
        """Make the score model from ``graded:K``."""
        return cls(int(code.partition(":")[2]))

    @property
    def code(self) -> str:
        """``graded:K`` with K grades."""
        return f"{self.stored}:{self.grades}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return tuple(f"log_gap_{k + 1}" for k in range(self.grades - 2))

    def start(self) -> tuple[ExtraPrior, ...]:
        """Gaps of about 1.5 log-odds, spread by a factor of 2."""
        return tuple(NormalPrior(0.4, 0.5, 0.5) for _ in self.names)

    def thresholds(self, extras: Extras) -> list[Tensor]:
        """Thresholds from the coordinates."""
        gaps = [part.exp() for part in extras]
        return [sum((float(m) * g for m, g in zip(row, gaps, strict=True)), 0 * gaps[0]) for row in self._mix]

    def residuals(
        self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras
    ) -> tuple[Tensor, Tensor]:
        """See `_Bounds.slope`; each boundary is attenuated like any log-odds."""
        attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
        bounds = self._observed(score, mean, attenuation, extras)
        return bounds.slope * trials, bounds.curvature * attenuation * trials

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Derivatives:
        """Gradients at the observed grades, expected information over all grades; see `ScoreModel.derivatives`."""
        attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
        thresholds = self.thresholds(extras)
        every = [self._bounds(grade, mean, attenuation, thresholds) for grade in range(self.grades)]
        by_grade = [self._by_gap(grade, bounds, extras) for grade, bounds in enumerate(every)]
        seen = [trials * (self._grade(score) == grade) for grade in range(self.grades)]
        weight = [trials * bounds.log_chance.exp() for bounds in every]
        size = len(extras)

        def total(weights: list[Tensor], of: list[Tensor]) -> Tensor:
            return torch.stack([w * value for w, value in zip(weights, of, strict=True)]).sum(0)

        columns = [[parts[j] for parts in by_grade] for j in range(size)]
        information = tuple(
            tuple(total([w * a for w, a in zip(weight, columns[j], strict=True)], columns[k]) for k in range(j, size))
            for j in range(size)
        )
        slopes = [w * bounds.slope for w, bounds in zip(weight, every, strict=True)]
        cross = tuple(total(slopes, columns[j]) * attenuation.sqrt() for j in range(size))
        return Derivatives(tuple(total(seen, columns[j]) for j in range(size)), information, cross)

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Tensor:
        """Log of the expected chance of the observed grade; see `ScoreModel.log_likelihood`."""
        return trials * self._observed(score, mean, torch.rsqrt(1 + PROBIT_SCALE * variance), extras).log_chance

    def expected_score(self, logit: Tensor, extras: Extras) -> Tensor:
        """Mean grade over the highest grade; see `ScoreModel.expected_score`."""
        reached = [torch.sigmoid(logit + threshold) for threshold in self.thresholds(extras)]
        return torch.stack(reached).mean(0)

    def score_variance(self, logit: Tensor, extras: Extras) -> Tensor:
        """Variance of the grade over the highest grade, from ``E g^2 = sum (2 k - 1) P(grade >= k)``.

        See `ScoreModel.score_variance`.
        """
        reached = torch.stack([torch.sigmoid(logit + threshold) for threshold in self.thresholds(extras)])
        odd = 2 * torch.arange(self.grades - 1, dtype=logit.dtype) + 1
        square = torch.einsum("k,k...->...", odd, reached)
        return (square - reached.sum(0).square()) / (self.grades - 1) ** 2

    def information(self, logit: Tensor, extras: Extras) -> Tensor:
        """Mean over the grades of the squared derivative of their log probability; see `ScoreModel.information`."""
        thresholds, one = self.thresholds(extras), torch.ones_like(logit)
        every = [self._bounds(grade, logit, one, thresholds) for grade in range(self.grades)]
        return torch.stack([bounds.log_chance.exp() * bounds.slope.square() for bounds in every]).sum(0)

    def draw(self, logit: Tensor, extras: Extras, generator: torch.Generator) -> Tensor:
        """Grades over the highest grade; see `ScoreModel.draw`."""
        uniform = torch.rand(logit.shape, dtype=logit.dtype, generator=generator)
        reached = [uniform < torch.sigmoid(logit + threshold) for threshold in self.thresholds(extras)]
        return torch.stack(reached).double().mean(0)

    def _grade(self, score: Tensor) -> Tensor:
        return (score * (self.grades - 1)).round()

    def _bounds(self, grade: int, mean: Tensor, attenuation: Tensor, thresholds: list[Tensor]) -> _Bounds:
        ends = torch.full_like(mean, torch.inf)
        reach = attenuation * (mean + thresholds[grade - 1]) if grade > 0 else ends
        beyond = attenuation * (mean + thresholds[grade]) if grade < self.grades - 1 else -ends
        return _Bounds(reach, beyond)

    def _observed(self, score: Tensor, mean: Tensor, attenuation: Tensor, extras: Extras) -> _Bounds:
        grade, thresholds = self._grade(score), self.thresholds(extras)
        reach, beyond = torch.full_like(mean, torch.inf), torch.full_like(mean, -torch.inf)
        for k, threshold in enumerate(thresholds):
            boundary = attenuation * (mean + threshold)
            reach = torch.where(grade == k + 1, boundary, reach)
            beyond = torch.where(grade == k, boundary, beyond)
        return _Bounds(reach, beyond)

    def _by_gap(self, grade: int, bounds: _Bounds, extras: Extras) -> list[Tensor]:
        """Derivatives of a grade's log chance in the log gaps."""
        on_reach, on_beyond = bounds.apart
        zero = torch.zeros_like(self._mix[0])
        reach_row = self._mix[grade - 1] if grade > 0 else zero
        beyond_row = self._mix[grade] if grade < self.grades - 1 else zero
        points: list[Tensor] = []
        for j, part in enumerate(extras):
            moved = torch.zeros_like(on_reach)
            if grade > 0:
                moved = moved + on_reach * float(reach_row[j])
            if grade < self.grades - 1:
                moved = moved + on_beyond * float(beyond_row[j])
            points.append(moved * part.exp())
        return points
