"""Moments of an item's posterior by Gauss-Hermite quadrature around its Gaussian, for matrices of few models.

With a dozen answers an item's posterior is far from Gaussian; the mode and its curvature are then too narrow, and
the prior's variance, fed by them, would shrink to nothing. Nine nodes around the Gaussian give the mean and
covariance that it should have had (Naylor & Smith, 1982).
"""

import numpy as np
import torch

from capscope.fit.cells.interface import Cells, Factors
from capscope.fit.engine.item_prior import Design, ItemPrior, inverse
from capscope.fit.engine.kernels import Gaussians

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
    """Standard nodes, and their log weights less the log density of the Gaussian they stand on."""
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
