"""How the score and trials of a row become a few bytes, exactly."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from capscope.fit.cells.answers import Rows
from capscope.fit.cells.scores import CodedScores, Scores, SignedScores, WeightedScores
from capscope.fit.cells.survey import Survey

Arrays = tuple[np.ndarray, ...]
Kinds = tuple[type[np.generic], ...]


@runtime_checkable
class Packing(Protocol):
    """To arrays of numbers and back; zeros mean not administered."""

    dtypes: ClassVar[Kinds]
    """Type of each array."""

    def packed(self, rows: Rows) -> Arrays:
        """The rows' numbers; those of the last array are not 0."""
        ...

    def scores(self, arrays: tuple[Tensor, ...]) -> Scores:
        """Scores from the numbers, in any shape."""
        ...


@dataclass(frozen=True)
class SignedPacking:
    """One byte: 1 right, -1 wrong."""

    dtypes: ClassVar[Kinds] = (np.int8,)

    def packed(self, rows: Rows) -> Arrays:
        """Signs."""
        return ((2 * rows.score - 1).astype(np.int8),)

    def scores(self, arrays: tuple[Tensor, ...]) -> Scores:
        """Scores from signs."""
        return SignedScores(arrays[0])


@dataclass(frozen=True)
class CodedPacking:
    """One byte: the position in a sorted list of pairs, of which the first is a cell without trials."""

    pairs: np.ndarray
    """Pairs of score and trials that occur, sorted."""
    weight: float = 1.0
    """Trials that one trial counts for."""

    dtypes: ClassVar[Kinds] = (np.uint8,)

    def packed(self, rows: Rows) -> Arrays:
        """Codes."""
        return ((np.searchsorted(self.pairs, rows.pairs) + 1).astype(np.uint8),)

    def scores(self, arrays: tuple[Tensor, ...]) -> Scores:
        """Scores from codes."""
        listed = np.concatenate([[0j], self.pairs])
        score, trials = (torch.from_numpy(part.astype(np.float32)) for part in (np.real(listed), np.imag(listed)))
        return CodedScores(arrays[0], score, trials * self.weight)


@dataclass(frozen=True)
class WeightedPacking:
    """Eight bytes: score and trials in single precision."""

    weight: float = 1.0
    """Trials that one trial counts for."""

    dtypes: ClassVar[Kinds] = (np.float32, np.float32)

    def packed(self, rows: Rows) -> Arrays:
        """Scores and trials."""
        return rows.score.astype(np.float32), rows.trials.astype(np.float32)

    def scores(self, arrays: tuple[Tensor, ...]) -> Scores:
        """Scores from both."""
        return WeightedScores(arrays[0], arrays[1] * self.weight)


def pick_packing(found: Survey) -> Packing:
    """The smallest exact packing of the scores and trials that a survey found."""
    if found.binary:
        return SignedPacking()
    if found.pairs is None:
        return WeightedPacking(found.weight)
    return CodedPacking(np.sort(np.array(list(found.pairs), complex)), found.weight)


def bytes_of(packing: Packing) -> int:
    """Bytes of one cell."""
    return sum(np.dtype(kind).itemsize for kind in packing.dtypes)
