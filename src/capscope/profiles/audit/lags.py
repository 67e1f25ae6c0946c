"""By how many places a model's rows are shifted, where items have an order: evidence beside a low agreement."""

import re
from dataclasses import dataclass

import numpy as np
from scipy import stats

from capscope.axes import FloatArray

FEWEST = 20
CLEAR = 0.01
"""A lag is named when chance alone brings one as good somewhere less often than this."""


@dataclass(frozen=True)
class Lag:
    """The shift under which a model's answers go best with the easiness of items."""

    places: int
    """How far each answer stands behind its item; rows that fall off one end come back at the other."""
    agreement: float
    """Correlation at this lag."""
    p: float
    """Chance of such a correlation at any lag without a shift."""


def natural_order(ids: list[str]) -> np.ndarray:
    """Positions that put ids in the order a person would, ``item/2`` before ``item/10``."""
    keys = [[(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", i)] for i in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.int64)


def best_lag(score: FloatArray, easy: FloatArray) -> Lag | None:
    """Find the cyclic shift that aligns a model's answers with the items' easiness, if one clearly does.

    Args:
        score: The model's answers in the order of its rows.
        easy: Easiness of the items in the same order, by the other models.
    """
    if len(score) < FEWEST or score.std() == 0 or easy.std() == 0:
        return None
    one, other = (score - score.mean()) / score.std(), (easy - easy.mean()) / easy.std()
    agreement = np.fft.irfft(np.fft.rfft(one) * np.conj(np.fft.rfft(other)), len(one)) / len(one)
    lag = int(agreement.argmax())
    p = float(min(stats.norm.sf(agreement[lag] * np.sqrt(len(one))) * len(one), 1.0))
    if lag == 0 or p > CLEAR:
        return None
    return Lag(lag if lag <= len(one) // 2 else lag - len(one), float(agreement[lag]), p)
