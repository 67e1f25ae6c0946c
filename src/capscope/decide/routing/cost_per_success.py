"""Cost per success of a model or agent, and its chance of success within a budget or a number of attempts.

Cost per success is the ratio of mean cost to success rate over the same items. Its interval is computed from the
intervals of both means and their correlation (MOVER: Donner & Zou, 2012), and keeps its coverage with few successes; it
has no upper bound where a success rate of 0 is not excluded.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import AGENT_FACETS, FloatArray
from capscope.data import COSTS, Study, one_answer_each, read_study, subjects_of
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, counted, first_few
from capscope.intervals import ratio_interval, share_interval, wilson_interval
from capscope.profiles import ItemChances

UNITS = {"usd": "dollars", "tokens": "tokens", "seconds": "seconds"}
"""Unit of each cost."""
GRID = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Quantiles of the costs of an answer that are the default budgets."""
MORE = (2.0, 4.0)
"""Further default budgets, as multiples of the highest cost, where items were run more than once."""
FEWEST_ITEMS = 5
"""Fewest items with repeated runs from which further attempts are predicted."""
GROUPS = 20
"""Number of groups of the jackknife over items."""
MOST_RUNS = 1e6
"""Largest number of attempts within a budget."""


@dataclass(frozen=True)
class SuccessCosts(ArrowTables):
    """Cost per success of each subject, and success within budgets."""

    cost: str
    """Which cost: `usd`, `tokens` or `seconds`."""
    table: pd.DataFrame
    """Columns model, items, score, cost (of an answer), cost_per_success, lower, upper; cheapest success first."""
    budgets: pd.DataFrame
    """Columns model, budget, chance, lower, upper: chance to solve an item within the budget, with further attempts
    where items have repeated runs, else in one attempt."""
    attempts: pd.DataFrame
    """Columns model, attempts, chance, lower, upper, cost, cost_per_success, if a subject stops at the first success;
    only for subjects with repeated runs."""
    level: float
    """Nominal coverage of the bounds."""
    notes: tuple[str, ...] = ()
    """Remarks: answers without costs, subjects left out."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; an infinite bound is None."""
        tables = {"models": self.table, "budgets": self.budgets, "attempts": self.attempts}
        plain = {name: _records(table) for name, table in tables.items()}
        return {"cost": self.cost, "unit": UNITS[self.cost], "level": self.level, "notes": list(self.notes), **plain}

    @property
    def head(self) -> str:
        """The main result in one sentence."""
        free = int((self.table["cost_per_success"] == 0).sum())
        if free > 1:
            who = "all" if free == len(self.table) else f"{free} of"
            return f"{who} {counted(len(self.table), 'model')} tie: their answers cost 0 {UNITS[self.cost]}"
        best = self.table.iloc[0]
        upper = "no upper bound" if np.isinf(best["upper"]) else f"{best['upper']:.3g}"
        return (
            f"{best['model']} succeeds at least cost: {best['cost_per_success']:.3g} {UNITS[self.cost]} a success"
            f" [{best['lower']:.3g}, {upper}]"
        )

    def __repr__(self) -> str:
        return f"SuccessCosts({counted(len(self.table), 'model')}, {self.head})"

    def _repr_html_(self) -> str:
        note = " ".join([*self.notes, f"In {UNITS[self.cost]}; bounds of {self.level:.0%} intervals over items."])
        return html_table("Cost per success", self.table, note)


def success_costs(
    source: Study | str | Path,
    cost: str | None = None,
    *,
    budgets: Sequence[float] = (),
    attempts: Sequence[int] = (1, 2, 4, 8),
    level: float = 0.9,
) -> SuccessCosts:
    """Compute the cost per success of each model, or of each agent (model, scaffold, effort).

    Args:
        source: A study whose responses have costs, or its folder.
        cost: Column: `usd`, `tokens` or `seconds`; by default the first that the study has.
        budgets: Budgets for one item, in the cost's unit; by default quantiles of the answers' costs.
        attempts: Numbers of attempts at an item.
        level: Nominal coverage of the intervals.

    Returns:
        Cost per success with intervals over items, and success within budgets and attempts.

    Raises:
        InputError: The answers have no costs, a budget is not positive, or an attempt number is below 1.
    """
    study = source if isinstance(source, Study) else read_study(source)
    _refuse_settings(budgets, attempts)
    # several judges of a run do not multiply its cost
    study, _ = subjects_of(one_answer_each(study, weighed=False), AGENT_FACETS)
    responses = study.require("responses")
    cost = _chosen(responses, cost, study.name)
    known = responses[responses[cost].notna()]
    notes = (
        []
        if len(known) == len(responses)
        else [f"{counted(len(responses) - len(known), 'answer')} without {cost} left out"]
    )
    items = {str(model): _by_item(own, cost) for model, own in known.groupby("model", observed=True)}
    absent = sorted(set(map(str, responses["model"].unique())) - set(items))
    notes += [f"left out, since no answer has {cost}: {first_few(absent)}"] if absent else []
    tries = {model: _Tries.of(own) for model, own in items.items()}
    again = {model: own for model, own in tries.items() if own.chances is not None}
    if not again:
        notes.append("no item was run again, so that budgets are for one attempt; repeat runs to price further ones")
    elif uneven := _uneven_runs(items, again):
        notes.append(uneven)
    grid = np.array(budgets) if len(budgets) else _grid(items.values(), more=bool(again))
    rows = pd.DataFrame([_row(model, own, level) for model, own in items.items()])
    tried = [_attempts(model, own, k, level) for model, own in again.items() for k in attempts]
    return SuccessCosts(
        cost,
        rows.sort_values(["cost_per_success", "model"], kind="stable").reset_index(drop=True),
        pd.DataFrame([_budget(model, own, float(b), level) for model, own in tries.items() for b in grid]),
        pd.DataFrame(tried, columns=["model", "attempts", "chance", "lower", "upper", "cost", "cost_per_success"]),
        level,
        tuple(notes),
    )


def _refuse_settings(budgets: Sequence[float], attempts: Sequence[int]) -> None:
    if any(not budget > 0 for budget in budgets):
        raise InputError(f"--budget {min(budgets):g} is no budget; use a positive number")
    if any(k < 1 or k != int(k) for k in attempts):
        wrong = next(k for k in attempts if k < 1 or k != int(k))
        raise InputError(f"--k {wrong:g} is no number of attempts; use whole numbers from 1 on")


def _chosen(responses: pd.DataFrame, cost: str | None, name: str) -> str:
    there = [column for column in COSTS if column in responses and responses[column].notna().any()]
    if cost is not None and cost not in COSTS:
        raise InputError(f"--cost {cost} is no cost; use {', '.join(COSTS)}")
    if not there or (cost is not None and cost not in there):
        what = cost or " or ".join(COSTS)
        raise InputError(f"{name}: its answers have no {what}; import logs that hold them, or add such a column")
    return cost or there[0]


def _uneven_runs(items: Mapping[str, pd.DataFrame], again: Collection[str]) -> str:
    """Return the remark on models of which some have repeated runs and others have none; empty where all are alike."""
    once = [model for model in items if model not in again]
    if not once:
        return ""
    several = [f"{model} ({items[model]['runs'].mean():.3g} an item)" for model in again]
    return (
        f"repeated runs: {first_few(several, 3)}; none: {first_few(once, 3)}. A model without them counts one attempt"
        " in every budget, so compare budgets and attempts only among models with repeated runs"
    )


def _by_item(own: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Success rate, runs and mean cost of a run of each item."""
    runs = own["n_trials"].astype(float) if "n_trials" in own else pd.Series(1.0, index=own.index)
    sums = pd.DataFrame({"item": own["item_id"], "right": own["score"] * runs, "runs": runs, "cost": own[cost]})
    totals = sums.groupby("item", observed=True).sum()
    return totals.assign(score=totals["right"] / totals["runs"], cost=totals["cost"] / totals["runs"])


def _grid(items: Iterable[pd.DataFrame], *, more: bool) -> FloatArray:
    costs = np.concatenate([own["cost"].to_numpy(dtype=float) for own in items])
    grid = np.quantile(costs, GRID)
    grid = np.r_[grid, grid[-1] * np.array(MORE)] if more else grid
    # round up to three digits, so that the highest cost lies within its rounded budget
    unit = 10.0 ** (np.floor(np.log10(np.maximum(grid, 1e-12))) - 2)
    return np.unique(np.ceil(grid / unit - 1e-9) * unit)


def _row(model: str, own: pd.DataFrame, level: float) -> dict[str, object]:
    cost, score = own["cost"].to_numpy(dtype=float), own["score"].to_numpy(dtype=float)
    ratio = ratio_interval(cost, score, level)
    columns = {"model": model, "items": len(own), "score": float(score.mean()), "cost": float(cost.mean())}
    return {**columns, "cost_per_success": ratio.point, "lower": ratio.lower, "upper": ratio.upper}


@dataclass(frozen=True)
class _Tries:
    """Costs and success rates of one subject by item, and its chances of success within a number of runs."""

    cost: FloatArray
    """Mean cost of a run of each item (item,)."""
    score: FloatArray
    """Success rate of each item (item,)."""
    chances: ItemChances | None
    """Model of the chance of failure by item; None where too few items have repeated runs."""

    @classmethod
    def of(cls, own: pd.DataFrame) -> "_Tries":
        cost, score, right, runs = (own[name].to_numpy(dtype=float) for name in ("cost", "score", "right", "runs"))
        again = int((runs > 1).sum()) >= FEWEST_ITEMS
        return cls(cost, score, ItemChances(runs - right, runs) if again else None)

    @cached_property
    def parameters_without(self) -> list[tuple[np.ndarray, tuple[float, float]]]:
        """Jackknife: for each group left out, the remaining items and the parameters fitted to them."""
        if self.chances is None:
            return []
        group = np.arange(len(self.cost)) % min(GROUPS, len(self.cost))
        kept = [group != number for number in range(group.max() + 1)]
        own = self.chances
        return [(keep, ItemChances(own.right[keep], own.runs[keep]).parameters) for keep in kept]

    def fails(self, runs: FloatArray, parameters: tuple[float, float] | None = None) -> FloatArray:
        """Chance that all runs (item,) of each item fail (item,); at most one run counts without repeated runs."""
        if self.chances is None:
            return np.where(runs >= 1, 1 - self.score, 1.0)
        return np.where(runs >= 1, self.chances.powers(runs, parameters), 1.0)

    def solved(self, runs: FloatArray, level: float) -> tuple[float, float, float]:
        """Mean chance to solve an item within its runs (item,), with bounds over items."""
        mean = 1 - float(self.fails(runs).mean())
        if self.chances is None:
            share = share_interval(1 - self.fails(runs), level)
            return mean, share.lower, share.upper
        left = np.array([1 - float(self.fails(runs, own)[keep].mean()) for keep, own in self.parameters_without])
        steps, n = len(left), len(self.cost)
        error = (steps - 1) / steps * float(((left - left.mean()) ** 2).sum())
        share = wilson_interval(mean, error, n, level)
        return mean, share.lower, share.upper


def _budget(model: str, tries: _Tries, budget: float, level: float) -> dict[str, object]:
    runs = np.floor(budget / np.maximum(tries.cost, 1e-300) + 1e-9).clip(0, MOST_RUNS)
    chance, lower, upper = tries.solved(runs, level)
    return {"model": model, "budget": budget, "chance": chance, "lower": lower, "upper": upper}


def _attempts(model: str, tries: _Tries, k: int, level: float) -> dict[str, object]:
    every = np.ones(len(tries.cost))
    chance, lower, upper = tries.solved(k * every, level)
    begun = sum((tries.fails(j * every) for j in range(k)), np.zeros(len(every)))
    spent = float((begun * tries.cost).mean())
    columns = {"model": model, "attempts": k, "chance": chance, "lower": lower, "upper": upper, "cost": spent}
    return {**columns, "cost_per_success": spent / chance if chance > 0 else float("inf")}


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    rows = table.to_dict("records")
    return [
        {str(key): None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
        for row in rows
    ]
