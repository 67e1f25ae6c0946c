"""Cells with a score model, which has extra parameters for each item."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from capscope.data import Responses
from capscope.fit.cells.interface import CurvatureColumns, Factors, Products, ResidualColumns, WeightedScores, for_each
from capscope.fit.cells.matrices import DenseCells
from capscope.fit.irt.score_models.score_model import ScoreModel

CHUNK_CELLS = 1 << 17
"""Cells of a chunk on the CPU; a score model needs about a dozen arrays of them."""


@dataclass(frozen=True)
class ScoreModelCells:
    """A full matrix of scores with a score model."""

    score: Float[Tensor, "rows columns"]
    """Mean score of each cell."""
    trials: Float[Tensor, "rows columns"]
    """Trials of each cell; 0 for not administered."""
    score_model: ScoreModel
    """Distribution of the scores."""
    item_extras: Float[Tensor, "item coordinate"]
    """Coordinates of each item's extras."""
    items_in_rows: bool = False
    """Whether items are rows; else they are columns."""

    @property
    def log_concave(self) -> bool:
        """No: asymptotes are not; see `Cells.log_concave`."""
        return False

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the cells, chunk by chunk; see `Cells.products`."""
        residual = on_residual.new_zeros(self.shape[0], on_residual.shape[1], dtype=torch.float64)
        curvature = on_curvature.new_zeros(self.shape[0], on_curvature.shape[1], dtype=torch.float64)
        chunks = self.row_chunks()
        losses = on_residual.new_zeros(len(chunks), dtype=torch.float64)

        def work(number: int) -> None:
            rows = chunks[number]
            r, w = self.score_model.residuals(
                self.score[rows], self.trials[rows], *_moments(factors, rows), self.extras_of(rows)
            )
            residual[rows] = (r @ on_residual).double()
            curvature[rows] = (w @ on_curvature).double()
            losses[number] = torch.dot(r.reshape(-1), r.reshape(-1))

        for_each(work, len(chunks), threads)
        return Products(residual, curvature, float(losses.sum()))

    def log_likelihood(self, factors: Factors) -> Float[Tensor, " rows"]:
        """Log of the expected density of each row's cells; see `Cells.log_likelihood`."""
        total = factors.row_mean.new_zeros(self.shape[0], dtype=torch.float64)
        for rows in self.row_chunks():
            cells = self.score_model.log_likelihood(
                self.score[rows], self.trials[rows], *_moments(factors, rows), self.extras_of(rows)
            )
            total[rows] = cells.sum(1).double()
        return total

    def without_floor(self) -> DenseCells:
        """The same scores without extras of the items."""
        return DenseCells(WeightedScores(self.score, self.trials))

    def extras_of(self, rows: slice) -> tuple[Tensor, ...]:
        """Each coordinate as a column (items in rows) or as a row."""
        single = self.item_extras.float()
        if self.items_in_rows:
            return tuple(single[rows, k, None] for k in range(single.shape[1]))
        return tuple(single[None, :, k] for k in range(single.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.score.shape[0], self.score.shape[1]

    def with_extras(self, item_extras: Float[Tensor, "item coordinate"]) -> "ScoreModelCells":
        """The same scores with other extras of the items."""
        return replace(self, item_extras=item_extras)

    def transposed(self) -> "ScoreModelCells":
        """The transposed cells, in a new layout."""
        score, trials = self.score.T.contiguous(), self.trials.T.contiguous()
        return ScoreModelCells(score, trials, self.score_model, self.item_extras, not self.items_in_rows)

    def to(self, device: torch.device) -> "ScoreModelCells":
        """Move to a device."""
        moved = self.score.to(device), self.trials.to(device)
        return ScoreModelCells(*moved, self.score_model, self.item_extras.to(device), self.items_in_rows)

    def row_chunks(self) -> list[slice]:
        """Cut the rows into chunks of about `CHUNK_CELLS` cells; on a GPU into far larger ones."""
        n_rows, n_columns = self.shape
        most = CHUNK_CELLS if self.score.device.type == "cpu" else CHUNK_CELLS << 8
        step = max(1, most // max(1, n_columns))
        return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _moments(factors: Factors, rows: slice) -> tuple[Tensor, Tensor]:
    mean = factors.row_mean[rows] @ factors.column_mean.T
    return mean, factors.row_variance[rows] @ factors.column_variance.T


def score_model_cells(
    responses: Responses, score_model: ScoreModel, item_extras: Float[Tensor, "item coordinate"]
) -> ScoreModelCells:
    """Lay responses out with a score model, models in rows; repeats of a cell are pooled by their trials.

    Args:
        responses: Observed responses.
        score_model: Distribution of the scores.
        item_extras: Coordinates of each item's extras.
    """
    dense = responses.dense()
    right, trials = dense.right.astype(np.float32), dense.n_trials.astype(np.float32)
    score = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)
    return ScoreModelCells(torch.from_numpy(score), torch.from_numpy(trials), score_model, item_extras)
