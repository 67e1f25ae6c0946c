"""Reliability diagrams: observed shares of success in bins of predicted chance, with bounds."""

import numpy as np

from capscope.axes import LEVELS, RowFloats
from capscope.fit import CurvePosterior, HeldOut
from capscope.intervals import cluster_bootstrap_means, quantile_bounds
from capscope.report.plain import Record

BINS = 10
"""Number of bins of equal width."""
FEWEST_CLUSTERS = 2
"""A bin of fewer clusters than this gets no bounds."""


def reliability(  # noqa: PLR0913 - one row each of what is compared, and how
    chance: RowFloats,
    score: RowFloats,
    weight: RowFloats,
    cluster: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.9,
) -> list[Record]:
    """Compare predicted chances with outcomes in bins of equal width.

    Args:
        chance: Predicted chance of each row.
        score: Share of successes of each row.
        weight: Number of answers behind each row.
        cluster: What rows have in common, such as their item; whole clusters are resampled for the bounds.
        rng: Source of randomness.
        level: Nominal coverage of the bounds.

    Returns:
        For each bin with answers: `predicted`, `observed`, `lower`, `upper` (None with one cluster) and `answers`.
    """
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    entries: list[Record] = []
    for bin_number in np.unique(place[weight > 0]):
        rows = (place == bin_number) & (weight > 0)
        total = weight[rows].sum()
        lower, upper = _bounds(score[rows], weight[rows], cluster[rows], rng, level)
        predicted, observed = (float(values[rows] @ weight[rows] / total) for values in (chance, score))
        entries.append(
            {"predicted": predicted, "observed": observed, "lower": lower, "upper": upper, "answers": float(total)}
        )
    return entries


def expected_error(bins: list[Record]) -> float:
    """Expected calibration error: the mean distance of predicted and observed over answers (Naeini et al., 2015)."""
    total = sum(entry["answers"] for entry in bins)
    return sum(entry["answers"] * abs(entry["predicted"] - entry["observed"]) for entry in bins) / total


def in_sample(posterior: CurvePosterior, rng: np.random.Generator, level: float) -> Record:
    """Compare the curves with the rates they were fitted to; rows that share questions are resampled together.

    Returns:
        `kind` ("in sample"), `bins`, `error` and `answers`.
    """
    steps = np.array(LEVELS[1:], dtype=float)
    chance = np.array(
        [[posterior.curve(model, dim, steps).mean(axis=-1) for dim in posterior.dims] for model in posterior.models]
    )
    n, correct = posterior.n[:, :, 1:], posterior.correct[:, :, 1:]
    slices = np.broadcast_to(np.arange(n[0].size).reshape(n[0].shape), n.shape)
    rate = np.divide(correct, n, out=np.zeros_like(correct), where=n > 0)
    bins = reliability(chance.ravel(), rate.ravel(), n.ravel(), slices.ravel(), rng, level)
    return _section("in sample", bins)


def held_out(answers: HeldOut, rng: np.random.Generator, level: float) -> Record:
    """Compare predictions with answers that were held out; the answers to one item are resampled together.

    Returns:
        `kind` ("held out"), `bins`, `error` and `answers`.
    """
    test = answers.test
    bins = reliability(answers.chance, test.score, test.n_trials.astype(float), test.item_index, rng, level)
    return _section("held out", bins)


def _section(kind: str, bins: list[Record]) -> Record:
    return {
        "kind": kind,
        "bins": bins,
        "error": expected_error(bins),
        "answers": sum(entry["answers"] for entry in bins),
    }


def _bounds(
    score: RowFloats, weight: RowFloats, cluster: np.ndarray, rng: np.random.Generator, level: float
) -> tuple[float | None, float | None]:
    if len(np.unique(cluster)) < FEWEST_CLUSTERS:
        return None, None
    lower, upper = quantile_bounds(cluster_bootstrap_means(score, cluster, rng, weight=weight), level)
    return float(lower), float(upper)
