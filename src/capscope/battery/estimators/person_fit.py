"""Person fit: whether a model's answer pattern is like that of past models of the same ability."""

import numpy as np
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats

STRANGE_SPREAD = 3.0
"""A statistic of a model unlike the past ones has this many times the standard deviation it has for past ones."""
MISFITS = 0.02
"""Prior share of models whose answer pattern is unlike that of past models."""
LEAST_SPREAD = 0.5
"""The standardised pattern fit of past models has an sd of about 1; less than this is an accident of few answers."""


def strange_log_odds(square: FloatArray) -> FloatArray:
    """Return the log likelihood ratio of a value for a model unlike the past ones against one like them.

    Args:
        square: Square of the value over the mean square of past models.
    """
    wide = STRANGE_SPREAD**2 / (1 + STRANGE_SPREAD**2)
    return 0.5 * wide * square - 0.5 * np.log1p(STRANGE_SPREAD**2)


def pattern_fit(score: FloatArray, residual: FloatArray) -> RowFloats:
    """Return the standardised log-likelihood of each model's answers (Drasgow, Levine & Williams, 1985).

    Low values mean answers that the model's ability does not explain.

    Args:
        score: Scores (model, drawn).
        residual: Scores minus their chances.
    """
    odds = logit(np.clip(score - residual, 1e-6, 1 - 1e-6))
    spread = (expit(odds) * expit(-odds) * odds**2).sum(1)
    return (residual * odds).sum(1) / np.sqrt(np.maximum(spread, 1e-9))


def chance_misfit(new: RowFloats, past: FloatArray) -> RowFloats:
    """Return the probability that each new model's pattern is unlike that of every past model, such as guesses.

    Args:
        new: Pattern fit of the new models.
        past: Pattern fit of the past models on the same items.
    """
    low = np.minimum((new - past.mean()) / max(float(past.std()), LEAST_SPREAD), 0)
    return expit(logit(MISFITS) + strange_log_odds(low**2))
