"""Explanations of forecasts, choice of the most informative next scores, and detection of odd published scores.

All three follow from the posterior of one model's ability given its own scores: for a draw of the parameters it is
normal with precision 1 + sum over known scores of loading^2 / noise.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.forecast.factor_model import TAIL
from capscope.forecast.features import Block
from capscope.forecast.forecasters.hierarchical import FittedHierarchical

DRAWS = 24
"""Draws of the parameters that explanations average over."""
SHOWN_SCORES = 3
ODD_DISTANCE = 4.0
"""Smallest distance of an odd score from its forecast by the model's other scores, in standard deviations."""
LEAST_EFFECT = 0.05
"""Smallest effect of a stated reason, in percent points of the score's range."""
SPREADS = 4
"""Standard deviations of scores without a top that count as their range."""


@dataclass(frozen=True)
class RowPosterior:
    """Posterior of one model's scores for some draws of the parameters; the first axis is the draw."""

    covariance: FloatArray
    """Covariance of the noise-free scores on the link scale, shape (draw, benchmark, benchmark)."""
    precision: FloatArray
    """1 / noise variance of the known scores, 0 where missing, shape (draw, benchmark)."""
    surprise: FloatArray
    """Known scores minus their expectation by the facts about the model, 0 where missing, shape (draw, benchmark)."""
    noise: FloatArray
    """Noise variance of a score on each benchmark, shape (benchmark,)."""

    def contributions(self, benchmark: int) -> FloatArray:
        """Return how far each known score moves the forecast of a benchmark, on the link scale."""
        return (self.covariance[:, benchmark] * self.precision * self.surprise).mean(0)


def row_posterior(fitted: FittedHierarchical, row: int) -> RowPosterior:
    """Compute the posterior of one model's scores.

    Args:
        fitted: A fitted factor model.
        row: Place of the model in the table.
    """
    draws, data = fitted.draws, fitted.data
    chosen = np.linspace(0, draws.n_draws - 1, min(DRAWS, draws.n_draws)).astype(int)
    loading = draws.loading[chosen].astype(float)
    known = np.isfinite(data.link_scores[row])
    centre = draws.intercept[chosen] + np.einsum("sk,sdk->sd", draws.ability[chosen, row], loading)
    slope = fitted.link.squared_slope(np.clip(centre.mean(0), -6, 6)[None])[0]
    score_part = draws.score_noise[chosen] * slope + data.known_noise[row] * slope
    precision = np.where(known, 1 / (draws.link_noise[chosen] / draws.weight[row] + score_part), 0.0)
    information = np.einsum("sdk,sd,sdl->skl", loading, precision, loading) + np.eye(loading.shape[2])
    covariance = np.einsum("sdk,skl,sel->sde", loading, np.linalg.inv(information), loading)
    expected = draws.intercept[chosen] + np.einsum("sk,sdk->sd", draws.expected[chosen, row], loading)
    surprise = np.where(known, np.nan_to_num(data.link_scores[row]) - expected, 0.0)
    spread = TAIL / (TAIL - 2)
    noise = (draws.link_noise[chosen] * spread + draws.score_noise[chosen] * slope).mean(0)
    return RowPosterior(covariance, precision, surprise, noise)


def points_per_link(fitted: FittedHierarchical, middle: FloatArray) -> FloatArray:
    """Return the derivative of scores, in points, by the link scale at values of the link scale.

    Args:
        fitted: A fitted forecaster, whose link is used.
        middle: Values on the link scale, last axis the benchmarks.
    """
    step = 0.05
    return (fitted.link.from_link(middle + step) - fitted.link.from_link(middle - step)) / (2 * step)


def reasons(fitted: FittedHierarchical, row: int, columns: np.ndarray) -> list[str]:
    """Return the known scores and facts with the largest effects on a model's forecasts, in points of the score.

    Args:
        fitted: A fitted factor model.
        row: Place of the model.
        columns: Places of the benchmarks.
    """
    posterior = row_posterior(fitted, row)
    middle = np.array([fitted.draws.centre(np.array([row]), int(column)).mean() for column in columns])
    full = np.zeros(len(fitted.table.benchmarks))
    full[columns] = middle
    points = points_per_link(fitted, full[None])[0]
    facts = _facts(fitted, row)
    return [_reason(fitted, row, int(column), posterior, facts, float(points[column])) for column in columns]


def _facts(fitted: FittedHierarchical, row: int) -> dict[str, FloatArray]:
    """Return the effect of each block of facts on each benchmark's link-scale score, relative to the mean model."""
    effects = fitted.draws.effects
    chosen = np.linspace(0, len(effects) - 1, min(DRAWS, len(effects))).astype(int)
    result: dict[str, FloatArray] = {}
    start = 0
    for block in fitted.data.model_blocks:
        width = block.columns.shape[1]
        part = (block.columns[row] - block.columns.mean(0)) @ effects[chosen, start : start + width]
        start += width
        added = np.einsum("sk,sdk->d", part, fitted.draws.loading[chosen]) / len(chosen)
        result[_block_words(block, row, fitted)] = added
    return result


def _block_words(block: Block, row: int, fitted: FittedHierarchical) -> str:
    if block.name == "family":
        return f"family {fitted.table.families()[row]}"
    return {"scale": "scale", "names": "words of its name"}.get(block.name, block.name)


def _reason(
    fitted: FittedHierarchical,
    row: int,
    column: int,
    posterior: RowPosterior,
    facts: dict[str, FloatArray],
    points: float,
) -> str:
    table = fitted.table
    moved = posterior.contributions(column) * points
    bounded = bool(np.isfinite(table.tops[column]))
    span = table.tops[column] if bounded else np.nanstd(table.values[:, column]) * SPREADS
    least, form = LEAST_EFFECT * span / 10, "+.1f" if bounded else "+.3g"
    known = np.flatnonzero(np.isfinite(table.values[row]))
    order = known[np.argsort(-np.abs(moved[known]))]
    shown = [
        f"{table.benchmarks[other]} {table.values[row, other]:g} ({moved[other]:{form}})"
        for other in order[:SHOWN_SCORES]
        if abs(moved[other]) >= least
    ]
    rest = len(known) - len(shown)
    shown_from = max(least, 0.05) if bounded else least
    added = sorted(((values[column] * points, name) for name, values in facts.items()), key=lambda pair: -abs(pair[0]))
    shown_facts = [f"{name} ({value:{form}})" for value, name in added[:2] if abs(value) >= shown_from]
    parts = [*shown, *shown_facts]
    more = f"; {rest} other scores" if rest and shown else ""
    return (", ".join(parts) or "the benchmark's other scores") + more


def next_scores(fitted: FittedHierarchical, row: int, count: int = 3) -> pd.DataFrame:
    """Return the missing scores of a model that are most informative about its other missing scores.

    Greedy choice by the expected fall in the sum of predictive variances, in units of each benchmark's range.

    Args:
        fitted: A fitted factor model.
        row: Place of the model.
        count: Number of scores to name.

    Returns:
        Columns `model`, `benchmark`, `explains`: share of the model's forecast variance that goes away, cumulated.
    """
    posterior, table = row_posterior(fitted, row), fitted.table
    covariance = posterior.covariance.mean(0)
    middle = np.array([fitted.draws.centre(np.array([row]), column).mean() for column in range(len(table.benchmarks))])
    unit = np.where(np.isfinite(table.tops), table.tops, np.nanstd(table.values, axis=0) * SPREADS + 1e-9)
    weight = (points_per_link(fitted, middle[None])[0] / unit) ** 2
    missing = ~np.isfinite(table.values[row])
    start = float((weight * np.diag(covariance))[missing].sum())
    rows: list[dict[str, object]] = []
    for _ in range(min(count, int(missing.sum()))):
        gain = (covariance**2 * weight * missing).sum(1) / (np.diag(covariance) + posterior.noise)
        best = int(np.argmax(np.where(missing, gain, -np.inf)))
        column = covariance[:, best].copy()
        covariance = covariance - np.outer(column, column) / (column[best] + posterior.noise[best])
        missing = missing & (np.arange(len(missing)) != best)
        left = float((weight * np.diag(covariance))[~np.isfinite(table.values[row])].sum())
        rows.append(
            {"model": table.names[row], "benchmark": table.benchmarks[best], "explains": 1 - left / max(start, 1e-12)}
        )
    return pd.DataFrame(rows, columns=["model", "benchmark", "explains"])


def odd_cells(fitted: FittedHierarchical) -> pd.DataFrame:
    """Return published scores that are far from their forecast by the model's other scores and facts.

    Each score is compared with its forecast from the model's other scores (left out by the rank-one formula).

    Returns:
        Columns `model`, `benchmark`, `score`, `expected`, `distance` in standard deviations; the oddest first.
    """
    table, data = fitted.table, fitted.data
    rows: list[dict[str, object]] = []
    for row in np.flatnonzero(np.isfinite(data.link_scores).any(1)):
        suspects = np.flatnonzero(fitted.draws.weight[row] < 1)
        if not np.isfinite(data.link_scores[row, suspects]).any():
            continue
        posterior = row_posterior(fitted, int(row))
        centre = np.array(
            [fitted.draws.centre(np.array([row]), column).mean() for column in range(len(table.benchmarks))]
        )
        for column in suspects[np.isfinite(data.link_scores[row, suspects])]:
            expected, distance = _left_out(
                posterior, float(centre[column]), float(data.link_scores[row, column]), int(column)
            )
            if abs(distance) >= ODD_DISTANCE:
                full = np.zeros(len(table.benchmarks))
                full[column] = expected
                rows.append(
                    {
                        "model": table.names[row],
                        "benchmark": table.benchmarks[column],
                        "score": float(table.values[row, column]),
                        "expected": float(fitted.link.from_link(full[None])[0, column]),
                        "distance": distance,
                    }
                )
    outliers = pd.DataFrame(rows, columns=["model", "benchmark", "score", "expected", "distance"])
    return outliers.sort_values("distance", key=lambda values: -values.abs(), kind="stable").reset_index(drop=True)


def _left_out(posterior: RowPosterior, centre: float, score: float, column: int) -> tuple[float, float]:
    """Forecast a known score without itself; return the forecast and the distance in standard deviations."""
    own = posterior.covariance[:, column, column]
    leverage = np.minimum(own * posterior.precision[:, column], 0.999)
    residual = float((score - centre) / (1 - leverage).mean())
    variance = float((own / (1 - leverage)).mean()) + float(posterior.noise[column])
    return score - residual, residual / np.sqrt(variance)
