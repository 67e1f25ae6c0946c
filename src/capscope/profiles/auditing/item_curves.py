"""Classes of items by their answers: ordinary, with a wrong key, failed by better models, or alike for all models.

An item with a wrong key is an ordinary item scored by another option: a model that knows the answer fails it, and a
model that does not know it sometimes picks the keyed option. So the chance of a right mark is ``(1 - P) q``, with
``P`` the curve of an ordinary item and ``q`` how often wrong answers fall on the keyed option. The distribution of
ordinary items over curves is estimated from all items of the benchmark, and is used for wrong keys too.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

from capscope.axes import Float, FloatArray, ItemMask
from capscope.data import Responses
from capscope.fit import success_probability
from capscope.profiles.auditing.findings import class_probability

LOG_SLOPES = np.log([0.15, 0.3, 0.5, 0.75, 1.1, 1.6, 2.4, 3.6])
DIFFICULTIES = np.linspace(-6, 6, 25)
FLOORS = (0.0, 0.1, 0.25, 0.5)
SMALLEST = 1e-37
"""Keeps the logarithm of a likelihood finite."""
WEAK_SLOPES = np.array([-0.3, -0.15])
"""Slopes of items that better models fail although the key is right."""


@dataclass(frozen=True)
class CurveGrid:
    """A grid of item curves at the models' abilities."""

    chance: Float[np.ndarray, "curve model"]
    """Chance of a right mark, over the uncertainty of the ability."""
    low: Float[np.ndarray, " curve"]
    """Chance of a model at the tenth percentile of ability."""
    high: Float[np.ndarray, " curve"]
    """Chance of a model at the ninetieth percentile."""


@dataclass(frozen=True)
class ModelAbilities:
    """Abilities of the models on one benchmark, in standard deviations."""

    mean: Float[np.ndarray, " model"]
    variance: Float[np.ndarray, " model"]


def ordinary_curves(ability: ModelAbilities, floors: tuple[float, ...] = FLOORS) -> CurveGrid:
    """Curves that rise with ability, over (slope, difficulty, floor).

    Args:
        ability: Abilities of the models, with variances.
        floors: Floors of the curves, from 0 to 1.
    """
    grid = np.meshgrid(np.exp(LOG_SLOPES), DIFFICULTIES, floors, indexing="ij")
    slope, difficulty, floor = (axis.ravel() for axis in grid)
    return _curves(ability, slope, difficulty, floor)


def falling_curves(ability: ModelAbilities) -> CurveGrid:
    """Curves that fall a little with ability, over (slope, level, floor)."""
    return _around(ability, WEAK_SLOPES, np.linspace(-4, 4, 17))


def flat_curves(ability: ModelAbilities) -> CurveGrid:
    """Curves that do not depend on ability, over (level, floor)."""
    return _around(ability, np.array([1e-6]), np.linspace(-5, 5, 31))


def _around(ability: ModelAbilities, slopes: FloatArray, levels: FloatArray) -> CurveGrid:
    """Curves with these log-odds of the average model, whatever the slope, above each of the floors."""
    grid = np.meshgrid(slopes, levels, FLOORS, indexing="ij")
    slope, level, floor = (axis.ravel() for axis in grid)
    return _curves(ability, slope, -level / slope, floor)


def _curves(ability: ModelAbilities, slope: FloatArray, difficulty: FloatArray, floor: FloatArray) -> CurveGrid:
    mean = slope[:, None] * (ability.mean - difficulty[:, None])
    variance = slope[:, None] ** 2 * ability.variance
    ends = np.quantile(ability.mean, [0.1, 0.9])
    low, high = (floor + (1 - floor) * expit(slope * (end - difficulty)) for end in ends)
    return CurveGrid(success_probability(mean, variance, floor[:, None]), low, high)


@dataclass(frozen=True)
class Likelihoods:
    """Likelihoods of items under curves, divided by each item's largest, so that mixtures are one matrix product."""

    scaled: Float[np.ndarray, "item curve"]
    top: Float[np.ndarray, " item"]
    """Logarithm of each item's largest likelihood."""

    def take(self, items: np.ndarray) -> "Likelihoods":
        """Return some of the items."""
        return Likelihoods(self.scaled[items], self.top[items])

    def mixed(self, weights: FloatArray) -> FloatArray:
        """Log-likelihood of each item under a mixture of the curves with these weights."""
        chance = self.scaled @ weights.ravel().astype(self.scaled.dtype)
        return self.top + np.log(np.maximum(chance, SMALLEST))


def likelihoods(log_likelihood: Float[np.ndarray, "item curve"]) -> Likelihoods:
    """Divide likelihoods by each item's largest one."""
    top = log_likelihood.max(axis=1)
    return Likelihoods(np.exp(log_likelihood - top[:, None]).astype(np.float32), top.astype(float))


@dataclass(frozen=True)
class Marks:
    """Right and wrong marks of models on items."""

    right: Float[np.ndarray, "item model"]
    """In single precision, as all that is computed of them."""
    wrong: Float[np.ndarray, "item model"]
    right_sum: Float[np.ndarray, " item"]
    """Right marks of all models, in double precision."""
    wrong_sum: Float[np.ndarray, " item"]
    discount: float
    """Effective share of independent models; related models repeat each other's answers."""

    def log_likelihood(self, chance: Float[np.ndarray, "curve model"]) -> Float[np.ndarray, "item curve"]:
        """Log-likelihood of each item under each curve."""
        bounded = np.clip(chance, 1e-6, 1 - 1e-6)
        up, down = np.log(bounded).T.astype(np.float32), np.log1p(-bounded).T.astype(np.float32)
        return self.discount * (self.right @ up + self.wrong @ down)


def marks_of(responses: Responses, discount: float) -> Marks:
    """Count right and wrong marks as dense tables.

    Args:
        responses: All answers.
        discount: Effective share of independent models.
    """
    shape = (len(responses.models), len(responses.items))
    marks, sums = np.empty((2, *shape), np.float32), np.zeros((2, shape[1]))
    for first, part in responses.model_parts():
        table = part.dense()
        for side, mark in enumerate((table.right, table.n_trials - table.right)):
            marks[side, first : first + len(mark)] = mark
            sums[side] = np.concatenate([sums[side, None], mark]).sum(axis=0)
    return Marks(marks[0].T, marks[1].T, sums[0], sums[1], discount)


SMOOTHING = 0.5
"""Pseudo-items of the flat prior on the weights of curves."""
CURVE_ITERATIONS = 25
SMALLEST_VARIANCE = 0.04
"""Smallest variance of log slopes that the grid resolves."""
OTHER_FLOOR_SHARE = 0.004
"""Share of items with a different floor, where nearly all items have the same one."""

Weights = Float[np.ndarray, "slope difficulty floor"]
CommonFloor = int | None
"""Place among `FLOORS` of the floor that nearly all items have; None where the distribution of floors is free."""


def start_weights(common_floor: CommonFloor) -> Weights:
    """Return equal weights of all slopes and difficulties."""
    floor = np.ones(len(FLOORS)) / len(FLOORS) if common_floor is None else _mostly_one_floor(common_floor)
    shape = (len(LOG_SLOPES), len(DIFFICULTIES))
    return np.full((*shape, 1), 1 / np.prod(shape)) * floor


def learnt_weights(likelihood: Likelihoods, weights: Weights, share: FloatArray, common_floor: CommonFloor) -> Weights:
    """Estimate how frequent each slope, difficulty and floor is among ordinary items, the three independent.

    A joint distribution of all three would fit odd items as ordinary ones.

    Args:
        likelihood: Of items under the curves.
        weights: Weights to start from.
        share: Chance of each item being ordinary.
        common_floor: Position of the floor that nearly all items have; None for a free distribution.
    """
    scaled = likelihood.scaled
    for _ in range(CURVE_ITERATIONS):
        flat = weights.ravel().astype(scaled.dtype)
        joint = np.maximum(scaled @ flat, SMALLEST)
        expected = (flat * ((share / joint).astype(scaled.dtype) @ scaled)).astype(float).reshape(weights.shape)
        slope = _normal_fit(expected.sum((1, 2)), LOG_SLOPES)
        difficulty = _smoothed_shares(expected.sum((0, 2)))
        floor = _smoothed_shares(expected.sum((0, 1))) if common_floor is None else _mostly_one_floor(common_floor)
        weights = slope[:, None, None] * difficulty[:, None] * floor
    return weights


def _mostly_one_floor(common_floor: int) -> FloatArray:
    floor = np.full(len(FLOORS), OTHER_FLOOR_SHARE / (len(FLOORS) - 1))
    floor[common_floor] = 1 - OTHER_FLOOR_SHARE
    return floor


def _smoothed_shares(counts: FloatArray) -> FloatArray:
    counts = counts + SMOOTHING / len(counts)
    return counts / counts.sum()


def _normal_fit(counts: FloatArray, at: FloatArray) -> FloatArray:
    """Return the normal distribution on a grid with the mean and variance of weighted counts."""
    mean = np.average(at, weights=counts)
    variance = max(float(np.average((at - mean) ** 2, weights=counts)), SMALLEST_VARIANCE)
    common_floor = np.exp(-0.5 * (at - mean) ** 2 / variance)
    return common_floor / common_floor.sum()


KEYED_SHARES = (1.0, 0.5, 1 / 3, 0.2, 0.1)
"""Probabilities that a wrong answer falls on the keyed option; 1 with two options."""
WRONG_KEY_FLOORS = (0.0, 0.25)
CLASSES = ("ordinary", "wrong key", "reversed", "flat")
PRIOR_ITEMS = np.array([48.5, 0.5, 0.1, 0.9])
"""Prior class frequencies, in pseudo-items."""
ROUNDS = 3
MOST_TRIED = 800
"""Items on which the distributions of floors are compared."""
FREE_COST = 1.5
"""Penalty of each share of a free distribution of floors, in log items: 1/2 each for parameter and choice."""
KNOWN_FLOOR = 0.9
"""Chance that an item whose chance of a guess is stated has the floor nearest to it."""
EASY, HARD = 0.95, 0.05


@dataclass(frozen=True)
class ItemKinds:
    """Class probabilities and simple statistics of each item."""

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
class _Evidence:
    """Likelihoods of all items under the curves of each kind."""

    ordinary: Likelihoods
    keyed: tuple[Likelihoods, ...]
    """For each of `KEYED_SHARES`."""
    keyed_prior: Float[np.ndarray, "item_or_one share"]
    """Log chance of each share."""
    odd: tuple[Likelihoods, Likelihoods]
    """Under falling and flat curves."""

    def take(self, items: np.ndarray) -> "_Evidence":
        """Return some of the items."""
        prior = self.keyed_prior if len(self.keyed_prior) == 1 else self.keyed_prior[items]
        keyed = tuple(one.take(items) for one in self.keyed)
        return _Evidence(self.ordinary.take(items), keyed, prior, (self.odd[0].take(items), self.odd[1].take(items)))

    def classes(self, weights: Weights) -> FloatArray:
        """Log-likelihood (item, class)."""
        shared = _shared(weights)
        keyed = np.stack([one.mixed(shared) for one in self.keyed], axis=1)
        log_class = [self.ordinary.mixed(weights), logsumexp(keyed + self.keyed_prior, axis=1)]
        return np.column_stack(log_class + [one.mixed(_alike(one, weights)) for one in self.odd])


def item_kinds(
    responses: Responses, ability: ModelAbilities, discount: float = 1.0, floor: FloatArray | None = None
) -> ItemKinds:
    """Classify the items of one benchmark.

    Args:
        responses: Answers to these items.
        ability: Abilities of the models of the responses.
        discount: Effective share of independent models; models of one family repeat each other's answers.
        floor: Known chance of a guess on each item, NaN where unknown; it sets how often a wrong key is hit.
    """
    marks = marks_of(responses, discount)
    ordinary = ordinary_curves(ability)
    log_ordinary = marks.log_likelihood(ordinary.chance) + _floor_prior(floor)
    base = ordinary_curves(ability, WRONG_KEY_FLOORS)
    keyed = tuple(likelihoods(marks.log_likelihood((1 - base.chance) * q)) for q in KEYED_SHARES)
    falling, flat = (
        likelihoods(marks.log_likelihood(curves.chance)) for curves in (falling_curves(ability), flat_curves(ability))
    )
    sums = marks.right_sum, marks.right_sum + marks.wrong_sum
    del marks  # in a large study they take most of the room
    evidence = _Evidence(likelihoods(log_ordinary), keyed, np.log(_keyed_prior(floor)), (falling, flat))
    weights, chance, _ = _classified(evidence, _choose_common_floor(evidence, floor))
    saturated, impossible = _extremes(evidence.ordinary.scaled * weights.ravel(), ordinary)
    sides = _halves(responses, ability)
    return ItemKinds(responses.items, chance, saturated, impossible, *sums, *sides)


def _classified(evidence: _Evidence, common_floor: CommonFloor) -> tuple[Weights, FloatArray, float]:
    """Estimate curve weights and class probabilities in turn; also return the log-likelihood reached."""
    weights, chance, total = start_weights(common_floor), np.empty(0), 0.0
    share = np.ones(len(evidence.ordinary.top))
    for _ in range(ROUNDS):
        weights = learnt_weights(evidence.ordinary, weights, share, common_floor)
        log_class = evidence.classes(weights)
        chance = class_probability(log_class, PRIOR_ITEMS)
        total = float(logsumexp(log_class + np.log(chance.mean(axis=0)), axis=1).sum())
        # only items that are likely to be ordinary enter the weights of ordinary curves
        share = chance[:, 0]
    return weights, chance, total


def _choose_common_floor(evidence: _Evidence, floor: FloatArray | None) -> CommonFloor:
    """Choose the distribution of floors: nearly all items at one floor, or free where the answers clearly favour it.

    A few wrong keys look like hard items without a floor, so that a free distribution would fit them as ordinary items.
    """
    if floor is not None and np.isfinite(floor).all():
        return None
    size = len(evidence.ordinary.top)
    tried = evidence.take(np.linspace(0, size - 1, min(size, MOST_TRIED)).astype(int))
    candidates: list[CommonFloor] = list(range(len(FLOORS)))
    totals = [_classified(tried, common_floor)[2] for common_floor in candidates]
    free = _classified(tried, None)[2] - FREE_COST * (len(FLOORS) - 1) * np.log(len(tried.ordinary.top))
    return None if free > max(totals) else candidates[int(np.argmax(totals))]


def _alike(likelihood: Likelihoods, weights: Weights) -> FloatArray:
    """Return equal weights of levels above floors that are as frequent as those of ordinary items."""
    floor = weights.sum(axis=(0, 1))
    levels = likelihood.scaled.shape[1] // len(floor)
    return np.tile(floor / levels, levels)


def _shared(weights: Weights) -> FloatArray:
    """Return the estimated weights of slopes and difficulties at each floor that items with a wrong key may have."""
    by_curve = weights.sum(axis=2).ravel()
    return np.repeat(by_curve, len(WRONG_KEY_FLOORS)) / len(WRONG_KEY_FLOORS)


def _floor_prior(floor: FloatArray | None) -> FloatArray:
    """Log weight (item, curve) of each curve by its floor, where an item's chance of a guess is stated; else 0."""
    if floor is None:
        return np.zeros((1, 1), np.float32)
    nearest = np.abs(np.nan_to_num(floor)[:, None] - np.array(FLOORS)).argmin(axis=1)
    others = (1 - KNOWN_FLOOR) / (len(FLOORS) - 1)
    prior = np.where(np.arange(len(FLOORS)) == nearest[:, None], KNOWN_FLOOR, others) * len(FLOORS)
    prior = np.where(np.isfinite(floor)[:, None], prior, 1.0)
    return np.tile(np.log(prior).astype(np.float32), (1, start_weights(None).size // len(FLOORS)))


def _keyed_prior(floor: FloatArray | None) -> FloatArray:
    """Prior of each share of `KEYED_SHARES`, from the number of options where the chance of a guess is known."""
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


def _extremes(joint: FloatArray, curves: CurveGrid) -> tuple[FloatArray, FloatArray]:
    chance = joint / joint.sum(axis=1, keepdims=True)
    return chance @ (curves.low >= EASY).astype(float), chance @ (curves.high <= HARD).astype(float)


def _halves(responses: Responses, ability: ModelAbilities) -> tuple[FloatArray, FloatArray]:
    """Mean scores of the items among the better half of the models, and among the others."""
    better: ItemMask = ability.mean > np.median(ability.mean)
    sums = np.zeros((2, 2, len(responses.items)))
    for part in responses.blocks():
        side, item = (~better[part.model_index]).astype(int), part.item_index
        for total, values in zip(sums, (part.n_trials * part.score, part.n_trials), strict=True):
            np.add.at(total, (side, item), values)
    means = np.divide(sums[0], sums[1], out=np.full(sums[0].shape, np.nan), where=sums[1] > 0)
    return means[0], means[1]
