"""Sums over cells for the updates of the variational engine, and the values at which its sweeps start.

A model is the vector ``(theta, 1)``, an item is ``(a, d)``, each a Gaussian, and the log-odds of a cell are their dot
product. A half-step updates one side (the *rows*) with the other (the *columns*) held fixed. The start takes item
logits from the margins, and abilities from one Newton step or, with several dimensions, from the singular vectors of
the residuals (Chen, Li & Zhang, 2019).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.cells.interface import Cells, Factors

Vectors = Float[Tensor, "n param"]
Matrices = Float[Tensor, "n param param"]
OVERSAMPLING = 4
"""Directions carried beyond those wanted, so that subspace iteration settles fast."""

POWER_ITERATIONS = 5


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian for each model or item, in double precision."""

    mean: Vectors
    """Means; the last parameter is the constant 1 of a model or the intercept of an item."""
    cov: Matrices
    """Covariances."""


@dataclass(frozen=True)
class Sums:
    """Sums over the cells of each row, in double precision."""

    residual: Vectors
    """Sum of ``r x`` over the columns, x being a column's mean and r the expected residual."""
    cov: Matrices
    """Sum of ``w Cov(x)``, w being the expected curvature."""
    outer: Matrices
    """Sum of ``w x x'``."""
    loss: float
    """Sum of squared residuals over all cells."""

    @property
    def information(self) -> Matrices:
        """Sum of ``w E[x x']``, the expected information of each row."""
        return self.cov + self.outer

    def definite(self) -> "Sums":
        """The same gradients, with information that is nowhere negative, for cells whose curvature may be."""
        value, vector = torch.linalg.eigh(self.information)
        missing = (vector * (-value).clamp_min(0)[:, None, :]) @ vector.transpose(1, 2)
        return replace(self, outer=self.outer + missing)

    def to_fixed_columns(self) -> "Sums":
        """The sums for rows that leave the columns as they are.

        The uncertainty of each column is then independent of the rows, and attenuation has integrated it out. Counting
        it again, as is right for columns that are updated too, would shrink the rows: posterior means scatter less than
        the truth, so that regression on them has no attenuation bias (Berkson, 1950).
        """
        return replace(self, cov=torch.zeros_like(self.cov)).definite()

    def plus(self, other: "Sums") -> "Sums":
        """The sums over these cells and others of the same rows."""
        return Sums(
            self.residual + other.residual, self.cov + other.cov, self.outer + other.outer, self.loss + other.loss
        )

    def gradient(self, mean: Vectors) -> Vectors:
        """Gradient of the expected log-likelihood in the rows' means (Bonnet's theorem)."""
        return self.residual - torch.einsum("nij,nj->ni", self.cov, mean)


@dataclass(frozen=True)
class _Pairs:
    """Which entries of symmetric matrices are carried as columns of a thin product."""

    first: Tensor
    second: Tensor

    @staticmethod
    def upto(size: int, device: torch.device) -> "_Pairs":
        """All pairs of the first parameters."""
        index = torch.triu_indices(size, size, device=device)
        return _Pairs(index[0], index[1])

    def take(self, matrices: Matrices) -> Tensor:
        return matrices[:, self.first, self.second]

    def coefficients(self, matrices: Matrices) -> Tensor:
        """Entries such that their product with `take` is the inner product of the matrices."""
        return self.take(matrices) * torch.where(self.first == self.second, 1.0, 2.0).to(matrices.dtype)

    def spread(self, sums: Tensor, size: int) -> Matrices:
        matrices = sums.new_zeros(sums.shape[0], size, size)
        matrices[:, self.first, self.second] = sums
        matrices[:, self.second, self.first] = sums
        return matrices


def cell_sums(cells: Cells, rows: Gaussians, columns: Gaussians, update: str, threads: int = 1) -> Sums:
    """Sums over the observed cells of each row, with positive semidefinite information.

    Args:
        cells: Scores, the side to update in rows.
        rows: The side to update.
        columns: The side held fixed.
        update: ``"model"`` or ``"item"``, the side in rows; a model's last parameter is known to be 1.
        threads: Number of chunks of rows computed in parallel.
    """
    size = rows.mean.shape[1]
    full, free = _Pairs.upto(size, rows.mean.device), _Pairs.upto(size - 1, rows.mean.device)
    cov_pairs, outer_pairs = (full, free) if update == "model" else (free, full)
    factors = _thin_factors(rows, columns, cov_pairs, outer_pairs)
    products = cells.products(factors, factors.column_mean, factors.column_variance, threads)
    n_cov = len(cov_pairs.first)
    cov = cov_pairs.spread(products.curvature[:, :n_cov], size)
    sums = Sums(products.residual, cov, outer_pairs.spread(products.curvature[:, n_cov:], size), products.loss)
    return sums if cells.log_concave else sums.definite()


def _thin_factors(rows: Gaussians, columns: Gaussians, cov_pairs: _Pairs, outer_pairs: _Pairs) -> Factors:
    """Var(x . y) = <Cov x, E yy'> + <E x E x', Cov y>, with x the column and y the row."""
    row_second = rows.cov + rows.mean[:, :, None] * rows.mean[:, None, :]
    column_outer = columns.mean[:, :, None] * columns.mean[:, None, :]
    row_pairs = torch.cat([cov_pairs.coefficients(row_second), outer_pairs.coefficients(rows.cov)], 1)
    column_pairs = torch.cat([cov_pairs.take(columns.cov), outer_pairs.take(column_outer)], 1)
    return Factors(rows.mean.float(), columns.mean.float(), row_pairs.float(), column_pairs.float())


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
    products = cells.products(factors, right.float(), one_column[:, None].float())
    return products.residual, products.curvature[:, 0]


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
