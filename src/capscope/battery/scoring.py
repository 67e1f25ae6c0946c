"""From a battery's answers to the score on the whole pool, with an interval."""

from dataclasses import dataclass

import pandas as pd

from capscope.battery.selection import Battery
from capscope.data import Study
from capscope.errors import InputError, first_few
from capscope.intervals import jeffreys_interval


@dataclass(frozen=True)
class BatteryScores:
    """Estimated scores on the pool."""

    table: pd.DataFrame
    """Columns model, answered, score, lower, upper."""
    level: float
    """Nominal coverage of the bounds."""
    unanswered: int
    """Model and item pairs of the battery without an answer; they are left out, never counted as wrong."""


def score_battery(battery: Battery, answers: Study, level: float = 0.95) -> BatteryScores:
    """Estimate each model's score on the pool from its answers to the battery.

    Every item of the pool had the same chance to be drawn, so the mean of the answers is the estimate; its interval is
    the Beta interval under Jeffreys' prior (Brown, Cai & DasGupta, 2001).

    Args:
        battery: The items drawn.
        answers: A study with responses to them.
        level: Nominal coverage.

    Raises:
        InputError: No answer to any item of the battery.
    """
    responses = answers.require("responses")
    items = list(battery.table["item_id"])
    answered = responses[responses["item_id"].astype(str).isin(items)]
    if answered.empty:
        raise InputError(
            f"{answers.name}: no answer to any item of the battery ({first_few(items)}); check the item ids"
        )
    rows: list[dict[str, object]] = []
    for model, group in answered.groupby("model", observed=True):
        interval = jeffreys_interval(float(group["score"].sum()), float(len(group)), level)
        estimate = {"score": interval.point, "lower": interval.lower, "upper": interval.upper}
        rows.append({"model": str(model), "answered": len(group), **estimate})
    unanswered = len(rows) * len(items) - len(answered.drop_duplicates(["model", "item_id"]))
    return BatteryScores(pd.DataFrame(rows), level, unanswered)
