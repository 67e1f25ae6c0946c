"""The protocol of score models: how scores follow from log-odds where an item has more than slopes and an intercept.

A score model adds *extra* parameters to each item: a floor and a ceiling, thresholds between grades, the precision of
a score. They stand in unconstrained coordinates, so that one joint Newton step can move them with the item's slopes
and intercept. Every argument broadcasts: extras come as one (n, 1) or (1, n) tensor for each coordinate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from capscope.axes import ItemFloats, RowFloats
from capscope.fit.irt.score_models import SCORE_MODELS
from capscope.fit.irt.score_models.extra_priors import ExtraPrior

Extras = Sequence[Tensor]


@dataclass(frozen=True)
class Derivatives:
    """What each cell says about the extras of its item, in expectation over its log-odds."""

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
    """Word under which fits store it; `code` starts with it."""

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
        """Make it again from its `code`."""
        ...

    @property
    def code(self) -> str:
        """What fits store: the word `stored` and its numbers, as ``word:number``."""
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
        """Expected gradient and information in the log-odds; the variance comes without an attenuation unit."""
        ...

    def derivatives(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Derivatives:
        """What the cells say about their items' extras."""
        ...

    def log_likelihood(self, score: Tensor, trials: Tensor, mean: Tensor, variance: Tensor, extras: Extras) -> Tensor:
        """Log of the expected density of each cell."""
        ...

    def expected_score(self, logit: Tensor, extras: Extras) -> Tensor:
        """Mean score at known log-odds."""
        ...

    def score_variance(self, logit: Tensor, extras: Extras) -> Tensor:
        """Variance of a score at known log-odds."""
        ...

    def information(self, logit: Tensor, extras: Extras) -> Tensor:
        """Fisher information of a score about its log-odds."""
        ...

    def draw(self, logit: Tensor, extras: Extras, generator: torch.Generator) -> Tensor:
        """Scores drawn at known log-odds."""
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
