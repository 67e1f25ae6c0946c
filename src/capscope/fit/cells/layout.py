"""Conversion of answers to cells: packing of scores, storage in memory or on disk, and choice of the layout."""

import math
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from capscope.axes import RowFloats, RowIndex
from capscope.data import Responses
from capscope.fit.cells.answers import Answers, GridAnswers
from capscope.fit.cells.interface import Cells, CellScores, CodedScores, SignedScores, WeightedScores
from capscope.fit.cells.matrices import CellStore, DenseCells, MemoryStore, SparseCells
from capscope.fit.cells.response_summary import Margins, ResponseSummary, pairs_of

Arrays = tuple[np.ndarray, ...]
Kinds = tuple[type[np.generic], ...]
SPARSE_SHARE = 0.2
"""Below this share observed, cells are laid out as compressed rows."""

SMALL_MATRIX = 1 << 18
"""Matrices of up to this many cells are never compressed."""

BothWays = tuple[Cells, Cells]
"""Cells with models in rows, and with items in rows."""


@runtime_checkable
class Packing(Protocol):
    """How scores are stored as arrays of numbers; zeros mean not administered."""

    dtypes: ClassVar[Kinds]
    """Type of each array."""

    def packed(self, rows: Responses) -> Arrays:
        """Pack rows into arrays; no value of the last array is 0."""
        ...

    def scores(self, arrays: tuple[Tensor, ...]) -> CellScores:
        """Unpack arrays of any shape into scores."""
        ...


@dataclass(frozen=True)
class SignedPacking:
    """One byte: 1 right, -1 wrong."""

    dtypes: ClassVar[Kinds] = (np.int8,)

    def packed(self, rows: Responses) -> Arrays:
        """Pack rows as signs."""
        return ((2 * rows.score - 1).astype(np.int8),)

    def scores(self, arrays: tuple[Tensor, ...]) -> CellScores:
        """Unpack signs."""
        return SignedScores(arrays[0])


@dataclass(frozen=True)
class CodedPacking:
    """One byte: the position in a sorted list of pairs, of which the first is a cell without trials."""

    pairs: np.ndarray
    """Pairs of score and trials that occur, sorted."""
    weight: float = 1.0
    """Weight of each observed trial."""

    dtypes: ClassVar[Kinds] = (np.uint8,)

    def packed(self, rows: Responses) -> Arrays:
        """Pack rows as codes."""
        return ((np.searchsorted(self.pairs, pairs_of(rows)) + 1).astype(np.uint8),)

    def scores(self, arrays: tuple[Tensor, ...]) -> CellScores:
        """Unpack codes."""
        listed = np.concatenate([[0j], self.pairs])
        score, trials = (torch.from_numpy(part.astype(np.float32)) for part in (np.real(listed), np.imag(listed)))
        return CodedScores(arrays[0], score, trials * self.weight)


@dataclass(frozen=True)
class WeightedPacking:
    """Eight bytes: score and trials in single precision."""

    weight: float = 1.0
    """Weight of each observed trial."""

    dtypes: ClassVar[Kinds] = (np.float32, np.float32)

    def packed(self, rows: Responses) -> Arrays:
        """Pack rows as scores and trials."""
        return rows.score.astype(np.float32), rows.n_trials.astype(np.float32)

    def scores(self, arrays: tuple[Tensor, ...]) -> CellScores:
        """Unpack scores and trials."""
        return WeightedScores(arrays[0], arrays[1] * self.weight)


def pick_packing(summary: ResponseSummary) -> Packing:
    """The smallest exact packing of the scores and trials that occur."""
    if summary.binary:
        return SignedPacking()
    if summary.pairs is None:
        return WeightedPacking(summary.weight)
    return CodedPacking(np.sort(np.array(list(summary.pairs), complex)), summary.weight)


def bytes_of(packing: Packing) -> int:
    """Bytes of one cell."""
    return sum(np.dtype(kind).itemsize for kind in packing.dtypes)


class MemoryWriter:
    """Fills a store in memory."""

    def __init__(self, n_cells: int, packing: Packing) -> None:
        """Allocate the arrays."""
        self._packing = packing
        self._column = np.empty(n_cells, np.int32)
        self._arrays = tuple(np.empty(n_cells, kind) for kind in packing.dtypes)

    def put(self, at: RowIndex, column: RowIndex, arrays: Arrays) -> None:
        """Write cells to their places.

        Args:
            at: Position of each cell in the arrays.
            column: Column of each cell.
            arrays: Packed scores of the cells.
        """
        self._column[at] = column
        for whole, part in zip(self._arrays, arrays, strict=True):
            whole[at] = part

    def store(self) -> CellStore:
        """Return the store of the cells written."""
        tensors = tuple(torch.from_numpy(array) for array in self._arrays)
        return MemoryStore(torch.from_numpy(self._column), self._packing.scores(tensors))


class DiskWriter:
    """Fills files in a temporary folder, which is removed with the last store that reads it."""

    def __init__(self, n_cells: int, packing: Packing) -> None:
        """Create the files, in the system's folder for temporary files."""
        self._packing = packing
        self._folder = Path(tempfile.mkdtemp(prefix="capscope-cells-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        kinds = (np.int32, *packing.dtypes)
        self._files = tuple(_File(self._folder / f"{i}.bin", kind, n_cells) for i, kind in enumerate(kinds))
        for file in self._files:
            np.memmap(file.path, file.kind, "w+", shape=file.size).flush()

    def put(self, at: RowIndex, column: RowIndex, arrays: Arrays) -> None:
        """Write cells to their places; the memory maps are closed at once, so that their pages are released.

        Args:
            at: Position of each cell in the files.
            column: Column of each cell.
            arrays: Packed scores of the cells, one array for each further file.
        """
        for file, part in zip(self._files, (column, *arrays), strict=True):
            mapped = np.memmap(file.path, file.kind, "r+", shape=file.size)
            mapped[at] = part
            mapped.flush()

    def store(self) -> CellStore:
        """Return the store of the cells written."""
        return DiskStore(self, self._files[0], self._files[1:], self._packing)


@dataclass(frozen=True)
class _File:
    path: Path
    kind: type[np.generic]
    size: int

    def read(self, cells: slice) -> Tensor:
        offset = cells.start * np.dtype(self.kind).itemsize
        return torch.from_numpy(np.fromfile(self.path, self.kind, cells.stop - cells.start, offset=offset))


@dataclass(frozen=True)
class DiskStore:
    """Cells in files."""

    owner: object
    """The writer, which removes the files when it is collected; stores keep it alive."""
    columns: _File
    """Columns of the cells."""
    values: tuple[_File, ...]
    """Packed scores of the cells."""
    packing: Packing
    """How they are packed."""
    device: torch.device = torch.device("cpu")
    """Device that chunks are moved to."""

    def read(self, cells: slice) -> tuple[Int32[Tensor, " cell"], CellScores]:
        """Column and score of some cells."""
        scores = self.packing.scores(tuple(file.read(cells) for file in self.values))
        return self.columns.read(cells).to(self.device), scores.mapped(lambda values: values.to(self.device))

    def to(self, device: torch.device) -> "DiskStore":
        """Move chunks to a device when they are read; the files stay."""
        return DiskStore(self.owner, self.columns, self.values, self.packing, device)


def lay_out(
    answers: Answers, summary: ResponseSummary, floor: RowFloats | None = None, memory_mb: float = math.inf
) -> BothWays:
    """Lay answers out twice, with models in rows and with items in rows.

    Repeats of a cell are pooled in a full matrix, and are cells of their own in compressed rows.

    Args:
        answers: Observed answers.
        summary: Summary of these answers.
        floor: Chance of a right guess on each item; None for none.
        memory_mb: Megabytes for the cells; where they need more, they are kept on disk as compressed rows.
    """
    packing = pick_packing(summary)
    item_floor = None if floor is None else torch.from_numpy(np.asarray(floor, np.float32))
    n_cells, n_bytes, memory = len(answers.models) * len(answers.items), bytes_of(packing), memory_mb * 2**20
    full_enough = n_cells <= SMALL_MATRIX or summary.n_rows >= SPARSE_SHARE * n_cells
    if full_enough and 2 * n_cells * n_bytes <= memory:
        by_model = DenseCells(_full(answers, summary, packing), None, item_floor)
        return by_model, by_model.transposed()
    on_disk = 2 * summary.n_rows * (4 + n_bytes) > memory
    sides = (_Side(summary.models, packing, on_disk), _Side(summary.items, packing, on_disk))
    for rows in answers.blocks():
        arrays = packing.packed(rows)
        sides[0].put(rows.model_index, rows.item_index, arrays)
        sides[1].put(rows.item_index, rows.model_index, arrays)
    return sides[0].cells(len(answers.items), None, item_floor), sides[1].cells(len(answers.models), item_floor, None)


def _full(answers: Answers, summary: ResponseSummary, packing: Packing) -> CellScores:
    if isinstance(answers, GridAnswers):
        sign = 2 * answers.answer - 1
        sign[answers.answer < 0] = 0
        return SignedScores(torch.from_numpy(sign))
    shape = (len(answers.models), len(answers.items))
    arrays = tuple(np.zeros(shape[0] * shape[1], kind) for kind in packing.dtypes)
    for rows in answers.blocks():
        cell = _cell(rows, shape)
        for whole, part in zip(arrays, packing.packed(rows), strict=True):
            whole[cell] = part
    if np.count_nonzero(arrays[-1]) < summary.n_rows:
        return _pooled(answers, shape, summary.weight)
    return packing.scores(tuple(torch.from_numpy(array.reshape(shape)) for array in arrays))


def _pooled(answers: Answers, shape: tuple[int, int], weight: float) -> CellScores:
    """Full matrix where repeats of a cell count as its trials."""
    trials, right = np.zeros(shape[0] * shape[1], np.float32), np.zeros(shape[0] * shape[1], np.float32)
    for rows in answers.blocks():
        cell = _cell(rows, shape)
        np.add.at(trials, cell, rows.n_trials.astype(np.float32))
        np.add.at(right, cell, (rows.n_trials * rows.score).astype(np.float32))
    score = np.divide(right, trials, out=right, where=trials > 0)
    return WeightedScores(*(torch.from_numpy(array.reshape(shape)) for array in (score, weight * trials)))


def _cell(rows: Responses, shape: tuple[int, int]) -> RowIndex:
    return rows.model_index * np.int64(shape[1]) + rows.item_index


class _Side:
    """Compressed rows that are filled block by block, by a counting sort."""

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
