"""Where the sweeps start: item logits, and abilities from one Newton step or from the residuals' singular vectors.

The spectral start is that of Chen, Li & Zhang (2019).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.cells.interface import Cells, Factors
from capscope.fit.engines.variational.kernels import Gaussians

OVERSAMPLING = 4
"""Directions carried beyond those wanted, so that subspace iteration settles fast."""

POWER_ITERATIONS = 5


def start(
    by_model: Cells,
    by_item: Cells,
    dims: int,
    generator: torch.Generator,
    device: torch.device,
    loads: Tensor | None = None,
) -> tuple[Gaussians, Gaussians]:
    """Start of the models ``(theta, 1)`` and of the items on ``(a, d)``.

    Args:
        by_model: Scores, models in rows.
        by_item: The same scores, items in rows.
        dims: Number of abilities.
        generator: Source of the random directions, on the CPU on every device; unused with one ability.
        device: Where the cells are.
        loads: 1 where an item may load on a dimension (item, dim); abilities then start from those items.
    """
    by_model, by_item = by_model.without_floor(), by_item.without_floor()
    logit = _item_logits(by_item, device)
    if loads is not None:
        ability = _masked_abilities(by_model, logit, loads)
    elif dims == 1:
        ability = _standardised(_one_step_abilities(by_model, logit))[:, None]
    else:
        ability = _leading_directions(by_model, by_item, logit, dims, generator)
    ones = torch.ones(len(ability), 1, dtype=torch.float64, device=device)
    mean = torch.cat([ability, ones], 1)
    # slopes of one ability start at 1; with more, at 0: the first step regresses on the directions
    slope = torch.full((len(logit), dims), float(dims == 1), dtype=torch.float64, device=device)
    return _certain(mean), _certain(torch.cat([slope, logit[:, None]], 1))


def _certain(mean: Float[Tensor, "n param"]) -> Gaussians:
    return Gaussians(mean, mean.new_zeros(len(mean), mean.shape[1], mean.shape[1]))


def _residual_sums(
    cells: Cells, row_logit: Tensor, column_logit: Tensor, right: Float[Tensor, "columns k"]
) -> tuple[Tensor, Tensor]:
    """Products of the residuals at known log-odds with thin columns, and sums of the curvatures."""
    one_row, one_column = torch.ones_like(row_logit), torch.ones_like(column_logit)
    factors = Factors(
        torch.stack([row_logit, one_row], 1).float(),
        torch.stack([one_column, column_logit], 1).float(),
        torch.zeros_like(one_row)[:, None].float(),
        torch.zeros_like(one_column)[:, None].float(),
    )
    found = cells.products(factors, right.float(), one_column[:, None].float())
    return found.residual, found.curvature[:, 0]


def _item_logits(by_item: Cells, device: torch.device) -> Float[Tensor, " item"]:
    n_items, n_models = by_item.shape
    zero_items = torch.zeros(n_items, dtype=torch.float64, device=device)
    ones = torch.ones(n_models, 1, dtype=torch.float64, device=device)
    # at log-odds 0 a residual is n (y - 1/2) and a curvature n / 4
    excess, information = _residual_sums(by_item, zero_items, ones[:, 0] * 0, ones)
    trials = 4 * information
    right = excess[:, 0] + trials / 2
    pooled = (right.sum() / trials.sum()).clamp(0.02, 0.98)
    return torch.logit((right + pooled) / (trials + 1))


def _one_step_abilities(by_model: Cells, logit: Float[Tensor, " item"]) -> Float[Tensor, " model"]:
    ones = torch.ones_like(logit)[:, None]
    zero = logit.new_zeros(by_model.shape[0])
    residual, information = _residual_sums(by_model, zero, logit, ones)
    return residual[:, 0] / (information + 1)


def _masked_abilities(
    by_model: Cells, logit: Float[Tensor, " item"], loads: Float[Tensor, "item dim"]
) -> Float[Tensor, "model dim"]:
    """How much better each model does than expected on the items of each dimension."""
    excess, _ = _residual_sums(by_model, logit.new_zeros(by_model.shape[0]), logit, loads)
    return torch.stack([_standardised(column) for column in excess.T], 1)


def _standardised(ability: Float[Tensor, " model"]) -> Float[Tensor, " model"]:
    centred = ability - ability.mean()
    spread = centred.square().mean().sqrt()
    return centred / spread if float(spread) > 1e-6 else centred


def _leading_directions(
    by_model: Cells, by_item: Cells, logit: Float[Tensor, " item"], dims: int, generator: torch.Generator
) -> Float[Tensor, "model dim"]:
    """Left singular vectors of the residuals by subspace iteration, scaled to unit variance."""
    n_models, n_items = by_model.shape
    rank = min(n_models, n_items, dims + OVERSAMPLING)
    right = torch.randn(n_items, rank, dtype=torch.float64, generator=generator).to(logit.device)
    zero = logit.new_zeros(n_models)
    left = right
    for _ in range(POWER_ITERATIONS):
        left = torch.linalg.qr(_residual_sums(by_model, zero, logit, right)[0]).Q
        right = _residual_sums(by_item, logit, zero, left)[0]
    directions = left @ torch.linalg.svd(right.T, full_matrices=False).U
    kept = directions[:, :dims] * n_models**0.5
    if kept.shape[1] < dims:  # more dimensions than models: the others start at nothing
        kept = torch.cat([kept, kept.new_zeros(n_models, dims - kept.shape[1])], 1)
    return kept
