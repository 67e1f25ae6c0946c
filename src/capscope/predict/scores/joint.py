"""Scores on sets of items from their chances; the items' log-odds are correlated through what they share."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray, ModelItem, RowIndex
from capscope.intervals import quantile_bounds
from capscope.predict.assessor import Chances, FittedAssessor, JointAssessor

DRAWS = 400


def joint_deviations(
    fitted: FittedAssessor, items: RowIndex, share: ModelItem, group: RowIndex, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield for each model in turn joint draws of its standardised log-odds.

    A `JointAssessor` draws them itself; for any other assessor, items of a group share a part.

    Args:
        fitted: A fitted assessor.
        items: Positions of the items.
        share: Share of each standard deviation that the items of a group have in common, 0 to 1.
        group: Group of each item, numbered from 0: its benchmark.
        rng: Source of the draws.

    Yields:
        Deviations from the mean in standard deviations, as (item, draw).
    """
    if isinstance(fitted, JointAssessor):
        yield from fitted.deviations(items, rng, DRAWS)
        return
    for common_share in share[..., None]:
        common = rng.standard_normal((group.max() + 1, DRAWS))[group]
        yield common_share * common + np.sqrt(1 - common_share**2) * rng.standard_normal(common.shape)


def joint_scores(
    models: tuple[str, ...],
    chances: Chances,
    sets: np.ndarray,
    deviations: Iterator[FloatArray],
    rng: np.random.Generator,
    level: float,
) -> pd.DataFrame:
    """Predict the share of each set of items that each model gets right; each item is passed or failed as a whole.

    Args:
        models: Names on the model axis.
        chances: Chances of all models on all items, models first.
        sets: Which items belong to which set, as (set, item).
        deviations: Draws from `joint_deviations`.
        rng: Source of the draws.
        level: Nominal coverage of the intervals.

    Returns:
        Columns model, set (its number), score, lower, upper; one row for each model and set.
    """
    shape = (len(models), sets.shape[1])
    mean, sd, chance = (
        each.reshape(shape) for each in (chances.log_odds_mean, chances.log_odds_sd, chances.probability)
    )
    weight = sets / sets.sum(axis=1, keepdims=True)
    tables: list[pd.DataFrame] = []
    for number, deviation in enumerate(deviations):
        drawn = expit(mean[number][:, None] + sd[number][:, None] * deviation)
        passed = rng.random(drawn.shape) < drawn
        lower, upper = quantile_bounds(weight @ passed, level)
        columns = {"set": np.arange(len(sets)), "score": weight @ chance[number], "lower": lower, "upper": upper}
        tables.append(pd.DataFrame(columns).assign(model=models[number]))
    return pd.concat(tables, ignore_index=True)
