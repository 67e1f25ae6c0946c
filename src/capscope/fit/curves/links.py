"""Subject characteristic curves: P(success) of one model against the demand level of one dimension.

The log-odds fall in a straight line, ``slope * (midpoint - level)``; the area under the curve is the model's ability.
The formulas use operators only, so that they serve numpy arrays and torch tensors alike.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from capscope.axes import FloatArray

AREA_TOP = 10.0
"""Upper end of the demand scale over which the area under a curve is taken (Zhou et al., 2026)."""

Number = TypeVar("Number", float, torch.Tensor, NDArray[np.floating])


def curve_log_odds(midpoint: Number, slope: Number, level: Number) -> Number:
    """Log-odds of success at a demand level; the arguments broadcast.

    Args:
        midpoint: Demand level at which success has even odds.
        slope: Log-odds lost with each level, positive.
        level: Demand level.
    """
    return slope * (midpoint - level)


def curve_area(midpoint: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Area under a curve over demand levels 0 to 10, in demand levels: the ability (Zhou et al., 2026).

    For a curve that starts near 1 and ends near 0 this is the midpoint; unlike the midpoint it is never negative.
    """
    return (
        softplus(curve_log_odds(midpoint, slope, torch.zeros_like(midpoint)))
        - softplus(curve_log_odds(midpoint, slope, torch.full_like(midpoint, AREA_TOP)))
    ) / slope


def trapezoid_area(probability: FloatArray, grid: FloatArray) -> FloatArray:
    """Area under curves given on a grid of levels, along the last axis."""
    return np.asarray(np.trapezoid(probability, grid, axis=-1))
