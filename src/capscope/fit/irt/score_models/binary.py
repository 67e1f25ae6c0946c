"""How scores follow from log-odds where an item has more to it than slopes and an intercept.

A head adds *shape* parameters to each item: a floor and a ceiling, thresholds between grades, the precision of a
score. They stand in unconstrained coordinates, so that one joint Newton step can move them with the item's slopes and
intercept. Every argument broadcasts: shapes come as one (n, 1) or (1, n) tensor for each coordinate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from capscope.fit.irt.score_models.extra_priors import BetaPrior, ShapePrior
from capscope.fit.links import PROBIT_SCALE, asymptote_residuals, knowing_shares, log_likelihood_of

Shape = Sequence[Tensor]

FLOOR_CENTER, FLOOR_STRENGTH = 0.2, 30.0
"""Prior of a floor of which nothing is known, Beta(6, 24): a guess among five, worth thirty answers."""

SLIP_CENTER, SLIP_STRENGTH = 0.05, 40.0
"""Prior of a slip, the chance of a wrong answer from who knows, Beta(2, 38): small, worth forty answers."""


@dataclass(frozen=True)
class Derivatives:
    """What each cell says about the shape of its item, in expectation over its log-odds."""

    gradient: tuple[Tensor, ...]
    """Gradient of the log-likelihood in each coordinate."""
    information: tuple[tuple[Tensor, ...], ...]
    """Expected information, coordinate by coordinate; a row starts at the diagonal."""
    cross: tuple[Tensor, ...]
    """Expected information of each coordinate with the log-odds."""


@runtime_checkable
class Head(Protocol):
    """A distribution of scores given log-odds and an item's shape."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        ...

    def start(self) -> tuple[ShapePrior, ...]:
        """Prior of each coordinate, at whose centre the items start."""
        ...

    def residuals(
        self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, shape: Shape
    ) -> tuple[Tensor, Tensor]:
        """Expected gradient and information in the log-odds; the variance comes without an attenuation unit."""
        ...

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, shape: Shape) -> Derivatives:
        """What the cells say about their items' shapes."""
        ...

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, shape: Shape) -> Tensor:
        """Log of the expected density of each cell."""
        ...

    def expected_score(self, logit: Tensor, shape: Shape) -> Tensor:
        """Mean score at known log-odds."""
        ...

    def score_variance(self, logit: Tensor, shape: Shape) -> Tensor:
        """Variance of a score at known log-odds."""
        ...

    def information(self, logit: Tensor, shape: Shape) -> Tensor:
        """Fisher information of a score about its log-odds."""
        ...

    def draw(self, logit: Tensor, shape: Shape, generator: torch.Generator) -> Tensor:
        """Scores drawn at known log-odds."""
        ...


class Asymptotes:
    """Right or wrong between a floor and a ceiling: coordinates are the logits of the floor and of the slip."""

    def __init__(self, floor: bool = True, slip: bool = False, chance: Tensor | None = None) -> None:
        """Say which asymptote is estimated; the other is 0.

        Args:
            floor: Estimate the floor of each item.
            slip: Estimate how far the ceiling of each item is below 1.
            chance: Prior mean of each item's floor; None for `FLOOR_CENTER`.
        """
        self._floor, self._slip, self._chance = floor, slip, chance

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return "floor", "slip"

    def start(self) -> tuple[ShapePrior, ...]:
        """Beta priors."""
        center = self._chance if self._chance is not None else torch.tensor([FLOOR_CENTER], dtype=torch.float64)
        slip = torch.tensor([SLIP_CENTER], dtype=torch.float64)
        none = torch.zeros(1, dtype=torch.float64)
        return (
            BetaPrior(center if self._floor else none, FLOOR_STRENGTH, self._floor),
            BetaPrior(slip if self._slip else none, SLIP_STRENGTH, self._slip),
        )

    def residuals(
        self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, shape: Shape
    ) -> tuple[Tensor, Tensor]:
        """See `links.asymptote_residuals`."""
        attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
        residual, information = asymptote_residuals(mean, attenuation, score, *_asymptotes(shape))
        return residual * trials, information * trials

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, shape: Shape) -> Derivatives:
        """What each cell says of its floor and slip, by the latent answer that was known or guessed.

        A coordinate's score is that of who did not know (floor), or knew (slip), times how likely that is given the
        answer.
        """
        attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
        floor, ceiling = _asymptotes(shape)
        right, wrong = knowing_shares(mean, attenuation, floor, ceiling)
        chance = floor + (ceiling - floor) * torch.sigmoid(mean * attenuation)
        spread = trials * chance * (1 - chance)
        slip = 1 - ceiling
        floor_right, floor_wrong = (1 - right) * (1 - floor), -(1 - wrong) * floor
        slip_right, slip_wrong = -right * slip, wrong * ceiling
        by_floor, by_slip = floor_right - floor_wrong, slip_right - slip_wrong
        # the root of the attenuation keeps the joint information of log-odds and shape definite
        on_logit = spread * (right - wrong) * attenuation.sqrt()
        return Derivatives(
            (
                trials * (score * floor_right + (1 - score) * floor_wrong),
                trials * (score * slip_right + (1 - score) * slip_wrong),
            ),
            ((spread * by_floor.square(), spread * by_floor * by_slip), (spread * by_slip.square(),)),
            (on_logit * by_floor, on_logit * by_slip),
        )

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, shape: Shape) -> Tensor:
        """See `links.answer_log_chances`."""
        logit = mean * torch.rsqrt(1 + PROBIT_SCALE * variance)
        return log_likelihood_of(logit, score, trials, *_asymptotes(shape))

    def expected_score(self, logit: Tensor, shape: Shape) -> Tensor:
        """Chance of a right answer."""
        floor, ceiling = _asymptotes(shape)
        return floor + (ceiling - floor) * torch.sigmoid(logit)

    def score_variance(self, logit: Tensor, shape: Shape) -> Tensor:
        """``P (1 - P)``."""
        chance = self.expected_score(logit, shape)
        return chance * (1 - chance)

    def information(self, logit: Tensor, shape: Shape) -> Tensor:
        """``P (1 - P)`` times how far a right answer speaks for having known it, squared."""
        right, wrong = knowing_shares(logit, torch.ones_like(logit), *_asymptotes(shape))
        return self.score_variance(logit, shape) * (right - wrong).square()

    def draw(self, logit: Tensor, shape: Shape, generator: torch.Generator) -> Tensor:
        """Right (1) and wrong (0) answers."""
        return torch.bernoulli(self.expected_score(logit, shape), generator=generator)


def _asymptotes(shape: Shape) -> tuple[Tensor, Tensor]:
    """Floor and ceiling from the logits of floor and slip."""
    return torch.sigmoid(shape[0]), torch.sigmoid(-shape[1])
