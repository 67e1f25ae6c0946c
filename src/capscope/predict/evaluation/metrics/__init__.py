"""The family of metrics: `METRICS` holds every metric by name.

To add one, write a module with a `Metric` and add one line to `FAMILY`.
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.members import family
from capscope.predict.outcomes import UNDEFINED, Metric, Outcomes, row_groups, weighted_mean

FAMILY = (
    "loss:LOG_LOSS",
    "loss:AUROC",
    "loss:AUROC_WITHIN_TASK",
    "loss:BRIER",
    "calibration:ECE",
    "calibration:ECE_BY_CHANCE",
    "calibration:ECE_DEBIASED",
    "calibration:SLOPE",
    "calibration:INTERCEPT",
    "rejection:PVR_80",
    "rejection:PVR_90",
    "rejection:PVR_95",
    "rejection:AUARC",
    "benchmark_score:BENCHMARK_MAE",
    "benchmark_score:RANK_CORRELATION",
    "benchmark_score:COVERAGE_50",
    "benchmark_score:COVERAGE_80",
    "benchmark_score:COVERAGE_95",
    "benchmark_score:WIDTH_80",
    "loss:AUROC_ALL_MODELS",
    "calibration:ECE_ALL_MODELS",
)
"""The members, as ``module:metric``, in the order of the JSON."""


METRICS: dict[str, Metric] = family(__name__, FAMILY, Metric)
"""Metrics by their name in JSON."""

Values = dict[str, float]
"""Value of each metric by name; NaN where it is undefined."""


@dataclass(frozen=True)
class ModelValues:
    """Metrics model by model, with the accuracy that weights ADeLe's means."""

    per_model: list[Values]
    """Metrics over one model, for each model with answers."""
    accuracy: RowFloats
    """Mean score of each of these models."""
    over_models: Values
    """Metrics over all models."""

    def mean(self) -> Values:
        """Return plain means over models."""
        return _in_order(mean_values(self.per_model) | self.over_models)

    def accuracy_weighted(self) -> Values:
        """Return means over models weighted by accuracy (Zhou et al., Nature 2026)."""
        return _in_order(mean_values(self.per_model, self.accuracy) | self.over_models)


def score_outcomes(outcomes: Outcomes) -> Values:
    """Compute every metric; those over one model are averaged over models.

    Args:
        outcomes: Predicted chances and observed scores.

    Returns:
        Value by metric.
    """
    return score_models(outcomes).mean()


def score_models(outcomes: Outcomes) -> ModelValues:
    """Compute every metric, model by model."""
    models = [outcomes.rows(rows) for rows in row_groups(outcomes.model)]
    accuracy = np.array([weighted_mean(one.score, one.weight) for one in models])
    single = [metric for metric in METRICS.values() if metric.over == "one model"]
    whole = [metric for metric in METRICS.values() if metric.over == "all models"]
    per_model = [{metric.name: metric.of(one) for metric in single} for one in models]
    return ModelValues(per_model, accuracy, {metric.name: metric.of(outcomes) for metric in whole})


def mean_values(several: list[Values], weight: FloatArray | None = None) -> Values:
    """Average metrics name by name, leaving out undefined values.

    Args:
        several: Values of the same metrics.
        weight: Weight of each; None for equal weights.
    """
    names = list(several[0])
    values = np.array([[each[name] for name in names] for each in several])
    known = ~np.isnan(values) * (np.ones(len(several)) if weight is None else weight)[:, None]
    total, mass = (known * np.nan_to_num(values)).sum(axis=0), known.sum(axis=0)
    mean = np.divide(total, mass, out=np.full(len(names), UNDEFINED), where=mass > 0)
    return {name: float(value) for name, value in zip(names, mean, strict=True)}


def _in_order(values: Values) -> Values:
    return {name: values[name] for name in METRICS}


__all__ = ["FAMILY", "METRICS", "Metric", "ModelValues", "Values", "mean_values", "score_models", "score_outcomes"]
