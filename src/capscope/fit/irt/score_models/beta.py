"""Bounded continuous scores, such as shares of a rubric met: the Beta response model as a score model.

Scores follow ``Beta(p f, (1 - p) f)`` around ``p = sigmoid(z)`` with a precision f of each item (Ferrari &
Cribari-Neto, 2004; Noel & Dauvier, 2007). Expectations over uncertain log-odds are taken at three nodes.
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from capscope.axes import ItemFloats, RowFloats
from capscope.errors import FitError
from capscope.fit.irt.score_models.score_model import Derivatives, ExtraPrior, Extras, NormalPrior

LEAST_EDGE, MOST_EDGE = 1e-6, 0.005
"""Bounds of the replacement for scores at the ends; see `edge_of`."""

MOST_AT_ENDS = 0.5
"""Largest share of scores at 0 or 1 for which a Beta density is taken at all."""

MAX_LOG_PRECISION = 8.0
"""Largest log precision; scores have too few digits to estimate larger ones."""

NODES = ((-(3**0.5), 1 / 6), (0.0, 2 / 3), (3**0.5, 1 / 6))
"""Places and weights of Gauss-Hermite quadrature in a standard Gaussian."""


def edge_of(score: RowFloats) -> float:
    """Value that scores of 0 are replaced by (and scores of 1 by 1 minus it): half the smallest distance from an end.

    A Beta density is not defined at 0 and 1; half the smallest nonzero score is the usual replacement for 0.

    Raises:
        FitError: More than `MOST_AT_ENDS` of the scores are 0 or 1: right and wrong answers, not continuous scores.
    """
    inner = score[(score > 0) & (score < 1)]
    at_ends = 1 - len(inner) / len(score)
    if at_ends > MOST_AT_ENDS:
        raise FitError(
            f"{at_ends:.0%} of the scores are exactly 0 or 1, which no continuous density fits; use response 'auto'"
        )
    return float(np.clip(np.minimum(inner, 1 - inner).min() / 2, LEAST_EDGE, MOST_EDGE))


class _Known:
    """The density of a score at known log-odds and log precision."""

    def __init__(self, score: Tensor, logit: Tensor, log_precision: Tensor) -> None:
        self.score = score
        self.precision = log_precision.clamp_max(MAX_LOG_PRECISION).exp()
        self.right, self.wrong = torch.sigmoid(logit), torch.sigmoid(-logit)
        self.a = (self.right * self.precision).clamp_min(1e-6)
        self.b = (self.wrong * self.precision).clamp_min(1e-6)
        self.room = self.right * self.wrong

    @property
    def log_density(self) -> Tensor:
        norm = torch.lgamma(self.precision) - torch.lgamma(self.a) - torch.lgamma(self.b)
        return norm + (self.a - 1) * self.score.log() + (self.b - 1) * torch.log1p(-self.score)

    @property
    def surprise(self) -> Tensor:
        """Log-odds of the score minus their expectation."""
        return torch.logit(self.score) - torch.digamma(self.a) + torch.digamma(self.b)

    @property
    def by_logit(self) -> Tensor:
        """Gradient in the log-odds."""
        return self.precision * self.room * self.surprise

    @property
    def information(self) -> Tensor:
        """Expected curvature; the observed one is negative for surprising scores and would make steps oscillate."""
        spread = torch.polygamma(1, self.a) + torch.polygamma(1, self.b)
        return (self.precision * self.room).square() * spread

    @property
    def by_log_precision(self) -> Tensor:
        """Gradient in the log precision."""
        rest = torch.log1p(-self.score) - torch.digamma(self.b) + torch.digamma(self.precision)
        return self.precision * (self.right * self.surprise + rest)

    @property
    def precision_information(self) -> tuple[Tensor, Tensor]:
        """Expected information of the log precision, alone and with the log-odds."""
        a, b = torch.polygamma(1, self.a), torch.polygamma(1, self.b)
        alone = self.right.square() * a + self.wrong.square() * b - torch.polygamma(1, self.precision)
        shared = self.room * (self.right * a - self.wrong * b)
        return self.precision.square() * alone, self.precision.square() * shared


class BetaResponse:
    """Scores in (0, 1) with mean ``sigmoid(z)``; the one coordinate is the log of the item's precision."""

    name: ClassVar[str] = "continuous"
    stored: ClassVar[str] = "beta"

    def __init__(self, edge: float = LEAST_EDGE) -> None:
        """Set the replacement for scores at the ends; see `edge_of`."""
        self.edge = edge

    @classmethod
    def from_scores(cls, score: RowFloats, model: str = "2pl", chance: ItemFloats | None = None) -> "BetaResponse":  # noqa: ARG003
        """Make the score model with the edge that follows from the scores; see `edge_of`."""
        return cls(edge_of(score))

    @classmethod
    def from_code(cls, code: str) -> "BetaResponse":
        """Make the score model from ``beta:E``."""
        return cls(float(code.partition(":")[2]))

    @property
    def code(self) -> str:
        """``beta:E`` with edge E."""
        return f"{self.stored}:{self.edge!r}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return ("log_precision",)

    def start(self) -> tuple[ExtraPrior, ...]:
        """Precisions of about 7, spread by a factor of 2.7."""
        return (NormalPrior(2.0, 1.0, 0.5),)

    def residuals(
        self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras
    ) -> tuple[Tensor, Tensor]:
        """Expected gradient and information in the log-odds; see `ScoreModel.residuals`."""
        by_logit, information = _expected(
            lambda at: (at.by_logit, at.information), self._inner(score), mean, variance, extras
        )
        return by_logit * trials, information * trials

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Derivatives:
        """Derivatives of the cells' log-likelihood in the precisions; see `ScoreModel.derivatives`."""
        gradient, alone, shared = _expected(
            lambda at: (at.by_log_precision, *at.precision_information), self._inner(score), mean, variance, extras
        )
        return Derivatives((gradient * trials,), ((alone * trials,),), (shared * trials,))

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Tensor:
        """Log of the expected density of each cell; see `ScoreModel.log_likelihood`."""
        sd, score = variance.sqrt(), self._inner(score)
        parts = [_Known(score, mean + sd * node, extras[0]).log_density + float(np.log(w)) for node, w in NODES]
        return trials * torch.logsumexp(torch.stack(torch.broadcast_tensors(*parts)), 0)

    def expected_score(self, logit: Tensor, extras: Extras) -> Tensor:  # noqa: ARG002
        """Mean score at known log-odds; see `ScoreModel.expected_score`."""
        return torch.sigmoid(logit)

    def score_variance(self, logit: Tensor, extras: Extras) -> Tensor:
        """``p (1 - p) / (1 + f)`` with precision f; see `ScoreModel.score_variance`."""
        known = _Known(torch.full_like(logit, 0.5), logit, extras[0])
        return known.room / (1 + known.precision)

    def information(self, logit: Tensor, extras: Extras) -> Tensor:
        """Expected curvature of the log-density; see `ScoreModel.information`."""
        return _Known(torch.full_like(logit, 0.5), logit, extras[0]).information

    def draw(self, logit: Tensor, extras: Extras, generator: torch.Generator) -> Tensor:
        """Scores drawn by inversion of the distribution function; see `ScoreModel.draw`."""
        uniform = torch.rand(logit.shape, dtype=logit.dtype, generator=generator)
        known = _Known(torch.full_like(logit, 0.5), logit, extras[0])
        return torch.from_numpy(np.asarray(betaincinv(known.a.numpy(), known.b.numpy(), uniform.numpy())))

    def _inner(self, score: Tensor) -> Tensor:
        return score.clamp(self.edge, 1 - self.edge)


def _expected(
    wanted: Callable[[_Known], tuple[Tensor, ...]], score: Tensor, mean: Tensor, variance: Tensor, extras: Extras
) -> tuple[Tensor, ...]:
    """Expectations over Gaussian log-odds."""
    sd = variance.sqrt()
    at_nodes = [wanted(_Known(score, mean + sd * node, extras[0])) for node, _ in NODES]
    weights = [weight for _, weight in NODES]
    stacked = (torch.stack(values, -1) for values in zip(*at_nodes, strict=True))
    return tuple(values @ values.new_tensor(weights) for values in stacked)
