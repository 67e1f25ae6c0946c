"""Populations of models and items on a scale that is given, and what new members teach about them."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.engines.variational.item_prior import Design, ItemPrior
from capscope.fit.engines.variational.kernels import Gaussians

WORTH = 20.0
"""The population known before counts as this many models or items: a handful of new ones hardly moves it."""


@dataclass(frozen=True)
class AbilityPopulation:
    """The abilities' prior N(mean, cov)."""

    mean: Float[Tensor, " dim"]
    """Mean ability."""
    cov: Float[Tensor, "dim dim"]
    """Covariance of the abilities."""

    @staticmethod
    def standard(dims: int, device: torch.device | None = None) -> "AbilityPopulation":
        """N(0, I), the population that sets the scale of a fit."""
        return AbilityPopulation(
            torch.zeros(dims, dtype=torch.float64, device=device), torch.eye(dims, dtype=torch.float64, device=device)
        )

    def updated(self, models: Gaussians) -> "AbilityPopulation":
        """The population that these models are likely to come from, this one being worth `WORTH` models.

        Args:
            models: Posteriors of ``(theta, 1)``.
        """
        mean, cov = _conjugate(self.mean, self.cov, models.mean[:, :-1], models.cov[:, :-1, :-1])
        return AbilityPopulation(mean, cov)


def updated_prior(known: ItemPrior, items: Gaussians, design: Design) -> ItemPrior:
    """The items' prior after new items, the known one being worth `WORTH` items; effects of features stay.

    Args:
        known: The prior from which the calibration started.
        items: Posteriors of the new items.
        design: Their features.
    """
    residual = items.mean - design.features @ known.weight.T
    intercept, cov = _conjugate(known.intercept, known.cov, residual, items.cov)
    return replace(known, intercept=intercept, cov=cov)


def _conjugate(
    mean: Float[Tensor, " param"],
    cov: Float[Tensor, "param param"],
    found: Float[Tensor, "n param"],
    found_cov: Float[Tensor, "n param param"],
) -> tuple[Float[Tensor, " param"], Float[Tensor, "param param"]]:
    """Means of a normal-inverse-Wishart posterior whose observations are Gaussians themselves."""
    total = WORTH + len(found)
    new = (WORTH * mean + found.sum(0)) / total
    residual, moved = found - new, mean - new
    return new, (WORTH * (cov + torch.outer(moved, moved)) + found_cov.sum(0) + residual.T @ residual) / total
