"""Numbers and tables as plain JSON-able values (None for what is not finite), and numbers as text for a page."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from capscope.annotate import RubricSet
from capscope.errors import InputError, first_few
from capscope.intervals import quantile_bounds

Summary = dict[str, Any]
"""Plain values that `json.dumps` takes as they are."""
Record = dict[str, Any]
"""One row of a table, or one entry of a summary."""

MISSING = "\u2013"
"""Stands where there is no number."""
LONGEST_TEXT = 2000
"""Characters of an item's text that a page shows."""


def plain(value: object) -> Any:  # noqa: ANN401 - JSON values have many types
    """Turn numpy values, arrays, tuples and mappings into plain Python, NaN and infinities into None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def records(table: pd.DataFrame) -> list[Record]:
    """Return the rows of a table as plain dicts."""
    columns = {str(name): table[name].tolist() for name in table.columns}
    return [plain(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def bounded(draws: np.ndarray, level: float) -> Record:
    """Mean and central interval over the last axis, the draws."""
    lower, upper = quantile_bounds(draws, level)
    return {"value": draws.mean(axis=-1), "lower": lower, "upper": upper}


def item_texts(items: pd.DataFrame | None) -> dict[str, str]:
    """Return the text of each item by its id, cut where it is long; empty where there is none.

    Raises:
        InputError: The table has no ids.
    """
    if items is None:
        return {}
    if "item_id" not in items:
        raise InputError(f"items: column 'item_id' is missing among {first_few(map(str, items.columns))}; name it")
    if "text" not in items:
        return {}
    text = items["text"].astype(object).where(items["text"].notna(), "").astype(str)
    long = text.str.len() > LONGEST_TEXT
    return dict(zip(items["item_id"].astype(str), text.where(~long, text.str[:LONGEST_TEXT] + " \u2026"), strict=True))


def scale_names(dims: tuple[str, ...], rubrics: RubricSet) -> list[Record]:
    """Name the scales and their families in the rubric set's order; a code that it lacks stands for itself, last."""
    known = [code for code in rubrics.codes if code in dims]
    named = [{"dim": code, "name": rubrics.get(code).name, "family": rubrics.family(code)} for code in known]
    return named + [{"dim": dim, "name": dim, "family": ""} for dim in dims if dim not in known]


def fixed(value: float | None, digits: int = 2) -> str:
    """Print a number with a fixed number of digits and a true minus sign."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def percent(value: float | None, digits: int = 0) -> str:
    """Print a share as a percentage; what is not quite 0 or 1 is not printed as such."""
    if value is None:
        return MISSING
    edge = 0.5 * 10 ** -(digits + 2)
    if 0 < value < edge:
        return f"<{10**-digits:.{digits}f}%"
    if 1 - edge < value < 1:
        return f">{100 - 10**-digits:.{digits}f}%"
    return f"{100 * value:.{digits}f}%"


def count(value: int | float | None) -> str:
    """Print a count with thin spaces between thousands."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\u202f")
