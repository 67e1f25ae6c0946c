"""Level counts: how many items at each demand level, and how many of them a model got right."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import LEVELS
from capscope.data.columns import as_identifier, as_number, data_row
from capscope.data.reading import read_table
from capscope.display import short_repr
from capscope.errors import InputError, nearest

Counts = Float[np.ndarray, "model dim level"]
COLUMNS = ("model", "rubric", "level", "n", "correct")


@dataclass(frozen=True)
class LevelCounts:
    """Trials and successes by model, dimension and level 0 to 5, on the slice where that dimension dominates."""

    models: tuple[str, ...]
    """Names on the model axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    n: Counts
    """Number of answers."""
    correct: Counts
    """Sum of scores."""

    __repr__ = short_repr

    def take_dims(self, dims: list[str]) -> "LevelCounts":
        """Return the counts on these dimensions, in this order."""
        index = [self.dims.index(dim) for dim in dims]
        return LevelCounts(self.models, tuple(dims), self.n[:, index], self.correct[:, index])

    def take_models(self, models: list[str]) -> "LevelCounts":
        """Return the counts of these models, in this order.

        Raises:
            InputError: There is no such model.
        """
        unknown = [model for model in models if model not in self.models]
        if unknown:
            raise InputError(f"level counts have no model '{unknown[0]}'{nearest(unknown[0], self.models)}")
        index = [self.models.index(model) for model in models]
        return LevelCounts(tuple(models), self.dims, self.n[index], self.correct[index])


def read_level_counts(path: Path) -> LevelCounts:
    """Read a table with columns model, rubric, level, n, correct; rows that are absent count nothing.

    Args:
        path: A table.

    Returns:
        Numbers asked and correct, by model, rubric and level.

    Raises:
        InputError: A column is missing, a level lies outside 0-5 or between two of them, a row occurs twice,
            or more are correct than were asked.
    """
    frame = read_table(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        hint = nearest(missing[0], [str(column) for column in frame if column not in COLUMNS])
        raise InputError(f"{path}: column '{missing[0]}' is missing{hint}; level counts have {', '.join(COLUMNS)}")
    for column in ("model", "rubric"):
        frame[column] = as_identifier(frame[column], column, str(path))
    for column, bounds in (("level", (0.0, 5.0)), ("n", (0.0, np.inf)), ("correct", (0.0, np.inf))):
        frame[column] = as_number(frame[column], column, bounds, str(path))
    _refuse(frame["level"] % 1 != 0, path, "level is not whole; counts belong to levels 0, 1, 2, 3, 4 and 5")
    _refuse(frame["correct"] > frame["n"], path, "more correct than n; check the two columns")
    _refuse(frame.duplicated(["model", "rubric", "level"]), path, "this model, rubric and level stand twice; keep one")
    return _as_arrays(frame)


def _refuse(wrong: pd.Series, path: Path, what: str) -> None:
    if wrong.any():
        raise InputError(f"{path}: {data_row(int(np.flatnonzero(wrong)[0]))}: {what}")


def _as_arrays(frame: pd.DataFrame) -> LevelCounts:
    models, dims = tuple(frame["model"].unique()), tuple(frame["rubric"].unique())
    where = (
        pd.Index(models).get_indexer(pd.Index(frame["model"])),
        pd.Index(dims).get_indexer(pd.Index(frame["rubric"])),
        frame["level"].astype(int).to_numpy(),
    )
    n = np.zeros((len(models), len(dims), len(LEVELS)))
    correct = np.zeros_like(n)
    n[where] = frame["n"].to_numpy()
    correct[where] = frame["correct"].to_numpy()
    return LevelCounts(models, dims, n, correct)
