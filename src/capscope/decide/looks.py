"""Several looks at growing data without losing coverage: an error rate spent a little at each look.

Bounds follow the spending function of O'Brien and Fleming's shape (Lan & DeMets, 1983), found by recursive integration
over the looks before (Armitage, McPherson & Rowe, 1969).
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import trapezoid
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from capscope.errors import InputError

GRID = 801
"""Points on which the distribution of the score is carried from look to look."""

WIDEST = 8.0
"""Bound in standard deviations at a look that may spend next to nothing."""


def spent_alpha(fraction: float, alpha: float) -> float:
    """Two-sided error rate that may be spent once this share of the information is in.

    Args:
        fraction: Share of the planned information, from 0 to 1.
        alpha: Error rate over all looks.
    """
    if fraction <= 0:
        return 0.0
    return float(2 * ndtr(-ndtri(1 - alpha / 2) / np.sqrt(min(fraction, 1.0))))


def look_quantiles(fractions: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Half-widths, in standard errors, of the interval at each look, such that all cover together.

    Args:
        fractions: Share of the planned information at each look, increasing, the last at most 1.
        alpha: Chance that any of the intervals misses.

    Raises:
        InputError: The shares do not increase from above 0 to at most 1.
    """
    share = np.asarray(fractions, float)
    if not len(share) or share[0] <= 0 or (np.diff(share) <= 0).any() or share[-1] > 1 + 1e-9:
        raise InputError("looks need shares of the planned answers that increase to at most 1, such as 0.5 1")
    bounds: list[float] = []
    grid = density = np.zeros(0)
    spent = 0.0
    for number, now in enumerate(share):
        target = spent_alpha(float(now), alpha)
        step = now - (share[number - 1] if number else 0.0)
        crossing = _crossing(grid, density, float(step), float(np.sqrt(now)))
        bound = _bound(crossing, target - spent)
        spent += crossing(bound)
        bounds.append(bound)
        grid, density = _carried(grid, density, float(step), bound * float(np.sqrt(now)))
    return bounds


def _bound(crossing: Callable[[float], float], increment: float) -> float:
    if crossing(WIDEST) >= increment:
        return WIDEST
    return float(brentq(lambda bound: crossing(bound) - increment, 0.0, WIDEST, xtol=1e-8))


def _crossing(grid: np.ndarray, density: np.ndarray, step: float, scale: float) -> Callable[[float], float]:
    """Chance of having stayed inside before and of crossing a bound at this look, as a function of the bound."""

    def chance(bound: float) -> float:
        edge = bound * scale
        if not len(grid):
            return float(2 * ndtr(-edge / np.sqrt(step)))
        above = np.exp(log_ndtr((grid - edge) / np.sqrt(step)))
        below = np.exp(log_ndtr((-edge - grid) / np.sqrt(step)))
        return float(trapezoid(density * (above + below), grid))

    return chance


def _carried(grid: np.ndarray, density: np.ndarray, step: float, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Density of the score at this look on the paths that stayed inside all bounds."""
    new = np.linspace(-edge, edge, GRID)
    if not len(grid):
        return new, np.exp(-0.5 * new**2 / step) / np.sqrt(2 * np.pi * step)
    kernel = np.exp(-0.5 * (new[:, None] - grid[None]) ** 2 / step) / np.sqrt(2 * np.pi * step)
    return new, trapezoid(kernel * density, grid, axis=1)
