"""A few answers (labels) of a new benchmark: the posterior of the benchmark's effect, and the scores that follow.

The effect on a model is a part shared by all models, a slope times the model's predicted strength, and the model's own
part. The shared part has a Student-t prior whose scale comes from past benchmarks (`EffectSd.cautious`). The slope and
the standard deviation of the own parts are estimated from the labels if at least three models have some. Everything is
computed on grids.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import logsumexp

from capscope.axes import FloatArray, ModelItem, RowFloats, RowIndex
from capscope.fit import attenuated, log_likelihood
from capscope.intervals import bounds_with
from capscope.predict.outcomes import row_groups
from capscope.predict.scores.benchmark_effect import OFFSETS, Curve, EffectSd, LogOddsRows, score_curve
from capscope.predict.scores.expected import ExpectedScores

ModelOffset = Float[np.ndarray, "model offset"]
ITEM_CORRELATION = 0.3
"""Correlation of two models' residuals on one item: that of Rasch difficulties with a standard deviation of 1.5."""
OWN_SPREADS = np.geomspace(0.15, 3.0, 9)
"""Grid of standard deviations of the models' own parts, in log-odds."""
TILTS = np.linspace(-0.9, 2.1, 11)
"""Grid of the benchmark's slope: how much more or less than predicted it separates strong from weak models."""
TILT_SD = 0.7
"""Prior standard deviation of the slope: benchmarks' slopes differ by a factor of two."""
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
    """Score, 0 to 1."""
    trials: RowFloats | None = None
    """Number of trials behind each score; None for one each."""
    expected: ExpectedScores | None = None
    """Scores on the whole benchmark that are expected from elsewhere; None for none."""

    @property
    def weight(self) -> RowFloats:
        """Number of trials of each answer, as an array."""
        return np.ones(len(self.score)) if self.trials is None else self.trials

    def item_scores(self, model: int) -> tuple[RowIndex, RowFloats]:
        """Return the items that a model has answered, and its mean score on each."""
        rows = self.model == model
        items, place = np.unique(self.item[rows], return_inverse=True)
        weight = self.weight[rows]
        return items, np.bincount(place, weights=weight * self.score[rows]) / np.bincount(place, weights=weight)


@dataclass(frozen=True)
class LogOddsGrid:
    """Predicted log-odds of all models on the items of one benchmark, without the benchmark's effect."""

    mean: ModelItem
    """Mean, as (model, item)."""
    sd: ModelItem
    """Standard deviation, as (model, item)."""

    @classmethod
    def known(cls, log_odds: ModelItem) -> "LogOddsGrid":
        """Make log-odds without uncertainty."""
        return cls(log_odds, np.zeros_like(log_odds))

    def of(self, model: int | RowIndex, item: RowIndex) -> LogOddsRows:
        """Select log-odds by model and item.

        Args:
            model: Positions of the models, or of one model for all rows.
            item: Positions of the items.

        Returns:
            Mean and standard deviation, row by row.
        """
        return LogOddsRows(self.mean[model, item], self.sd[model, item])


def offset_posterior(log_odds: LogOddsGrid, labels: Labels, prior: EffectSd) -> ModelOffset:
    """Return the posterior weight of each of `OFFSETS` as the benchmark's effect on each model.

    A model without labels gets the posterior that follows from the other models' labels.

    Args:
        log_odds: Predicted log-odds of all models on all items.
        labels: The answers known.
        prior: Size of effects over benchmarks, cautious.
    """
    likelihood = _log_likelihood(log_odds, labels)
    n_models = len(log_odds.mean)
    labelled = np.isin(np.arange(n_models), labels.model)
    if labels.expected is not None:
        labelled = labelled | labels.expected.known
    means = log_odds.mean.mean(axis=1)
    strength = means - log_odds.mean[labelled].mean() if labelled.any() else np.zeros(n_models)
    tilts, weight = _tilts(int(labelled.sum()))
    posterior = np.zeros((len(tilts), *likelihood.shape))
    evidence = np.log(weight)
    for place, tilt in enumerate(tilts):
        tilted = _moved_along(likelihood, tilt * strength)
        level, weights = _given_tilt(tilted, labelled, 1 / _design_effect(labels), prior)
        evidence[place] += level
        posterior[place] = _moved_along(weights, -tilt * strength)
    mixed = np.tensordot(np.exp(evidence - logsumexp(evidence)), posterior, axes=1)
    return mixed / mixed.sum(axis=1, keepdims=True)


def _given_tilt(
    log_likelihood: ModelOffset, labelled: np.ndarray, tempered: float, prior: EffectSd
) -> tuple[float, ModelOffset]:
    """Log-evidence of the labels and posterior of the effects at one slope, averaged over the own parts' sizes."""
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    spreads, weight = _own_sizes(prior, int(labelled.sum()))
    posterior = np.zeros((len(spreads), *likelihood.shape))
    evidence = np.log(weight)
    for place, spread in enumerate(spreads):
        kernel = _kernel(float(spread))
        # likelihood of the shared part from each model's labels, its own part integrated out
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
    """Grid of slopes and their prior weights; only slope 0 with labels of fewer than three models."""
    if n_labelled < 3:
        return np.zeros(1), np.ones(1)
    weight = np.exp(-0.5 * (TILTS / TILT_SD) ** 2)
    return TILTS, weight / weight.sum()


def _moved_along(curve: ModelOffset, shift: RowFloats) -> ModelOffset:
    """Each model's curve over `OFFSETS`, evaluated at offsets that are larger by its shift."""
    return np.stack([np.interp(OFFSETS + by, OFFSETS, row) for row, by in zip(curve, shift, strict=True)])


def labelled_scores(
    log_odds: LogOddsGrid, labels: Labels, prior: EffectSd, rng: np.random.Generator, level: float = 0.9
) -> pd.DataFrame:
    """Predict each model's score on the whole set of items from a few labels.

    Labelled items have their observed scores, the other items are predicted; `score` is the posterior mean.

    Args:
        log_odds: Predicted log-odds of all models on all items of one benchmark.
        labels: The answers known.
        prior: Size of effects over benchmarks, cautious.
        rng: Source of the draws.
        level: Nominal coverage.

    Returns:
        One row for each model: columns score, lower, upper, labels.
    """
    weights = offset_posterior(log_odds, labels, prior)
    n_models = len(log_odds.mean)
    scored = [_one_model(log_odds, labels, m, weights[m], rng) for m in range(n_models)]
    score = np.array([mean for mean, _ in scored])
    lower, upper = bounds_with(score, np.array([draws for _, draws in scored]), level)
    count = np.bincount(labels.model, minlength=n_models)
    return pd.DataFrame({"score": score, "lower": lower, "upper": upper, "labels": count})


def _one_model(
    log_odds: LogOddsGrid, labels: Labels, model: int, weight: Curve, rng: np.random.Generator
) -> tuple[float, FloatArray]:
    """Mean and draws of one model's score."""
    items, scores = labels.item_scores(model)
    n_items, known = log_odds.mean.shape[1], float(scores.sum())
    rest = np.setdiff1d(np.arange(n_items), items)
    if len(rest) == 0:
        return known / n_items, np.full(DRAWS, known / n_items)
    curve, weight = score_curve(log_odds.of(model, rest)), weight / weight.sum()
    # draws of an effect are uniform over a grid step, so that the grid is not visible in the interval
    offset = rng.choice(OFFSETS, DRAWS, p=weight) + (OFFSETS[1] - OFFSETS[0]) * rng.uniform(-0.5, 0.5, DRAWS)
    passed = rng.binomial(len(rest), np.interp(offset, OFFSETS, curve))
    return float(known + len(rest) * (weight @ curve)) / n_items, (known + passed) / n_items


def _log_likelihood(log_odds: LogOddsGrid, labels: Labels) -> ModelOffset:
    """Log-likelihood of each model's labels at each of `OFFSETS`."""
    n_models, n_items = log_odds.mean.shape
    total = np.zeros((n_models, len(OFFSETS)))
    if labels.expected is not None:
        curves = np.stack([score_curve(log_odds.of(model, np.arange(n_items))) for model in range(n_models)])
        total += labels.expected.log_weights(curves, n_items)
    if len(labels.score) == 0:
        return total
    cells = log_odds.of(labels.model, labels.item)
    line = attenuated(cells.mean[:, None] + OFFSETS, cells.sd[:, None] ** 2)
    each = log_likelihood(line, labels.score[:, None], labels.weight[:, None])
    for rows in row_groups(labels.model):
        total[labels.model[rows[0]]] += each[rows].sum(axis=0)
    return total


def _own_sizes(prior: EffectSd, n_labelled: int) -> tuple[FloatArray, FloatArray]:
    """Grid of the own parts' sizes and their prior weights; a single size with labels of fewer than three models."""
    if n_labelled < 3:
        return np.array([max(prior.own, OWN_SPREADS[0])]), np.ones(1)
    weight = np.exp(-0.5 * np.log(OWN_SPREADS / max(prior.own, OWN_SPREADS[0])) ** 2)
    return OWN_SPREADS, weight / weight.sum()


def _design_effect(labels: Labels) -> float:
    """Return by how much less informative answers are when several models answered the same items (design effect).

    With r the correlation of models on an item and k models an item, k answers are worth k (1 - r) / (1 + (k - 1) r):
    models that always fail together add no information. Expected scores of k models err together as answers to one
    item do: they come from one table, which may place the whole benchmark wrongly.
    """
    distinct, effect = len(np.unique(labels.item)), 1.0
    if distinct not in (0, len(labels.item)):
        alike = _item_correlation(labels)
        effect = (1 + (len(labels.item) / distinct - 1) * alike) / (1 - alike)
    expected = 0 if labels.expected is None else int(labels.expected.known.sum())
    return max(effect, 1 + max(expected - 1, 0) * ITEM_CORRELATION)


def _item_correlation(labels: Labels) -> float:
    """Correlation of the residuals of two models on one item, at least `ITEM_CORRELATION`."""
    _, model, count = np.unique(labels.model, return_inverse=True, return_counts=True)
    residual = labels.score - (np.bincount(model, weights=labels.score) / count)[model]
    _, item, asked = np.unique(labels.item, return_inverse=True, return_counts=True)
    products = np.bincount(item, weights=residual) ** 2 - np.bincount(item, weights=residual**2)
    pairs = (asked * (asked - 1)).sum()
    alike = products.sum() / pairs / max(float(np.mean(residual**2)), 1e-9) if pairs else 0.0
    return float(np.clip(alike, ITEM_CORRELATION, 0.95))


def _kernel(spread: float) -> FloatArray:
    """Weight of each effect (row) given the shared part (column): Student's t, because some models fail altogether."""
    distance = (OFFSETS[:, None] - OFFSETS[None]) / spread
    weight = (1 + distance**2 / OWN_FREEDOM) ** (-(OWN_FREEDOM + 1) / 2)
    return weight / weight.sum(axis=0)
