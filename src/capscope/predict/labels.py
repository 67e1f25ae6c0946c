"""A few answers of a new benchmark: they tell how far it departs from what was predicted, and so move the scores.

The offset of a model on the benchmark is what all models share there, a tilt by how strong the model is predicted to
be, and its own part. The shared part has a prior with Student's heavy tails, whose scale is read off past benchmarks
(`OffsetSpread.cautious`); tilt and spread of the own parts are learnt from the labels where several models have some.
All is computed on grids.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import log_expit, logsumexp

from capscope.axes import FloatArray, ModelItem, RowFloats, RowIndex
from capscope.intervals import quantile_bounds
from capscope.predict.metrics import row_groups
from capscope.predict.offsets import OFFSETS, Curve, OffsetSpread, score_curve

ModelOffset = Float[np.ndarray, "model offset"]
ItemFloats = Float[np.ndarray, " item"]
ITEM_CORRELATION = 0.3
"""How alike two models' residuals on one item are: what Rasch difficulties with a spread of 1.5 log-odds give."""
OWN_SPREADS = np.geomspace(0.15, 3.0, 9)
"""Spreads of the models' own parts that are weighed against each other, in log-odds."""
TILTS = np.linspace(-0.9, 2.1, 11)
"""By how much more than predicted a benchmark may part strong models from weak ones: a slope on their log-odds."""
TILT_SD = 0.7
"""Prior spread of it: benchmarks' slopes differ by a factor of two."""
OWN_FREEDOM = 4.0
"""Degrees of freedom of the models' own parts."""
DRAWS = 1000
TINY = 1e-300
"""Keeps logarithms of weights finite."""


@dataclass(frozen=True)
class Labels:
    """Answers to items of the new benchmark."""

    model: RowIndex
    """Position of each answer's model."""
    item: RowIndex
    """Position of each answer's item."""
    score: RowFloats
    """Score in [0, 1]."""

    def items_of(self, model: int) -> RowIndex:
        """Positions of the items that a model has answered."""
        return self.item[self.model == model]


def offset_posterior(log_odds: ModelItem, labels: Labels, prior: OffsetSpread) -> ModelOffset:
    """Posterior weight of each of `OFFSETS` for each model; a model without labels gets what the others tell.

    Args:
        log_odds: Predicted log-odds of all models on all items.
        labels: The answers known.
        prior: Spread of offsets over benchmarks, cautious.
    """
    log_likelihood = _log_likelihood(log_odds, labels)
    labelled = np.isin(np.arange(len(log_odds)), labels.model)
    strength = log_odds.mean(axis=1) - log_odds[labelled].mean() if labelled.any() else np.zeros(len(log_odds))
    tilts, weight = _tilts(int(labelled.sum()))
    posterior = np.zeros((len(tilts), *log_likelihood.shape))
    evidence = np.log(weight)
    for place, tilt in enumerate(tilts):
        tilted = _moved_along(log_likelihood, tilt * strength)
        level, found = _given_tilt(tilted, labelled, 1 / _design_effect(labels), prior)
        evidence[place] += level
        posterior[place] = _moved_along(found, -tilt * strength)
    mixed = np.tensordot(np.exp(evidence - logsumexp(evidence)), posterior, axes=1)
    return mixed / mixed.sum(axis=1, keepdims=True)


def _given_tilt(
    log_likelihood: ModelOffset, labelled: np.ndarray, tempered: float, prior: OffsetSpread
) -> tuple[float, ModelOffset]:
    """Log-evidence of the labels and posterior of what the tilt leaves of each offset, over all own spreads."""
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    spreads, weight = _own_spreads(prior, int(labelled.sum()))
    posterior = np.zeros((len(spreads), *likelihood.shape))
    evidence = np.log(weight)
    for place, spread in enumerate(spreads):
        kernel = _kernel(float(spread))
        # what each model's labels say of the shared part, its own part integrated out
        of_shared = np.where(labelled[:, None], np.log(likelihood @ kernel + TINY) * tempered, 0.0)
        shared = np.log(prior.shared_prior() + TINY) + of_shared.sum(axis=0)
        evidence[place] += logsumexp(shared)
        others = shared - of_shared
        others = np.exp(others - others.max(axis=1, keepdims=True))
        posterior[place] = likelihood * (others @ kernel.T)
        posterior[place] /= posterior[place].sum(axis=1, keepdims=True)
    level = float(logsumexp(evidence))
    return level, np.tensordot(np.exp(evidence - level), posterior, axes=1)


def _tilts(n_labelled: int) -> tuple[FloatArray, FloatArray]:
    """Tilts to weigh and their prior weights: none where labels of fewer than three models could not tell."""
    if n_labelled < 3:
        return np.zeros(1), np.ones(1)
    weight = np.exp(-0.5 * (TILTS / TILT_SD) ** 2)
    return TILTS, weight / weight.sum()


def _moved_along(curve: ModelOffset, shift: RowFloats) -> ModelOffset:
    """Each model's curve over `OFFSETS`, read at offsets that are larger by its shift."""
    return np.stack([np.interp(OFFSETS + by, OFFSETS, row) for row, by in zip(curve, shift, strict=True)])


def labelled_scores(
    log_odds: ModelItem, labels: Labels, prior: OffsetSpread, rng: np.random.Generator, level: float = 0.9
) -> pd.DataFrame:
    """Predict each model's score on the whole set of items from a few labels.

    Labelled items count as they came, the others as predicted; `score` is the posterior mean.

    Args:
        log_odds: Predicted log-odds of all models on all items of one benchmark.
        labels: The answers known.
        prior: Spread of offsets over benchmarks, cautious.
        rng: Source of the draws.
        level: Nominal coverage.

    Returns:
        One row for each model: columns score, lower, upper, labels.
    """
    weights = offset_posterior(log_odds, labels, prior)
    found = [_one_model(log_odds[m], labels, m, weights[m], rng) for m in range(len(log_odds))]
    lower, upper = quantile_bounds(np.array([draws for _, draws in found]), level)
    count = np.bincount(labels.model, minlength=len(log_odds))
    return pd.DataFrame({"score": [mean for mean, _ in found], "lower": lower, "upper": upper, "labels": count})


def _one_model(
    log_odds: ItemFloats, labels: Labels, model: int, weight: Curve, rng: np.random.Generator
) -> tuple[float, FloatArray]:
    """Mean and draws of one model's score."""
    mine = labels.model == model
    known = float(labels.score[mine].sum())
    rest = np.setdiff1d(np.arange(len(log_odds)), labels.item[mine])
    if len(rest) == 0:
        return known / len(log_odds), np.full(DRAWS, known / len(log_odds))
    curve, weight = score_curve(log_odds[rest]), weight / weight.sum()
    # draws of an offset spread evenly over its step, so that the grid does not show
    offset = rng.choice(OFFSETS, DRAWS, p=weight) + (OFFSETS[1] - OFFSETS[0]) * rng.uniform(-0.5, 0.5, DRAWS)
    passed = rng.binomial(len(rest), np.interp(offset, OFFSETS, curve))
    return float(known + len(rest) * (weight @ curve)) / len(log_odds), (known + passed) / len(log_odds)


def _log_likelihood(log_odds: ModelItem, labels: Labels) -> ModelOffset:
    total = np.zeros((len(log_odds), len(OFFSETS)))
    if len(labels.score) == 0:
        return total
    line = log_odds[labels.model, labels.item][:, None] + OFFSETS
    score = labels.score[:, None]
    each = score * log_expit(line) + (1 - score) * log_expit(-line)
    for rows in row_groups(labels.model):
        total[labels.model[rows[0]]] = each[rows].sum(axis=0)
    return total


def _own_spreads(prior: OffsetSpread, n_labelled: int) -> tuple[FloatArray, FloatArray]:
    """Spreads of the models' own parts to weigh, and their prior weights: one alone where labels cannot tell."""
    if n_labelled < 3:
        return np.array([max(prior.own, OWN_SPREADS[0])]), np.ones(1)
    weight = np.exp(-0.5 * np.log(OWN_SPREADS / max(prior.own, OWN_SPREADS[0])) ** 2)
    return OWN_SPREADS, weight / weight.sum()


def _design_effect(labels: Labels) -> float:
    """By how much answers of several models to the same items say less of the shared part than answers of their own.

    With r the correlation of models on an item and k models an item, k answers are worth k (1 - r) / (1 + (k - 1) r):
    nothing is gained from models that always fail together.
    """
    distinct = len(np.unique(labels.item))
    if distinct in (0, len(labels.item)):
        return 1.0
    alike = _item_correlation(labels)
    return (1 + (len(labels.item) / distinct - 1) * alike) / (1 - alike)


def _item_correlation(labels: Labels) -> float:
    """How alike the residuals of two models on one item are, at least `ITEM_CORRELATION`."""
    _, model, count = np.unique(labels.model, return_inverse=True, return_counts=True)
    residual = labels.score - (np.bincount(model, weights=labels.score) / count)[model]
    _, item, asked = np.unique(labels.item, return_inverse=True, return_counts=True)
    products = np.bincount(item, weights=residual) ** 2 - np.bincount(item, weights=residual**2)
    pairs = (asked * (asked - 1)).sum()
    alike = products.sum() / pairs / max(float(np.mean(residual**2)), 1e-9) if pairs else 0.0
    return float(np.clip(alike, ITEM_CORRELATION, 0.95))


def _kernel(spread: float) -> FloatArray:
    """Weight of each offset (row) given the shared part (column): Student's t, since some models fail altogether."""
    distance = (OFFSETS[:, None] - OFFSETS[None]) / spread
    weight = (1 + distance**2 / OWN_FREEDOM) ** (-(OWN_FREEDOM + 1) / 2)
    return weight / weight.sum(axis=0)
