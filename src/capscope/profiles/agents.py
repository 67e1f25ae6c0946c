"""Effects of agents' parts (scaffold, effort, judge) with models held fixed, from a fit or from answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from capscope.axes import FACETS
from capscope.data import SEPARATOR, Study
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, first_few, nearest
from capscope.fit import Fit, load_fit
from capscope.profiles.item_groups import opened
from capscope.profiles.meanings import table_lines

CLEAR = 0.05
"""Two-sided significance level of differences between parts."""


@dataclass(frozen=True)
class PartEffects(ArrowTables):
    """Effects of one factor of agents with the others held fixed."""

    by: str
    """The factor, such as ``scaffold``."""
    effects: pd.DataFrame
    """Columns ``factor, name, effect, sd, lower, upper, log_odds, agents, set, separable``."""
    scales: pd.DataFrame
    """Variance components: columns ``term, sd, lower, upper, share, share_lower, share_upper``."""
    unit: str
    """Unit of the effects."""
    level: float
    """Nominal coverage of the bounds."""
    notes: tuple[str, ...] = ()
    """Effects that the data do not identify."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        tables = {"effects": self.effects.to_dict("records"), "scales": self.scales.to_dict("records")}
        return {"by": self.by, "level": self.level, "unit": self.unit, "notes": list(self.notes), **tables}

    def as_text(self) -> str:
        """Return notes, the effects from highest to lowest, and the variance components."""
        ordered = self.effects.sort_values("effect", ascending=False, kind="stable").drop(columns="factor")
        separable = self.effects["separable"]
        head = f"\n{self.by} effects with the other parts held fixed, {self.level:.0%} intervals; {self.unit}"
        if not separable.any():
            head = f"\n{self.by} effects are CONFOUNDED with other parts here: the bounds are those of the prior"
        meaning = (
            "effect: distance from the mean of all; log_odds: the same on a typical item; agents: how many have it."
            "\nCompare parts of one set only; separable no: it is confounded with the agents' other parts."
        )
        shown = self.scales[["term", "sd", "lower", "upper", "share"]]
        whose = "\nHow far apart agents are by each part (sd), and its share of their variance:"
        lines = [*(f"note: {note}" for note in self.notes), head, table_lines(ordered), meaning]
        return "\n".join([*lines, whose, table_lines(shown)])

    def __repr__(self) -> str:
        share = self.scales.set_index("term")["share"].get(self.by, float("nan"))
        return f"PartEffects({len(self.effects)} {self.by}s, {share:.0%} of the agents' variance)"

    def _repr_html_(self) -> str:
        note = " ".join([*self.notes, f"Bounds of {self.level:.0%} intervals; {self.unit}."])
        return html_table(f"Effects of {self.by}", self.effects, note)


def part_effects(fit: Fit[Any] | str | Path, by: str, *, level: float = 0.9, seed: int = 0) -> PartEffects:
    """Split the general abilities of a fit's agents, and return the effects of one factor.

    Args:
        fit: A fit of any kind whose study has facets, or its folder.
        by: ``model``, or a facet that varies: ``scaffold``, ``effort``.
        level: Nominal coverage of the bounds.
        seed: Seed of the draws.

    Returns:
        The effects with intervals, and the share of each part in the variance over agents.

    Raises:
        InputError: The fit has no facets.
        FitError: The factor does not vary, or there are too few agents.
    """
    if not isinstance(fit, Fit):
        fit = load_fit(Path(fit))
    if fit.design is None:
        raise InputError(
            "the fit knows no scaffolds or efforts; fit a study whose responses have a column scaffold or effort with"
            " several values, without '--facets ignore'"
        )
    from capscope.fit import split_general  # loads torch, which comparisons of answers do without

    parts = split_general(fit.posterior, fit.design, seed)
    return PartEffects(by, parts.effects(by, level), parts.scales(level), parts.unit, level, parts.notes)


@dataclass(frozen=True)
class PartComparison(ArrowTables):
    """Two scaffolds, efforts or judges compared on the same models and items."""

    by: str
    """The facet."""
    first: str
    """One value."""
    second: str
    """The other."""
    table: pd.DataFrame
    """One row for each model that has both, then ``all``: model, items, first, second, difference, lower, upper, p."""
    level: float
    """Nominal coverage of the bounds."""
    notes: tuple[str, ...] = ()
    """Models with answers under one of the two only."""

    @property
    def head(self) -> str:
        """The main result in one sentence."""
        row = self.table.iloc[-1]
        models = f"with {len(self.table) - 1} models held fixed"
        between = f"difference {row['difference']:+.3f} [{row['lower']:+.3f}, {row['upper']:+.3f}]"
        if row["p"] >= CLEAR:
            return f"{self.first} and {self.second} cannot be distinguished {models}: {between}"
        ahead, behind = (self.first, self.second) if row["difference"] > 0 else (self.second, self.first)
        return f"{ahead} is ahead of {behind} {models}: {between}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        head = {"by": self.by, "first": self.first, "second": self.second, "level": self.level, "head": self.head}
        return {**head, "notes": list(self.notes), "models": self.table.to_dict("records")}

    def as_text(self) -> str:
        """Return the overall result, then a table of models."""
        meaning = f"Mean scores on the same items; bounds of {self.level:.0%} intervals over items, models held fixed."
        return "\n".join([self.head, *(f"note: {note}" for note in self.notes), table_lines(self.table), meaning])

    def __repr__(self) -> str:
        return f"PartComparison({self.head})"

    def _repr_html_(self) -> str:
        return html_table(self.head, self.table, " ".join(self.notes))


def compare_parts(
    source: Study | str | Path, first: str, second: str, *, by: str = "scaffold", level: float = 0.9
) -> PartComparison:
    """Compare two values of a facet on the items that the same models answered with both.

    Differences within model and item are averaged over models for each item; standard errors are over items. Models,
    and other facets such as the effort, are fixed; items are a sample.

    Args:
        source: A study or its folder.
        first: One value of the facet.
        second: Another.
        by: The facet: ``scaffold``, ``effort``, ``judge`` or ``prompt``.
        level: Nominal coverage of the intervals.

    Returns:
        The differences of each model, and over all of them.

    Raises:
        InputError: No such facet or value, or no model that answered items with both.
    """
    study = opened(source)
    responses = study.require("responses")
    if by not in responses:
        raise InputError(f"{study.name}: responses have no column '{by}'; --by takes a facet of the answers")
    known = sorted(map(str, responses[by].unique()))
    for name in (first, second):
        if name not in known:
            raise InputError(f"{study.name}: no {by} '{name}'{nearest(name, known)}; there are {first_few(known)}")
    held = [facet for facet in FACETS if facet not in (by, "run") and facet in responses and _varies(responses[facet])]
    keys = responses[["model", *held]].astype(str).agg(SEPARATOR.join, axis="columns")
    trials = responses["n_trials"] if "n_trials" in responses else pd.Series(1.0, index=responses.index)
    rows = responses[["item_id", by]].astype(str).assign(model=keys, right=responses["score"] * trials, trials=trials)
    pooled = (
        rows[rows[by].isin([first, second])].groupby(["model", "item_id", by], observed=True)[["right", "trials"]].sum()
    )
    score = (pooled["right"] / pooled["trials"]).unstack(by)
    both = score.reindex(columns=[first, second]).dropna()
    if not len(both):
        raise InputError(
            f"{study.name}: no model answered an item with {by} '{first}' and '{second}'; the two cannot be compared"
            " with models held fixed"
        )
    return PartComparison(by, first, second, _table(both, level), level, _alone(score, both, by))


def _varies(column: pd.Series) -> bool:
    return column.nunique() > 1


def _table(both: pd.DataFrame, level: float) -> pd.DataFrame:
    rows = [_row(str(model), own, level) for model, own in both.groupby("model", observed=True)]
    item_means = both.groupby("item_id", observed=True).mean()
    return pd.DataFrame([*rows, _row("all", item_means, level)])


def _row(model: str, scores: pd.DataFrame, level: float) -> dict[str, object]:
    values = scores.to_numpy()
    difference, n = values[:, 0] - values[:, 1], len(values)
    mean, free = float(difference.mean()), max(n - 1, 1)
    # items that all agree do not rule flips out: one each way is added
    spread = difference if np.ptp(difference) > 0 else np.append(difference, [mean - 1, mean + 1])
    error = float(spread.std(ddof=1) / np.sqrt(n))
    width = float(stdtrit(free, (1 + level) / 2)) * error
    p = float(2 * stdtr(free, -abs(mean) / error))
    means = {"first": float(values[:, 0].mean()), "second": float(values[:, 1].mean())}
    return {
        "model": model,
        "items": n,
        **means,
        "difference": mean,
        "lower": max(-1.0, mean - width),
        "upper": min(1.0, mean + width),
        "p": p,
    }


def _alone(score: pd.DataFrame, both: pd.DataFrame, by: str) -> tuple[str, ...]:
    compared = set(both.index.get_level_values("model"))
    alone = sorted(set(score.index.get_level_values("model")) - compared)
    return (f"left out, since they have one {by} only: {first_few(alone)}",) if alone else ()
