"""Metrics of predicted benchmark scores: their error, their ranking of models, and the coverage of their intervals."""

import numpy as np
from scipy.stats import rankdata

from capscope.predict.outcomes import UNDEFINED, Metric, Outcomes, row_groups, weighted_mean
from capscope.predict.scores.benchmark import coverage


def benchmark_error(outcomes: Outcomes) -> float:
    """Return the absolute error of the predicted mean score of a benchmark, averaged over benchmarks."""
    parts = [outcomes.rows(rows) for rows in row_groups(outcomes.benchmark)]
    errors = [abs(weighted_mean(each.chance, each.weight) - weighted_mean(each.score, each.weight)) for each in parts]
    return float(np.mean(errors))


def rank_correlation(outcomes: Outcomes) -> float:
    """Return the Spearman correlation over models of predicted and observed scores, averaged over benchmarks.

    Benchmarks with fewer than three models, or with equal scores or predictions for all models, are left out.
    """
    values = [_rank_correlation(outcomes.rows(rows)) for rows in row_groups(outcomes.benchmark)]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else UNDEFINED


def _rank_correlation(outcomes: Outcomes) -> float:
    models = [outcomes.rows(rows) for rows in row_groups(outcomes.model)]
    # rounding makes scores equal that differ only by the order of summation
    predicted = rankdata([round(weighted_mean(each.chance, each.weight), 12) for each in models])
    observed = rankdata([round(weighted_mean(each.score, each.weight), 12) for each in models])
    if len(models) < 3 or np.ptp(predicted) == 0 or np.ptp(observed) == 0:
        return UNDEFINED
    return float(np.corrcoef(predicted, observed)[0, 1])


def _of_intervals(name: str, help_text: str, *, is_coverage: bool) -> Metric:
    def value(outcomes: Outcomes) -> float:
        return UNDEFINED if outcomes.intervals is None else coverage(outcomes.intervals)[name]

    better = "closer to its level" if is_coverage else "lower"
    return Metric(name=name, help=help_text, better=better, of=value, over="all models")


BENCHMARK_MAE = Metric(
    name="benchmark_mae",
    help="absolute error of the predicted score of a benchmark, averaged over benchmarks",
    better="lower",
    of=benchmark_error,
)
RANK_CORRELATION = Metric(
    name="benchmark_rank_correlation",
    help="Spearman correlation over models of predicted and observed benchmark scores",
    better="higher",
    of=rank_correlation,
    over="all models",
)
COVERAGE_50 = _of_intervals("coverage_50", "share of benchmark scores inside their 50 % intervals", is_coverage=True)
COVERAGE_80 = _of_intervals("coverage_80", "share of benchmark scores inside their 80 % intervals", is_coverage=True)
COVERAGE_95 = _of_intervals("coverage_95", "share of benchmark scores inside their 95 % intervals", is_coverage=True)
WIDTH_80 = _of_intervals("width_80", "mean width of the 80 % intervals of benchmark scores", is_coverage=False)
