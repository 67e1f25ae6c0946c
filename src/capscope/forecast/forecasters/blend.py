"""Collaborative filtering: ridge regression on the most correlated benchmarks, blended with a low-rank completion."""

from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.calibration import draw_question
from capscope.forecast.forecasters.forecaster import CellForecasts, ForecasterEntry
from capscope.forecast.links import TableLink
from capscope.forecast.table_of_scores import PublishedScores

RIDGE_SHARE = 0.6
"""Weight of the ridge regression where it applies (BenchPress, 2026)."""
NEIGHBOURS, FEWEST_SHARED = 5, 5
RANK, SWEEPS, SHRINK = 2, 60, 1.0
QUESTIONS = 4
DIGITS = 4
"""Most digits of a published score that count."""


@dataclass(frozen=True)
class FittedByResiduals:
    """Point forecasts on the link scale, with one interval width for all cells from residuals of hidden cells."""

    link: TableLink
    middle: FloatArray
    """Forecasts on the link scale, shape (model, benchmark)."""
    residuals: FloatArray
    """Absolute residuals of hidden cells, on the link scale."""
    rounding: FloatArray
    """Half a unit of the last digit of each benchmark's scores: no interval is narrower, shape (benchmark,)."""

    def cells(self, level: float) -> CellForecasts:
        """Forecast every cell."""
        half = float(np.quantile(self.residuals, level)) if len(self.residuals) else np.inf
        score = self.link.from_link(self.middle)
        lower = np.minimum(self.link.from_link(self.middle - half), score - self.rounding)
        upper = np.maximum(self.link.from_link(self.middle + half), score + self.rounding)
        lowest, highest = (self.link.from_link(np.full(score.shape, end)) for end in (-np.inf, np.inf))
        return CellForecasts(score, np.maximum(lower, lowest), np.minimum(upper, highest))


@dataclass(frozen=True, kw_only=True)
class BlendForecaster:
    """0.6 ridge from the five most correlated benchmarks, 0.4 soft-impute of rank 2 (BenchPress, 2026)."""

    def fit(self, table: PublishedScores, seed: int = 0) -> FittedByResiduals:
        """Complete the table, and estimate interval widths from hidden cells.

        Args:
            table: Published scores, shape (model, benchmark), NaN where there is none.
            seed: Seed of the hidden cells.

        Returns:
            The completed table with the absolute residuals of hidden cells.
        """
        rng = np.random.default_rng([seed, 5])
        link = table.link()
        values = link.to_link(table.values)
        misses: list[FloatArray] = []
        for _ in range(QUESTIONS):
            hidden = draw_question(table, rng).hidden
            if hidden.any():
                completed = blended(np.where(hidden, np.nan, values))
                misses.append(np.abs(completed - values)[hidden])
        residuals = np.concatenate(misses) if misses else np.zeros(0)
        return FittedByResiduals(link, blended(values), residuals, rounding_of(table.values))


def rounding_of(scores: FloatArray) -> FloatArray:
    """Return half a unit of the last digit that the scores of each benchmark have, shape (benchmark,).

    Units are a hundredth of the largest score or finer, down to its fourth digit: more digits come from conversions.

    Args:
        scores: Scores, NaN where missing, shape (model, benchmark).
    """
    halves = np.empty(scores.shape[1])
    for place, column in enumerate(scores.T):
        known = np.abs(column[np.isfinite(column)])
        largest = float(known.max()) if len(known) and known.max() > 0 else 1.0
        least, most = int(np.ceil(2 - np.log10(largest))), DIGITS - 1 - int(np.floor(np.log10(largest)))
        exact = (d for d in range(least, most) if np.allclose(known * 10.0**d, np.round(known * 10.0**d), atol=1e-6))
        halves[place] = 0.5 * 10.0 ** -next(exact, most)
    return halves


def blended(values: FloatArray) -> FloatArray:
    """Complete a table by the blend; where no benchmark predicts a cell, by the low-rank part alone.

    Args:
        values: ScoreLink-scale scores, NaN where missing, shape (model, benchmark).
    """
    low_rank, ridge = soft_impute(values), neighbour_ridge(values)
    return np.where(np.isfinite(ridge), RIDGE_SHARE * ridge + (1 - RIDGE_SHARE) * low_rank, low_rank)


def soft_impute(values: FloatArray) -> FloatArray:
    """Complete a table of standardised columns by iterated soft-thresholded singular values (Mazumder et al., 2010)."""
    known = np.isfinite(values)
    centre, spread = column_scales(values)
    standard = np.where(known, (values - centre) / spread, 0.0)
    filled, low_rank = standard.copy(), standard
    for _ in range(SWEEPS):
        left, singular, right = np.linalg.svd(filled, full_matrices=False)
        singular = np.maximum(singular - SHRINK, 0)[:RANK]
        low_rank = (left[:, :RANK] * singular) @ right[:RANK]
        filled = np.where(known, standard, low_rank)
    return low_rank * spread + centre


def column_scales(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each column over its known cells; 0 and 1 where there are too few."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(0), 1)
    centre = np.where(known, values, 0).sum(0) / count
    spread = np.sqrt(np.where(known, (values - centre) ** 2, 0).sum(0) / count)
    return centre, np.where((known.sum(0) > 1) & (spread > 0), spread, 1.0)


def neighbour_ridge(values: FloatArray) -> FloatArray:
    """Predict each benchmark by ridge regressions on the benchmarks most correlated with it, one at a time, averaged.

    Args:
        values: ScoreLink-scale scores, NaN where missing.

    Returns:
        Predictions, NaN where no correlated benchmark has a score.
    """
    d = values.shape[1]
    result = np.full(values.shape, np.nan)
    correlation = pairwise_correlations(values)
    for target in range(d):
        order = np.argsort(-np.abs(np.nan_to_num(correlation[target])))
        near = [other for other in order if other != target and np.isfinite(correlation[target, other])][:NEIGHBOURS]
        sums, weights = np.zeros(len(values)), np.zeros(len(values))
        for other in near:
            shared = np.isfinite(values[:, target]) & np.isfinite(values[:, other])
            x, y = values[shared, other], values[shared, target]
            slope = ((x - x.mean()) * (y - y.mean())).sum() / (((x - x.mean()) ** 2).sum() + 1.0)
            weight = correlation[target, other] ** 2
            reach = np.isfinite(values[:, other])
            prediction = y.mean() + slope * (np.where(reach, values[:, other], 0) - x.mean())
            sums += np.where(reach, weight * prediction, 0)
            weights += weight * reach
        result[:, target] = np.where(weights > 0, sums / np.maximum(weights, 1e-12), np.nan)
    return result


def pairwise_correlations(values: FloatArray) -> FloatArray:
    """Return correlations of the columns over the rows that both have, NaN with fewer than five."""
    d = values.shape[1]
    result = np.full((d, d), np.nan)
    for first in range(d):
        for second in range(first + 1, d):
            shared = np.isfinite(values[:, first]) & np.isfinite(values[:, second])
            x, y = values[shared, first], values[shared, second]
            if len(x) >= FEWEST_SHARED and x.std() > 0 and y.std() > 0:
                result[first, second] = result[second, first] = float(np.corrcoef(x, y)[0, 1])
    return result


BLEND = ForecasterEntry(
    name="blend",
    help="ridge on the five most correlated benchmarks, blended with a rank-2 completion (BenchPress)",
    needs="scores only",
    make=BlendForecaster,
)
