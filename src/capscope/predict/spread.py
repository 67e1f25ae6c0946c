"""How far items depart from what was predicted of them: the spread of their log-odds, by the method of moments."""

import numpy as np

from capscope.data import Responses
from capscope.fit import PROBIT_SCALE

LARGEST_SPREAD = 4.0
"""Standard deviations in log-odds beyond this say the same: nothing is known."""


def unexplained_sd(responses: Responses, chance: np.ndarray) -> float:
    """Standard deviation in log-odds of the items around chances that were predicted without their answers.

    All models' departures on an item share its effect. The variance of an item's mean departure is that effect, times
    the squared slope of the logistic, plus what the coin flips leave; items with one answer tell nothing. The chances
    integrate over the effect, so that their slope is attenuated by it (MacKay, 1992), which is undone at the end.

    Args:
        responses: Answers.
        chance: What was predicted of each, as (row,).
    """
    n_items = len(responses.items)
    count = np.bincount(responses.item_index, minlength=n_items)
    noise = chance * (1 - chance)
    sums = [
        np.bincount(responses.item_index, weights=values, minlength=n_items)
        for values in (responses.score - chance, noise / responses.n_trials, noise)
    ]
    several = count > 1
    slope = sums[2][several]
    excess = sums[0][several] ** 2 - sums[1][several]
    if not several.any() or slope.sum() <= 0:
        return 0.0
    seen = max(float(excess.sum() / (slope**2).sum()), 0.0)
    unattenuated = seen / max(1 - PROBIT_SCALE * seen, seen / LARGEST_SPREAD**2, 1e-9)
    return float(np.sqrt(unattenuated))
