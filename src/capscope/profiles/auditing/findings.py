"""Findings of an audit with their probabilities, listed up to a rate of false discoveries."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.display import ArrowTables, html_table

COLUMNS = ["kind", "id", "other", "benchmark", "task", "probability", "evidence"]


@dataclass(frozen=True)
class Audit(ArrowTables):
    """Odd items and models, ranked."""

    table: pd.DataFrame
    """Columns kind, id, other, benchmark, task, probability, evidence, listed; most probable first. `listed` rows are
    those that the rate of false discoveries allows for their kind."""
    rate: float
    """Expected share of false findings among those listed of one kind."""
    notes: tuple[str, ...]
    """Checks that were not possible, with the reason."""
    kinds: tuple[str, ...] = ()
    """Kinds of findings that were searched for."""

    def listed(self) -> pd.DataFrame:
        """Return the listed findings, without suspects below the rate of false discoveries."""
        return self.table[self.table["listed"]].drop(columns="listed").reset_index(drop=True)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {kind}" for kind, number in self.counts().items() if number)
        return f"Audit({counts or 'nothing odd was found'})"

    def _repr_html_(self) -> str:
        note = f"About {self.rate:.0%} of what is listed of a kind is expected to be ordinary."
        return html_table("Audit", self.listed(), " ".join([note, *self.notes]))

    def counts(self) -> dict[str, int]:
        """Return the number of listed findings by kind."""
        listed = self.table.loc[self.table["listed"].astype(bool), "kind"]
        return {kind: int((listed == kind).sum()) for kind in self.kinds}


@dataclass(frozen=True)
class Suspects:
    """Candidates of one kind (items or models) with probabilities; the false discovery rate is over all of them."""

    kind: str
    table: pd.DataFrame
    """Columns of `COLUMNS` but `kind`."""


LEAST_SHOWN = 0.1
"""Smallest probability of a suspect in the table."""


def make_audit(suspects: list[Suspects], rate: float, notes: tuple[str, ...]) -> Audit:
    """Rank suspects, and list the most probable of each kind up to the rate of false discoveries.

    Args:
        suspects: Suspects of each kind, with probabilities.
        rate: Expected share of false discoveries among those listed.
        notes: Limitations of the audit.

    Returns:
        The audit.
    """
    parts: list[pd.DataFrame] = []
    for one in suspects:
        if len(one.table):
            listed = discovered(one.table["probability"].to_numpy(dtype=float), rate)
            part = one.table.assign(kind=one.kind, listed=listed)
            parts.append(part[listed | (part["probability"] >= LEAST_SHOWN)])
    table = pd.concat(parts, ignore_index=True) if parts else _blank()
    table = table[[*COLUMNS, "listed"]].astype({"probability": float, "listed": bool})
    order = np.lexsort((-table["probability"].to_numpy(dtype=float), ~table["listed"].to_numpy(dtype=bool)))
    kinds = tuple(dict.fromkeys(one.kind for one in suspects))
    return Audit(table.iloc[order].reset_index(drop=True), rate, notes, kinds)


def _blank() -> pd.DataFrame:
    """A table of findings without rows, with the columns' types."""
    types = dict.fromkeys(COLUMNS, object) | {"probability": float, "listed": bool}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def suspects(kind: str, ids: np.ndarray, probability: FloatArray, evidence: list[str], place: pd.DataFrame) -> Suspects:
    """Collect suspects of one kind in a table.

    Args:
        kind: Kind of finding.
        ids: Items or models.
        probability: Probability that each one is what it is suspected to be.
        evidence: One sentence for each.
        place: Benchmark and task of each, and ``other`` where there is one.

    Returns:
        The suspects.
    """
    table = place.reset_index(drop=True).assign(id=ids, probability=probability, evidence=evidence)
    if "other" not in table:
        table["other"] = ""
    return Suspects(kind, table[COLUMNS[1:]])


ITERATIONS = 200
TOLERANCE = 1e-9
"""Convergence tolerance of the class frequencies."""


@dataclass(frozen=True)
class NestedChances:
    """Probabilities of being odd at three levels."""

    row: FloatArray
    """Chance that a row is odd as a whole."""
    group: FloatArray
    """Chance that a row is odd in a whole group of cells, given that it is not as a whole."""
    cell: FloatArray
    """Probability that a cell is odd for any of these reasons."""


def nested_chances(evidence: FloatArray, group: np.ndarray, other_explanation: FloatArray) -> NestedChances:
    """Probabilities that a whole row of cells, a group of them, or single cells are odd (empirical Bayes).

    Args:
        evidence: Log Bayes factors (row, cell) of odd against ordinary.
        group: Group of each cell, numbered from 0.
        other_explanation: Probability (row, group) of another explanation, such as guessing.
    """
    rows = len(evidence)
    member = np.eye(group.max() + 1)[group]
    by_group = evidence @ member
    # prior: half an odd unit at each level
    shares = [0.5 / (size + 1) for size in (rows, by_group.size, evidence.size)]
    row, grouped, single = np.zeros(rows), np.zeros(by_group.shape), np.zeros(evidence.shape)
    for _ in range(ITERATIONS):
        of_row, of_group, of_cell = (np.log(share) - np.log1p(-share) for share in shares)
        single = expit(evidence + of_cell)
        # the alternative to an odd group is single odd cells; the alternative to an odd row is odd groups
        cells = np.logaddexp(np.log1p(-shares[2]), np.log(shares[2]) + evidence) @ member
        explained = expit(by_group - cells + np.log(other_explanation) - np.log1p(-other_explanation))
        cells = np.logaddexp(np.log1p(-other_explanation) + cells, np.log(other_explanation) + by_group)
        grouped = expit(by_group - cells + of_group)
        groups = np.logaddexp(np.log1p(-shares[1]) + cells, np.log(shares[1]) + by_group).sum(axis=1)
        row = expit(evidence.sum(axis=1) - groups + of_row)
        left = (1 - row)[:, None]
        single = single * (1 - explained)[:, group]
        odd = (row, left * grouped, left * (1 - grouped)[:, group] * single)
        shares = [min((chance.sum() + 0.5) / (chance.size + 1), 0.5) for chance in odd]
    inside = grouped[:, group] + (1 - grouped[:, group]) * single
    return NestedChances(row, grouped, row[:, None] + (1 - row[:, None]) * inside)


def discovered(probability: FloatArray, rate: float) -> np.ndarray:
    """Select the most probable candidates while their expected share of false discoveries stays within the rate.

    Args:
        probability: Probability that each candidate is a true finding.
        rate: Largest expected share of false discoveries.

    Returns:
        Mask of the selected candidates (Newton et al., 2004).
    """
    order = np.argsort(-probability, kind="stable")
    false = np.cumsum(1 - probability[order]) / np.arange(1, len(order) + 1)
    within = np.flatnonzero(false <= rate)
    taken = np.zeros(len(probability), bool)
    taken[order[: within[-1] + 1 if len(within) else 0]] = True
    return taken


def class_probability(log_likelihood: FloatArray, prior: FloatArray) -> FloatArray:
    """Class probabilities of each row, with class frequencies estimated from all rows (EM).

    Args:
        log_likelihood: Array (row, class).
        prior: Dirichlet weights of the class frequencies, in rows.

    Returns:
        Array (row, class); rows add up to 1.
    """
    scaled = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    share = prior / prior.sum()
    for _ in range(ITERATIONS):
        expected = share * ((1 / (scaled @ share)) @ scaled)
        before, share = share, (expected + prior) / (len(scaled) + prior.sum())
        if np.abs(share - before).max() < TOLERANCE:
            break
    chance = scaled * share
    return chance / chance.sum(axis=1, keepdims=True)
