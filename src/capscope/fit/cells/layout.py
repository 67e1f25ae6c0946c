"""Answers to cells: full matrices or compressed rows, by the share observed and the memory allowed."""

import math

import numpy as np
import torch

from capscope.axes import RowFloats, RowIndex
from capscope.fit.cells.answers import Answers, GridAnswers, Rows
from capscope.fit.cells.dense import DenseCells
from capscope.fit.cells.disk import DiskWriter, MemoryWriter, Packing, bytes_of, pick_packing
from capscope.fit.cells.interface import Cells
from capscope.fit.cells.response_summary import Margins, ResponseSummary
from capscope.fit.cells.scores import CellScores, SignedScores, WeightedScores
from capscope.fit.cells.sparse import SparseCells

SPARSE_SHARE = 0.2
"""Below this share observed, cells are laid out as compressed rows."""

SMALL_MATRIX = 1 << 18
"""Matrices of up to this many cells are never worth compressing."""

BothWays = tuple[Cells, Cells]
"""Cells with models in rows, and with items in rows."""


def lay_out(
    answers: Answers, found: ResponseSummary, floor: RowFloats | None = None, memory_mb: float = math.inf
) -> BothWays:
    """Lay answers out both ways round; repeats of a cell are pooled, or stand side by side.

    Args:
        answers: Observed answers.
        found: What a survey of them told.
        floor: Chance of a right guess on each item; None for none.
        memory_mb: Megabytes for the cells; where they need more, they are kept on disk as compressed rows.
    """
    packing = pick_packing(found)
    item_floor = None if floor is None else torch.from_numpy(np.asarray(floor, np.float32))
    n_cells, n_bytes, memory = len(answers.models) * len(answers.items), bytes_of(packing), memory_mb * 2**20
    full_enough = n_cells <= SMALL_MATRIX or found.n_rows >= SPARSE_SHARE * n_cells
    if full_enough and 2 * n_cells * n_bytes <= memory:
        by_model = DenseCells(_full(answers, found, packing), None, item_floor)
        return by_model, by_model.transposed()
    on_disk = 2 * found.n_rows * (4 + n_bytes) > memory
    sides = (_Side(found.models, packing, on_disk), _Side(found.items, packing, on_disk))
    for rows in answers.chunks():
        arrays = packing.packed(rows)
        sides[0].put(rows.model, rows.item, arrays)
        sides[1].put(rows.item, rows.model, arrays)
    return sides[0].cells(len(answers.items), None, item_floor), sides[1].cells(len(answers.models), item_floor, None)


def _full(answers: Answers, found: ResponseSummary, packing: Packing) -> CellScores:
    if isinstance(answers, GridAnswers):
        sign = 2 * answers.answer - 1
        sign[answers.answer < 0] = 0
        return SignedScores(torch.from_numpy(sign))
    shape = (len(answers.models), len(answers.items))
    arrays = tuple(np.zeros(shape[0] * shape[1], kind) for kind in packing.dtypes)
    for rows in answers.chunks():
        cell = _cell(rows, shape)
        for whole, part in zip(arrays, packing.packed(rows), strict=True):
            whole[cell] = part
    if np.count_nonzero(arrays[-1]) < found.n_rows:
        return _pooled(answers, shape, found.weight)
    return packing.scores(tuple(torch.from_numpy(array.reshape(shape)) for array in arrays))


def _pooled(answers: Answers, shape: tuple[int, int], weight: float) -> CellScores:
    """Repeats of a cell count as its trials."""
    trials, right = np.zeros(shape[0] * shape[1], np.float32), np.zeros(shape[0] * shape[1], np.float32)
    for rows in answers.chunks():
        cell = _cell(rows, shape)
        np.add.at(trials, cell, rows.trials.astype(np.float32))
        np.add.at(right, cell, (rows.trials * rows.score).astype(np.float32))
    score = np.divide(right, trials, out=right, where=trials > 0)
    return WeightedScores(*(torch.from_numpy(array.reshape(shape)) for array in (score, weight * trials)))


def _cell(rows: Rows, shape: tuple[int, int]) -> RowIndex:
    return rows.model * np.int64(shape[1]) + rows.item


class _Side:
    """Compressed rows being filled: a counting sort, chunk by chunk."""

    def __init__(self, totals: Margins, packing: Packing, on_disk: bool) -> None:
        self._start = np.concatenate([[0], np.cumsum(totals.count)]).astype(np.int64)
        self._next = self._start[:-1].copy()
        writer = DiskWriter if on_disk else MemoryWriter
        self._writer = writer(int(self._start[-1]), packing)

    def put(self, row: RowIndex, column: RowIndex, arrays: tuple[np.ndarray, ...]) -> None:
        order = np.argsort(row, kind="stable")
        row = row[order]
        count = np.bincount(row, minlength=len(self._next))
        first = np.cumsum(count) - count
        at = self._next[row] + np.arange(len(row)) - first[row]
        self._next += count
        self._writer.put(at, column[order], tuple(array[order] for array in arrays))

    def cells(self, n_columns: int, row_floor: torch.Tensor | None, column_floor: torch.Tensor | None) -> SparseCells:
        return SparseCells(torch.from_numpy(self._start), n_columns, self._writer.store(), row_floor, column_floor)
