"""Reliability diagrams: observed shares of success in bins of predicted chance, with bounds."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import LEVELS, RowFloats
from capscope.data import Demands, Responses, Study
from capscope.fit import CurvePosterior, HeldOut
from capscope.intervals import cluster_bootstrap_means, jeffreys_interval, quantile_bounds
from capscope.report.plain import Record

BINS = 10
"""Number of bins of equal width."""
LEAST_LEVEL = 0.5
"""Items whose demands all lie below this level are on no curve."""
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
    """Compare the curves with the rates they were fitted to, cell by cell (model, dimension, level).

    An answer to an item that several dimensions dominate stands in the cell of each of them; see `answers_in_sample`
    for the comparison that takes each answer once. Cells on the same questions are resampled together.

    Returns:
        `kind` ("in sample, by scale"), `bins`, `error` and `answers`.
    """
    steps = np.array(LEVELS[1:], dtype=float)
    chance = np.array(
        [[posterior.curve(model, dim, steps).mean(axis=-1) for dim in posterior.dims] for model in posterior.models]
    )
    n, correct = posterior.n[:, :, 1:], posterior.correct[:, :, 1:]
    slices = np.broadcast_to(np.arange(n[0].size).reshape(n[0].shape), n.shape)
    rate = np.divide(correct, n, out=np.zeros_like(correct), where=n > 0)
    return _diagram(
        "in sample, by scale", reliability(chance.ravel(), rate.ravel(), n.ravel(), slices.ravel(), rng, level)
    )


def answers_in_sample(posterior: CurvePosterior, study: Study, rng: np.random.Generator, level: float) -> Record:
    """Compare what the curves predict for each answered item with the answers they were fitted to, each answer once.

    Args:
        posterior: A curve fit.
        study: The study that it was made from; answers to items without all demand levels are left out.
        rng: Source of randomness.
        level: Nominal coverage of the bounds.

    Returns:
        `kind` ("in sample"), `bins`, `error` and `answers`; no bin where no answer of the study is of the fit.
    """
    demands, answers = Demands.of(study, rubrics=posterior.dims).on(posterior.dims), Responses.of(study)
    rated = ~np.isnan(demands.level).any(axis=1) & (np.nan_to_num(demands.level).max(axis=1) > LEAST_LEVEL)
    chance = expit(posterior.item_log_odds(demands.level[rated], rng)).mean(axis=-1)  # (model, item)
    models = pd.Index(posterior.models).get_indexer(pd.Index(answers.models))[answers.model_index]
    rows = np.flatnonzero(rated)
    names = pd.Index([demands.items[row] for row in rows])
    items = names.get_indexer(pd.Index(answers.items))[answers.item_index]
    known = (models >= 0) & (items >= 0)
    trials = answers.n_trials[known].astype(float)
    chosen = chance[models[known], items[known]]
    return _diagram("in sample", reliability(chosen, answers.score[known], trials, items[known], rng, level))


def held_out(answers: HeldOut[Any], rng: np.random.Generator, level: float) -> Record:
    """Compare predictions with answers that were held out; the answers to one item are resampled together.

    Returns:
        `kind` ("held out"), `bins`, `error` and `answers`.
    """
    test = answers.test
    trials = test.n_trials.astype(float)
    return _diagram("held out", reliability(answers.chance, test.score, trials, test.item_index, rng, level))


def _diagram(kind: str, bins: list[Record]) -> Record:
    total = sum(entry["answers"] for entry in bins)
    return {"kind": kind, "bins": bins, "error": expected_error(bins) if bins else None, "answers": total}


def _bounds(
    score: RowFloats, weight: RowFloats, cluster: np.ndarray, rng: np.random.Generator, level: float
) -> tuple[float | None, float | None]:
    """Bounds of the observed share: by resampling clusters, and never narrower than Jeffreys' for as many answers.

    Resampling alone has width 0 where all answers are alike, however few they are.
    """
    if len(np.unique(cluster)) < FEWEST_CLUSTERS:
        return None, None
    lower, upper = quantile_bounds(cluster_bootstrap_means(score, cluster, rng, weight=weight), level)
    independent = jeffreys_interval(float(score @ weight), float(weight.sum()), level)
    return min(float(lower), independent.lower), max(float(upper), independent.upper)
