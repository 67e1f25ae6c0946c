"""Sources of observed answers for a fit, read in blocks: rows in memory or in a file, a byte matrix, or a subset."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from capscope.axes import RowIndex
from capscope.data import Facet, Responses
from capscope.errors import FitError

CELLS_AT_ONCE = 1 << 20
"""Cells of a grid that are read at a time, so that temporaries stay small."""


@runtime_checkable
class Answers(Protocol):
    """Observed answers over a model axis and an item axis: `Responses`, `ResponseFile`, or one of the classes below."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        ...

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        ...

    def blocks(self) -> Iterator[Responses]:
        """The rows over the whole axes, some at a time and always in the same order."""
        ...


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

    def blocks(self) -> Iterator[Responses]:
        """The observed cells, some models at a time."""
        step = max(1, CELLS_AT_ONCE // max(1, len(self.items)))
        for start in range(0, len(self.models), step):
            block = self.answer[start : start + step]
            model, item = np.nonzero(block >= 0)
            score = block[model, item].astype(np.float32)
            yield Responses(self.models, self.items, model + start, item, score, np.ones(len(model), np.float32))


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

    def blocks(self) -> Iterator[Responses]:
        """The rows kept, some at a time, over the smaller axes."""
        models, items = self.models, self.items
        model_at = _new_positions(len(self.whole.models), self.kept_models)
        item_at = _new_positions(len(self.whole.items), self.kept_items)
        for block in self.whole.blocks():
            kept = block.rows(np.flatnonzero((model_at[block.model_index] >= 0) & (item_at[block.item_index] >= 0)))
            model, item = model_at[kept.model_index], item_at[kept.item_index]
            yield replace(kept, models=models, items=items, model_index=model, item_index=item)


def _new_positions(size: int, kept: np.ndarray) -> RowIndex:
    position = np.full(size, -1, np.int64)
    position[kept] = np.arange(len(kept))
    return position


def as_rows(answers: Answers) -> Responses:
    """All answers as rows in memory, with their facets."""
    if isinstance(answers, Responses):
        return answers
    blocks = list(answers.blocks())
    model, item, score, trials = (
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("model_index", "item_index", "score", "n_trials")
    )
    return Responses(answers.models, answers.items, model, item, score, trials, _joined_facets(blocks))


def _joined_facets(blocks: list[Responses]) -> Mapping[str, Facet]:
    """The facets of blocks over the same axes, as those of all their rows."""
    return {
        name: replace(facet, codes=np.concatenate([block.facets[name].codes for block in blocks]))
        for name, facet in blocks[0].facets.items()
    }
