"""How ordinary items are spread over slopes, difficulties and floors: learnt from the items of a benchmark."""

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray
from capscope.profiles.audit.curve_grid import DIFFICULTIES, FLOORS, LOG_SLOPES, SMALLEST, Likelihoods

SMOOTHING = 0.5
"""Items' worth of the flat start among the weights of curves."""
CURVE_ITERATIONS = 25
SMALLEST_VARIANCE = 0.04
"""Variance of log slopes that the grid can still tell from none."""
STRANGE_FLOOR = 0.004
"""Share of items with another floor where nearly all have one."""

Weights = Float[np.ndarray, "slope difficulty floor"]
FloorLaw = int | None
"""Place among `FLOORS` of the floor that nearly all items have; None where floors are spread freely."""


def start_weights(law: FloorLaw) -> Weights:
    """All slopes and difficulties alike."""
    floor = np.ones(len(FLOORS)) / len(FLOORS) if law is None else _one_floor(law)
    shape = (len(LOG_SLOPES), len(DIFFICULTIES))
    return np.full((*shape, 1), 1 / np.prod(shape)) * floor


def learnt_weights(likelihood: Likelihoods, weights: Weights, share: FloatArray, law: FloorLaw) -> Weights:
    """How often ordinary items have each slope, difficulty and floor, the three taken as unrelated.

    A free spread over all three would make room for whatever odd items there are.

    Args:
        likelihood: Of items under the curves.
        weights: Weights to start from.
        share: Chance of each item being ordinary.
        law: How floors are spread.
    """
    scaled = likelihood.scaled
    for _ in range(CURVE_ITERATIONS):
        flat = weights.ravel().astype(scaled.dtype)
        joint = np.maximum(scaled @ flat, SMALLEST)
        expected = (flat * ((share / joint).astype(scaled.dtype) @ scaled)).astype(float).reshape(weights.shape)
        slope = _normal_fit(expected.sum((1, 2)), LOG_SLOPES)
        difficulty = _kept_off_zero(expected.sum((0, 2)))
        floor = _kept_off_zero(expected.sum((0, 1))) if law is None else _one_floor(law)
        weights = slope[:, None, None] * difficulty[:, None] * floor
    return weights


def _one_floor(law: int) -> FloatArray:
    floor = np.full(len(FLOORS), STRANGE_FLOOR / (len(FLOORS) - 1))
    floor[law] = 1 - STRANGE_FLOOR
    return floor


def _kept_off_zero(counts: FloatArray) -> FloatArray:
    counts = counts + SMOOTHING / len(counts)
    return counts / counts.sum()


def _normal_fit(counts: FloatArray, at: FloatArray) -> FloatArray:
    """The normal law on a grid that has the mean and spread of some counts."""
    mean = np.average(at, weights=counts)
    variance = max(float(np.average((at - mean) ** 2, weights=counts)), SMALLEST_VARIANCE)
    law = np.exp(-0.5 * (at - mean) ** 2 / variance)
    return law / law.sum()
