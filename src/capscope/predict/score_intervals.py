"""Intervals of benchmark scores from out-of-fold predictions, each from the residuals of the other benchmarks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import RowIndex
from capscope.intervals import quantile_bounds
from capscope.predict.metrics import Outcomes, row_groups
from capscope.predict.offsets import OFFSETS, OffsetSpread, offset_of, offset_spread, score_curve
from capscope.predict.reliability import predicted_log_odds

LEVELS = (0.5, 0.8, 0.95)
"""Nominal coverages that are looked at."""
SEVERAL_BENCHMARKS = 3
"""From this many benchmarks on, the others say how far a benchmark's score departs, tasks and all."""
DRAWS = 400


@dataclass(frozen=True)
class GroupScores:
    """Predicted score curves and observed scores of every model on every group of items."""

    curve: Float[np.ndarray, "model group offset"]
    """Mean score at each of `OFFSETS`."""
    observed: Float[np.ndarray, "model group"]
    """Observed mean score; NaN where a model was not asked."""
    size: Float[np.ndarray, "model group"]
    """Number of items asked."""

    @classmethod
    def of(cls, outcomes: Outcomes, group: RowIndex) -> "GroupScores":
        """Gather outcomes by model and group; both are numbered from 0."""
        n_models, n_groups = int(outcomes.model.max()) + 1, int(group.max()) + 1
        curve = np.zeros((n_models, n_groups, len(OFFSETS)))
        observed, size = np.full((n_models, n_groups), np.nan), np.zeros((n_models, n_groups))
        line = predicted_log_odds(outcomes.chance)
        for rows in row_groups(outcomes.model * n_groups + group):
            cell = int(outcomes.model[rows[0]]), int(group[rows[0]])
            curve[cell] = score_curve(line[rows])
            observed[cell], size[cell] = outcomes.score[rows].mean(), len(rows)
        return cls(curve, observed, size)

    def spread(self, groups: np.ndarray) -> OffsetSpread:
        """Read the spread of offsets off some groups."""
        offset = np.full((len(self.curve), len(groups)), np.nan)
        variance = np.full_like(offset, np.nan)
        for model, place in zip(*np.nonzero(self.size[:, groups]), strict=True):
            cell = model, groups[place]
            found = offset_of(self.curve[cell], float(self.observed[cell]), float(self.size[cell]))
            offset[model, place], variance[model, place] = found
        return offset_spread(offset, variance)


def exchangeable_groups(outcomes: Outcomes, *, benchmarks_held_out: bool) -> RowIndex:
    """Say what is taken as alike from one to the next: benchmarks, or, with few of them that are not new, tasks."""
    several = len(np.unique(outcomes.benchmark)) >= SEVERAL_BENCHMARKS
    return outcomes.benchmark if benchmarks_held_out or several else outcomes.task


def benchmark_intervals(outcomes: Outcomes, group: RowIndex, rng: np.random.Generator) -> pd.DataFrame:
    """Predict each model's score on each benchmark, with intervals, and set it beside what came.

    A benchmark's interval rests on the offsets of the groups of other benchmarks alone, so nothing of its own answers
    is in it; with one benchmark, on all of its groups. It adds that each item is passed or failed as a whole.

    Args:
        outcomes: Out-of-fold predictions.
        group: What was held out together and shares an offset: each row's task or benchmark, numbered from 0.
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
    spread = held.spread(others if len(others) else own)
    asked = np.flatnonzero(held.size[:, own].sum(axis=1))
    offsets = spread.draws(len(asked), len(own), rng, DRAWS)
    size = held.size[np.ix_(asked, own)]
    passed = np.zeros((len(asked), DRAWS))
    for (model, place), n in np.ndenumerate(size):
        chance = np.interp(offsets[model, place], OFFSETS, held.curve[asked[model], own[place]])
        passed[model] += rng.binomial(int(n), chance)
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
    observed, found = intervals["observed"], dict[str, float]()
    for level in LEVELS:
        name = f"{level * 100:.0f}"
        found[f"coverage_{name}"] = float(
            observed.between(intervals[f"lower_{name}"], intervals[f"upper_{name}"]).mean()
        )
    return found | {"width_80": float((intervals["upper_80"] - intervals["lower_80"]).mean())}
