"""Observed answers as a fit reads them, wherever they are kept: as rows, as a grid of bytes, or in a file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from capscope.axes import RowFloats, RowIndex
from capscope.data import ResponseFile, Responses
from capscope.errors import FitError

ROWS_AT_ONCE = 1 << 20
"""Rows are read this many at a time, so that temporaries stay small."""


@dataclass(frozen=True)
class Rows:
    """Some observed answers."""

    model: RowIndex
    """Position of each row's model."""
    item: RowIndex
    """Position of each row's item."""
    score: RowFloats
    """Score in [0, 1]."""
    trials: RowFloats
    """Number of trials behind the score."""

    def where(self, keep: np.ndarray) -> "Rows":
        """Some of the rows."""
        return Rows(self.model[keep], self.item[keep], self.score[keep], self.trials[keep])

    @property
    def pairs(self) -> np.ndarray:
        """Score and trials of each row as one complex number, so that pairs can be sorted and searched."""
        return self.score + 1j * self.trials


@runtime_checkable
class Answers(Protocol):
    """Observed answers over a model axis and an item axis; they can be read again and again."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        ...

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        ...

    def chunks(self) -> Iterator[Rows]:
        """The rows, some at a time, always in the same order."""
        ...


@dataclass(frozen=True)
class RowAnswers:
    """Rows in memory."""

    responses: Responses
    """The rows."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        return self.responses.models

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        return self.responses.items

    def chunks(self) -> Iterator[Rows]:
        """The rows, some at a time."""
        data = self.responses
        for start in range(0, len(data.score), ROWS_AT_ONCE):
            at = slice(start, start + ROWS_AT_ONCE)
            yield Rows(data.model_index[at], data.item_index[at], data.score[at], data.n_trials[at])


@dataclass(frozen=True)
class FileAnswers:
    """Rows in a file, read anew each time."""

    file: ResponseFile
    """The file."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        return self.file.models

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        return self.file.items

    def chunks(self) -> Iterator[Rows]:
        """The rows, some at a time."""
        for block in self.file.blocks():
            yield Rows(block.model_index, block.item_index, block.score, block.n_trials)


@dataclass(frozen=True)
class GridAnswers:
    """Right and wrong answers as a full matrix, one byte a cell."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    answer: Shaped[np.ndarray, "model item"]
    """1 right, 0 wrong, -1 not administered; any type of integers, or booleans. Kept as one byte each."""

    def __post_init__(self) -> None:
        """Check the answers and keep them as bytes.

        Raises:
            FitError: The shape is not that of the axes, there is another number, or the type holds no whole numbers.
        """
        if self.answer.dtype.kind not in "iub":
            raise FitError(f"answers in a grid are whole numbers, not {self.answer.dtype}; give fractions as rows")
        if self.answer.shape != (len(self.models), len(self.items)):
            raise FitError(f"answers have shape {self.answer.shape}; give one row a model and one column an item")
        if self.answer.size and not (self.answer.min() >= -1 and self.answer.max() <= 1):
            raise FitError("answers in a grid are 1, 0 or -1 (not administered); give fractions as rows")
        object.__setattr__(self, "answer", self.answer.astype(np.int8, copy=False))

    def chunks(self) -> Iterator[Rows]:
        """The observed cells, some models at a time."""
        step = max(1, ROWS_AT_ONCE // max(1, len(self.items)))
        for start in range(0, len(self.models), step):
            block = self.answer[start : start + step]
            model, item = np.nonzero(block >= 0)
            score = block[model, item].astype(np.float32)
            yield Rows(model + start, item, score, np.ones(len(model), np.float32))


@dataclass(frozen=True)
class PartOfAnswers:
    """The answers of some models to some items, over the smaller axes."""

    whole: Answers
    """Answers on the full axes."""
    kept_models: np.ndarray
    """Positions of the models kept."""
    kept_items: np.ndarray
    """Positions of the items kept."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        return tuple(self.whole.models[i] for i in self.kept_models)

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        return tuple(self.whole.items[i] for i in self.kept_items)

    def chunks(self) -> Iterator[Rows]:
        """The rows kept, some at a time."""
        model_at = _new_positions(len(self.whole.models), self.kept_models)
        item_at = _new_positions(len(self.whole.items), self.kept_items)
        for rows in self.whole.chunks():
            keep = np.flatnonzero((model_at[rows.model] >= 0) & (item_at[rows.item] >= 0))
            kept = rows.where(keep)
            yield replace(kept, model=model_at[kept.model], item=item_at[kept.item])


def _new_positions(size: int, kept: np.ndarray) -> RowIndex:
    position = np.full(size, -1, np.int64)
    position[kept] = np.arange(len(kept))
    return position


def as_answers(responses: Responses | ResponseFile | Answers) -> Answers:
    """Answers of any kind; rows are wrapped."""
    if isinstance(responses, ResponseFile):
        return FileAnswers(responses)
    return RowAnswers(responses) if isinstance(responses, Responses) else responses


def as_rows(answers: Answers) -> Responses:
    """All answers as rows in memory."""
    if isinstance(answers, RowAnswers):
        return answers.responses
    chunks = list(answers.chunks())
    model, item, score, trials = (
        np.concatenate([getattr(rows, name) for rows in chunks]) for name in ("model", "item", "score", "trials")
    )
    return Responses(answers.models, answers.items, model, item, score, trials)
