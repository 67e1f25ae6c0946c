"""The protocol of score models, and the priors of their extra parameters.

A score model is a distribution of scores given log-odds. It adds *extra* parameters to each item: a floor and a
ceiling, thresholds between grades, the precision of a score. These are in unconstrained coordinates, so that one joint
Newton step updates them with the item's slopes and intercept. All arguments broadcast: extras are one (n, 1) or (1, n)
tensor for each coordinate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.axes import ItemFloats, RowFloats
from capscope.fit.irt.score_models import SCORE_MODELS

Coordinates = Float[Tensor, " item"]

PRIOR_ITEMS = 10.0
"""Number of items that the initial value of a prior's variance weighs as much as."""
Extras = Sequence[Tensor]


@runtime_checkable
class ExtraPrior(Protocol):
    """Prior of one coordinate over the items."""

    @property
    def free(self) -> bool:
        """Whether the coordinate is estimated."""
        ...

    @property
    def start(self) -> Tensor:
        """Coordinate at the centre; one number, or one for each item."""
        ...

    def log_density(self, value: Coordinates) -> Coordinates:
        """Log-density in the coordinate, up to a constant."""
        ...

    def gradient(self, value: Coordinates) -> Coordinates:
        """Gradient of the log-density in the coordinate."""
        ...

    def precision(self, value: Coordinates) -> Coordinates:
        """Its curvature."""
        ...

    def updated(self, value: Coordinates, variance: Coordinates) -> "ExtraPrior":
        """Prior given the items' posteriors.

        Args:
            value: Posterior mean of each item's extra, on its unbounded scale.
            variance: Its posterior variance.

        Returns:
            The prior estimated from them by empirical Bayes.
        """
        ...

    @property
    def typical(self) -> tuple[float, float]:
        """Coordinate of a typical new item and its variance."""
        ...


@dataclass(frozen=True)
class BetaPrior:
    """A chance with a Beta prior, in logits.

    In the logit a Beta density with mean m and strength s has its mode at ``logit m`` and curvature ``s m (1 - m)``
    there, so a posterior from Newton steps corresponds to a Beta again: mean the sigmoid of the mode, strength its
    precision over ``c (1 - c)``.
    """

    center: Float[Tensor, " #item"]
    """Prior mean; one for all items or one for each."""
    strength: float
    """Number of answers that the prior is worth."""
    free: bool
    """Whether the chance is estimated; if not it is the centre."""

    @property
    def start(self) -> Tensor:
        """Logit of the centre; minus infinity for 0."""
        return torch.logit(self.center)

    def log_density(self, value: Coordinates) -> Coordinates:
        """``s (m log c + (1 - m) log (1 - c))``."""
        right, wrong = torch.nn.functional.logsigmoid(value), torch.nn.functional.logsigmoid(-value)
        center = self.center.to(value.device)
        return self.strength * (center * right + (1 - center) * wrong)

    def gradient(self, value: Coordinates) -> Coordinates:
        """``s (m - c)``."""
        return self.strength * (self.center.to(value.device) - torch.sigmoid(value))

    def precision(self, value: Coordinates) -> Coordinates:
        """``s c (1 - c)``."""
        chance = torch.sigmoid(value)
        return self.strength * chance * (1 - chance)

    def updated(self, value: Coordinates, variance: Coordinates) -> "BetaPrior":  # noqa: ARG002
        """Return the same prior; see `ExtraPrior.updated`.

        The common level of the floors is weakly identified (Maris & Bechger, 2009): floors of all items can rise
        together while slopes and abilities compensate, so that a fitted prior would diverge.
        """
        return self

    @property
    def typical(self) -> tuple[float, float]:
        """Logit of the mean centre and the variance there."""
        center = self.center.mean()
        if float(center) <= 0:
            return -float("inf"), 0.0
        return float(torch.logit(center)), float(1 / (self.strength * center * (1 - center)))


@dataclass(frozen=True)
class NormalPrior:
    """A coordinate with a Gaussian prior."""

    center: float
    """Mean over the items."""
    variance: float
    """Variance over the items."""
    prior_variance: float
    """Variance towards which the variance over few items is shrunk."""
    free: bool = True
    """Always estimated."""

    @property
    def start(self) -> Tensor:
        """The centre."""
        return torch.tensor([self.center], dtype=torch.float64)

    def log_density(self, value: Coordinates) -> Coordinates:
        """Gaussian."""
        return -0.5 * (value - self.center).square() / self.variance

    def gradient(self, value: Coordinates) -> Coordinates:
        """Distance to the centre over the variance."""
        return (self.center - value) / self.variance

    def precision(self, value: Coordinates) -> Coordinates:
        """One over the variance."""
        return torch.full_like(value, 1 / self.variance)

    def updated(self, value: Coordinates, variance: Coordinates) -> "NormalPrior":
        """Mean and variance over the items, with their uncertainty; see `ExtraPrior.updated`."""
        center = float(value.mean())
        total = float((value - center).square().sum() + variance.sum()) + PRIOR_ITEMS * self.prior_variance
        return replace(self, center=center, variance=total / (len(value) + PRIOR_ITEMS))

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and variance."""
        return self.center, self.variance


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of each cell's log-likelihood in the extras of its item, in expectation over its log-odds."""

    gradient: tuple[Tensor, ...]
    """Gradient of the log-likelihood in each coordinate."""
    information: tuple[tuple[Tensor, ...], ...]
    """Expected information, coordinate by coordinate; a row starts at the diagonal."""
    cross: tuple[Tensor, ...]
    """Expected information of each coordinate with the log-odds."""


@runtime_checkable
class ScoreModel(Protocol):
    """A distribution of scores given log-odds and an item's extras."""

    name: ClassVar[str]
    """Name in `SCORE_MODELS`."""
    stored: ClassVar[str]
    """Name in stored fits; `code` starts with it."""

    @classmethod
    def from_scores(cls, score: RowFloats, model: str = "2pl", chance: ItemFloats | None = None) -> "ScoreModel":
        """Make the score model of a fit.

        Args:
            score: The scores of all rows, in [0, 1].
            model: Item response model that is fitted.
            chance: Known chance of a right guess on each item; None for none.

        Raises:
            FitError: The scores are not of this kind.
        """
        ...

    @classmethod
    def from_code(cls, code: str) -> "ScoreModel":
        """Rebuild a score model from its `code`."""
        ...

    @property
    def code(self) -> str:
        """Text that fits store: the word `stored` and its numbers, as ``word:number``."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        ...

    def start(self) -> tuple[ExtraPrior, ...]:
        """Prior of each coordinate, at whose centre the items start."""
        ...

    def residuals(
        self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras
    ) -> tuple[Tensor, Tensor]:
        """Expected gradient and information in the log-odds; unlike in `CellScores`, nothing is added to the variance.

        Args:
            score: Scores of the cells, in [0, 1].
            trials: Number of trials of each cell.
            mean: Means of the cells' log-odds.
            variance: Variances of the cells' log-odds.
            extras: Extra parameters of each cell's item, shape (cell, extra).
        """
        ...

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Derivatives:
        """Derivatives of the cells' log-likelihood in the items' extras.

        Args:
            score: Scores of the cells, in [0, 1].
            trials: Number of trials of each cell.
            mean: Means of the cells' log-odds.
            variance: Variances of the cells' log-odds.
            extras: Extra parameters of each cell's item, shape (cell, extra).
        """
        ...

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Tensor:
        """Log of the expected density of each cell.

        Args:
            score: Scores of the cells, in [0, 1].
            trials: Number of trials of each cell.
            mean: Means of the cells' log-odds.
            variance: Variances of the cells' log-odds.
            extras: Extra parameters of each cell's item, shape (cell, extra).
        """
        ...

    def expected_score(self, logit: Tensor, extras: Extras) -> Tensor:
        """Mean score at known log-odds.

        Args:
            logit: Log-odds of the cells.
            extras: Extra parameters of each cell's item, shape (cell, extra).
        """
        ...

    def score_variance(self, logit: Tensor, extras: Extras) -> Tensor:
        """Variance of a score at known log-odds.

        Args:
            logit: Log-odds of the cells.
            extras: Extra parameters of each cell's item, shape (cell, extra).
        """
        ...

    def information(self, logit: Tensor, extras: Extras) -> Tensor:
        """Fisher information of a score about its log-odds.

        Args:
            logit: Log-odds of the cells.
            extras: Extra parameters of each cell's item, shape (cell, extra).
        """
        ...

    def draw(self, logit: Tensor, extras: Extras, generator: torch.Generator) -> Tensor:
        """Scores drawn at known log-odds.

        Args:
            logit: Log-odds of the cells.
            extras: Extra parameters of each cell's item, shape (cell, extra).
            generator: Source of randomness.
        """
        ...


def score_model_of(code: str) -> ScoreModel:
    """The score model that a fit stored.

    Args:
        code: Its `ScoreModel.code`.

    Raises:
        KeyError: No score model of this version stores such a code.
    """
    word = code.partition(":")[0]
    for member in SCORE_MODELS.values():
        score_model = member.load()
        if score_model.stored == word:
            return score_model.from_code(code)
    raise KeyError(f"score model {code}")
