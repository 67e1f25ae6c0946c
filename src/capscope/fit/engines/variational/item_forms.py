"""The two parametrisations of items: signed ``(a, d)``, or positive ``(log a, b)``.

Each form has the moments of ``(a, d)`` that updates of models need, a Newton step from the sums over cells, and the
transformation under a change of the ability scale.
"""

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.cells.interface import Cells, Factors
from capscope.fit.engines.variational.item_prior import Design, ItemPrior, inverse, transform_items, transform_prior
from capscope.fit.engines.variational.kernels import Gaussians, Matrices, Sums, Vectors
from capscope.fit.tensor_links import lognormal_moments

FEW_ANSWERS = 100
"""Up to this many answers an item's posterior is so far from Gaussian that quadrature is used."""

MAX_STEP = 2.0
"""Largest change of a parameter in one step: a start on the flat of the logistic would overshoot without it."""

MAX_LOG_SLOPE = 3.0
"""Bound of the log slope in the positive form, where a flat item would send it to minus infinity."""

MAX_DIFFICULTY = 12.0
"""Bound of the difficulty in the positive form, in standard deviations of ability."""


@runtime_checkable
class ItemForm(Protocol):
    """A parametrisation of items, as the engine uses it."""

    spread: Float[Tensor, " param"]
    """Prior guess of the variances of the parameters between items."""
    loads: Float[Tensor, "item dim"] | None
    """1 where an item may load on a dimension, 0 where its slope is held at 0; None for all free."""
    wants_quadrature: bool
    """Whether moments are taken by quadrature around the Newton step's: items have too few answers for a Gaussian."""

    def start(self, items: Gaussians) -> Gaussians:
        """Parameters of this form from a start on ``(a, d)``."""
        ...

    def moments(self, items: Gaussians) -> Gaussians:
        """Mean and covariance of ``(a, d)``."""
        ...

    def jacobian(self, items: Gaussians) -> Matrices:
        """Derivative of ``(a, d)`` in this form's parameters at the items' means."""
        ...

    def step(self, items: Gaussians, sums: Sums, prior: ItemPrior, design: Design) -> Gaussians:
        """Posterior of the items after one Newton step.

        Args:
            items: Gaussians of the items before the step.
            sums: Sums of the likelihood's derivatives over each item's cells.
            prior: Prior of the items.
            design: Item features, which move the prior mean.

        Returns:
            Gaussians of the items after the step.
        """
        ...

    def rescale(
        self, items: Gaussians, prior: ItemPrior, scale: Float[Tensor, "dim dim"], shift: Float[Tensor, " dim"]
    ) -> tuple[Gaussians, ItemPrior]:
        """Items and prior on the ability scale ``theta'`` with ``theta = scale @ theta' + shift``.

        Args:
            items: Gaussians of the items.
            prior: Prior of the items.
            scale: Matrix from the new abilities to the old ones.
            shift: Old abilities where the new ones are 0.

        Returns:
            Items and prior with the same log-odds on the new scale.
        """
        ...


class SignedForm:
    """Gaussian on ``(a_1..a_D, d)``; slopes may be negative. Fixed slopes (Rasch) keep their value and no variance."""

    wants_quadrature = False

    def __init__(self, dims: int, free_slopes: bool = True, loads: Float[Tensor, "item dim"] | None = None) -> None:
        """Set the free parameters: all, the intercept alone, or the slopes that a confirmatory mask leaves."""
        free = [free_slopes] * dims + [True]
        self.free = torch.tensor(free, dtype=torch.float64)
        self.loads = loads
        self.spread = torch.tensor([0.25] * dims + [1.0], dtype=torch.float64) * self.free

    def start(self, items: Gaussians) -> Gaussians:
        """Return the start itself, less the slopes held at 0."""
        return items if self.loads is None else Gaussians(items.mean * self._free_rows(), items.cov)

    def _free_rows(self) -> Float[Tensor, "#item param"]:
        """1 for each free parameter of each item."""
        if self.loads is None:
            return self.free[None]
        return torch.cat([self.loads, torch.ones_like(self.loads[:, :1])], 1)

    def moments(self, items: Gaussians) -> Gaussians:
        """Return the items themselves."""
        return items

    def jacobian(self, items: Gaussians) -> Matrices:
        """The identity."""
        size = items.mean.shape[1]
        return torch.eye(size, dtype=items.mean.dtype, device=items.mean.device).expand(len(items.mean), size, size)

    def step(self, items: Gaussians, sums: Sums, prior: ItemPrior, design: Design) -> Gaussians:
        """Newton step on the expected log-density; see `ItemForm.step`."""
        free = self._free_rows().to(items.mean.device)
        both = free[:, :, None] * free[:, None, :]
        fixed = torch.diag_embed(1 - free)
        pull = (inverse(prior.cov * both + fixed) * both).expand(len(items.mean), -1, -1)
        gradient = sums.gradient(items.mean) - torch.einsum(
            "nij,nj->ni", pull, (items.mean - prior.mean(design.features)) * free
        )
        cov = inverse((sums.information + pull) * both + fixed) * both
        change = torch.einsum("nij,nj->ni", cov, gradient * free)
        return Gaussians(items.mean + bounded(change), cov)

    def rescale(
        self, items: Gaussians, prior: ItemPrior, scale: Float[Tensor, "dim dim"], shift: Float[Tensor, " dim"]
    ) -> tuple[Gaussians, ItemPrior]:
        """Slopes ``scale' a`` and intercepts ``d + shift . a``; see `ItemForm.rescale`."""
        size = len(shift) + 1
        matrix = torch.eye(size, dtype=scale.dtype, device=scale.device)
        matrix[:-1, :-1] = scale.T
        matrix[-1, :-1] = shift
        nothing = matrix.new_zeros(size)
        return transform_items(items, matrix, nothing), transform_prior(prior, matrix, nothing)


class PositiveForm:
    """Gaussian on ``(log a, b)`` with ``d = -a b``, one ability; bounded.

    With few answers an item's posterior in ``log a`` is skewed: its mode and curvature would make every slope alike.
    """

    loads: Float[Tensor, "item dim"] | None = None

    def __init__(self, answers_per_item: float = math.inf) -> None:
        """Set the prior guess of the variances between items, and the moments that so many answers call for."""
        self.wants_quadrature = answers_per_item <= FEW_ANSWERS
        self.spread = torch.tensor([0.15, 1.0], dtype=torch.float64)

    def start(self, items: Gaussians) -> Gaussians:
        """Match slopes and difficulties, bounded away from flat."""
        slope = items.mean[:, 0].clamp_min(0.2)
        mean = torch.stack([slope.log(), (-items.mean[:, 1] / slope).clamp(-4, 4)], 1)
        return Gaussians(mean, torch.diag(self.spread).to(mean.device).expand(len(mean), 2, 2).clone() * 0.1)

    def moments(self, items: Gaussians) -> Gaussians:
        """Closed-form moments of a log-normal slope and its product with a Gaussian difficulty."""
        return Gaussians(*lognormal_moments(items.mean, items.cov))

    def jacobian(self, items: Gaussians) -> Matrices:
        """``da / dlog a = a``, ``dd / dlog a = -a b``, ``dd / db = -a``."""
        slope, difficulty = items.mean[:, 0].exp(), items.mean[:, 1]
        rows = torch.stack([slope, torch.zeros_like(slope), -slope * difficulty, -slope], 1)
        return rows.reshape(-1, 2, 2)

    def step(self, items: Gaussians, sums: Sums, prior: ItemPrior, design: Design) -> Gaussians:
        """Newton step by the gradients and Gauss-Newton curvatures of Bonnet and Price; see `ItemForm.step`."""
        pull = inverse(prior.cov)
        likelihood, curvature = self._derivatives(self.moments(items), sums)
        gradient = likelihood - (items.mean - prior.mean(design.features)) @ pull
        cov = inverse(_newton_precision(curvature + pull, likelihood))
        # a step of 2 in the log slope would be sevenfold: it counts as three times as long
        unit = items.mean.new_tensor([3.0, 1.0])
        mean = items.mean + bounded(torch.einsum("nij,nj->ni", cov, gradient) * unit) / unit
        return Gaussians(_within_bounds(mean), cov)

    def _derivatives(self, items: Gaussians, sums: Sums) -> tuple[Vectors, Matrices]:
        """Expected gradient and information in ``(log a, b)`` from sums in ``(a, d)``.

        With ``z = a (theta - b)``: ``dz / dlog a = z`` and ``dz / db = -a``; Stein's lemma gives ``E[r z]``.
        """
        slope, cov = items.mean[:, 0], items.cov
        second = cov + items.mean[:, :, None] * items.mean[:, None, :]
        information, outer, ability_var = sums.information, sums.outer, sums.cov[:, 0, 0]
        z_variance = (cov * information).sum((1, 2)) + slope.square() * ability_var
        slope_z = cov[:, 0, 0] * outer[:, 0, 1] + cov[:, 0, 1] * outer[:, 1, 1]
        gradient = torch.stack(
            [(sums.residual * items.mean).sum(1) - z_variance, -(sums.residual[:, 1] * slope - slope_z)], 1
        )
        mean_z_slope = slope * (items.mean[:, 0] * outer[:, 0, 1] + items.mean[:, 1] * outer[:, 1, 1])
        curvature = torch.empty_like(cov)
        curvature[:, 0, 0] = (second * information).sum((1, 2))
        curvature[:, 0, 1] = curvature[:, 1, 0] = -(mean_z_slope + slope_z)
        curvature[:, 1, 1] = second[:, 0, 0] * outer[:, 1, 1]
        return gradient, curvature

    def rescale(
        self, items: Gaussians, prior: ItemPrior, scale: Float[Tensor, "dim dim"], shift: Float[Tensor, " dim"]
    ) -> tuple[Gaussians, ItemPrior]:
        """Log slopes plus ``log scale`` and difficulties ``(b - shift) / scale``; see `ItemForm.rescale`."""
        factor = scale[0, 0].abs()
        matrix = torch.diag(torch.stack([torch.ones_like(factor), 1 / factor]))
        offset = torch.stack([factor.log(), -shift[0] / factor])
        return transform_items(items, matrix, offset), transform_prior(prior, matrix, offset)


def _newton_precision(gauss_newton: Matrices, likelihood: Vectors) -> Matrices:
    """Add the second derivatives of ``z = a (theta - b)`` to a Gauss-Newton precision where it stays definite.

    They are z itself in ``log a`` and minus the slope across, so in expectation the gradients of the likelihood.
    """
    slope, difficulty = likelihood[:, 0], likelihood[:, 1]
    bend = torch.stack([slope, difficulty, difficulty, torch.zeros_like(slope)], 1).reshape(-1, 2, 2)
    newton = gauss_newton - bend
    determinant = newton[:, 0, 0] * newton[:, 1, 1] - newton[:, 0, 1].square()
    least = 0.25 * gauss_newton[:, 0, 0] * gauss_newton[:, 1, 1]
    definite = (determinant > least * 0.25) & (newton[:, 0, 0] > 0.25 * gauss_newton[:, 0, 0])
    return torch.where(definite[:, None, None], newton, gauss_newton)


def bounded(change: Vectors) -> Vectors:
    """Shorten the steps that would move a parameter by more than `MAX_STEP`."""
    largest = change.abs().amax(1, keepdim=True)
    return change * (MAX_STEP / largest.clamp_min(MAX_STEP))


def _within_bounds(mean: Vectors) -> Vectors:
    log_slope = mean[:, 0].clamp(-MAX_LOG_SLOPE, MAX_LOG_SLOPE)
    return torch.stack([log_slope, mean[:, 1].clamp(-MAX_DIFFICULTY, MAX_DIFFICULTY)], 1)


NODES = 3
"""Nodes along each of the two parameters; more changed no held-out log-loss."""


def quadrature_moments(
    by_item: Cells, items: Gaussians, models: Gaussians, prior: ItemPrior, design: Design
) -> Gaussians:
    """Posterior means and covariances of ``(log a, b)`` given the models' abilities.

    Args:
        by_item: Scores, items in rows.
        items: Gaussians around which to place the nodes.
        models: Posteriors of ``(theta, 1)`` with one ability.
        prior: The items' prior.
        design: Features of the items.
    """
    node, log_weight = _nodes(items.mean.device)
    factor, _ = torch.linalg.cholesky_ex(items.cov)
    points = items.mean[:, None] + node @ factor.transpose(1, 2)
    residual = points - prior.mean(design.features)[:, None]
    log_prior = -0.5 * ((residual @ inverse(prior.cov)) * residual).sum(2)
    log_density = log_prior + log_weight + _log_likelihood(by_item, points, models)
    share = torch.softmax(log_density, 1)[:, :, None]
    mean = (share * points).sum(1)
    centred = points - mean[:, None]
    return Gaussians(mean, (share * centred).transpose(1, 2) @ centred)


def _nodes(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss-Hermite nodes in two dimensions, and their log weights minus the standard Gaussian log density."""
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    first, second = np.meshgrid(node, node, indexing="ij")
    pairs = np.column_stack([first.ravel(), second.ravel()])
    log_weight = np.log(np.outer(weight, weight).ravel()) + 0.5 * (pairs**2).sum(1)
    return torch.from_numpy(pairs).to(device), torch.from_numpy(log_weight).to(device)


def _log_likelihood(by_item: Cells, points: torch.Tensor, models: Gaussians) -> torch.Tensor:
    slope = points[:, :, 0].exp()
    intercept = -slope * points[:, :, 1]
    ones = torch.ones_like(models.mean[:, 0])
    abilities = torch.stack([models.mean[:, 0], ones], 1).float()
    variances = models.cov[:, 0, 0, None].float()
    total = torch.empty_like(slope)
    for node in range(points.shape[1]):
        lines = torch.stack([slope[:, node], intercept[:, node]], 1).float()
        factors = Factors(lines, abilities, slope[:, node, None].square().float(), variances)
        total[:, node] = by_item.log_likelihood(factors)
    return total
