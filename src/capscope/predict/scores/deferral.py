"""Bounds on failures among the items that are not deferred, in finite samples and by model.

From out-of-fold predictions, a threshold on the chance is chosen for each model, so that of the items at or above it at
most a share `risk` fails. What the bound holds for follows from what was held out together:

* items: for new items like those, with a stated confidence (Learn then Test: Angelopoulos, Bates, Candes, Jordan & Lei,
  2021), by exact binomial tests along fixed sequences of thresholds;
* whole tasks or benchmarks: for new tasks or benchmarks drawn like those, with the same confidence, by tests by betting
  on the groups (Waudby-Smith & Ramdas, 2024). Few groups can show little: at least about 3 / `risk` are needed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import rel_entr
from scipy.stats import binom

from capscope.axes import RowFloats, RowIndex
from capscope.data import ArrowTable, as_frame, checked_columns, read_table
from capscope.errors import InputError, first_few
from capscope.predict.outcomes import row_groups
from capscope.predict.scores.benchmark import one_assessor

Unit = Literal["item", "task", "benchmark"]
THRESHOLDS = np.round(np.arange(99, -1, -1) / 100, 2)
"""Thresholds on the chance, from the strictest; fixed beforehand, as the tests need them to be."""
STARTS = (0.95, 0.85, 0.7, 0.5)
"""Thresholds at which sequences of tests begin; each has an equal part of the allowed error."""
GROUP_STARTS = (0.85, 0.6)
"""The same for groups."""
FEWEST_KEPT = 0.1
"""Share of its items that a group has to keep to count in full, so that one item is no rate."""
BETS = np.array([0.2, 0.5, 0.8, 0.98])
"""Sizes of bets, as shares of the largest allowed one."""
NAMES = ("assessor", "model", "item_id", "task", "benchmark")
NUMBERS = {"seed": (0.0, 1e18), "fold": (0.0, 1e18), "score": (0.0, 1.0), "chance": (0.0, 1.0)}


def deferral_rules(
    predictions: Path | pd.DataFrame | ArrowTable, risk: float, *, confidence: float = 0.9, assessor: str | None = None
) -> pd.DataFrame:
    """Choose for each model the threshold on the chance below which items are deferred, with a bound on failures.

    Args:
        predictions: Out-of-fold predictions by one assessor, as `capscope evaluate --write` writes them, or their path.
        risk: Largest share of failures among the items that are not deferred, 0 to 1.
        confidence: Probability with which the bound of a model holds.
        assessor: Assessor whose predictions to use; None if the table holds those of one.

    Returns:
        A row for each model: `unit` (`item`, `task` or `benchmark`: what was held out together), `units` (their
        number), `threshold` (NaN where no threshold can be shown to hold: all is deferred), `kept` (share of these
        answers at or above it), `failures` (share of failures among those), and `pvr` (share that could have been kept
        in hindsight).

    Raises:
        InputError: The table is none of out-of-fold predictions, or `risk` or `confidence` lies outside (0, 1).
    """
    for name, value in (("--defer-risk", risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name} {value:g} is no share; use a number between 0 and 1, such as 0.1")
    table, name = _read(predictions, assessor)
    unit = unit_of(table)
    rows = [_rule(str(model), part, unit, risk, confidence) for model, part in table.groupby("model", sort=True)]
    if not rows:
        raise InputError(f"{name}: holds no predictions; write it with 'capscope evaluate --write'")
    return pd.DataFrame(rows)


def unit_of(table: pd.DataFrame) -> Unit:
    """Return what was held out together: whole benchmarks, whole tasks, or items.

    Args:
        table: Out-of-fold predictions with `benchmark`, `task` and `fold`.
    """
    units: tuple[Unit, ...] = ("benchmark", "task")
    for unit in units:
        folds = table.groupby(_group_keys(table, unit))["fold"].nunique()
        if len(folds) > 1 and (folds == 1).all():
            return unit
    return "item"


def deferred(table: pd.DataFrame, rules: pd.DataFrame) -> np.ndarray:
    """Return whether each chance of a table of predictions is to be deferred.

    Args:
        table: Chances with `model` and `p`.
        rules: See `deferral_rules`.

    Raises:
        InputError: A model of the table has no rule.
    """
    threshold = table["model"].astype(str).map(rules.set_index("model")["threshold"])
    absent = sorted(set(table["model"].astype(str)) - set(rules["model"]))
    if absent:
        raise InputError(f"--defer-from holds no predictions of {first_few(absent)}; evaluate these models too")
    return ~(table["p"].to_numpy(float) >= threshold.to_numpy(float))


def _read(predictions: Path | pd.DataFrame | ArrowTable, assessor: str | None) -> tuple[pd.DataFrame, str]:
    predictions = as_frame(predictions)
    in_memory = isinstance(predictions, pd.DataFrame)
    table, name = (predictions, "predictions") if in_memory else (read_table(predictions), str(predictions))
    remedy = "write it with 'capscope evaluate --write'"
    table = one_assessor(checked_columns(table, name, names=NAMES, numbers=NUMBERS, remedy=remedy), name, assessor)
    return table[table["seed"] == table["seed"].min()], name


def _group_keys(table: pd.DataFrame, unit: Unit) -> pd.Series:
    keys = table["benchmark"].astype(str)
    return keys if unit == "benchmark" else keys + "\n" + table["task"].astype(str)


def _rule(model: str, part: pd.DataFrame, unit: Unit, risk: float, confidence: float) -> dict[str, object]:
    chance, score = part["chance"].to_numpy(float), part["score"].to_numpy(float)
    if unit == "item":
        units, threshold = len(part), item_threshold(chance, 1 - score, risk, 1 - confidence)
    else:
        group = np.unique(_group_keys(part, unit), return_inverse=True)[1]
        units, threshold = int(group.max()) + 1, group_threshold(chance, 1 - score, group, risk, 1 - confidence)
    kept = chance >= threshold if threshold is not None else np.zeros(len(chance), dtype=bool)
    return {
        "model": model,
        "unit": unit,
        "units": units,
        "threshold": np.nan if threshold is None else threshold,
        "kept": float(kept.mean()),
        "failures": float((1 - score[kept]).mean()) if kept.any() else np.nan,
        "pvr": _share_in_hindsight(chance, 1 - score, risk),
    }


def _share_in_hindsight(chance: RowFloats, failure: RowFloats, risk: float) -> float:
    """Return the largest share that a threshold keeps with failures of at most `risk`, were the answers known."""
    kept = chance >= THRESHOLDS[:, None]
    number = kept.sum(axis=1)
    held = number[kept @ failure <= risk * number]
    return float(held.max(initial=0) / len(chance))


def item_threshold(chance: RowFloats, failure: RowFloats, risk: float, error: float) -> float | None:
    """Return the lowest threshold that is shown to keep failures at or under `risk`; None where none is.

    Args:
        chance: Predicted chances of success.
        failure: Failures, 0 to 1.
        risk: Largest share of failures among what is kept.
        error: Probability that the bound may fail.
    """
    return _lowest(lambda place: p_value(failure[chance >= THRESHOLDS[place]], risk), STARTS, error)


def _lowest(p_of: Callable[[int], float], starts: tuple[float, ...], error: float) -> float | None:
    """Return the lowest threshold that is accepted; None where none is.

    Each sequence goes down from its start while the test at its part of the error rejects "more failures than allowed";
    with probability 1 - `error` no threshold is returned for which that is wrong.
    """
    lowest: float | None = None
    for start in starts:
        for place in np.flatnonzero(start >= THRESHOLDS):
            if p_of(int(place)) > error / len(starts):
                break
            lowest = float(THRESHOLDS[place]) if lowest is None else min(lowest, float(THRESHOLDS[place]))
    return lowest


def p_value(failure: RowFloats, risk: float) -> float:
    """Return the p-value of "the mean failure exceeds `risk`": exact for 0 and 1, Hoeffding-Bentkus for fractions.

    Args:
        failure: Independent failures, 0 to 1.
        risk: The mean under test.
    """
    n, total = len(failure), float(failure.sum())
    if n == 0:
        return 1.0
    if np.isin(failure, (0, 1)).all():
        return float(binom.cdf(total, n, risk))
    mean = min(total / n, risk)
    hoeffding = np.exp(-n * (rel_entr(mean, risk) + rel_entr(1 - mean, 1 - risk)))
    return float(min(1.0, hoeffding, np.e * binom.cdf(np.ceil(total), n, risk)))


def group_threshold(chance: RowFloats, failure: RowFloats, group: RowIndex, risk: float, error: float) -> float | None:
    """Return the lowest threshold shown to keep the failure rate of new groups at or under `risk`; None where none is.

    A group's rate is its share of failures among what it keeps, and a group that keeps less than a tenth of its items
    counts for less in the mean over groups. Without any failure, about log(20) / `risk` groups are needed for a
    confidence of 90 %.

    Args:
        chance: Predicted chances of success.
        failure: Failures, 0 to 1.
        group: Task or benchmark of each row.
        risk: Largest mean failure rate of the groups.
        error: Probability that the bound may fail.
    """
    excess = np.array([_excess(chance[rows], failure[rows], risk) for rows in row_groups(group)])
    return _lowest(lambda place: group_p_value(excess[:, place], risk), GROUP_STARTS, error)


def _excess(chance: RowFloats, failure: RowFloats, risk: float) -> np.ndarray:
    """Return by how much a group's failure rate exceeds the risk at each threshold, -risk to 1 - risk."""
    kept = chance >= THRESHOLDS[:, None]
    number = kept.sum(axis=1)
    return (kept @ failure - risk * number) / np.maximum(number, FEWEST_KEPT * len(chance))


def group_p_value(excess: np.ndarray, risk: float) -> float:
    """Return the p-value of "the mean excess is above 0" from independent groups.

    The capital of a bettor against that hypothesis, averaged over sizes of bets, is at most 1 in expectation under it
    (Waudby-Smith and Ramdas, 2024).

    Args:
        excess: Excess of each group's failure rate over the risk, -risk to 1 - risk.
        risk: The risk.
    """
    capital = np.prod(1 - BETS[:, None] * excess / (1 - risk), axis=1).mean()
    return float(min(1.0, 1 / capital))
