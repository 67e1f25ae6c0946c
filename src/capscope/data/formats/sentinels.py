"""Values that stand for "not administered" where a table has to hold a score: -1, -0.01, n/a."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capscope.data.columns import blank_cells
from capscope.errors import InputError

MISSING_WORDS = ("", "nan", "null", "none")
"""Sentinels that also mean a cell without any value."""


def is_sentinel(column: pd.Series, sentinels: Sequence[str]) -> np.ndarray:
    """Mark the cells that hold one of the values, as text or as the same number.

    Raises:
        InputError: A value is itself a score.
    """
    marked = np.zeros(len(column), dtype=bool)
    if not sentinels:
        return marked
    text = None if pd.api.types.is_numeric_dtype(column) else column.astype(str).str.strip()
    numbers = pd.to_numeric(column.astype(object) if text is not None else column, errors="coerce").to_numpy(
        dtype=float
    )
    for sentinel in sentinels:
        number = _number(sentinel)
        if 0 <= number <= 1:
            raise InputError(f"--not-administered {sentinel}: {sentinel} is a score; name a value outside 0 to 1")
        marked |= np.isclose(numbers, number, rtol=1e-6, atol=0)
        if text is not None:
            marked |= (text == sentinel.strip()).to_numpy(dtype=bool)
        if sentinel.strip().lower() in MISSING_WORDS:
            marked |= blank_cells(column).to_numpy(dtype=bool)
    return marked


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
