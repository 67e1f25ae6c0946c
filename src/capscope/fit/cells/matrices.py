"""The two layouts of cells: a full matrix, and compressed rows where few cells were observed.

A chunk of rows is computed at a time. With compressed rows that are not too sparse, one small dense product for the
chunk and a gather are faster than gathering both thin factors.
"""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor

from capscope.fit.cells.fused import fused_sums, is_fused
from capscope.fit.cells.interface import (
    CellScores,
    CurvatureColumns,
    Factors,
    Floor,
    Products,
    ResidualColumns,
    SignedScores,
    for_each,
)
from capscope.fit.links import PROBIT_SCALE

DENSE_CHUNK_CELLS = 1 << 18
"""Cells of a chunk on the CPU, whose arrays fit the cache."""

GPU_DENSE_CHUNK_CELLS = DENSE_CHUNK_CELLS << 10

COLUMNS_AT_ONCE = 1 << 16
"""Most columns that a single-precision sum runs over; longer sums are added in double precision."""
CHUNK_CELLS = 1 << 16
"""Observed cells of a chunk on the CPU."""

GPU_CHUNK_CELLS = CHUNK_CELLS << 7
"""Observed cells of a chunk on a GPU, which small chunks would leave idle."""

GATHER_SHARE = 0.02
"""Share of observed cells below which factors are gathered cell by cell."""


class _WithFloors:
    """Base of the layouts: floors of guessing of each item, on rows or on columns."""

    row_floor: Floor
    column_floor: Floor

    @property
    def log_concave(self) -> bool:
        """Whether no item has a floor; see `Cells.log_concave`."""
        return self.row_floor is None and self.column_floor is None

    def _floors_on(self, device: torch.device) -> tuple[Floor, Floor]:
        row, column = (None if floor is None else floor.to(device) for floor in (self.row_floor, self.column_floor))
        return row, column


def _no_sums(
    on_residual: ResidualColumns, on_curvature: CurvatureColumns, rows: int, chunks: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Zeros for the products of residuals and of curvatures, by row, and for the loss of each chunk."""
    residual, curvature = (on.new_zeros(rows, on.shape[1], dtype=torch.float64) for on in (on_residual, on_curvature))
    return residual, curvature, on_residual.new_zeros(chunks, dtype=torch.float64)


@dataclass(frozen=True)
class DenseCells(_WithFloors):
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

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the cells, chunk by chunk; see `Cells.products`."""
        chunks = self._row_chunks(on_residual.device)
        residual, curvature, losses = _no_sums(on_residual, on_curvature, self.shape[0], len(chunks))

        def work(number: int) -> None:
            rows = chunks[number]
            for columns in self._column_chunks():
                on = on_residual[columns], on_curvature[columns]
                r, w, loss = _chunk_sums(self._part(rows, columns), factors, rows, columns, on)
                residual[rows] += r
                curvature[rows] += w
                losses[number] += loss

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
        """The transposed cells, in a new layout."""
        turned = self.scores.mapped(lambda cells: cells.T.contiguous())
        return DenseCells(turned, self.column_floor, self.row_floor)

    def without_floor(self) -> "DenseCells":
        """The same scores without floors of guessing."""
        return replace(self, row_floor=None, column_floor=None)

    def to(self, device: torch.device) -> "DenseCells":
        """Move to a device."""
        return DenseCells(self.scores.mapped(lambda cells: cells.to(device)), *self._floors_on(device))

    def _part(self, rows: slice, columns: slice) -> "_Part":
        floor = None if self.column_floor is None else self.column_floor[columns]
        if self.row_floor is not None:
            floor = self.row_floor[rows, None]
        return _Part(self.scores.mapped(lambda cells: cells[rows, columns]), floor)

    def _row_chunks(self, device: torch.device) -> list[slice]:
        """Chunks of about `DENSE_CHUNK_CELLS` cells; on a GPU far larger ones."""
        n_rows, n_columns = self.shape
        most = DENSE_CHUNK_CELLS if device.type == "cpu" else GPU_DENSE_CHUNK_CELLS
        return _slices(n_rows, max(1, most // max(1, n_columns)))

    def _column_chunks(self) -> list[slice]:
        return _slices(self.shape[1], COLUMNS_AT_ONCE)


@dataclass(frozen=True)
class _Part:
    scores: CellScores
    floor: Floor


def _chunk_sums(
    part: _Part, factors: Factors, rows: slice, columns: slice, on: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals and curvatures of a chunk times thin columns, and the sum of squared residuals."""
    if isinstance(part.scores, SignedScores) and part.floor is None and is_fused(on[1].shape[1]):
        row = factors.row_mean[rows], factors.row_variance[rows]
        return fused_sums(part.scores.sign, row, (factors.column_mean[columns], factors.column_variance[columns]), on)
    r, w = part.scores.residuals(*_moments(factors, rows, columns, 1 / PROBIT_SCALE), part.floor)
    return r @ on[0], w @ on[1], torch.dot(r.reshape(-1), r.reshape(-1))


def _moments(factors: Factors, rows: slice, columns: slice, unit: float) -> tuple[Tensor, Tensor]:
    mean = factors.row_mean[rows] @ factors.column_mean[columns].T
    variance = factors.row_variance[rows] @ factors.column_variance[columns].T
    return mean, variance.add_(unit)


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


@runtime_checkable
class CellStore(Protocol):
    """Observed cells in the order of their rows."""

    def read(self, cells: slice) -> tuple[Int32[Tensor, " cell"], CellScores]:
        """Column and score of some cells."""
        ...

    def to(self, device: torch.device) -> "CellStore":
        """Move to a device."""
        ...


@dataclass(frozen=True)
class MemoryStore:
    """Cells in memory."""

    column: Int32[Tensor, " cell"]
    """Column of each cell."""
    scores: CellScores
    """Score of each cell."""

    def read(self, cells: slice) -> tuple[Int32[Tensor, " cell"], CellScores]:
        """Column and score of some cells."""
        return self.column[cells], self.scores.mapped(lambda values: values[cells])

    def to(self, device: torch.device) -> "MemoryStore":
        """Move to a device."""
        return MemoryStore(self.column.to(device), self.scores.mapped(lambda values: values.to(device)))


@dataclass(frozen=True)
class _Chunk:
    """Some rows and their observed cells."""

    rows: slice
    start: Int32[Tensor, " row1"]
    row: Int32[Tensor, " cell"]
    """Row of each cell, counted within the chunk."""
    column: Int32[Tensor, " cell"]
    scores: CellScores
    floor: Floor

    def times(self, values: Float[Tensor, " cell"], thin: Float[Tensor, "column k"]) -> Float[Tensor, "row k"]:
        """The chunk as a sparse matrix times a thin one."""
        size = (len(self.start) - 1, len(thin))
        matrix = torch.sparse_csr_tensor(self.start, self.column, values, size=size, check_invariants=False)
        return (matrix @ thin).double()

    def inner(
        self, left: Float[Tensor, "row k"], right: Float[Tensor, "column k"], blockwise: bool
    ) -> Float[Tensor, " cell"]:
        """Inner products of row and column factors at the observed cells."""
        left = left[self.rows]
        if blockwise:
            return (left @ right.T).reshape(-1).index_select(0, self.row * len(right) + self.column)
        return (left.index_select(0, self.row) * right.index_select(0, self.column)).sum(1)


@dataclass(frozen=True)
class SparseCells(_WithFloors):
    """Observed cells row by row."""

    start: Int64[Tensor, " row1"]
    """Position of the first cell of each row, and the number of all cells."""
    n_columns: int
    """Number of columns."""
    store: CellStore
    """The cells."""
    row_floor: Floor = None
    """Chance of a right guess on each row, where rows are items."""
    column_floor: Floor = None
    """Chance of a right guess on each column, where columns are items."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return len(self.start) - 1, self.n_columns

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the observed cells; see `Cells.products`."""
        chunks = self._row_chunks()
        residual, curvature, losses = _no_sums(on_residual, on_curvature, self.shape[0], len(chunks))

        def work(number: int) -> None:
            chunk = self._chunk(chunks[number])
            r, w = chunk.scores.residuals(*self._moments(factors, chunk, 1 / PROBIT_SCALE), chunk.floor)
            residual[chunk.rows] = chunk.times(r, on_residual)
            curvature[chunk.rows] = chunk.times(w, on_curvature)
            losses[number] = torch.dot(r, r)

        with _no_beta_warning():
            for_each(work, len(chunks), threads)
        return Products(residual, curvature, float(losses.sum()))

    def log_likelihood(self, factors: Factors) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row's cells; see `Cells.log_likelihood`."""
        total = factors.row_mean.new_zeros(self.shape[0], dtype=torch.float64)
        for rows in self._row_chunks():
            chunk = self._chunk(rows)
            cells = chunk.scores.log_likelihood(*self._moments(factors, chunk, 0.0), chunk.floor)
            total.index_add_(0, chunk.row + rows.start, cells.double())
        return total

    def without_floor(self) -> "SparseCells":
        """The same scores without floors of guessing."""
        return replace(self, row_floor=None, column_floor=None)

    def to(self, device: torch.device) -> "SparseCells":
        """Move to a device."""
        return SparseCells(self.start.to(device), self.n_columns, self.store.to(device), *self._floors_on(device))

    def _moments(self, factors: Factors, chunk: _Chunk, unit: float) -> tuple[Tensor, Tensor]:
        n_dense = (chunk.rows.stop - chunk.rows.start) * self.n_columns
        blockwise = len(chunk.row) > GATHER_SHARE * n_dense and n_dense < torch.iinfo(torch.int32).max
        mean = chunk.inner(factors.row_mean, factors.column_mean, blockwise)
        return mean, chunk.inner(factors.row_variance, factors.column_variance, blockwise).add_(unit)

    def _row_chunks(self) -> list[slice]:
        """Whole rows with about `CHUNK_CELLS` observed cells (on a GPU far more), at least one row."""
        most = CHUNK_CELLS if self.start.device.type == "cpu" else GPU_CHUNK_CELLS
        starts, n_rows = self.start.cpu(), self.shape[0]
        chunks: list[slice] = []
        row = 0
        while row < n_rows:
            limit = int(starts[row]) + most
            stop = max(row + 1, int(torch.searchsorted(starts, limit, right=True)) - 1)
            chunks.append(slice(row, min(stop, n_rows)))
            row = chunks[-1].stop
        return chunks

    def _chunk(self, rows: slice) -> _Chunk:
        start = self.start[rows.start : rows.stop + 1]
        column, scores = self.store.read(slice(int(start[0]), int(start[-1])))
        numbers = torch.arange(rows.stop - rows.start, dtype=torch.int32, device=start.device)
        row = torch.repeat_interleave(numbers, start.diff())
        return _Chunk(rows, (start - start[0]).int(), row, column, scores, self._floor(rows, row, column))

    def _floor(self, rows: slice, row: Int[Tensor, " cell"], column: Int[Tensor, " cell"]) -> Floor:
        if self.row_floor is not None:
            return self.row_floor[rows].index_select(0, row)
        return None if self.column_floor is None else self.column_floor.index_select(0, column)


@contextmanager
def _no_beta_warning() -> Generator[None]:
    """Silence torch's warning that compressed rows are in beta: only their products with dense matrices are used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
        warnings.filterwarnings("ignore", message="Sparse invariant checks", category=UserWarning)
        yield
