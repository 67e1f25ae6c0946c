"""Which column of a table holds what, where it does not use the standard names."""

from dataclasses import asdict, dataclass, replace

import pandas as pd

from capscope.errors import InputError, first_few, nearest


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called; None where the standard name is used if it is there."""

    model: str | None = None
    """Column of model names."""
    item_id: str | None = None
    """Column of item ids."""
    score: str | None = None
    """Column of scores."""
    benchmark: str | None = None
    """Column that names each item's benchmark."""
    task: str | None = None
    """Column that names each item's task."""
    text: str | None = None
    """Column with each item's text."""
    n_trials: str | None = None
    """Column with the number of trials behind each score."""

    def standardise(self, frame: pd.DataFrame, source: str) -> pd.DataFrame:
        """Give the mapped columns their standard names.

        Raises:
            InputError: A mapped column is not there, or another one already has the standard name.
        """
        given: dict[str, str | None] = asdict(self)
        renamed = {name: standard for standard, name in given.items() if name is not None}
        columns = [str(column) for column in frame.columns]
        for name, standard in renamed.items():
            if name not in columns:
                raise InputError(
                    f"{source}: column '{name}' is missing{nearest(name, columns)}; found {first_few(columns, 8)};"
                    f" name the column that holds the {standard}"
                )
            if name != standard and standard in columns and standard not in renamed:
                raise InputError(
                    f"{source}: '{name}' is to be the {standard}, but a column '{standard}' is there too; rename one"
                )
        return frame.rename(columns=renamed)

    def present_in(self, frame: pd.DataFrame) -> "Columns":
        """Return the mapping of those columns that the table has."""
        given: dict[str, str | None] = asdict(self)
        return replace(self, **{standard: name if name in frame else None for standard, name in given.items()})
