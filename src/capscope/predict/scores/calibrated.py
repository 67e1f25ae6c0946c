"""Intervals of benchmark scores, calibrated on out-of-fold residuals of the other benchmarks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import RowIndex
from capscope.fit import log_odds_of
from capscope.intervals import quantile_bounds
from capscope.predict.outcomes import Outcomes, row_groups, weighted_mean
from capscope.predict.scores.benchmark_effect import (
    OFFSETS,
    EffectSd,
    LogOddsRows,
    effect_sd,
    offset_of,
    score_curve,
)

LEVELS = (0.5, 0.8, 0.95)
"""Nominal coverages of the intervals."""
SEVERAL_BENCHMARKS = 3
"""With at least this many benchmarks, intervals come from the residuals of whole benchmarks instead of tasks."""
DRAWS = 400


@dataclass(frozen=True)
class GroupScores:
    """Predicted score curves and observed scores of every model on every group of items (a benchmark or a task)."""

    curve: Float[np.ndarray, "model group offset"]
    """Mean score at each of `OFFSETS`."""
    observed: Float[np.ndarray, "model group"]
    """Observed mean score; NaN where a model has no answers."""
    size: Float[np.ndarray, "model group"]
    """Number of trials."""

    @classmethod
    def of(cls, outcomes: Outcomes, group: RowIndex, log_odds: LogOddsRows | None = None) -> "GroupScores":
        """Collect outcomes by model and group.

        Args:
            outcomes: Out-of-fold predictions; models are numbered from 0.
            group: Group of each row, numbered from 0.
            log_odds: Log-odds of each row; None for those of the expected chances.
        """
        n_models, n_groups = int(outcomes.model.max()) + 1, int(group.max()) + 1
        curve = np.zeros((n_models, n_groups, len(OFFSETS)))
        observed, size = np.full((n_models, n_groups), np.nan), np.zeros((n_models, n_groups))
        log_odds = LogOddsRows.known(log_odds_of(outcomes.chance)) if log_odds is None else log_odds
        weight = outcomes.weight
        for rows in row_groups(outcomes.model * n_groups + group):
            cell = int(outcomes.model[rows[0]]), int(group[rows[0]])
            curve[cell] = score_curve(log_odds.rows(rows), weight[rows])
            observed[cell], size[cell] = weighted_mean(outcomes.score[rows], weight[rows]), weight[rows].sum()
        return cls(curve, observed, size)

    def effect_sd(self, groups: np.ndarray) -> EffectSd:
        """Estimate the size of effects from some groups."""
        offset = np.full((len(self.curve), len(groups)), np.nan)
        variance = np.full_like(offset, np.nan)
        for model, place in zip(*np.nonzero(self.size[:, groups]), strict=True):
            cell = model, groups[place]
            offset[model, place], variance[model, place] = offset_of(
                self.curve[cell], float(self.observed[cell]), float(self.size[cell])
            )
        return effect_sd(offset, variance)


def exchangeable_groups(outcomes: Outcomes, *, benchmarks_held_out: bool) -> RowIndex:
    """Return the groups that are treated as exchangeable: benchmarks, or tasks if there are few benchmarks."""
    several = len(np.unique(outcomes.benchmark)) >= SEVERAL_BENCHMARKS
    return outcomes.benchmark if benchmarks_held_out or several else outcomes.task


def benchmark_intervals(outcomes: Outcomes, group: RowIndex, rng: np.random.Generator) -> pd.DataFrame:
    """Predict each model's score on each benchmark, with intervals, beside the observed score.

    The interval of a benchmark uses the effects of the groups of the other benchmarks only, so its own answers are not
    used; with one benchmark it uses all of its groups. Each item is passed or failed as a whole.

    Args:
        outcomes: Out-of-fold predictions.
        group: Task or benchmark of each row, numbered from 0: what shares an effect.
        rng: Source of the draws.

    Returns:
        Columns model, benchmark, predicted, observed, and ``lower_80``, ``upper_80`` for each of `LEVELS`.
    """
    held = GroupScores.of(outcomes, group)
    predicted = [_of_benchmark(held, outcomes, group, rows, rng) for rows in row_groups(outcomes.benchmark)]
    return pd.concat(predicted, ignore_index=True)


def _of_benchmark(
    held: GroupScores, outcomes: Outcomes, group: RowIndex, rows: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    own = np.unique(group[rows])
    others = np.setdiff1d(np.unique(group), own)
    size_of_effects = held.effect_sd(others if len(others) else own)
    asked = np.flatnonzero(held.size[:, own].sum(axis=1))
    offsets = size_of_effects.draws(len(asked), len(own), rng, DRAWS)
    size = held.size[np.ix_(asked, own)]
    passed = np.zeros((len(asked), DRAWS))
    for (model, place), n in np.ndenumerate(size):
        chance = np.interp(offsets[model, place], OFFSETS, held.curve[asked[model], own[place]])
        passed[model] += rng.binomial(round(n), chance)
    share = size / size.sum(axis=1, keepdims=True)
    middle = held.curve[np.ix_(asked, own)][..., len(OFFSETS) // 2]
    table: dict[str, object] = {
        "model": asked,
        "benchmark": int(outcomes.benchmark[rows[0]]),
        "predicted": (share * middle).sum(axis=1),
        "observed": (share * np.nan_to_num(held.observed[np.ix_(asked, own)])).sum(axis=1),
    }
    drawn = passed / size.sum(axis=1, keepdims=True)
    for level in LEVELS:
        lower, upper = quantile_bounds(drawn, level)
        table |= {f"lower_{level * 100:.0f}": lower, f"upper_{level * 100:.0f}": upper}
    return pd.DataFrame(table)


def coverage(intervals: pd.DataFrame) -> dict[str, float]:
    """Share of benchmark scores inside their intervals, and the mean width of the 80 % interval."""
    observed, shares = intervals["observed"], dict[str, float]()
    for level in LEVELS:
        name = f"{level * 100:.0f}"
        inside = observed.between(intervals[f"lower_{name}"], intervals[f"upper_{name}"])
        shares[f"coverage_{name}"] = float(inside.mean())
    return shares | {"width_80": float((intervals["upper_80"] - intervals["lower_80"]).mean())}
