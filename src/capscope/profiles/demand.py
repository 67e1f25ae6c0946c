"""The demand profile of an item set: which dimensions it asks for, at which levels (Zhou et al., 2026)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import LEVELS
from capscope.data import Demands, Study
from capscope.errors import InputError, first_few, nearest
from capscope.notebook import html_table

SENSITIVE_MEAN, SENSITIVE_SD = 2.0, 1.0
"""A set is sensitive to a dimension when its levels have at least this mean and this spread (Zhou et al., 2026)."""


@dataclass(frozen=True)
class DemandProfile:
    """How the demands of an item set spread over dimensions and levels."""

    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    histogram: Float[np.ndarray, "dim level"]
    """Number of items at each level 0 to 5; a fractional level counts at the nearest."""
    table: pd.DataFrame
    """Columns dim, items, mean, sd, dominant (items that no other dimension exceeds), sensitive."""
    n_items: int
    """Number of items in the set."""

    def _repr_html_(self) -> str:
        return html_table(f"Demand profile of {self.n_items:,} items", self.table)


def demand_profile(demands: Demands) -> DemandProfile:
    """Summarise the demands of a set of items.

    Raises:
        InputError: No item has a level.
    """
    level = demands.level
    if not len(level) or np.isnan(level).all():
        raise InputError("no item has demand levels; annotate the items first")
    rounded = np.floor(level + 0.5)
    histogram = np.stack([(rounded == step).sum(axis=0) for step in LEVELS], axis=1).astype(float)
    mean, sd = np.nanmean(level, axis=0), np.nanstd(level, axis=0)
    table = pd.DataFrame(
        {
            "dim": demands.dims,
            "items": (~np.isnan(level)).sum(axis=0),
            "mean": mean,
            "sd": sd,
            "dominant": (level == np.nanmax(level, axis=1, keepdims=True)).sum(axis=0),
            "sensitive": (mean >= SENSITIVE_MEAN) & (sd >= SENSITIVE_SD),
        }
    )
    return DemandProfile(demands.dims, histogram, table, len(level))


def of_benchmark(study: Study, benchmark: str) -> Study:
    """Return the part of a study that belongs to one benchmark.

    Raises:
        InputError: There is no such benchmark.
    """
    items = study.require("items")
    known = sorted(items["benchmark"].astype(str).unique())
    if benchmark not in known:
        hint = nearest(benchmark, known)
        raise InputError(f"{study.name}: no benchmark '{benchmark}'{hint}; there are {first_few(known)}")
    return study.keep_items(pd.Index(items.loc[items["benchmark"] == benchmark, "item_id"]))
