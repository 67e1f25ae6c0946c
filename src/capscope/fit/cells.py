"""The scores of a fit as blocks of cells: one signed byte a cell where answers are right or wrong, else two floats."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int8
from torch import Tensor

from capscope.axes import RowFloats
from capscope.data import ResponseMatrix
from capscope.errors import FitError
from capscope.fit.head_cells import HeadCells
from capscope.fit.links import (
    Block,
    signed_log_likelihood,
    signed_residuals,
    weighted_log_likelihood,
    weighted_residuals,
)
from capscope.fit.totals import row_blocks

CHUNK_CELLS = 1 << 18
"""Cells worked on at once on the CPU: the few arrays of a chunk then stay in its cache."""


@dataclass(frozen=True)
class SignedCells:
    """Right or wrong answers, one byte a cell."""

    sign: Int8[Tensor, "rows columns"]
    """1 right, -1 wrong, 0 not administered."""

    def residuals(self, rows: slice, mean: Block, variance: Block) -> tuple[Block, Block]:
        """Expected residuals and curvatures of some rows; see `links.signed_residuals`."""
        return signed_residuals(mean, variance, self.sign[rows].to(mean.dtype))

    def log_likelihood(self, rows: slice, mean: Block, variance: Block) -> Block:
        """Log-likelihood of each cell of some rows, up to a constant where nothing was administered."""
        return signed_log_likelihood(mean, variance, self.sign[rows].to(mean.dtype))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.sign.shape[0], self.sign.shape[1]

    def transposed(self) -> "SignedCells":
        """Rows and columns exchanged, laid out anew."""
        return SignedCells(self.sign.T.contiguous())

    def without_floor(self) -> "SignedCells":
        """The same cells; there is no floor here."""
        return self

    def to(self, device: torch.device) -> "SignedCells":
        """Move to a device."""
        return SignedCells(self.sign.to(device))


@dataclass(frozen=True)
class WeightedCells:
    """Scores in [0, 1] with a number of trials behind each."""

    score: Float[Tensor, "rows columns"]
    """Mean score of each cell."""
    trials: Float[Tensor, "rows columns"]
    """Trials of each cell; 0 for not administered."""
    floor: Float[Tensor, "..."] | None = None
    """Chance of a right guess, broadcast over rows or over columns."""

    def residuals(self, rows: slice, mean: Block, variance: Block) -> tuple[Block, Block]:
        """Expected residuals and curvatures of some rows; see `links.weighted_residuals`."""
        return weighted_residuals(mean, variance, self.score[rows], self.trials[rows], self._floor(rows))

    def log_likelihood(self, rows: slice, mean: Block, variance: Block) -> Block:
        """Log-likelihood of each cell of some rows; 0 where nothing was administered."""
        return weighted_log_likelihood(mean, variance, self.score[rows], self.trials[rows], self._floor(rows))

    def _floor(self, rows: slice) -> Tensor | None:
        return self.floor[rows] if self.floor is not None and self.floor.shape[0] > 1 else self.floor

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.score.shape[0], self.score.shape[1]

    def transposed(self) -> "WeightedCells":
        """Rows and columns exchanged, laid out anew."""
        floor = None if self.floor is None else self.floor.T
        return WeightedCells(self.score.T.contiguous(), self.trials.T.contiguous(), floor)

    def without_floor(self) -> "WeightedCells":
        """The same scores as if nobody guessed."""
        return WeightedCells(self.score, self.trials)

    def to(self, device: torch.device) -> "WeightedCells":
        """Move to a device."""
        floor = None if self.floor is None else self.floor.to(device)
        return WeightedCells(self.score.to(device), self.trials.to(device), floor)


Cells = SignedCells | WeightedCells | HeadCells


def plain_cells(cells: Cells) -> Cells:
    """The same scores as if nobody guessed, and without shapes of the items."""
    if isinstance(cells, HeadCells):
        return WeightedCells(cells.score, cells.trials)
    return cells.without_floor()


def row_chunks(cells: Cells, device: torch.device) -> Iterator[slice]:
    """Cut the rows into chunks of about `CHUNK_CELLS` cells; on a GPU into far larger ones."""
    n_rows, n_columns = cells.shape
    most = CHUNK_CELLS if device.type == "cpu" else CHUNK_CELLS << 10
    step = max(1, most // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def response_cells(responses: ResponseMatrix, floor: RowFloats | None = None) -> Cells:
    """Lay responses out as cells, models in rows; repeats of a cell are pooled by their trials.

    Args:
        responses: Observed responses.
        floor: Chance of a right guess on each item; None for none.
    """
    if floor is None and (responses.n_trials == 1).all():
        signed = _signed_cells(responses)
        if signed is not None:
            return signed
    return _pooled_cells(responses, floor)


def _signed_cells(responses: ResponseMatrix) -> SignedCells | None:
    """One byte a cell; None where a score is neither 0 nor 1 or a cell comes twice."""
    n_items = len(responses.items)
    sign = np.zeros(len(responses.models) * n_items, np.int8)
    for rows in row_blocks(len(responses.score)):
        score = responses.score[rows]
        if not ((score == 0) | (score == 1)).all():
            return None
        cell = responses.model_index[rows] * np.int64(n_items) + responses.item_index[rows]
        sign[cell] = (2 * score - 1).astype(np.int8)
    if np.count_nonzero(sign) < len(responses.score):
        return None
    return SignedCells(torch.from_numpy(sign.reshape(-1, n_items)))


def _pooled_cells(responses: ResponseMatrix, floor: RowFloats | None) -> WeightedCells:
    shape = (len(responses.models), len(responses.items))
    size = shape[0] * shape[1]
    cell = responses.model_index * np.int64(shape[1]) + responses.item_index
    trials = np.bincount(cell, responses.n_trials, size).astype(np.float32)
    right = np.bincount(cell, responses.n_trials * responses.score, size).astype(np.float32)
    score = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)
    row = None if floor is None else torch.from_numpy(np.asarray(floor, np.float32)).reshape(1, -1)
    return WeightedCells(torch.from_numpy(score.reshape(shape)), torch.from_numpy(trials.reshape(shape)), row)


def check_responses(responses: ResponseMatrix) -> None:
    """Refuse responses that no model can be fitted to.

    Raises:
        FitError: There is no response, or a score or a number of trials is out of range.
    """
    if len(responses.score) == 0:
        raise FitError("fit_irt: there are no responses; check the filter or the split that made this matrix")
    score, trials = responses.score, responses.n_trials
    if not (score.min() >= 0 and score.max() <= 1):
        raise FitError("fit_irt: a score lies outside [0, 1] or is NaN; validate the responses first")
    if not (trials.min() > 0 and np.isfinite(trials.max())):
        raise FitError("fit_irt: an n_trials is not positive; validate the responses first")
