"""Right or wrong answers between a floor of guessing and a ceiling, as a score model (Birnbaum, 1968)."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from capscope.axes import ItemFloats, RowFloats
from capscope.fit.irt.score_models import ASYMPTOTES
from capscope.fit.irt.score_models.score_model import BetaPrior, Derivatives, ExtraPrior, Extras
from capscope.fit.links import PROBIT_SCALE
from capscope.fit.tensor_links import asymptote_residuals, knowing_shares, log_likelihood_of

LEAST_CHANCE = 0.005
"""Prior mean of an estimated floor where the known chance of a guess is 0."""

FLOOR_CENTER, FLOOR_STRENGTH = 0.2, 30.0
"""Prior of a floor without further information, Beta(6, 24): a guess among five, worth thirty answers."""

SLIP_CENTER, SLIP_STRENGTH = 0.05, 40.0
"""Prior of a slip, the chance of a wrong answer from a model that knows it, Beta(2, 38): worth forty answers."""


class Binary:
    """Right or wrong between a floor and a ceiling: coordinates are the logits of the floor and of the slip."""

    name: ClassVar[str] = "auto"
    stored: ClassVar[str] = ASYMPTOTES

    def __init__(self, floor: bool = True, slip: bool = False, chance: Tensor | None = None) -> None:
        """Set which asymptotes are estimated; the others are known.

        Args:
            floor: Estimate the floor of each item.
            slip: Estimate how far the ceiling of each item is below 1.
            chance: Prior mean of each item's floor, None for `FLOOR_CENTER`; where it is not estimated, the floor
                itself, None for 0.
        """
        self._floor, self._slip, self._chance = floor, slip, chance

    @classmethod
    def from_scores(cls, score: RowFloats, model: str = "2pl", chance: ItemFloats | None = None) -> "Binary":  # noqa: ARG003
        """Floors are estimated for 3PL and 4PL, ceilings for 4PL, and known otherwise; see `ScoreModel.from_scores`."""
        if model in ("3pl", "4pl"):
            known = None if chance is None else torch.from_numpy(np.clip(chance, LEAST_CHANCE, None))
            return cls(True, model == "4pl", known)
        return cls(False, False, None if chance is None else torch.from_numpy(np.asarray(chance, float)))

    @classmethod
    def from_code(cls, code: str) -> "Binary":  # noqa: ARG003
        """Both asymptotes: where one is not estimated, its coordinate is minus infinity."""
        return cls(True, True)

    @property
    def code(self) -> str:
        """The name without numbers."""
        return self.stored

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return "floor", "slip"

    def start(self) -> tuple[ExtraPrior, ...]:
        """Beta priors."""
        unknown = torch.tensor([FLOOR_CENTER if self._floor else 0.0], dtype=torch.float64)
        center = unknown if self._chance is None else self._chance
        slip = torch.tensor([SLIP_CENTER], dtype=torch.float64)
        none = torch.zeros(1, dtype=torch.float64)
        return (
            BetaPrior(center, FLOOR_STRENGTH, self._floor),
            BetaPrior(slip if self._slip else none, SLIP_STRENGTH, self._slip),
        )

    def residuals(
        self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras
    ) -> tuple[Tensor, Tensor]:
        """Expected residuals and curvatures; see `ScoreModel.residuals` and `tensor_links.asymptote_residuals`."""
        attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
        residual, information = asymptote_residuals(mean, attenuation, score, *_asymptotes(extras))
        return residual * trials, information * trials

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Derivatives:
        """Derivatives in floor and slip, by the latent state known or guessed; see `ScoreModel.derivatives`.

        The gradient in a coordinate is that of a model that did not know the answer (floor) or knew it (slip), times
        the probability of that state given the answer.
        """
        attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
        floor, ceiling = _asymptotes(extras)
        right, wrong = knowing_shares(mean, attenuation, floor, ceiling)
        chance = floor + (ceiling - floor) * torch.sigmoid(mean * attenuation)
        spread = trials * chance * (1 - chance)
        slip = 1 - ceiling
        floor_right, floor_wrong = (1 - right) * (1 - floor), -(1 - wrong) * floor
        slip_right, slip_wrong = -right * slip, wrong * ceiling
        by_floor, by_slip = floor_right - floor_wrong, slip_right - slip_wrong
        # the root of the attenuation keeps the joint information of log-odds and extras definite
        on_logit = spread * (right - wrong) * attenuation.sqrt()
        return Derivatives(
            (
                trials * (score * floor_right + (1 - score) * floor_wrong),
                trials * (score * slip_right + (1 - score) * slip_wrong),
            ),
            ((spread * by_floor.square(), spread * by_floor * by_slip), (spread * by_slip.square(),)),
            (on_logit * by_floor, on_logit * by_slip),
        )

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Tensor:
        """Log-likelihood of each cell; see `ScoreModel.log_likelihood` and `tensor_links.answer_log_chances`."""
        logit = mean * torch.rsqrt(1 + PROBIT_SCALE * variance)
        return log_likelihood_of(logit, score, trials, *_asymptotes(extras))

    def expected_score(self, logit: Tensor, extras: Extras) -> Tensor:
        """Chance of a right answer; see `ScoreModel.expected_score`."""
        floor, ceiling = _asymptotes(extras)
        return floor + (ceiling - floor) * torch.sigmoid(logit)

    def score_variance(self, logit: Tensor, extras: Extras) -> Tensor:
        """``P (1 - P)``; see `ScoreModel.score_variance`."""
        chance = self.expected_score(logit, extras)
        return chance * (1 - chance)

    def information(self, logit: Tensor, extras: Extras) -> Tensor:
        """``P (1 - P)`` times the squared derivative of log-odds of a right answer in the log-odds of knowing it.

        See `ScoreModel.information`.
        """
        right, wrong = knowing_shares(logit, torch.ones_like(logit), *_asymptotes(extras))
        return self.score_variance(logit, extras) * (right - wrong).square()

    def draw(self, logit: Tensor, extras: Extras, generator: torch.Generator) -> Tensor:
        """Right (1) and wrong (0) answers; see `ScoreModel.draw`."""
        return torch.bernoulli(self.expected_score(logit, extras), generator=generator)


def _asymptotes(extras: Extras) -> tuple[Tensor, Tensor]:
    """Floor and ceiling from the logits of floor and slip."""
    return torch.sigmoid(extras[0]), torch.sigmoid(-extras[1])
