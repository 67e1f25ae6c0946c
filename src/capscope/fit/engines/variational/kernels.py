"""The sums over cells that every update needs, from a few thin matrix products over chunks of rows.

Models and items enter alike: a model is the vector ``(theta, 1)``, an item is ``(a, d)``, each a Gaussian, and the
log-odds of a cell are their dot product. A half-step updates one side (the *rows*) with the other (the *columns*)
held fixed.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.cells.interface import Cells, Factors

Vectors = Float[Tensor, "n param"]
Matrices = Float[Tensor, "n param param"]


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian for each model or item, in double precision."""

    mean: Vectors
    """Means; the last parameter is the constant 1 of a model or the intercept of an item."""
    cov: Matrices
    """Covariances."""


@dataclass(frozen=True)
class Sums:
    """What the cells say about each row, in double precision."""

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

        Each cell of a row then meets a column uncertainty of its own, which attenuation has integrated out. To weigh
        it again, as columns that are free to follow require, would draw the rows to 0: posterior means scatter less
        than the truth, so that regressing on them is free of attenuation (Berkson, 1950).
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
    """Sums over the observed cells of each row, with information that no step can trip over.

    Args:
        cells: Scores, the side to update in rows.
        rows: The side to update.
        columns: The side held fixed.
        update: ``"model"`` or ``"item"``, the side in rows; a model's last parameter is known to be 1.
        threads: Chunks of rows worked on at once.
    """
    size = rows.mean.shape[1]
    full, free = _Pairs.upto(size, rows.mean.device), _Pairs.upto(size - 1, rows.mean.device)
    cov_pairs, outer_pairs = (full, free) if update == "model" else (free, full)
    factors = _thin_factors(rows, columns, cov_pairs, outer_pairs)
    found = cells.products(factors, factors.column_mean, factors.column_variance, threads)
    n_cov = len(cov_pairs.first)
    cov = cov_pairs.spread(found.curvature[:, :n_cov], size)
    sums = Sums(found.residual, cov, outer_pairs.spread(found.curvature[:, n_cov:], size), found.loss)
    return sums if cells.log_concave else sums.definite()


def _thin_factors(rows: Gaussians, columns: Gaussians, cov_pairs: _Pairs, outer_pairs: _Pairs) -> Factors:
    """Var(x . y) = <Cov x, E yy'> + <E x E x', Cov y>, with x the column and y the row."""
    row_second = rows.cov + rows.mean[:, :, None] * rows.mean[:, None, :]
    column_outer = columns.mean[:, :, None] * columns.mean[:, None, :]
    row_pairs = torch.cat([cov_pairs.coefficients(row_second), outer_pairs.coefficients(rows.cov)], 1)
    column_pairs = torch.cat([cov_pairs.take(columns.cov), outer_pairs.take(column_outer)], 1)
    return Factors(rows.mean.float(), columns.mean.float(), row_pairs.float(), column_pairs.float())
