"""Sensitivity and specificity of an item set against the dimensions it claims to measure (Zhou et al., 2026)."""

from dataclasses import dataclass

import pandas as pd

from capscope.errors import InputError, first_few, nearest
from capscope.profiles.demand import DemandProfile


@dataclass(frozen=True)
class ClaimCheck:
    """What a set measures next to what it says it measures, by the levels of its items alone."""

    claimed: tuple[str, ...]
    """Dimensions that the set claims."""
    table: pd.DataFrame
    """Columns dim, claimed, sensitive, verdict: `measured`, `missed`, `unclaimed` or empty."""

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
