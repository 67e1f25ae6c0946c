"""Wide tables: a matrix of cells as long columns, each cell knowing where it stood."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import RowIndex
from capscope.data.columns import as_number, blank_cells, data_row


@dataclass(frozen=True)
class Cells:
    """The filled cells of a wide table, row by row."""

    row: RowIndex
    """Position of each cell's row."""
    column: RowIndex
    """Position of each cell's column."""
    value: pd.Series
    """What the cells hold."""
    names: tuple[str, ...]
    """Names of the columns."""
    blank: int
    """How many cells were empty."""

    def only(self, keep: np.ndarray) -> "Cells":
        """Return the chosen cells."""
        return Cells(self.row[keep], self.column[keep], self.value[keep], self.names, self.blank)

    def column_names(self) -> pd.Series:
        """Return each cell's column as a category."""
        return pd.Series(self.names, dtype="category").take(self.column).reset_index(drop=True)

    def numbers(self, name: str, bounds: tuple[float, float], source: str) -> pd.Series:
        """Return the cells as numbers within bounds.

        Raises:
            InputError: A cell is not one; the message names its row and column.
        """
        return as_number(self.value.reset_index(drop=True), name, bounds, source, self.place)

    def place(self, position: int) -> str:
        """Say where a cell stands."""
        return f"{data_row(int(self.row[position]))}, column '{self.names[self.column[position]]}'"


def filled_cells(frame: pd.DataFrame) -> Cells:
    """Return the cells that hold something; the others are counted."""
    value = pd.Series(frame.to_numpy().ravel())
    filled = np.flatnonzero(~blank_cells(value).to_numpy())
    row, column = np.divmod(filled, max(frame.shape[1], 1))
    names = tuple(map(str, frame.columns))
    return Cells(row, column, value.iloc[filled], names, len(value) - len(filled))
