"""One compiled kernel for a pass over right and wrong answers, where thin products do not dominate.

`DenseCells` computes log-odds, residuals and curvatures of a chunk as arrays, each written to memory and read again.
Compiled by torch (Triton on a GPU, C++ on a CPU), the pass reads the signs, one byte a cell, and leaves only its sums.
Products of a few columns are spelt out in the kernel; with more, matrix products are faster. Sums are rounded in
another order, so that the kernel is used only inside `fused_kernels`.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor

from capscope.fit.links import PROBIT_SCALE

MOST_COLUMNS = 8
"""Columns of the thin factors of the variance up to which the kernel is used: one dimension has 4."""

_FUSED: ContextVar[bool] = ContextVar("fused", default=False)


@contextmanager
def fused_kernels() -> Generator[None]:
    """Use compiled kernels for the fits of this block; the first pass compiles them, which takes seconds."""
    mark = _FUSED.set(True)
    try:
        yield
    finally:
        _FUSED.reset(mark)


def is_fused(columns: int) -> bool:
    """Whether a pass with so many columns of the variance's factors goes through a compiled kernel."""
    return _FUSED.get() and columns <= MOST_COLUMNS


def fused_sums(
    sign: Tensor,
    rows: tuple[Tensor, Tensor],
    columns: tuple[Tensor, Tensor],
    on: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of residuals and curvatures over a chunk of cells, and the sum of squared residuals.

    Args:
        sign: 1 right, -1 wrong, 0 not administered, as (row, column).
        rows: Row factors of the mean and of the variance of the log-odds.
        columns: Column factors of both.
        on: What residuals and curvatures are multiplied by, as (column, k).
    """
    residual, curvature, squares = _compiled()(sign, rows, columns, on)
    return torch.stack(residual, 1), torch.stack(curvature, 1), squares.double().sum()


@cache
def _compiled() -> Callable[..., Any]:
    return torch.compile(_sums, dynamic=True)


def _sums(
    sign: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor], on: tuple[Tensor, Tensor]
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    mean, variance = (_inner(row, column) for row, column in zip(rows, columns, strict=True))
    attenuation = torch.rsqrt(1 + PROBIT_SCALE * variance)
    signed = sign.to(mean.dtype)
    residual = signed * torch.sigmoid(-signed * attenuation * mean)
    # |r| - r^2 is p (1 - p) on observed cells and 0 on the others
    curvature = (residual.abs() - residual * residual) * attenuation
    return (
        [(residual * on[0][:, k]).sum(1) for k in range(on[0].shape[1])],
        [(curvature * on[1][:, k]).sum(1) for k in range(on[1].shape[1])],
        (residual * residual).sum(1),
    )


def _inner(row: Tensor, column: Tensor) -> Tensor:
    """Products of thin factors, spelt out, so that they are part of the kernel."""
    total = row[:, 0, None] * column[:, 0]
    for k in range(1, row.shape[1]):
        total = total + row[:, k, None] * column[:, k]
    return total
