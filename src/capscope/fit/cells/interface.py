"""What the engine asks of the cells of a fit, however they are laid out: sums over the cells of each row.

Log-odds of a cell are Gaussian; its mean and its variance are inner products of a thin row and a thin column, and
all that is wanted back are thin products of residuals and curvatures. No layout ever holds a float for each cell.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

ResidualColumns = Float[Tensor, "columns k"]
CurvatureColumns = Float[Tensor, "columns j"]


@dataclass(frozen=True)
class Factors:
    """Thin factors of the log-odds of all cells, in single precision."""

    row_mean: Float[Tensor, "rows k"]
    """The mean is the inner product of these ..."""
    column_mean: Float[Tensor, "columns k"]
    """... and these."""
    row_variance: Float[Tensor, "rows j"]
    """The variance is the inner product of these ..."""
    column_variance: Float[Tensor, "columns j"]
    """... and these."""


@dataclass(frozen=True)
class Products:
    """What one pass over the cells brings back, in double precision."""

    residual: Float[Tensor, "rows k"]
    """Residuals times a thin matrix."""
    curvature: Float[Tensor, "rows j"]
    """Curvatures times a thin matrix."""
    loss: float
    """Sum of squared residuals over all cells."""


@runtime_checkable
class Cells(Protocol):
    """Scores of all cells, one side in rows: dense, or compressed rows in memory or on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        ...

    @property
    def log_concave(self) -> bool:
        """Whether no curvature is negative: a right answer far below even odds is likely a guess where there is one."""
        ...

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the cells.

        Args:
            factors: Mean and variance of the log-odds.
            on_residual: What the residuals are multiplied by.
            on_curvature: What the curvatures are multiplied by.
            threads: Chunks of rows worked on at once.
        """
        ...

    def log_likelihood(self, factors: Factors) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row's cells, in double precision and up to a constant of the row."""
        ...

    def without_floor(self) -> "Cells":
        """The same scores as if nobody guessed."""
        ...

    def to(self, device: torch.device) -> "Cells":
        """Move to a device."""
        ...


def for_each(work: Callable[[int], None], count: int, threads: int) -> None:
    """Call ``work(0) ... work(count - 1)``, some of them at once; each must write to a place of its own."""
    if threads == 1 or count == 1:
        for number in range(count):
            work(number)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))
