"""Interface of the cells of a fit, and packed scores.

A cell is one model's answer to one item. Its log-odds are Gaussian; their mean and variance are inner products of
low-rank row and column factors. An engine needs products of residuals and curvatures with low-rank matrices, so no
layout stores a float for each cell. Scores take one byte where that is exact, else two floats. Floors belong to items
and are passed in by the layouts (see `matrices`).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from capscope.fit.tensor_links import (
    Block,
    signed_log_likelihood,
    signed_residuals,
    weighted_log_likelihood,
    weighted_residuals,
)

ResidualColumns = Float[Tensor, "columns k"]
CurvatureColumns = Float[Tensor, "columns j"]
Floor = Tensor | None


@dataclass(frozen=True)
class Factors:
    """Thin factors of the log-odds of all cells, in single precision."""

    row_mean: Float[Tensor, "rows k"]
    """Row factors of the mean: the mean of a cell is their inner product with `column_mean`."""
    column_mean: Float[Tensor, "columns k"]
    """Column factors of the mean."""
    row_variance: Float[Tensor, "rows j"]
    """Row factors of the variance: the variance of a cell is their inner product with `column_variance`."""
    column_variance: Float[Tensor, "columns j"]
    """Column factors of the variance."""


@dataclass(frozen=True)
class Products:
    """Results of one pass over the cells, in double precision."""

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
        """Whether no curvature is negative; with a floor, a right answer far below even odds is likely a guess."""
        ...

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the cells.

        Args:
            factors: Mean and variance of the log-odds.
            on_residual: Matrix that the residuals are multiplied by, as (column, k).
            on_curvature: Matrix that the curvatures are multiplied by, as (column, j).
            threads: Number of chunks of rows computed in parallel.
        """
        ...

    def log_likelihood(self, factors: Factors) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row's cells, in double precision and up to a constant of the row."""
        ...

    def without_floor(self) -> "Cells":
        """The same scores without floors of guessing."""
        ...

    def to(self, device: torch.device) -> "Cells":
        """Move to a device."""
        ...


def for_each(work: Callable[[int], None], count: int, threads: int) -> None:
    """Call ``work(0) ... work(count - 1)``, some of them in parallel; no two may write to the same place.

    Args:
        work: Called with each number from 0 to ``count - 1``.
        count: Number of calls.
        threads: Most calls at the same time.
    """
    if threads == 1 or count == 1:
        for number in range(count):
            work(number)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))


@runtime_checkable
class CellScores(Protocol):
    """Scores and trials of many cells, in one or two axes."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures, in place on mean and variance; see `tensor_links.weighted_residuals`.

        Args:
            mean: Means of the cells' log-odds.
            variance: Their variances plus 1 / `PROBIT_SCALE`.
            floor: Chance of a right guess in each cell; None where it is 0.

        Returns:
            Gradient of the expected log-likelihood in the log-odds, and minus its second derivative.
        """
        ...

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell, up to a constant where nothing was administered.

        Args:
            mean: Means of the cells' log-odds.
            variance: Their variances.
            floor: Chance of a right guess in each cell; None where it is 0.

        Returns:
            Log-likelihoods, of the cells' shape.
        """
        ...

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "CellScores":
        """Apply a function (a slice, a transpose, a move to a device) to every array that is aligned with the cells."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...


@dataclass(frozen=True)
class SignedScores:
    """Right or wrong answers, one byte a cell."""

    sign: Int8[Tensor, "*cells"]
    """1 right, -1 wrong, 0 not administered."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `CellScores.residuals` and `tensor_links.signed_residuals`."""
        if floor is not None:
            return self._spelt_out().residuals(mean, variance, floor)
        return signed_residuals(mean, variance, self.sign.to(mean.dtype))

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell; see `CellScores.log_likelihood`."""
        if floor is not None:
            return self._spelt_out().log_likelihood(mean, variance, floor)
        return signed_log_likelihood(mean, variance, self.sign.to(mean.dtype))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "SignedScores":
        """Apply the function to the signs."""
        return SignedScores(change(self.sign))

    def _spelt_out(self) -> "WeightedScores":
        return WeightedScores((self.sign > 0).float(), self.sign.abs().float())

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.sign.shape)


@dataclass(frozen=True)
class WeightedScores:
    """Scores in [0, 1] with a number of trials behind each."""

    score: Float[Tensor, "*cells"]
    """Mean score of each cell."""
    trials: Float[Tensor, "*cells"]
    """Trials of each cell; 0 for not administered."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `tensor_links.weighted_residuals`."""
        return weighted_residuals(mean, variance, self.score, self.trials, floor)

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell, 0 where nothing was administered; see `CellScores.log_likelihood`."""
        return weighted_log_likelihood(mean, variance, self.score, self.trials, floor)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "WeightedScores":
        """Apply the function to scores and trials."""
        return WeightedScores(change(self.score), change(self.trials))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.score.shape)


@dataclass(frozen=True)
class CodedScores:
    """Scores with trials, one byte a cell: the position in a short list of the pairs that occur."""

    code: UInt8[Tensor, "*cells"]
    """Position of each cell's pair."""
    score: Float[Tensor, " pair"]
    """Scores that occur."""
    trials: Float[Tensor, " pair"]
    """Trials behind each of them; 0 for not administered."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `tensor_links.weighted_residuals`."""
        return self._spelt_out().residuals(mean, variance, floor)

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell, 0 where nothing was administered; see `CellScores.log_likelihood`."""
        return self._spelt_out().log_likelihood(mean, variance, floor)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "CodedScores":
        """Apply the function to the codes; the list of pairs is moved to their device."""
        code = change(self.code)
        return CodedScores(code, self.score.to(code.device), self.trials.to(code.device))

    def _spelt_out(self) -> WeightedScores:
        flat = self.code.reshape(-1).int()
        score, trials = (values.index_select(0, flat).view(self.code.shape) for values in (self.score, self.trials))
        return WeightedScores(score, trials)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.code.shape)
