"""Cells whose scores follow from log-odds by a head with shape parameters for each item."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from capscope.data import ResponseMatrix
from capscope.fit.heads import Head
from capscope.fit.links import PROBIT_SCALE, Block

CHUNK_CELLS = 1 << 17
"""Cells worked on at once on the CPU; a head keeps about a dozen arrays of them."""


@dataclass(frozen=True)
class HeadCells:
    """Dense scores with a head."""

    score: Float[Tensor, "rows columns"]
    """Mean score of each cell."""
    trials: Float[Tensor, "rows columns"]
    """Trials of each cell; 0 for not administered."""
    head: Head
    """Distribution of the scores."""
    item_shape: Float[Tensor, "item coordinate"]
    """Coordinates of each item's shape."""
    items_in_rows: bool = False
    """Whether items are rows; else they are columns."""

    def residuals(self, rows: slice, mean: Block, variance: Block) -> tuple[Block, Block]:
        """Expected gradients and information of some rows; the variance comes with one attenuation unit."""
        return self.head.residuals(
            self.score[rows], self.trials[rows], mean, variance - 1 / PROBIT_SCALE, self.shape_of(rows)
        )

    def log_likelihood(self, rows: slice, mean: Block, variance: Block) -> Block:
        """Log of the expected density of each cell of some rows; 0 where nothing was administered."""
        return self.head.log_likelihood(self.score[rows], self.trials[rows], mean, variance, self.shape_of(rows))

    def shape_of(self, rows: slice) -> tuple[Tensor, ...]:
        """Each coordinate as a column (items in rows) or as a row."""
        single = self.item_shape.float()
        if self.items_in_rows:
            return tuple(single[rows, k, None] for k in range(single.shape[1]))
        return tuple(single[None, :, k] for k in range(single.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.score.shape[0], self.score.shape[1]

    def shaped(self, item_shape: Float[Tensor, "item coordinate"]) -> "HeadCells":
        """The same scores with other shapes of the items."""
        return replace(self, item_shape=item_shape)

    def transposed(self) -> "HeadCells":
        """Rows and columns exchanged, laid out anew."""
        score, trials = self.score.T.contiguous(), self.trials.T.contiguous()
        return HeadCells(score, trials, self.head, self.item_shape, not self.items_in_rows)

    def to(self, device: torch.device) -> "HeadCells":
        """Move to a device."""
        moved = self.score.to(device), self.trials.to(device)
        return HeadCells(*moved, self.head, self.item_shape.to(device), self.items_in_rows)

    def row_chunks(self) -> Iterator[slice]:
        """Cut the rows into chunks of about `CHUNK_CELLS` cells; on a GPU into far larger ones."""
        n_rows, n_columns = self.shape
        most = CHUNK_CELLS if self.score.device.type == "cpu" else CHUNK_CELLS << 8
        step = max(1, most // max(1, n_columns))
        for start in range(0, n_rows, step):
            yield slice(start, min(start + step, n_rows))


def head_cells(responses: ResponseMatrix, head: Head, item_shape: Float[Tensor, "item coordinate"]) -> HeadCells:
    """Lay responses out with a head, models in rows; repeats of a cell are pooled by their trials.

    Args:
        responses: Observed responses.
        head: Distribution of the scores.
        item_shape: Coordinates of each item's shape.
    """
    shape = (len(responses.models), len(responses.items))
    size = shape[0] * shape[1]
    cell = responses.model_index * np.int64(shape[1]) + responses.item_index
    trials = np.bincount(cell, responses.n_trials, size).astype(np.float32)
    right = np.bincount(cell, responses.n_trials * responses.score, size).astype(np.float32)
    score = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)
    return HeadCells(torch.from_numpy(score.reshape(shape)), torch.from_numpy(trials.reshape(shape)), head, item_shape)
