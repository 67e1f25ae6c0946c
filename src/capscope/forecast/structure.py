"""Structure of benchmarks: disattenuated correlations, factor analysis, redundant and isolated benchmarks, ranks.

Everything is on the link scale and over models that have both scores. Newer models are better at everything, so a
common trend in date alone makes all benchmarks correlate; where dates are known, each one's trend is taken off first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import chi2, rankdata

from capscope.axes import FloatArray
from capscope.data import ArrowTable
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import InputError, counted
from capscope.forecast.table_of_scores import PublishedScores, published_scores
from capscope.intervals import normal_quantile

LEAST_SD = 1e-9
"""Standard deviation, on the link scale, of scores that differ by no more than rounding."""
FEWEST_SHARED = 8
"""Models two benchmarks must share for a correlation."""
REDUNDANT, LONE = 0.95, 0.5
"""A pair is redundant from this corrected correlation on; a benchmark is lone if it reaches none above the second."""
MOST_FACTORS = 4
LEVEL = 0.9
BOOTSTRAP = 200
FEWEST_DATED = 0.8
"""Share of the models with dates from which on the trend is taken off."""


@dataclass(frozen=True)
class ScoreStructure(ArrowTables):
    """How the benchmarks of a table agree."""

    pairs: pd.DataFrame
    """first, second, n, correlation, lower, upper, corrected, rank (Spearman), rank_lower, rank_upper."""
    benchmarks: pd.DataFrame
    """benchmark, n, reliability (NaN where unknown), nearest, nearest_correlation, with_rest, lone."""
    factors: pd.DataFrame
    """factors, chi2, df, p, cfi, tli, rmsea, srmr, bic: fit of factor analyses."""
    loadings: pd.DataFrame
    """benchmark and its loadings in the factor analysis with the lowest BIC."""
    generalizability: float
    """Share of the variance of a model's mean over these benchmarks that other such benchmarks would confirm."""
    without_trend: bool
    """Whether trends in date were taken off."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        redundant = self.pairs[self.pairs["corrected"] >= REDUNDANT]
        return {
            "without_trend": self.without_trend,
            "generalizability": self.generalizability,
            "pairs": self.pairs.to_dict("records"),
            "benchmarks": self.benchmarks.to_dict("records"),
            "factors": self.factors.to_dict("records"),
            "loadings": self.loadings.to_dict("records"),
            "redundant": redundant[["first", "second", "corrected"]].to_dict("records"),
            "lone": self.benchmarks.loc[self.benchmarks["lone"], "benchmark"].tolist(),
        }

    def as_text(self) -> str:
        """Say what agrees and what stands alone."""
        values = self.as_dict()
        trend = "after each benchmark's trend in date was taken off" if self.without_trend else "dates are not known"
        lines = [f"{counted(len(self.benchmarks), 'benchmark')}, {trend}; generalizability {self.generalizability:.2f}"]
        lines += ["Redundant pairs (corrected correlation):"] if values["redundant"] else ["No redundant pairs"]
        lines += [f"  {pair['first']}, {pair['second']}: {pair['corrected']:.2f}" for pair in values["redundant"][:20]]
        lines.append(f"Isolated benchmarks: {', '.join(values['lone']) or 'none'}")
        if len(self.factors):
            lines.append(self.factors.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.3f}"))
            lines.append(self.loadings.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.2f}"))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_table("How benchmarks agree", self.pairs)


def forecast_structure(
    scores: PublishedScores | pd.DataFrame | ArrowTable | str | Path,
    models: pd.DataFrame | ArrowTable | str | Path | None = None,
    seed: int = 0,
) -> ScoreStructure:
    """Measure how the benchmarks of a table of scores agree.

    Args:
        scores: A table of scores or its file.
        models: What is known of the models; dates are used.
        seed: Seed of the bootstrap over models.

    Returns:
        Corrected correlations of pairs of benchmarks, factors, and redundant and lone benchmarks.

    Raises:
        InputError: No two benchmarks share enough models.
    """
    table = scores if isinstance(scores, PublishedScores) else published_scores(scores, models)
    link = table.link()
    values = link.to_link(table.values)
    reliability = reliabilities(table, values)
    values, without_trend = _less_trend(table, values)
    pairs = _pairs(table.benchmarks, values, reliability, np.random.default_rng(seed))
    if pairs.empty:
        raise InputError(f"no two benchmarks share {FEWEST_SHARED} models and differ over them; give a fuller table")
    factors, loadings = _factor_analyses(table.benchmarks, pairs)
    return ScoreStructure(
        pairs,
        _benchmarks(table.benchmarks, values, reliability, pairs),
        factors,
        loadings,
        generalizability(values),
        without_trend,
    )


def reliabilities(table: PublishedScores, values: FloatArray) -> FloatArray:
    """Return the share of each benchmark's link-scale variance that is not sampling noise; NaN without a count.

    Args:
        table: The table, with counts of items.
        values: Its link-scale scores.
    """
    result = np.full(len(table.benchmarks), np.nan)
    slope = table.link().squared_slope(np.clip(np.nan_to_num(values), -6, 6))
    for column, name in enumerate(table.benchmarks):
        top = table.tops[column]
        if name in table.counts and np.isfinite(top):
            known = np.isfinite(values[:, column])
            share = table.values[known, column] / top
            noise = float((share * (1 - share) / table.counts[name] * slope[known, column]).mean())
            result[column] = max(0.05, 1 - noise / max(float(values[known, column].var()), 1e-9))
    return result


def _less_trend(table: PublishedScores, values: FloatArray) -> tuple[FloatArray, bool]:
    """Take each benchmark's straight trend in date off, where most dates are known."""
    date = table.covariate("date")
    if date is None or np.isfinite(date).mean() < FEWEST_DATED:
        return values, False
    result = np.full_like(values, np.nan)
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column]) & np.isfinite(date)
        if known.sum() >= 3 and np.ptp(date[known]) > 0:
            slope, middle = np.polyfit(date[known] - date[known].mean(), values[known, column], 1)
            result[known, column] = values[known, column] - middle - slope * (date[known] - date[known].mean())
    return result, True


def _pairs(names: list[str], values: FloatArray, reliability: FloatArray, rng: np.random.Generator) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    reliable_share = np.where(np.isfinite(reliability), reliability, 1.0)
    half = normal_quantile(LEVEL)
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            shared = np.isfinite(values[:, first]) & np.isfinite(values[:, second])
            x, y = values[shared, first], values[shared, second]
            if len(x) < FEWEST_SHARED or min(x.std(), y.std()) < LEAST_SD:
                continue
            r = float(np.corrcoef(x, y)[0, 1])
            z, step = np.arctanh(np.clip(r, -0.9999, 0.9999)), half / np.sqrt(len(x) - 3)
            rank, rank_lower, rank_upper = rank_agreement(x, y, rng)
            rows.append(
                {
                    "first": names[first],
                    "second": names[second],
                    "n": len(x),
                    "correlation": r,
                    "lower": float(np.tanh(z - step)),
                    "upper": float(np.tanh(z + step)),
                    "corrected": float(np.clip(r / np.sqrt(reliable_share[first] * reliable_share[second]), -1, 1)),
                    "rank": rank,
                    "rank_lower": rank_lower,
                    "rank_upper": rank_upper,
                }
            )
    return pd.DataFrame(rows)


def rank_agreement(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return Spearman's correlation with a bootstrap interval over models (Bonett & Wright, 2000, for equal ranks).

    Args:
        x: Scores of models on one benchmark.
        y: Their scores on another.
        rng: Source of randomness.
    """
    index = rng.integers(len(x), size=(BOOTSTRAP, len(x)))
    a, b = rankdata(x[index], axis=1), rankdata(y[index], axis=1)
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    drawn = (a * b).sum(1)[scale > 0] / scale[scale > 0]
    point = float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
    if lower == upper:
        # models in one order on both look certain to the bootstrap: as if two neighbours had changed places
        swapped = np.sign(point) * (1 - 12 / (len(x) * (len(x) ** 2 - 1)))
        step = normal_quantile(LEVEL) * np.sqrt((1 + swapped**2 / 2) / (len(x) - 3))
        lower, upper = np.tanh(np.arctanh(swapped) + np.array([-step, step]))
    return point, min(float(lower), point), max(float(upper), point)


def _benchmarks(names: list[str], values: FloatArray, reliability: FloatArray, pairs: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for column, name in enumerate(names):
        own = pairs[(pairs["first"] == name) | (pairs["second"] == name)]
        best = own.iloc[int(own["corrected"].to_numpy().argmax())] if len(own) else None
        nearest = "" if best is None else str(best["second"] if best["first"] == name else best["first"])
        top = float("nan") if best is None else float(best["corrected"])
        rows.append(
            {
                "benchmark": name,
                "n": int(np.isfinite(values[:, column]).sum()),
                "reliability": float(reliability[column]),
                "nearest": nearest,
                "nearest_correlation": top,
                "with_rest": float(own["corrected"].mean()) if len(own) else float("nan"),
                "lone": bool(best is not None and top < LONE),
            }
        )
    return pd.DataFrame(rows)


def generalizability(values: FloatArray) -> float:
    """Return the generalizability coefficient of a model's mean over benchmarks (Brennan, 2001), cells may be missing.

    Args:
        values: Link-scale scores, NaN where missing; each benchmark counts in units of its spread.
    """
    centre, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    standard = (values - centre) / np.where(spread > LEAST_SD, spread, 1)
    known = np.isfinite(standard)
    count = known.sum(1)
    rows = count > 0
    mean = np.where(known, standard, 0).sum(1)[rows] / count[rows]
    residual = np.where(known[rows], standard[rows] - mean[:, None], 0)
    within = float((residual**2).sum() / max((count[rows] - 1).sum(), 1))
    between = max(0.0, float(mean.var(ddof=1)) - within * float((1 / count[rows]).mean()))
    return between / max(between + within / known.shape[1], 1e-12)


def _factor_analyses(names: list[str], pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit factor analyses of rising rank to the benchmarks whose correlations are all known."""
    kept, matrix = _complete(names, pairs)
    n = float(len(pairs) / (1 / pairs["n"]).sum())
    rows: list[dict[str, float]] = []
    fits: list[FloatArray] = []
    for factors in range(1, MOST_FACTORS + 1):
        df = ((len(kept) - factors) ** 2 - len(kept) - factors) // 2
        if df <= 0 or n <= len(kept) + 1:
            break
        loading, unique = maximum_likelihood_factors(matrix, factors)
        rows.append({"factors": factors} | _fit_statistics(matrix, loading, unique, df, n))
        fits.append(loading)
    if not rows:
        return pd.DataFrame(), pd.DataFrame()
    table = pd.DataFrame(rows)
    loading = varimax(fits[int(table["bic"].to_numpy().argmin())])
    frame = pd.DataFrame(loading, columns=[f"factor{index + 1}" for index in range(loading.shape[1])])
    frame.insert(0, "benchmark", kept)
    return table, frame


def _complete(names: list[str], pairs: pd.DataFrame) -> tuple[list[str], FloatArray]:
    """Drop benchmarks until every correlation is known, those with the most unknown ones first; make it positive."""
    matrix = pd.DataFrame(np.eye(len(names)), index=names, columns=names).replace(0.0, np.nan)
    for first, second, r in zip(pairs["first"], pairs["second"], pairs["correlation"], strict=True):
        matrix.loc[first, second] = matrix.loc[second, first] = r
    while matrix.isna().to_numpy().any():
        worst = matrix.isna().sum().idxmax()
        matrix = matrix.drop(index=worst, columns=worst)
    array = matrix.to_numpy(dtype=float)
    if not len(array):
        return [], array
    value, vector = np.linalg.eigh(array)
    positive = (vector * np.maximum(value, 0.01)) @ vector.T
    scale = np.sqrt(np.diag(positive))
    return [str(name) for name in matrix.index], positive / np.outer(scale, scale)


def maximum_likelihood_factors(matrix: FloatArray, factors: int) -> tuple[FloatArray, FloatArray]:
    """Fit a factor analysis by maximum likelihood over the unique variances (Joreskog, 1967).

    Args:
        matrix: Correlation matrix, positive definite.
        factors: Number of factors.

    Returns:
        Loadings, shape (benchmark, factor), and unique variances.
    """

    def loss(log_unique: FloatArray) -> float:
        root = np.exp(-0.5 * log_unique)
        value = np.linalg.eigvalsh(matrix * np.outer(root, root))[: len(matrix) - factors]
        return float((value - np.log(np.maximum(value, 1e-12)) - 1).sum())

    start = np.log(0.5 / np.diag(np.linalg.inv(matrix)))
    bounds = [(np.log(0.005), 0.0)] * len(matrix)
    unique = np.exp(minimize(loss, np.clip(start, np.log(0.005), 0), method="L-BFGS-B", bounds=bounds).x)
    root = np.sqrt(unique)
    value, vector = np.linalg.eigh(matrix / np.outer(root, root))
    top = np.argsort(value)[::-1][:factors]
    loading = root[:, None] * vector[:, top] * np.sqrt(np.maximum(value[top] - 1, 0))
    return loading * np.where(loading.sum(0) < 0, -1, 1), unique


def varimax(loading: FloatArray, sweeps: int = 100) -> FloatArray:
    """Rotate loadings so that each benchmark loads on few factors (Kaiser, 1958); each factor's sum is positive.

    Args:
        loading: Shape (benchmark, factor).
        sweeps: Iterations.
    """
    rotation = np.eye(loading.shape[1])
    for _ in range(sweeps):
        turned = loading @ rotation
        gradient = loading.T @ (turned**3 - turned * (turned**2).mean(0))
        left, _, right = np.linalg.svd(gradient)
        rotation = left @ right
    turned = loading @ rotation
    return turned * np.where(turned.sum(0) < 0, -1, 1)


def _fit_statistics(matrix: FloatArray, loading: FloatArray, unique: FloatArray, df: int, n: float) -> dict[str, float]:
    """Chi-square with Bartlett's correction, CFI, TLI, RMSEA, SRMR and BIC of a factor analysis."""
    d, k = loading.shape
    implied = loading @ loading.T + np.diag(unique)
    gap = float(np.linalg.slogdet(implied)[1] - np.linalg.slogdet(matrix)[1])
    gap += float(np.trace(matrix @ np.linalg.inv(implied))) - d
    statistic = max(0.0, (n - 1 - (2 * d + 5) / 6 - 2 * k / 3) * gap)
    null, null_df = -(n - 1 - (2 * d + 5) / 6) * float(np.linalg.slogdet(matrix)[1]), d * (d - 1) / 2
    excess, null_excess = max(statistic - df, 0.0), max(null - null_df, 1e-12)
    residual = (matrix - implied)[np.tril_indices(d, -1)]
    return {
        "chi2": statistic,
        "df": float(df),
        "p": float(chi2.sf(statistic, df)),
        "cfi": 1 - excess / max(null_excess, excess),
        "tli": ((null / null_df) - statistic / df) / ((null / null_df) - 1),
        "rmsea": float(np.sqrt(excess / (df * (n - 1)))),
        "srmr": float(np.sqrt((residual**2).mean())),
        "bic": statistic - df * float(np.log(n)),
    }
