"""Cells laid out as a full matrix, for data of which a good share was observed."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.cells.interface import CurvatureColumns, Factors, Products, ResidualColumns, for_each
from capscope.fit.cells.scores import CellScores, Floor
from capscope.fit.links import PROBIT_SCALE

CHUNK_CELLS = 1 << 18
"""Cells worked on at once on the CPU: the few arrays of a chunk then stay in its cache."""

GPU_CHUNK_CELLS = CHUNK_CELLS << 10

COLUMNS_AT_ONCE = 1 << 16
"""Single-precision sums run over this many columns at most; beyond, they are added up in double precision."""


@dataclass(frozen=True)
class DenseCells:
    """A matrix of scores."""

    scores: CellScores
    """Scores (row, column)."""
    row_floor: Floor = None
    """Chance of a right guess on each row, where rows are items."""
    column_floor: Floor = None
    """Chance of a right guess on each column, where columns are items."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        rows, columns = self.scores.shape
        return rows, columns

    @property
    def log_concave(self) -> bool:
        """Whether no item has a floor; see `Cells.log_concave`."""
        return self.row_floor is None and self.column_floor is None

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the cells, chunk by chunk; see `Cells.products`."""
        n_rows = self.shape[0]
        residual = on_residual.new_zeros(n_rows, on_residual.shape[1], dtype=torch.float64)
        curvature = on_curvature.new_zeros(n_rows, on_curvature.shape[1], dtype=torch.float64)
        chunks = self._row_chunks(on_residual.device)
        losses = on_residual.new_zeros(len(chunks), dtype=torch.float64)

        def work(number: int) -> None:
            rows = chunks[number]
            for columns in self._column_chunks():
                part = self._part(rows, columns)
                r, w = part.scores.residuals(*_moments(factors, rows, columns, 1 / PROBIT_SCALE), part.floor)
                residual[rows] += r @ on_residual[columns]
                curvature[rows] += w @ on_curvature[columns]
                losses[number] += torch.dot(r.reshape(-1), r.reshape(-1))

        for_each(work, len(chunks), threads)
        return Products(residual, curvature, float(losses.sum()))

    def log_likelihood(self, factors: Factors) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row's cells; see `Cells.log_likelihood`."""
        total = factors.row_mean.new_zeros(self.shape[0], dtype=torch.float64)
        for rows in self._row_chunks(total.device):
            for columns in self._column_chunks():
                part = self._part(rows, columns)
                total[rows] += part.scores.log_likelihood(*_moments(factors, rows, columns, 0.0), part.floor).sum(1)
        return total

    def transposed(self) -> "DenseCells":
        """Rows and columns exchanged, laid out anew."""
        turned = self.scores.mapped(lambda cells: cells.T.contiguous())
        return DenseCells(turned, self.column_floor, self.row_floor)

    def without_floor(self) -> "DenseCells":
        """The same scores as if nobody guessed."""
        return replace(self, row_floor=None, column_floor=None)

    def to(self, device: torch.device) -> "DenseCells":
        """Move to a device."""
        row, column = (None if floor is None else floor.to(device) for floor in (self.row_floor, self.column_floor))
        return DenseCells(self.scores.mapped(lambda cells: cells.to(device)), row, column)

    def _part(self, rows: slice, columns: slice) -> "_Part":
        floor = None if self.column_floor is None else self.column_floor[columns]
        if self.row_floor is not None:
            floor = self.row_floor[rows, None]
        return _Part(self.scores.mapped(lambda cells: cells[rows, columns]), floor)

    def _row_chunks(self, device: torch.device) -> list[slice]:
        """Chunks of about `CHUNK_CELLS` cells; on a GPU far larger ones."""
        n_rows, n_columns = self.shape
        most = CHUNK_CELLS if device.type == "cpu" else GPU_CHUNK_CELLS
        return _slices(n_rows, max(1, most // max(1, n_columns)))

    def _column_chunks(self) -> list[slice]:
        return _slices(self.shape[1], COLUMNS_AT_ONCE)


@dataclass(frozen=True)
class _Part:
    scores: CellScores
    floor: Floor


def _moments(factors: Factors, rows: slice, columns: slice, unit: float) -> tuple[Tensor, Tensor]:
    mean = factors.row_mean[rows] @ factors.column_mean[columns].T
    variance = factors.row_variance[rows] @ factors.column_variance[columns].T
    return mean, variance.add_(unit)


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
