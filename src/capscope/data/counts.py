"""Level counts: how many items at each demand level, and how many of them a model got right."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import LEVELS
from capscope.data.reading import read_table
from capscope.data.tables import as_number
from capscope.errors import InputError

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

    def take_models(self, models: list[str]) -> "LevelCounts":
        """Return the counts of these models, in this order."""
        index = [self.models.index(model) for model in models]
        return LevelCounts(tuple(models), self.dims, self.n[index], self.correct[index])


def read_level_counts(path: Path) -> LevelCounts:
    """Read a table with columns model, rubric, level, n, correct; rows that are absent count nothing.

    Raises:
        InputError: A column is missing, a level lies outside 0-5, or more are correct than were asked.
    """
    frame = read_table(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; level counts have {', '.join(COLUMNS)}")
    for column, bounds in (("level", (0.0, 5.0)), ("n", (0.0, np.inf)), ("correct", (0.0, np.inf))):
        frame[column] = as_number(frame[column], column, bounds, str(path))
    too_many = frame["correct"] > frame["n"]
    if too_many.any():
        row = int(np.flatnonzero(too_many)[0]) + 1
        raise InputError(f"{path}: row {row}: more correct than n; check the two columns")
    return _as_arrays(frame)


def _as_arrays(frame: pd.DataFrame) -> LevelCounts:
    models, dims = tuple(frame["model"].unique()), tuple(frame["rubric"].unique())
    where = (
        pd.Index(models).get_indexer(pd.Index(frame["model"])),
        pd.Index(dims).get_indexer(pd.Index(frame["rubric"])),
        frame["level"].astype(int).to_numpy(),
    )
    n = np.zeros((len(models), len(dims), len(LEVELS)))
    correct = np.zeros_like(n)
    np.add.at(n, where, frame["n"].to_numpy())
    np.add.at(correct, where, frame["correct"].to_numpy())
    return LevelCounts(models, dims, n, correct)
