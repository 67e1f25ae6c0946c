"""Slices of items by dominant dimension, and ADeLe's subject characteristic curves (Zhou et al., Nature 2026).

The recipe is a weighted logistic regression of success on demand level for each model and dimension, over the items
that this dimension dominates, anchored by one synthetic failure at level 20; it gives point estimates only.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from capscope.axes import LEVELS, FloatArray, ModelDim, RowFloats
from capscope.data import Demands, LevelCounts, Responses
from capscope.errors import FitError
from capscope.fit.links import AREA_TOP, trapezoid_area

LARGEST_CHANCE = 0.25
"""Items with a larger chance of a right guess are left out (unguessability below 75)."""
ANCHOR_LEVEL = 20.0
"""Level of the synthetic failure, far above the scale."""
ELIGIBLE_COUNT = 100
"""Levels with at least this many items all get the weight of the largest of them."""
GRID = np.linspace(0, AREA_TOP, 1001)
"""Demand levels over which the area is summed."""


@dataclass(frozen=True)
class Slices:
    """Level counts, and the number of items used and left out."""

    counts: LevelCounts
    """Answers and successes by model, dimension and level."""
    n_items: int
    """Items that were rated and answered."""
    n_unrated: int
    """Answered items left out because they have no level at all."""
    n_guessable: int
    """Answered items left out because a guess is right too often."""
    n_partly_rated: int = 0
    """Items among `n_items` that lack the level of a dimension or several."""


def dominant_slices(responses: Responses, demands: Demands, chance: RowFloats | None = None) -> Slices:
    """Count answers by model, dimension and level, each item on every dimension that no other exceeds.

    An item that lacks some levels counts by the chance that none of them would exceed those that it has, where a
    missing level is distributed as its dimension's levels over the items used.

    Args:
        responses: Observed responses; each counts once, a fractional score as a share of a success.
        demands: Demand levels; fractional levels (of several annotators) are rounded to the nearest.
        chance: Chance of a guess for each item of `responses`, NaN where unknown.

    Returns:
        Numbers of answers and of successes by model, dimension and level.

    Raises:
        FitError: A dimension has no level on any item that is answered and hard to guess.
    """
    level = np.floor(demands.at(responses.items) + 0.5)
    gap = np.isnan(level)
    rated = np.asarray(~gap.all(axis=1))
    known_chance = np.zeros(len(level)) if chance is None else np.nan_to_num(chance, nan=0.0)
    guessable = rated & (known_chance > LARGEST_CHANCE)
    used = rated & ~guessable
    if not (used[:, None] & ~gap).any(axis=0).all():
        raise FitError(
            f"no answered item is rated on all {len(demands.dims)} rubrics and hard to guess"
            f" ({int((~rated).sum())} unrated, {int(guessable.sum())} guessable); annotate more, or choose rubrics"
        )
    counts = _count(responses, demands.dims, np.where(gap, -1, level).astype(int), used)
    partly = int((used & gap.any(axis=1)).sum())
    return Slices(counts, int(used.sum()), int((~rated).sum()), int(guessable.sum()), partly)


def dominant(level: np.ndarray) -> np.ndarray:
    """Mark the dimensions of each item that no other dimension exceeds, as a mask (item, dim)."""
    return level == level.max(axis=1, keepdims=True)


def _count(responses: Responses, dims: tuple[str, ...], level: np.ndarray, used: np.ndarray) -> LevelCounts:
    shape = (len(responses.models), len(dims), len(LEVELS))
    n, correct = np.zeros(shape), np.zeros(shape)
    mask = dominant(level) & used[:, None]
    weight = _unexceeded(level, used)
    for dim in range(len(dims)):
        row = mask[responses.item_index, dim]
        item = responses.item_index[row]
        where = (responses.model_index[row], level[item, dim])
        np.add.at(n[:, dim], where, weight[item])
        np.add.at(correct[:, dim], where, weight[item] * responses.score[row])
    return LevelCounts(responses.models, dims, n, correct)


def _unexceeded(level: np.ndarray, used: np.ndarray) -> RowFloats:
    """Return for each item the chance that no missing level (-1) exceeds the largest level that it has."""
    top, weight = level.max(axis=1), np.ones(len(level))
    for dim in range(level.shape[1]):
        gap = level[:, dim] < 0
        known = np.sort(level[used & ~gap, dim])
        weight[gap] *= np.searchsorted(known, top[gap], side="right") / len(known)
    return weight


@dataclass(frozen=True)
class ClassicalCurves:
    """Point estimates of ADeLe's curves."""

    models: tuple[str, ...]
    """Names on the model axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    intercept: ModelDim
    """Log-odds of success at level 0; NaN where no item of the dimension was answered."""
    slope: ModelDim
    """Change of the log-odds with each level; NaN where no item of the dimension was answered."""
    ability: ModelDim
    """Area under the curve over levels 0 to 10; NaN where no item of the dimension was answered."""


def fit_classical(counts: LevelCounts) -> ClassicalCurves:
    """Fit one curve for each model and dimension; each depends on that model's answers alone.

    Args:
        counts: Numbers asked and correct by model, dimension and level.

    Returns:
        The curves.
    """
    shape = (len(counts.models), len(counts.dims))
    intercept, slope = np.full(shape, np.nan), np.full(shape, np.nan)
    for model, dim in np.ndindex(*shape):
        n, correct = counts.n[model, dim], counts.correct[model, dim]
        if n[1:].sum() > 0:
            intercept[model, dim], slope[model, dim] = fit_curve(n, correct)
    probability = expit(intercept[..., None] + slope[..., None] * GRID)
    return ClassicalCurves(counts.models, counts.dims, intercept, slope, trapezoid_area(probability, GRID))


def level_targets(n: FloatArray) -> FloatArray:
    """Total weight that each level gets, from its count; level 0 gets none.

    Levels with at least `ELIGIBLE_COUNT` items weigh as much as the largest of them; the others keep the share of the
    total weight that they have of the items.
    """
    n = np.where(np.arange(len(n)) == 0, 0.0, n)
    total = n.sum()
    eligible = n >= ELIGIBLE_COUNT
    if not eligible.any():
        eligible = n == n.max()
    targets = np.where(eligible, n[eligible].max(), 0.0)
    share = n[~eligible].sum() / total
    whole = targets.sum() / (1 - share)
    return np.where(eligible, targets, n / total * whole)


def fit_curve(n: FloatArray, correct: FloatArray) -> tuple[float, float]:
    """Fit one curve to counts at levels 0 to 5 and return its intercept and slope (log-odds).

    A fractional score counts as a share of a success, so that the counts are all that is needed.

    Args:
        n: Number of items at each level (level,).
        correct: Sum of their scores (level,).
    """
    targets = level_targets(n)
    weight = np.divide(targets, n, out=np.zeros_like(targets), where=n > 0)
    level = np.array(LEVELS, dtype=float)
    x = np.concatenate([level, level, [ANCHOR_LEVEL]])
    y = np.concatenate([np.ones(len(LEVELS)), np.zeros(len(LEVELS)), [0.0]])
    w = np.concatenate([weight * correct, weight * (n - correct), [targets.sum()]])
    used = w > 0
    if not y[used].any():
        return -np.inf, 0.0
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(random_state=42, max_iter=10000).fit(x[used, None], y[used], sample_weight=w[used])
    return float(regression.intercept_[0]), float(regression.coef_[0, 0])
