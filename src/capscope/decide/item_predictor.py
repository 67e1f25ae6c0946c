"""Prediction of the difference of two versions on every item from past models, which narrows the gate's interval.

The prior of the differences is a Gaussian process over items with the covariance of past models' scores: items that
past models passed and failed together have correlated differences. It is fitted to the items that the candidate
answered. The prediction of an answered item leaves that item out (leave-one-out, in closed form).
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import Float, Int, ModelItem, RowFloats

NOISE = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Candidates for the noise variance, chosen by leave-one-out error."""

LEVEL_SCALE, DIFFICULTY_SCALE = 2.0, 0.3
"""Prior standard deviations of the common difference and of its slope on item difficulty (in its standard deviations).

They are weakly informative: with half or twice of each, no figure of the benchmarks changed by 2 %.
"""

LEAST_PAST = 3
"""Fewest past models from which a covariance is estimated."""

ItemFeatures = Float[np.ndarray, "item feature"]


@dataclass(frozen=True)
class Prediction:
    """Predicted differences and the errors of the predictions on the items that were answered."""

    error: RowFloats
    """Observed minus leave-one-out predicted difference of each answered item."""
    fitted: Float[np.ndarray, " item"]
    """Predicted difference of every item of the suite, from all answered items."""


def item_features(past: ModelItem, baseline: Float[np.ndarray, " item"] | None) -> ItemFeatures:
    """Features whose inner products are the prior covariance of differences.

    Args:
        past: Scores of past models without gaps; shape (model, item).
        baseline: The baseline's score on each item; None where it did not answer all of them.
    """
    n_items = past.shape[1]
    columns = [np.full((n_items, 1), LEVEL_SCALE)]
    if len(past):
        difficulty = past.mean(axis=0)
        spread = difficulty.std()
        columns.append(((difficulty - difficulty.mean()) / (spread or 1.0) * DIFFICULTY_SCALE)[:, None])
    if len(past) >= LEAST_PAST:
        double_centred = past - past.mean(axis=0) - past.mean(axis=1, keepdims=True) + past.mean()
        _, value, vector = np.linalg.svd(double_centred, full_matrices=False)
        columns.append(vector.T * value / np.sqrt(len(past)))
    if baseline is not None:
        columns.append((baseline - baseline.mean())[:, None])
    return np.concatenate(columns, axis=1)


def predict_differences(
    features: ItemFeatures, answered: Int[np.ndarray, " row"], difference: RowFloats, weight: RowFloats
) -> Prediction:
    """Fit the Gaussian process to the answered items, its noise chosen by leave-one-out error.

    Args:
        features: See `item_features`.
        answered: Positions of the answered items.
        difference: Observed difference of each of them, from -1 to 1.
        weight: Weight of each in the choice of the noise variance: the inverse of its chance to be drawn.
    """
    left, value, right = np.linalg.svd(features[answered], full_matrices=False)
    best: tuple[float, RowFloats, RowFloats] | None = None
    for noise in NOISE:
        inside = 1 / (value**2 + noise) - 1 / noise
        coefficient = left @ (inside * (left.T @ difference)) + difference / noise
        error = coefficient / ((left**2) @ inside + 1 / noise)
        loss = float(np.average(error**2, weights=weight))
        if best is None or loss < best[0]:
            best = (loss, coefficient, error)
    assert best is not None
    _, coefficient, error = best
    return Prediction(error, features @ (right.T @ (value * (left.T @ coefficient))))
