"""Does a model's pattern of answers look like those of past models: right where those of its ability are right?"""

import numpy as np
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats

STRANGE_SPREAD = 3.0
"""What is measured of a model unlike the past ones spreads this many times as wide as it does for them."""
MISFITS = 0.02
"""Share of models expected to answer in a pattern of their own, before any answer."""
LEAST_SPREAD = 0.5
"""Patterns of past models spread by about 1; less than this is what a few answers or models happen to show."""


def strange_log_odds(square: FloatArray) -> FloatArray:
    """Log of how much likelier a value is for a model unlike the past ones than for one like them.

    Args:
        square: Square of the value over the mean square that past models have.
    """
    wide = STRANGE_SPREAD**2 / (1 + STRANGE_SPREAD**2)
    return 0.5 * wide * square - 0.5 * np.log1p(STRANGE_SPREAD**2)


def pattern_fit(score: FloatArray, residual: FloatArray) -> RowFloats:
    """Standardised log-likelihood of each model's answers (Drasgow, Levine & Williams, 1985); low where they surprise.

    Args:
        score: Scores (model, drawn).
        residual: The same less their chances.
    """
    odds = logit(np.clip(score - residual, 1e-6, 1 - 1e-6))
    spread = (expit(odds) * expit(-odds) * odds**2).sum(1)
    return (residual * odds).sum(1) / np.sqrt(np.maximum(spread, 1e-9))


def chance_misfit(new: RowFloats, past: FloatArray) -> RowFloats:
    """Chance that each new model answers in a pattern that no past model has, such as guesses.

    Args:
        new: Pattern fit of the new models.
        past: That of the past ones, to the same items.
    """
    low = np.minimum((new - past.mean()) / max(float(past.std()), LEAST_SPREAD), 0)
    return expit(logit(MISFITS) + strange_log_odds(low**2))
