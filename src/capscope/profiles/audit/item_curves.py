"""What kind of item answers speak of: ordinary, with a wrong key, failed by better models, or alike for all models.

An item whose key is wrong is an ordinary item seen through another option: a model that knows the answer fails it, and
one that does not picks the keyed option now and then. So the chance of a right mark is ``(1 - P) q``, with ``P`` the
curve of an ordinary item and ``q`` how often wrong answers fall on the keyed option. How ordinary items are spread over
curves is learnt from all items of the benchmark, and the same spread serves for the wrong keys.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logsumexp

from capscope.axes import FloatArray, ItemMask
from capscope.data import ResponseMatrix
from capscope.fit import success_probability
from capscope.profiles.audit.discovery import class_probability

LOG_SLOPES = np.log([0.15, 0.3, 0.5, 0.75, 1.1, 1.6, 2.4, 3.6])
DIFFICULTIES = np.linspace(-6, 6, 25)
FLOORS = (0.0, 0.1, 0.25, 0.5)
KEYED_SHARES = (1.0, 0.5, 1 / 3, 0.2, 0.1)
"""How often a wrong answer falls on the option that is keyed: always where there are two options."""
WRONG_KEY_FLOORS = (0.0, 0.25)
WEAK_SLOPES = np.array([-0.3, -0.15])
"""Slopes of items that better models fail without a wrong key: they ask for something that goes against ability."""
CLASSES = ("ordinary", "wrong key", "reversed", "flat")
PRIOR_ITEMS = np.array([48.5, 0.5, 0.1, 0.9])
"""Class frequencies before the data are worth so many items."""
SMOOTHING = 0.5
"""Items' worth of the flat start among the weights of curves."""
CURVE_ITERATIONS = 25
ROUNDS = 3
EASY, HARD = 0.95, 0.05


SMALLEST_VARIANCE = 0.04
"""Variance of log slopes that the grid can still tell from none."""

Weights = Float[np.ndarray, "slope difficulty floor"]


@dataclass(frozen=True)
class Curves:
    """A grid of item curves at the models' abilities."""

    chance: Float[np.ndarray, "curve model"]
    """Chance of a right mark, over the uncertainty of the ability."""
    low: Float[np.ndarray, " curve"]
    """Chance of a model at the tenth percentile of ability."""
    high: Float[np.ndarray, " curve"]
    """Chance of a model at the ninetieth."""


@dataclass(frozen=True)
class ItemKinds:
    """Chances of what each item is."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    chance: Float[np.ndarray, "item kind"]
    """Chances of `CLASSES`."""
    saturated: Float[np.ndarray, " item"]
    """Chance that even a weak model (tenth percentile) passes with at least `EASY`."""
    impossible: Float[np.ndarray, " item"]
    """Chance that even a strong model (ninetieth percentile) passes with at most `HARD`."""
    right: Float[np.ndarray, " item"]
    """Number of right marks."""
    answers: Float[np.ndarray, " item"]
    """Number of answers."""
    strong: Float[np.ndarray, " item"]
    """Success of the better half of the models that answered."""
    weak: Float[np.ndarray, " item"]
    """Success of the other half."""


@dataclass(frozen=True)
class Abilities:
    """Abilities of the models on one benchmark, in standard deviations."""

    mean: Float[np.ndarray, " model"]
    variance: Float[np.ndarray, " model"]


def item_kinds(
    responses: ResponseMatrix, ability: Abilities, discount: float = 1.0, floor: FloatArray | None = None
) -> ItemKinds:
    """Classify the items of one benchmark.

    Args:
        responses: Answers to these items.
        ability: Abilities of the models of the responses.
        discount: Share of the models that are worth an independent witness; relatives of a family repeat each other.
        floor: Known chance of a guess on each item, NaN where unknown; it sets how often a wrong key is hit.
    """
    right, wrong = _counts(responses)
    ordinary = _ordinary(ability, FLOORS)
    log_ordinary = discount * _log_likelihood(right, wrong, ordinary.chance)
    base = _ordinary(ability, WRONG_KEY_FLOORS)
    log_keyed = [discount * _log_likelihood(right, wrong, (1 - base.chance) * q) for q in KEYED_SHARES]
    keyed_prior = np.log(_keyed_prior(floor))
    odd = [_averaged(right, wrong, curves.chance, discount) for curves in (_weak(ability), _flat(ability))]
    weights, chance = _start(), np.empty(0)
    share = np.ones(len(right))
    for _ in range(ROUNDS):
        weights = _learnt_weights(log_ordinary, weights, share)
        shared = np.log(_shared(weights))
        log_wrong = np.stack([logsumexp(one + shared, axis=1) for one in log_keyed], axis=1)
        log_class = [
            logsumexp(log_ordinary + np.log(weights.ravel()), axis=1),
            logsumexp(log_wrong + keyed_prior, axis=1),
        ]
        chance = class_probability(np.column_stack([*log_class, *odd]), PRIOR_ITEMS)
        # items that are not ordinary must not teach what ordinary ones look like
        share = chance[:, 0]
    weights = weights.ravel()
    saturated, impossible = _extremes(log_ordinary + np.log(weights), ordinary)
    sides = _halves(responses, ability)
    answers = right.sum(axis=1) + wrong.sum(axis=1)
    return ItemKinds(responses.items, chance, saturated, impossible, right.sum(axis=1), answers, *sides)


def _counts(responses: ResponseMatrix) -> tuple[FloatArray, FloatArray]:
    """Right and wrong marks as dense tables (item, model)."""
    shape = (len(responses.items), len(responses.models))
    place = responses.item_index * shape[1] + responses.model_index
    right = np.bincount(place, responses.score * responses.n_trials, shape[0] * shape[1]).reshape(shape)
    trials = np.bincount(place, responses.n_trials, shape[0] * shape[1]).reshape(shape)
    return right.astype(float), (trials - right).astype(float)


def _curves(ability: Abilities, slope: FloatArray, difficulty: FloatArray, floor: FloatArray) -> Curves:
    mean = slope[:, None] * (ability.mean - difficulty[:, None])
    variance = slope[:, None] ** 2 * ability.variance
    ends = np.quantile(ability.mean, [0.1, 0.9])
    low, high = (floor + (1 - floor) * expit(slope * (end - difficulty)) for end in ends)
    return Curves(success_probability(mean, variance, floor[:, None]), low, high)


def _ordinary(ability: Abilities, floors: tuple[float, ...]) -> Curves:
    grid = np.meshgrid(np.exp(LOG_SLOPES), DIFFICULTIES, floors, indexing="ij")
    slope, difficulty, floor = (axis.ravel() for axis in grid)
    return _curves(ability, slope, difficulty, floor)


def _weak(ability: Abilities) -> Curves:
    grid = np.meshgrid(WEAK_SLOPES, np.linspace(-4, 4, 17), indexing="ij")
    slope, level = (axis.ravel() for axis in grid)
    # the level is the log-odds of the average model, whatever the slope
    return _curves(ability, slope, -level / slope, np.zeros(len(slope)))


def _flat(ability: Abilities) -> Curves:
    level = np.linspace(-5, 5, 31)
    slope = np.full(len(level), 1e-6)
    return _curves(ability, slope, -level / slope, np.zeros(len(level)))


def _log_likelihood(right: FloatArray, wrong: FloatArray, chance: FloatArray) -> FloatArray:
    """Log-likelihood (item, curve)."""
    bounded = np.clip(chance, 1e-6, 1 - 1e-6)
    up, down = np.log(bounded).T.astype(np.float32), np.log1p(-bounded).T.astype(np.float32)
    return right.astype(np.float32) @ up + wrong.astype(np.float32) @ down


def _averaged(right: FloatArray, wrong: FloatArray, chance: FloatArray, discount: float) -> FloatArray:
    return logsumexp(discount * _log_likelihood(right, wrong, chance), axis=1) - np.log(len(chance))


def _start() -> Weights:
    shape = (len(LOG_SLOPES), len(DIFFICULTIES), len(FLOORS))
    return np.full(shape, 1 / np.prod(shape))


def _learnt_weights(log_likelihood: FloatArray, weights: Weights, share: FloatArray) -> Weights:
    """How often ordinary items have each slope, difficulty and floor, the three taken as unrelated.

    A free spread over all three would make room for whatever odd items there are.

    Args:
        log_likelihood: Array (item, curve).
        weights: Weights to start from.
        share: Chance of each item being ordinary.
    """
    scaled = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    for _ in range(CURVE_ITERATIONS):
        flat = weights.ravel().astype(scaled.dtype)
        joint = scaled @ flat
        expected = (flat * ((share / joint) @ scaled)).reshape(weights.shape)
        slope, difficulty, floor = (
            _normal_fit(expected.sum((1, 2)), LOG_SLOPES),
            expected.sum((0, 2)),
            expected.sum((0, 1)),
        )
        weights = slope[:, None, None] * _kept_off_zero(difficulty)[:, None] * _kept_off_zero(floor)
    return weights


def _kept_off_zero(counts: FloatArray) -> FloatArray:
    counts = counts + SMOOTHING / len(counts)
    return counts / counts.sum()


def _normal_fit(counts: FloatArray, at: FloatArray) -> FloatArray:
    """The normal law on a grid that has the mean and spread of some counts."""
    mean = np.average(at, weights=counts)
    variance = max(float(np.average((at - mean) ** 2, weights=counts)), SMALLEST_VARIANCE)
    law = np.exp(-0.5 * (at - mean) ** 2 / variance)
    return law / law.sum()


def _shared(weights: Weights) -> FloatArray:
    """The learnt weights of slopes and difficulties, over the floors that curves behind wrong keys have."""
    by_curve = weights.sum(axis=2).ravel()
    return np.repeat(by_curve, len(WRONG_KEY_FLOORS)) / len(WRONG_KEY_FLOORS)


def _keyed_prior(floor: FloatArray | None) -> FloatArray:
    """How likely each share of `KEYED_SHARES` is, by the number of options where the chance of a guess is known."""
    shares = np.array(KEYED_SHARES)
    if floor is None:
        return np.full((1, len(shares)), 1 / len(shares))
    known = np.isfinite(floor) & (floor > 0) & (floor < 1)
    guess = np.where(known, floor, 0.5)
    expected = guess / (1 - guess)
    # distractors are not hit alike, so shares around 1 / (options - 1) stay possible
    near = np.exp(-0.5 * (np.log(shares) - np.log(np.minimum(expected, 1))[:, None]) ** 2 / 0.7**2)
    prior = np.where(known[:, None], near, 1.0)
    return prior / prior.sum(axis=1, keepdims=True)


def _extremes(log_joint: FloatArray, curves: Curves) -> tuple[FloatArray, FloatArray]:
    chance = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    return chance @ (curves.low >= EASY).astype(float), chance @ (curves.high <= HARD).astype(float)


def _halves(responses: ResponseMatrix, ability: Abilities) -> tuple[FloatArray, FloatArray]:
    better: ItemMask = ability.mean > np.median(ability.mean)
    size = len(responses.items)
    sides: list[FloatArray] = []
    for rows in (better[responses.model_index], ~better[responses.model_index]):
        item = responses.item_index[rows]
        total = np.bincount(item, responses.score[rows], size)
        answers = np.bincount(item, minlength=size)
        sides.append(np.divide(total, answers, out=np.full(size, np.nan), where=answers > 0))
    return sides[0], sides[1]
