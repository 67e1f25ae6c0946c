"""What an audit says: one row for each thing found, with its chance and its evidence."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.profiles.audit.discovery import discovered

COLUMNS = ["kind", "id", "other", "benchmark", "task", "probability", "evidence"]


@dataclass(frozen=True)
class Audit:
    """Odd items and models, ranked."""

    table: pd.DataFrame
    """Columns kind, id, other, benchmark, task, probability, evidence, listed; most probable first. `listed` rows are
    those that the rate of false discoveries allows for their kind."""
    rate: float
    """Expected share of false ones among the listed of a kind."""
    notes: tuple[str, ...]
    """What could not be looked at, and why."""
    kinds: tuple[str, ...] = ()
    """What was looked for."""

    def listed(self) -> pd.DataFrame:
        """Return what the audit stands for, without what it merely suspects."""
        return self.table[self.table["listed"]].drop(columns="listed").reset_index(drop=True)

    def counts(self) -> dict[str, int]:
        """Return how many of each kind are listed."""
        listed = self.table.loc[self.table["listed"].astype(bool), "kind"]
        return {kind: int((listed == kind).sum()) for kind in self.kinds}


@dataclass(frozen=True)
class Suspects:
    """Things that may be odd in one way, each with its chance; all that were looked at count for the rate."""

    kind: str
    table: pd.DataFrame
    """Columns of `COLUMNS` but `kind`."""


LEAST_SHOWN = 0.1
"""Suspects below this chance are left out of the table."""


def make_audit(suspects: list[Suspects], rate: float, notes: tuple[str, ...]) -> Audit:
    """Rank suspects, and list the most probable of each kind up to the rate of false discoveries."""
    parts: list[pd.DataFrame] = []
    for one in suspects:
        if len(one.table):
            listed = discovered(one.table["probability"].to_numpy(dtype=float), rate)
            part = one.table.assign(kind=one.kind, listed=listed)
            parts.append(part[listed | (part["probability"] >= LEAST_SHOWN)])
    blank = pd.DataFrame({name: pd.Series(dtype=object) for name in [*COLUMNS, "listed"]})
    table = pd.concat(parts, ignore_index=True) if parts else blank
    table = table[[*COLUMNS, "listed"]]
    order = np.lexsort((-table["probability"].to_numpy(dtype=float), ~table["listed"].to_numpy(dtype=bool)))
    kinds = tuple(dict.fromkeys(one.kind for one in suspects))
    return Audit(table.iloc[order].reset_index(drop=True), rate, notes, kinds)


def suspects(kind: str, ids: np.ndarray, probability: FloatArray, evidence: list[str], place: pd.DataFrame) -> Suspects:
    """Collect suspects of one kind; `place` holds the benchmark and task of each, and `other` where there is one."""
    table = place.reset_index(drop=True).assign(id=ids, probability=probability, evidence=evidence)
    if "other" not in table:
        table["other"] = ""
    return Suspects(kind, table[COLUMNS[1:]])
