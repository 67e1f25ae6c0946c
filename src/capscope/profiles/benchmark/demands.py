"""The demand profile of an item set: which dimensions it asks for, at which levels (Zhou et al., 2026)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import LEVELS
from capscope.data import Demands
from capscope.display import html_table, short_repr
from capscope.errors import InputError, first_few, nearest

SENSITIVE_MEAN, SENSITIVE_SD = 2.0, 1.0
"""A set is sensitive to a dimension when its levels have at least this mean and this spread (Zhou et al., 2026)."""


@dataclass(frozen=True)
class DemandProfile:
    """Distribution of the demands of an item set over dimensions and levels."""

    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    histogram: Float[np.ndarray, "dim level"]
    """Number of items at each level 0 to 5; a fractional level counts at the nearest."""
    table: pd.DataFrame
    """Columns dim, items, mean, sd, dominant (items that no other dimension exceeds), sensitive."""
    n_items: int
    """Number of items in the set."""

    def __repr__(self) -> str:
        return short_repr(self)

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


@dataclass(frozen=True)
class ClaimCheck:
    """Claims of an item set checked against the demand levels of its items."""

    claimed: tuple[str, ...]
    """Dimensions that the set claims."""
    table: pd.DataFrame
    """Columns dim, claimed, sensitive, verdict: `measured`, `missed`, `unclaimed` or empty."""

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def sensitivity(self) -> float:
        """Share of the claimed dimensions that the set is sensitive to; NaN without claims."""
        return float(self.table.loc[self.table["claimed"], "sensitive"].mean())

    @property
    def specificity(self) -> float:
        """Share of the unclaimed dimensions that the set is not sensitive to; NaN where all are claimed."""
        return float(1 - self.table.loc[~self.table["claimed"], "sensitive"].mean())

    @property
    def specific(self) -> bool:
        """Whether no unclaimed dimension meets the criterion: the published meaning of specific."""
        return not bool(self.table.loc[~self.table["claimed"], "sensitive"].any())


def check_claims(profile: DemandProfile, claims: tuple[str, ...]) -> ClaimCheck:
    """Judge an item set against its claims; a set is sensitive to a dimension as `DemandProfile.table` says.

    Raises:
        InputError: A claimed dimension has no levels.
    """
    unknown = [claim for claim in claims if claim not in profile.dims]
    if unknown:
        hint = nearest(unknown[0], profile.dims)
        raise InputError(f"--claims: no levels of '{unknown[0]}'{hint}; there are {first_few(profile.dims, 20)}")
    sensitive = profile.table["sensitive"].to_numpy(dtype=bool)
    claimed = profile.table["dim"].isin(claims).to_numpy()
    words = {(True, True): "measured", (True, False): "missed", (False, True): "unclaimed", (False, False): ""}
    verdict = [words[bool(c), bool(s)] for c, s in zip(claimed, sensitive, strict=True)]
    table = pd.DataFrame({"dim": profile.dims, "claimed": claimed, "sensitive": sensitive, "verdict": verdict})
    return ClaimCheck(claims, table)
