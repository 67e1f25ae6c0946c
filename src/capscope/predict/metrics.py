"""How good predicted chances are: log-loss first, then ranking, calibration and the benchmark's score."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from scipy.special import rel_entr
from scipy.stats import rankdata

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.predict.reliability import (
    SMALLEST_CHANCE,
    calibration_error_by_chance,
    calibration_intercept,
    calibration_slope,
    debiased_calibration_error,
    expected_calibration_error,
)
from capscope.predict.selective import area_under_rejection_curve, predictably_valid_region

NOT_KNOWN = float("nan")


@dataclass(frozen=True)
class Metrics:
    """Metrics of one assessor, each the plain mean over models; NaN where no model has it."""

    log_loss: float
    """Mean cross-entropy in nats; fractional scores allowed."""
    auroc: float
    """Chance that a success was given a higher chance than a failure."""
    auroc_within_task: float
    """The same among pairs of items of one task, averaged over the tasks that have both, which weigh alike."""
    brier: float
    """Mean squared error of the chance."""
    ece: float
    """Expected calibration error over ten bins of equal width."""
    ece_by_chance: float
    """What `ece` would be on average, for so many answers, if every chance were exactly right."""
    ece_debiased: float
    """Root mean squared calibration error over ten bins of equal size, less what noise adds."""
    calibration_slope: float
    """Slope of outcomes on predicted log-odds; below 1 the chances are too extreme."""
    calibration_intercept: float
    """Log-odds missing from the predictions; above 0 the chances are too low."""
    pvr_80: float
    """Share of items that can be kept at an accuracy of at least .80 (predictably valid region)."""
    pvr_90: float
    """The same at .90."""
    pvr_95: float
    """The same at .95."""
    auarc: float
    """Accuracy of what is kept, averaged over all shares that can be kept."""
    benchmark_mae: float
    """Mean absolute error of the predicted score of a benchmark."""
    benchmark_rank_correlation: float = NOT_KNOWN
    """Spearman correlation over models of predicted and observed scores, averaged over benchmarks."""
    coverage_50: float = NOT_KNOWN
    """Share of benchmark scores inside their 50 % intervals, which rest on the residuals of other benchmarks."""
    coverage_80: float = NOT_KNOWN
    """The same for 80 % intervals."""
    coverage_95: float = NOT_KNOWN
    """The same for 95 % intervals."""
    width_80: float = NOT_KNOWN
    """Mean width of the 80 % intervals."""
    auroc_all_models: float = NOT_KNOWN
    """AUROC of all models' answers taken together, which also rewards knowing which model is strong."""
    ece_all_models: float = NOT_KNOWN
    """Expected calibration error of all models' answers taken together."""


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


@dataclass(frozen=True)
class ModelMetrics:
    """Metrics model by model, with the accuracy that ADeLe's means are weighted by."""

    per_model: list[Metrics]
    """One for each model with rows."""
    accuracy: RowFloats
    """Mean score of each."""
    over_models: dict[str, float]
    """Metrics that are no means over models."""

    def mean(self) -> Metrics:
        """Plain means over models."""
        return replace(mean_metrics(self.per_model), **self.over_models)

    def accuracy_weighted(self) -> Metrics:
        """Means over models weighted by accuracy (Zhou et al., 2026)."""
        return replace(mean_metrics(self.per_model, self.accuracy), **self.over_models)


def score_outcomes(outcomes: Outcomes) -> Metrics:
    """Score predictions model by model and average over the models."""
    return score_models(outcomes).mean()


def score_models(outcomes: Outcomes) -> ModelMetrics:
    """Score predictions model by model."""
    groups = list(row_groups(outcomes.model))
    accuracy = np.array([outcomes.score[rows].mean() for rows in groups])
    per_model = [_score_model(rows, outcomes) for rows in groups]
    over_models = {
        "benchmark_rank_correlation": benchmark_rank_correlation(outcomes),
        "auroc_all_models": _ratio(*concordance(outcomes.score, outcomes.chance)),
        "ece_all_models": expected_calibration_error(outcomes.score, outcomes.chance),
    }
    return ModelMetrics(per_model, accuracy, over_models)


def mean_metrics(several: list[Metrics], weight: FloatArray | None = None) -> Metrics:
    """Average metrics, leaving out those that are undefined."""
    names = [field.name for field in fields(Metrics)]
    values = np.array([list(asdict(metrics).values()) for metrics in several])
    known = ~np.isnan(values) * (np.ones(len(several)) if weight is None else weight)[:, None]
    total, mass = (known * np.nan_to_num(values)).sum(axis=0), known.sum(axis=0)
    mean = np.divide(total, mass, out=np.full(len(names), np.nan), where=mass > 0)
    return Metrics(*map(float, mean))


def _score_model(rows: np.ndarray, outcomes: Outcomes) -> Metrics:
    score, chance = outcomes.score[rows], outcomes.chance[rows]
    within = [concordance(score[part], chance[part]) for part in row_groups(outcomes.task[rows])]
    within_each = [right / pairs for right, pairs in within if pairs]
    errors = [abs(chance[part].mean() - score[part].mean()) for part in row_groups(outcomes.benchmark[rows])]
    return Metrics(
        log_loss=log_loss(score, chance),
        auroc=_ratio(*concordance(score, chance)),
        auroc_within_task=float(np.mean(within_each)) if within_each else NOT_KNOWN,
        brier=float(np.mean((score - chance) ** 2)),
        ece=expected_calibration_error(score, chance),
        ece_by_chance=calibration_error_by_chance(chance),
        ece_debiased=debiased_calibration_error(score, chance),
        calibration_slope=calibration_slope(score, chance),
        calibration_intercept=calibration_intercept(score, chance),
        pvr_80=predictably_valid_region(score, chance, 0.8),
        pvr_90=predictably_valid_region(score, chance, 0.9),
        pvr_95=predictably_valid_region(score, chance, 0.95),
        auarc=area_under_rejection_curve(score, chance),
        benchmark_mae=float(np.mean(errors)),
    )


def cross_entropy(score: RowFloats, chance: RowFloats) -> RowFloats:
    """Cross-entropy of each chance against its score, in nats; a score of one half costs least at one half."""
    chance = np.clip(chance, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)
    entropy = -rel_entr(score, 1.0) - rel_entr(1 - score, 1.0)
    return rel_entr(score, chance) + rel_entr(1 - score, 1 - chance) + entropy


def log_loss(score: RowFloats, chance: RowFloats) -> float:
    """Mean cross-entropy of chances against scores, in nats."""
    return float(np.mean(cross_entropy(score, chance)))


def concordance(score: RowFloats, chance: RowFloats) -> tuple[float, float]:
    """Count pairs of a success and a failure, and those among them that the chances rank right (Mann & Whitney, 1947).

    A score of at least one half is a success; a tie of chances counts half.
    """
    success = score >= 0.5
    n_success = int(success.sum())
    ranks = rankdata(chance)
    right = ranks[success].sum() - n_success * (n_success + 1) / 2
    return float(right), float(n_success * (len(score) - n_success))


def benchmark_rank_correlation(outcomes: Outcomes) -> float:
    """Spearman correlation over models of predicted and observed scores, averaged over benchmarks.

    A benchmark with fewer than three models, or on which all models score or are predicted alike, is left out.
    """
    found = [_rank_correlation(rows, outcomes) for rows in row_groups(outcomes.benchmark)]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else NOT_KNOWN


def _rank_correlation(rows: np.ndarray, outcomes: Outcomes) -> float:
    models = [rows[part] for part in row_groups(outcomes.model[rows])]
    predicted = rankdata([round(outcomes.chance[part].mean(), 12) for part in models])
    observed = rankdata([round(outcomes.score[part].mean(), 12) for part in models])
    if len(models) < 3 or np.ptp(predicted) == 0 or np.ptp(observed) == 0:
        return NOT_KNOWN
    return float(np.corrcoef(predicted, observed)[0, 1])


def row_groups(label: RowIndex) -> Iterator[np.ndarray]:
    """Yield the rows of each label, labels in ascending order."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order])) + 1
    yield from np.split(order, starts)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else NOT_KNOWN
