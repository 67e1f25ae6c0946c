"""How good predicted chances are: log-loss first, then ranking, calibration and the benchmark's score."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import rel_entr
from scipy.stats import rankdata

from capscope.axes import RowFloats, RowIndex

ECE_BINS = 10
SMALLEST_CHANCE = 1e-6
"""A chance of 0 or 1 is scored as this far from it, as if one in a million were the most one can know."""


@dataclass(frozen=True)
class Metrics:
    """Metrics of one assessor, each the plain mean over models; NaN where no model has it."""

    auroc: float
    """Chance that a success was given a higher chance than a failure."""
    auroc_within_task: float
    """The same among pairs of items of one task, all pairs weighing alike."""
    log_loss: float
    """Mean cross-entropy in nats; fractional scores allowed."""
    brier: float
    """Mean squared error of the chance."""
    ece: float
    """Expected calibration error over ten bins of equal width."""
    benchmark_mae: float
    """Mean absolute error of the predicted score of a benchmark."""


@dataclass(frozen=True)
class Outcomes:
    """Out-of-fold predictions and what came, one row for each model and item."""

    model: RowIndex
    """Position of each row's model."""
    task: RowIndex
    """Position of each row's task."""
    benchmark: RowIndex
    """Position of each row's benchmark."""
    score: RowFloats
    """Score in [0, 1]."""
    chance: RowFloats
    """Predicted chance of success."""


def score_outcomes(outcomes: Outcomes) -> Metrics:
    """Score predictions model by model and average over the models."""
    per_model = [_score_model(rows, outcomes) for rows in _groups(outcomes.model)]
    return mean_metrics(per_model)


def mean_metrics(several: list[Metrics]) -> Metrics:
    """Average metrics, leaving out those that are undefined."""
    names = [field.name for field in fields(Metrics)]
    values = np.array([[getattr(metrics, name) for name in names] for metrics in several])
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    mean = np.divide(total, known.sum(axis=0), out=np.full(len(names), np.nan), where=known.any(axis=0))
    return Metrics(*map(float, mean))


def _score_model(rows: np.ndarray, outcomes: Outcomes) -> Metrics:
    score, chance = outcomes.score[rows], outcomes.chance[rows]
    within = [concordance(score[part], chance[part]) for part in _groups(outcomes.task[rows])]
    errors = [abs(chance[part].mean() - score[part].mean()) for part in _groups(outcomes.benchmark[rows])]
    return Metrics(
        auroc=_ratio(*concordance(score, chance)),
        auroc_within_task=_ratio(sum(pair[0] for pair in within), sum(pair[1] for pair in within)),
        log_loss=log_loss(score, chance),
        brier=float(np.mean((score - chance) ** 2)),
        ece=expected_calibration_error(score, chance),
        benchmark_mae=float(np.mean(errors)),
    )


def log_loss(score: RowFloats, chance: RowFloats) -> float:
    """Mean cross-entropy of chances against scores, in nats; a score of one half costs least at one half."""
    chance = np.clip(chance, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)
    entropy = -rel_entr(score, 1.0) - rel_entr(1 - score, 1.0)
    return float(np.mean(rel_entr(score, chance) + rel_entr(1 - score, 1 - chance) + entropy))


def concordance(score: RowFloats, chance: RowFloats) -> tuple[float, float]:
    """Count pairs of a success and a failure, and those among them that the chances rank right (Mann & Whitney, 1947).

    A score of at least one half is a success; a tie of chances counts half.
    """
    success = score >= 0.5
    n_success = int(success.sum())
    ranks = rankdata(chance)
    right = ranks[success].sum() - n_success * (n_success + 1) / 2
    return float(right), float(n_success * (len(score) - n_success))


def expected_calibration_error(score: RowFloats, chance: RowFloats, bins: int = ECE_BINS) -> float:
    """Mean distance between chance and success rate over bins of equal width, weighted by their size."""
    index = np.minimum((chance * bins).astype(int), bins - 1)
    gap = np.bincount(index, weights=chance - score, minlength=bins)
    return float(np.abs(gap).sum() / len(score))


def _groups(label: RowIndex) -> Iterator[np.ndarray]:
    """Yield the rows of each label."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order])) + 1
    yield from np.split(order, starts)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
