"""The priors of items and abilities, estimated by empirical Bayes.

Items have the prior N(G [1, x], S): a ridge regression of item parameters on item features. Features are standardised,
so that a constant column has no effect; the ridge of each parameter comes from the evidence (MacKay, 1992), so that
many or collinear features are shrunken. On a fixed scale, populations are updated with new members.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from capscope.errors import FitError, counted
from capscope.fit.engines.variational.kernels import Gaussians, Vectors

PRIOR_ITEMS = 2.0
"""Number of items that the prior of S weighs as much as."""

MAX_SPREAD = 6.0
"""Largest standard deviation of a parameter between items."""

RIDGE_BOUNDS = (1e-3, 1e6)
POPULATION_COUNT = 20.0
"""Number of models or items that the known population weighs as much as."""


@dataclass(frozen=True)
class Design:
    """Standardised item features and what their regressions share."""

    features: Float[Tensor, "n feature"]
    """Standardised features."""
    center: Float[Tensor, " feature"]
    """Mean of each raw feature."""
    scale: Float[Tensor, " feature"]
    """Standard deviation of each raw feature; 1 where it is constant."""
    basis: Float[Tensor, "feature feature"]
    """Eigenvectors of ``X'X``."""
    spectrum: Float[Tensor, " feature"]
    """Eigenvalues of ``X'X``."""

    def leverage(self, ridge: Float[Tensor, " param"]) -> Float[Tensor, "param feature feature"]:
        """Posterior covariances of each parameter's weights, in units of that parameter's residual variance."""
        return torch.einsum("fj,kj,gj->kfg", self.basis, 1 / (self.spectrum + ridge[:, None]), self.basis)

    def to(self, device: torch.device) -> "Design":
        """Move to a device."""
        moved = (self.features, self.center, self.scale, self.basis, self.spectrum)
        return Design(*(tensor.to(device) for tensor in moved))


@dataclass(frozen=True)
class ItemPrior:
    """The prior of the items' parameters."""

    intercept: Float[Tensor, " param"]
    """Mean at average features."""
    weight: Float[Tensor, "param feature"]
    """Effect of each standardised feature."""
    cov: Float[Tensor, "param param"]
    """Residual covariance given the features."""
    ridge: Float[Tensor, " param"]
    """Strength of the shrinkage of each parameter's weights, in units of items."""

    def mean(self, features: Float[Tensor, "n feature"]) -> Vectors:
        """Prior means of items with these standardised features."""
        return self.intercept + features @ self.weight.T


def make_design(features: np.ndarray | None, n_items: int) -> Design:
    """Standardise item features.

    Args:
        features: Array (item, feature) in the order of the items; None for none.
        n_items: Number of items.

    Raises:
        FitError: The array has another shape, or a value is not finite.
    """
    raw = np.zeros((n_items, 0)) if features is None else np.asarray(features, float)
    if raw.ndim != 2 or len(raw) != n_items:
        raise FitError(
            f"fit_irt: features have shape {raw.shape}; give one row for each of the {counted(n_items, 'item')}"
        )
    bad = np.argwhere(~np.isfinite(raw))
    if len(bad):
        row, column = bad[0]
        raise FitError(f"fit_irt: features row {row}, column {column} is {raw[row, column]}; fill it or drop the item")
    center, spread = raw.mean(0), raw.std(0)
    scale = np.where(spread > 1e-9 * np.maximum(1, np.abs(center)), spread, np.inf)
    standard = torch.from_numpy((raw - center) / scale)
    spectrum, basis = torch.linalg.eigh(standard.T @ standard)
    finite = np.where(np.isfinite(scale), scale, 1.0)
    return Design(standard, torch.from_numpy(center), torch.from_numpy(finite), basis, spectrum.clamp_min(0))


def start_prior(intercept: Float[Tensor, " param"], cov: Float[Tensor, "param param"], design: Design) -> ItemPrior:
    """Prior without effects of features.

    Args:
        intercept: Prior mean of each item parameter.
        cov: Prior covariance of the item parameters.
        design: Item features, whose effects start at 0.

    Returns:
        The prior before the first sweep.
    """
    weight = intercept.new_zeros(len(intercept), design.features.shape[1])
    ridge = intercept.new_full((len(intercept),), float(max(1, len(design.features)) ** 0.5))
    return ItemPrior(intercept, weight, cov, ridge)


def fit_prior(
    items: Gaussians,
    design: Design,
    prior: ItemPrior,
    spread: Float[Tensor, " param"],
    loads: Float[Tensor, "n dim"] | None = None,
) -> ItemPrior:
    """One empirical-Bayes update of the prior given the items' posteriors.

    Args:
        items: Posteriors of the items.
        design: Their features.
        prior: The prior so far, for its ridge and covariance.
        spread: Variances to which S is drawn where items are few.
        loads: 1 where an item may load on a dimension; slopes that are held at 0 are not used.
    """
    if loads is not None:
        return _fit_masked(items, prior, spread, loads)
    n_items = len(items.mean)
    intercept = items.mean.mean(0)
    if design.features.shape[1]:
        prior = _fit_weights(items.mean - intercept, design, prior)
    residual = items.mean - intercept - design.features @ prior.weight.T
    # subtract the effective degrees of freedom of the weights
    spent = torch.diag((design.spectrum[:, None] / (design.spectrum[:, None] + prior.ridge)).sum(0))
    total = items.cov.sum(0) + residual.T @ residual + spent * prior.cov + PRIOR_ITEMS * torch.diag(spread)
    return replace(prior, intercept=intercept, cov=_capped(total / (n_items + PRIOR_ITEMS)))


def _fit_masked(
    items: Gaussians, prior: ItemPrior, spread: Float[Tensor, " param"], loads: Float[Tensor, "n dim"]
) -> ItemPrior:
    """Mean and covariance of each pair of parameters over the items in which both are free."""
    free = torch.cat([loads, torch.ones_like(loads[:, :1])], 1)
    intercept = (items.mean * free).sum(0) / free.sum(0).clamp_min(1)
    residual = (items.mean - intercept) * free
    count = free.T @ free + PRIOR_ITEMS
    cov = (items.cov.sum(0) + residual.T @ residual + PRIOR_ITEMS * torch.diag(spread)) / count
    # pairs rest on different items: draw the matrix to its diagonal until it is definite
    least = 0.1 * cov.diagonal().min()
    lowest = torch.linalg.eigvalsh(cov)[0]
    if float(lowest) < float(least):
        share = (cov.diagonal().min() - least) / (cov.diagonal().min() - lowest)
        cov = share * cov + (1 - share) * torch.diag(cov.diagonal())
    return replace(prior, intercept=intercept, cov=_capped(cov))


def _capped(cov: Float[Tensor, "param param"]) -> Float[Tensor, "param param"]:
    """Limit S to `MAX_SPREAD`: where models fall into groups, items that separate them would widen it without bound."""
    shrink = (MAX_SPREAD / cov.diagonal().clamp_min(1e-12).sqrt()).clamp_max(1)
    return cov * shrink * shrink[:, None]


def _fit_weights(centred: Vectors, design: Design, prior: ItemPrior) -> ItemPrior:
    projected = design.basis.T @ (design.features.T @ centred)
    shrunk = design.spectrum[:, None] + prior.ridge
    weight = (design.basis @ (projected / shrunk)).T
    effective = (design.spectrum[:, None] / shrunk).sum(0)
    variance = prior.cov.diagonal().clamp_min(1e-8)
    ridge = (effective * variance / weight.square().sum(1).clamp_min(1e-12)).clamp(*RIDGE_BOUNDS)
    return replace(prior, weight=weight, ridge=ridge)


def transform_prior(
    prior: ItemPrior, matrix: Float[Tensor, "param param"], shift: Float[Tensor, " param"]
) -> ItemPrior:
    """The prior of ``matrix @ item + shift``.

    Args:
        prior: Prior of the items.
        matrix: Linear map of the parameters (param, param).
        shift: What is added to them (param,).
    """
    return replace(
        prior,
        intercept=matrix @ prior.intercept + shift,
        weight=matrix @ prior.weight,
        cov=matrix @ prior.cov @ matrix.T,
    )


def transform_items(
    items: Gaussians, matrix: Float[Tensor, "param param"], shift: Float[Tensor, " param"]
) -> Gaussians:
    """The posteriors of ``matrix @ item + shift``.

    Args:
        items: Posteriors of the items.
        matrix: Linear map of the parameters (param, param).
        shift: What is added to them (param,).
    """
    return Gaussians(items.mean @ matrix.T + shift, matrix @ items.cov @ matrix.T)


def inverse(matrices: Float[Tensor, "*n param param"]) -> Float[Tensor, "*n param param"]:
    """Inverse of positive definite matrices, with jitter in proportion where rounding would break Cholesky."""
    if matrices.shape[-1] == 2:
        closed = _inverse_of_pairs(matrices)
        if closed is not None:
            return closed
    factor, info = torch.linalg.cholesky_ex(matrices)
    jitter = 1e-10
    while bool(info.any()) and jitter < 1:
        size = matrices.diagonal(dim1=-2, dim2=-1).abs().mean(-1).clamp_min(1e-12)
        eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
        factor, info = torch.linalg.cholesky_ex(matrices + jitter * size[..., None, None] * eye)
        jitter *= 100
    return torch.cholesky_inverse(factor)


def _inverse_of_pairs(matrices: Float[Tensor, "*n 2 2"]) -> Float[Tensor, "*n 2 2"] | None:
    """Closed form for two parameters, many times faster than a factorisation each; None where one is not definite."""
    first, second, cross = matrices[..., 0, 0], matrices[..., 1, 1], matrices[..., 0, 1]
    determinant = first * second - cross.square()
    if not bool(((determinant > 1e-12 * first * second) & (first > 0)).all()):
        return None
    turned = torch.stack([second, -cross, -cross, first], -1) / determinant[..., None]
    return turned.reshape(matrices.shape)


@dataclass(frozen=True)
class AbilityPopulation:
    """The abilities' prior N(mean, cov)."""

    mean: Float[Tensor, " dim"]
    """Mean ability."""
    cov: Float[Tensor, "dim dim"]
    """Covariance of the abilities."""

    @staticmethod
    def standard(dims: int, device: torch.device | None = None) -> "AbilityPopulation":
        """N(0, I), the population that sets the scale of a fit.

        Args:
            dims: Number of dimensions.
            device: Device of the tensors; None for the default one.

        Returns:
            Mean 0 and covariance I.
        """
        return AbilityPopulation(
            torch.zeros(dims, dtype=torch.float64, device=device), torch.eye(dims, dtype=torch.float64, device=device)
        )

    def updated(self, models: Gaussians) -> "AbilityPopulation":
        """The population that these models are likely to come from, this one being worth `POPULATION_COUNT` models.

        Args:
            models: Posteriors of ``(theta, 1)``.
        """
        mean, cov = _conjugate(self.mean, self.cov, models.mean[:, :-1], models.cov[:, :-1, :-1])
        return AbilityPopulation(mean, cov)


def updated_prior(known: ItemPrior, items: Gaussians, design: Design) -> ItemPrior:
    """The items' prior after new items, the known one being worth `POPULATION_COUNT` items; effects of features stay.

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
    observed: Float[Tensor, "n param"],
    observed_cov: Float[Tensor, "n param param"],
) -> tuple[Float[Tensor, " param"], Float[Tensor, "param param"]]:
    """Means of a normal-inverse-Wishart posterior whose observations are Gaussians themselves."""
    total = POPULATION_COUNT + len(observed)
    new = (POPULATION_COUNT * mean + observed.sum(0)) / total
    residual, moved = observed - new, mean - new
    return new, (
        POPULATION_COUNT * (cov + torch.outer(moved, moved)) + observed_cov.sum(0) + residual.T @ residual
    ) / total
