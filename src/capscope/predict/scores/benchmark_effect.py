"""Effects of whole benchmarks or tasks: a shift in log-odds, shared by their items, of a model's predicted chances.

The effect is the sum of a part that all models share on the benchmark, a part that a model shares over benchmarks, and
a remainder. The size of each part is estimated from leave-one-out residuals. Benchmarks are exchangeable: the next one
has an effect of the same size as past ones. With few benchmarks the size is uncertain, which Student's t accounts for.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from capscope.axes import FloatArray, RowFloats
from capscope.fit import success_probability

OFFSETS = np.linspace(-10, 10, 161)
"""Grid of effects, in log-odds, on which curves and posteriors are tabulated."""
PRIOR_BENCHMARKS, PRIOR_SD, PRIOR_OWN_SD = 3.0, 3.0, 1.0
"""Prior on effects where labels can overrule the past: as if three more benchmarks had been seen, with a shared effect
of 3 log-odds and differences of 1 between models. A predicted score of 0.5 could then be anything from .05 to .95. With
a handful of past benchmarks a tighter prior would rely too much on the next one being like them."""
TABLE_SD, TABLE_OWN_SD = 1.1, 0.5
"""The same for benchmarks without labels, learnt from eight tables of published scores, of which seven chose for the
eighth (`benchmarks/assessors.md`, A new benchmark without labels; `benchmarks/new_benchmark.py --tables`)."""
ENOUGH_ITEMS = 128
"""Largest number of points that a curve is computed from."""

Curve = Float[np.ndarray, " offset"]
ModelGroup = Float[np.ndarray, "model group"]


@dataclass(frozen=True)
class LogOddsRows:
    """Gaussian log-odds of success, one for each row."""

    mean: RowFloats
    """Mean."""
    sd: RowFloats
    """Standard deviation, without the benchmark's effect."""

    @classmethod
    def known(cls, log_odds: RowFloats) -> "LogOddsRows":
        """Make log-odds without uncertainty."""
        return cls(log_odds, np.zeros_like(log_odds))

    def rows(self, keep: np.ndarray) -> "LogOddsRows":
        """Select rows by index or mask."""
        return LogOddsRows(self.mean[keep], self.sd[keep])

    def chances(self) -> Float[np.ndarray, "row offset"]:
        """Return the expected chance of each row at each of `OFFSETS` added to its log-odds."""
        return success_probability(self.mean[:, None] + OFFSETS, self.sd[:, None] ** 2)


def score_curve(log_odds: LogOddsRows, weight: RowFloats | None = None) -> Curve:
    """Return the expected mean score of some items at each of `OFFSETS`, added to all their log-odds.

    Many items are first averaged in `ENOUGH_ITEMS` groups of neighbours, which changes the mean by less than 0.001.

    Args:
        log_odds: Log-odds of the items.
        weight: Number of trials of each; None for one each.
    """
    weight = np.ones(len(log_odds.mean)) if weight is None else weight
    if len(log_odds.mean) <= ENOUGH_ITEMS:
        return np.average(log_odds.chances(), axis=0, weights=weight)
    order = np.argsort(log_odds.mean, kind="stable")
    starts = np.linspace(0, len(order), ENOUGH_ITEMS + 1).astype(int)[:-1]
    mean, variance = weight * log_odds.mean, weight * log_odds.sd**2
    sizes, means, variances = (np.add.reduceat(each[order], starts) for each in (weight, mean, variance))
    groups = LogOddsRows(means / sizes, np.sqrt(variances / sizes))
    return sizes / weight.sum() @ groups.chances()


def offset_of(curve: Curve, score: float, n: float) -> tuple[float, float]:
    """Return the effect at which a curve reaches an observed mean score, and its sampling variance.

    Half a success and half a failure are added, so that scores of 0 and 1 have a finite effect.

    Args:
        curve: Mean score at each of `OFFSETS`.
        score: Observed mean score.
        n: Number of trials behind it.
    """
    smoothed = (score * n + 0.5) / (n + 1)
    offset = float(np.interp(smoothed, curve, OFFSETS))
    slope = float(np.interp(offset, OFFSETS, np.gradient(curve, OFFSETS)))
    return offset, smoothed * (1 - smoothed) / (n + 1) / max(slope, 1e-3) ** 2


@dataclass(frozen=True)
class EffectSd:
    """Standard deviations, in log-odds, of the parts of a benchmark's effect."""

    benchmark: float
    """Part that all models share on a benchmark or task."""
    model: float
    """Part that a model shares over all benchmarks or tasks."""
    rest: float
    """Remainder, for each model on each benchmark or task."""
    groups: float
    """Number of benchmarks or tasks it was estimated from: the degrees of freedom of Student's t."""

    @property
    def own(self) -> float:
        """Standard deviation of the differences between models on one benchmark."""
        return float(np.hypot(self.model, self.rest))

    def cautious(self) -> "EffectSd":
        """Return the standard deviations with the prior of `PRIOR_BENCHMARKS` added, for use with labels."""
        return self._with_prior(PRIOR_SD, PRIOR_OWN_SD)

    def published(self) -> "EffectSd":
        """Return the standard deviations with the prior of published scores added, for new benchmarks without labels.

        A few benchmarks hardly tell how far the next one departs: Student's t with few degrees of freedom then makes
        intervals that hold and are wide. How far benchmarks depart in published tables narrows it down.
        """
        return self._with_prior(TABLE_SD, TABLE_OWN_SD)

    def _with_prior(self, shared_sd: float, own_sd: float) -> "EffectSd":
        groups = self.groups + PRIOR_BENCHMARKS
        weight = np.array([self.groups, PRIOR_BENCHMARKS]) / groups
        shared = float(np.sqrt(weight @ np.array([self.benchmark, shared_sd]) ** 2))
        rest = float(np.sqrt(weight @ np.array([self.rest, own_sd]) ** 2))
        return EffectSd(shared, self.model, rest, groups)

    def draws(self, n_models: int, n_groups: int, rng: np.random.Generator, draws: int) -> FloatArray:
        """Draw effects of new benchmarks on all models, as (model, group, draw).

        Args:
            n_models: Number of models.
            n_groups: Number of benchmarks.
            rng: Source of randomness.
            draws: Number of draws.
        """
        tail = np.sqrt(self.groups / rng.chisquare(self.groups, draws))
        shared = self.benchmark * rng.standard_normal((1, n_groups, draws))
        model = self.model * rng.standard_normal((n_models, 1, draws))
        return tail * (shared + model + self.rest * rng.standard_normal((n_models, n_groups, draws)))

    def shared_prior(self) -> Curve:
        """Return the prior weight of each of `OFFSETS` for the part that all models share."""
        density = stats.t.pdf(OFFSETS / max(self.benchmark, 0.05), self.groups)
        return density / density.sum()


@dataclass(frozen=True)
class EffectSdByModel:
    """Size of each model's effects on known benchmarks or tasks, from those of other models.

    Models are exchangeable: the next one departs from its predictions as far as the others do, in a part that it shares
    over the groups and in a remainder for each group. Mean squares are taken, not variances, so that a bias which all
    models share counts.
    """

    shared: Float[np.ndarray, " model"]
    """Standard deviation of the part that a model shares over the groups."""
    rest: Float[np.ndarray, " model"]
    """Standard deviation of the remainder on a group."""
    models: int
    """Number of other models: the degrees of freedom of Student's t."""

    @classmethod
    def of(cls, offset: ModelGroup, variance: ModelGroup) -> "EffectSdByModel":
        """Estimate the sizes, leaving out each model's own effects.

        Args:
            offset: Effects, as (model, group); NaN where a model has no answers.
            variance: Their sampling variances.
        """
        known = ~np.isnan(offset)
        value = np.where(known, offset, 0.0)
        square = _without_own((value**2 - np.where(known, variance, 0.0)).sum(axis=1), known.sum(axis=1))
        count = known.sum(axis=1)
        pairs = value.sum(axis=1) ** 2 - (value**2).sum(axis=1)
        shared = np.minimum(_without_own(pairs, count * (count - 1)), square)
        return cls(np.sqrt(shared), np.sqrt(square - shared), len(offset) - 1)

    def draws(self, n_models: int, n_groups: int, rng: np.random.Generator, draws: int) -> FloatArray:
        """Draw effects, as (model, group, draw); the tails of models are independent.

        Args:
            n_models: Number of models.
            n_groups: Number of groups.
            rng: Source of randomness.
            draws: Number of draws.
        """
        tail = np.sqrt(self.models / rng.chisquare(self.models, (n_models, 1, draws)))
        shared = self.shared[:, None, None] * rng.standard_normal((n_models, 1, draws))
        return tail * (shared + self.rest[:, None, None] * rng.standard_normal((n_models, n_groups, draws)))


def _without_own(total: FloatArray, count: np.ndarray) -> FloatArray:
    """Return, for each model, the mean over the others, at least 0."""
    return np.maximum(total.sum() - total, 0.0) / np.maximum(count.sum() - count, 1)


NOTHING_SEEN = EffectSd(0.0, 0.0, 0.0, 0.0)
"""No past benchmark is known; `cautious` adds the prior."""

FITTED = EffectSd(0.0, 0.0, 0.3, PRIOR_BENCHMARKS)
"""For benchmarks whose items were fitted with these models' answers: models share nothing more, and the effects of
single models are small, with heavy tails."""


def effect_sd(offset: ModelGroup, variance: ModelGroup) -> EffectSd:
    """Estimate the variance of each part from products of pairs of effects, which are unbiased for it.

    Two models share only the benchmark's part, and two benchmarks only the model's part; what a square contains beyond
    both and its sampling variance is the remainder. With one model or one benchmark the parts cannot be separated and
    all goes to the remainder. If the effects of different models on different benchmarks agree (all benchmarks happen
    to lie on one side of 0), that much is subtracted from the models' part.

    Args:
        offset: Effects, as (model, group); NaN where a model has no answers.
        variance: Their sampling variances.
    """
    known = ~np.isnan(offset)
    value = np.where(known, offset, 0.0)
    square = max(float((value**2 - np.where(known, variance, 0.0)).sum() / max(known.sum(), 1)), 0.0)
    own = _pair_mean(value.T, known.T) - _cross_mean(value, known)
    parts = np.maximum([_pair_mean(value, known), own], 0.0)
    # chance makes one part positive half of the time: together they must not exceed the whole
    shared, model = parts * min(1.0, square / max(float(parts.sum()), 1e-12))
    rest = max(square - shared - model, 0.0)
    groups = float(known.any(axis=0).sum())
    return EffectSd(float(np.sqrt(shared)), float(np.sqrt(model)), float(np.sqrt(rest)), groups)


def _pair_mean(value: FloatArray, known: np.ndarray) -> float:
    """Mean product of two different rows in the same column."""
    count = known.sum(axis=0)
    pairs = (count * (count - 1)).sum()
    products = (value.sum(axis=0) ** 2 - (value**2).sum(axis=0)).sum()
    return float(products / pairs) if pairs else 0.0


def _cross_mean(value: FloatArray, known: np.ndarray) -> float:
    """Mean product of two values that share neither row nor column."""
    pairs, products = (_cross_sum(each) for each in (known.astype(float), value))
    return products / pairs if pairs else 0.0


def _cross_sum(value: FloatArray) -> float:
    """Sum of the products of all ordered pairs that share neither row nor column."""
    aligned = (value.sum(axis=0) ** 2).sum() + (value.sum(axis=1) ** 2).sum()
    return float(value.sum() ** 2 - aligned + (value**2).sum())
