"""How far models depart from what was predicted on a whole benchmark or task: offsets in log-odds, shared by its items.

An offset is the sum of what all models share on the benchmark, what a model shares over benchmarks, and the rest. How
large each is, is read off leave-one-out residuals. Benchmarks are taken as exchangeable: the next one departs as the
past ones did. With few of them Student's t carries that their spread is hardly known.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import expit

from capscope.axes import FloatArray, RowFloats

OFFSETS = np.linspace(-10, 10, 161)
"""Offsets at which curves and posteriors are held, in log-odds."""
PRIOR_BENCHMARKS, PRIOR_SD, PRIOR_OWN_SD = 3.0, 3.0, 1.0
"""Where labels are to overrule a prediction, offsets are believed as if three more benchmarks had departed by 3
log-odds, and models on them by 1: a score of one half could be anything from .05 to .95. With a handful of benchmarks a
tighter prior would stake too much on their being alike."""
ENOUGH_ITEMS = 128
"""A curve is made of this many points at most."""

Curve = Float[np.ndarray, " offset"]
ModelGroup = Float[np.ndarray, "model group"]


def score_curve(log_odds: RowFloats) -> Curve:
    """Mean score of some items at each of `OFFSETS`, added to all their log-odds.

    Many items are first drawn together into `ENOUGH_ITEMS` groups of neighbours, which changes the mean by less than
    one in a thousand.
    """
    if len(log_odds) <= ENOUGH_ITEMS:
        return expit(log_odds[:, None] + OFFSETS).mean(axis=0)
    edges = np.linspace(0, len(log_odds), ENOUGH_ITEMS + 1).astype(int)
    sums, sizes = np.add.reduceat(np.sort(log_odds), edges[:-1]), np.diff(edges)
    return sizes / len(log_odds) @ expit((sums / sizes)[:, None] + OFFSETS)


def offset_of(curve: Curve, score: float, n: float) -> tuple[float, float]:
    """Offset at which a curve comes to an observed mean score, and its sampling variance.

    Half a success and half a failure are added, so that scores of 0 and 1 have an offset too.

    Args:
        curve: Mean score at each of `OFFSETS`.
        score: Observed mean score.
        n: Number of items behind it.
    """
    smoothed = (score * n + 0.5) / (n + 1)
    offset = float(np.interp(smoothed, curve, OFFSETS))
    slope = float(np.interp(offset, OFFSETS, np.gradient(curve, OFFSETS)))
    return offset, smoothed * (1 - smoothed) / (n + 1) / max(slope, 1e-3) ** 2


@dataclass(frozen=True)
class OffsetSpread:
    """Standard deviations, in log-odds, of the parts of an offset."""

    benchmark: float
    """What all models share on a benchmark or task."""
    model: float
    """What a model shares over all of them."""
    rest: float
    """What is left to each model on each."""
    groups: float
    """How many benchmarks or tasks they were read off: the degrees of freedom of Student's t."""

    @property
    def own(self) -> float:
        """How far models depart from each other on one benchmark."""
        return float(np.hypot(self.model, self.rest))

    def cautious(self) -> "OffsetSpread":
        """Return the same with the prior of `PRIOR_BENCHMARKS` added, for labels to overrule."""
        groups = self.groups + PRIOR_BENCHMARKS
        weight = np.array([self.groups, PRIOR_BENCHMARKS]) / groups
        shared = float(np.sqrt(weight @ np.array([self.benchmark, PRIOR_SD]) ** 2))
        rest = float(np.sqrt(weight @ np.array([self.rest, PRIOR_OWN_SD]) ** 2))
        return OffsetSpread(shared, self.model, rest, groups)

    def draws(self, n_models: int, n_groups: int, rng: np.random.Generator, draws: int) -> FloatArray:
        """Draw offsets of all models on new benchmarks, as (model, group, draw)."""
        tail = np.sqrt(self.groups / rng.chisquare(self.groups, draws))
        shared = self.benchmark * rng.standard_normal((1, n_groups, draws))
        model = self.model * rng.standard_normal((n_models, 1, draws))
        return tail * (shared + model + self.rest * rng.standard_normal((n_models, n_groups, draws)))

    def shared_prior(self) -> Curve:
        """Prior weight of each of `OFFSETS` as what all models share."""
        density = stats.t.pdf(OFFSETS / max(self.benchmark, 0.05), self.groups)
        return density / density.sum()


NOTHING_SEEN = OffsetSpread(0.0, 0.0, 0.0, 0.0)
"""Before any benchmark is seen; `cautious` says what to expect then."""

FITTED = OffsetSpread(0.0, 0.0, 0.3, PRIOR_BENCHMARKS)
"""Where the items themselves were fitted, with the answers of these models: there is nothing left that models share,
and little that is a model's own, though with heavy tails."""


def offset_spread(offset: ModelGroup, variance: ModelGroup) -> OffsetSpread:
    """Split the offsets into their parts by the products of pairs, which are unbiased for each part's variance.

    Two models share only the benchmark's part, two benchmarks only the model's; what a square has beyond both and its
    sampling variance is the rest. Parts that cannot be told apart, with one model or one benchmark, go to the rest.
    Where the benchmarks happen to lie on one side of 0, offsets of different models on different benchmarks agree
    too: that much is no model's own.

    Args:
        offset: Offsets; NaN where a model was not asked.
        variance: Their sampling variances.
    """
    known = ~np.isnan(offset)
    value = np.where(known, offset, 0.0)
    square = max(float((value**2 - np.where(known, variance, 0.0)).sum() / max(known.sum(), 1)), 0.0)
    own = _pair_mean(value.T, known.T) - _cross_mean(value, known)
    parts = np.maximum([_pair_mean(value, known), own], 0.0)
    # chance alone makes one part positive half the time: together they are no more than the whole
    shared, model = parts * min(1.0, square / max(float(parts.sum()), 1e-12))
    rest = max(square - shared - model, 0.0)
    groups = float(known.any(axis=0).sum())
    return OffsetSpread(float(np.sqrt(shared)), float(np.sqrt(model)), float(np.sqrt(rest)), groups)


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
