"""Validation cells for forecasts: known scores that are hidden in the pattern of the missing ones.

They choose the rank of the factor model and scale its intervals. A missing cell belongs to an ordinary model and
benchmark, to a model with few scores, or to a benchmark with few scores. Intervals calibrated on random cells are too
narrow for the last two kinds, so each kind is imitated: the same number of scores is kept, and whole families or the
largest models are hidden where models with few scores are such.
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.masks import all_but, amount_of_compute
from capscope.forecast.table_of_scores import PublishedScores

ORDINARY, THIN_MODEL, THIN_BENCHMARK = 0, 1, 2
KINDS = ("ordinary", "a model with few scores", "a benchmark with few scores")
"""Kinds of missing cells."""
FEW_OF_MODEL, FEW_OF_BENCHMARK = 3, 8
SHARE_OF_MEDIAN = 0.4
"""A model is thin with at most 3 scores, and less than this share of the median model's; a benchmark with at most 8."""
HIDDEN_SHARE = 0.2
"""Share of the scores of ordinary models that is hidden."""
MOST_DONORS = 4
"""At most one in this number of models, or benchmarks, with many scores is hidden at a time."""
SHRINKAGE = 2.0
"""Number of clusters that the prior of a scale of 1 weighs as much as."""
SCALE_BOUNDS = (0.5, 3.0)
HIGH_RANK = 0.75


@dataclass(frozen=True)
class HiddenQuestion:
    """Known cells that are hidden in the pattern of the missing ones."""

    hidden: np.ndarray
    """True for hidden cells, shape (model, benchmark)."""
    kind: np.ndarray
    """Kind of each cell if it is hidden, shape (model, benchmark)."""


def kinds_of_cells(known: np.ndarray) -> np.ndarray:
    """Return the kind of each cell, shape (model, benchmark).

    Args:
        known: True where there is a score.
    """
    models, benchmarks = thin_rows(known, FEW_OF_MODEL), thin_rows(known.T, FEW_OF_BENCHMARK)
    return np.where(benchmarks[None], THIN_BENCHMARK, np.where(models[:, None], THIN_MODEL, ORDINARY))


def thin_rows(known: np.ndarray, few: int) -> np.ndarray:
    """Return which rows hold at most `few` scores, and much fewer than most rows.

    Args:
        known: Whether each score is known, shape (model, benchmark).
        few: Most scores of a thin row.
    """
    count = known.sum(1)
    return (count <= few) & (count < SHARE_OF_MEDIAN * np.median(count[count > 0]))


def draw_question(table: PublishedScores, rng: np.random.Generator) -> HiddenQuestion:
    """Hide known cells in the pattern of the missing ones.

    Args:
        table: A table of scores.
        rng: Source of randomness.
    """
    known = np.isfinite(table.values)
    present = kinds_of_cells(known)[~known]
    hidden, kind = np.zeros_like(known), np.full(known.shape, ORDINARY)
    models, benchmarks = thin_rows(known, FEW_OF_MODEL), thin_rows(known.T, FEW_OF_BENCHMARK)
    donors = np.zeros(0, dtype=int)
    if (present == THIN_MODEL).any():
        donors = _donor_models(table, models, rng)
        kept = max(1, int(np.median(known[models].sum(1))))
        hidden |= all_but(known, donors, kept, rng)
        kind[donors] = THIN_MODEL
    if (present == THIN_BENCHMARK).any():
        rich = np.flatnonzero(~benchmarks)
        count = min(int(benchmarks.sum()), max(1, len(rich) // MOST_DONORS))
        columns = rng.permutation(rich)[:count]
        kept = max(1, int(np.median(known[:, benchmarks].sum(0))))
        hidden |= all_but(known.T, columns, kept, rng).T
        kind[:, columns] = THIN_BENCHMARK
    if (present == ORDINARY).any() or not len(present):
        hidden |= _random_cells(known & ~hidden, np.setdiff1d(np.flatnonzero(~models), donors), rng)
    return HiddenQuestion(hidden, kind)


def _random_cells(known: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hidden = np.zeros_like(known)
    for row in rows:
        places = np.flatnonzero(known[row])
        count = int(HIDDEN_SHARE * len(places) + rng.random())
        hidden[row, rng.permutation(places)[: min(count, len(places) - 1)]] = True
    return hidden


def _donor_models(table: PublishedScores, thin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose models with many scores to be hidden: the largest, whole families, or any, like those with few scores."""
    rich = np.flatnonzero(~thin)
    count = max(1, min(int(thin.sum()), len(rich) // MOST_DONORS))
    compute = amount_of_compute(table)
    if compute is not None and np.isfinite(compute).sum() > len(compute) / 2:
        rank = np.argsort(np.argsort(np.where(np.isnan(compute), -1, compute))) / len(compute)
        if rank[thin].mean() > HIGH_RANK:
            return rich[np.argsort(rank[rich])[::-1][:count]]
    families = np.array(table.families())
    alone = ~np.isin(families[thin], families[rich])
    if alone.mean() > 0.5:
        order = rng.permutation(np.unique(families[rich]))
        place = {family: index for index, family in enumerate(order)}
        return rich[np.argsort([place[family] for family in families[rich]], kind="stable")[:count]]
    return rng.permutation(rich)[:count]


@dataclass(frozen=True)
class Residuals:
    """Hidden scores against their forecasts, all on the link scale; one entry a hidden cell."""

    kind: np.ndarray
    cluster: np.ndarray
    """Model, or benchmark where that has few scores; errors within it are correlated."""
    stretch: FloatArray
    """Distance of the score from the median, in half-widths of the interval on that side."""


def interval_scales(residuals: Residuals, level: float) -> FloatArray:
    """Return the factor by which the intervals of each kind of cell are scaled.

    It is the quantile of the distances at the nominal coverage, shrunken towards 1 with few clusters.

    Args:
        residuals: Hidden cells of all questions.
        level: Nominal coverage.
    """
    scales = np.ones(len(KINDS))
    for kind in range(len(KINDS)):
        rows = residuals.kind == kind
        if rows.sum() < 5:
            continue
        clusters = len(np.unique(residuals.cluster[rows]))
        raw = np.log(np.clip(np.quantile(residuals.stretch[rows], level), *SCALE_BOUNDS))
        scales[kind] = np.exp(raw * clusters / (clusters + SHRINKAGE))
    return scales
