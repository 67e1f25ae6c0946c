"""Simulate level counts from the hierarchical curve model, with the abilities that made them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from capscope.axes import ModelDim
from capscope.data import LevelCounts
from capscope.fit.curves.program import CENTRE_LEVEL, detrending
from capscope.fit.links import curve_area, curve_log_odds


@dataclass(frozen=True)
class CurveWorld:
    """Sizes of the effects in a simulated world, standard deviations in log-odds (of slopes: of their logarithm)."""

    residual_sd: float = 0.3
    """What a dimension adds to the general ability."""
    dim_slope_sd: float = 0.4
    """How slopes differ between dimensions."""
    model_slope_sd: float = 0.2
    """How slopes differ between models."""
    level_effect_sd: float = 0.4
    """How levels depart from the straight line, alike for all models."""
    concentration: float = 80.0
    """Beta-binomial concentration of each cell."""


def simulate_counts(
    n: Float[np.ndarray, "model dim level"], world: CurveWorld, rng: np.random.Generator
) -> tuple[LevelCounts, ModelDim]:
    """Draw level counts for given numbers of answers.

    Args:
        n: Number of answers by model, dimension and level 0 to 5.
        world: Sizes of the effects.
        rng: Source of randomness.

    Returns:
        The counts and the true abilities, as areas under the curves.
    """
    n_models, n_dims, n_levels = n.shape
    general = rng.standard_normal(n_models)
    loading = np.exp(rng.normal(0.3, 0.2, n_dims))
    log_odds = rng.normal(0.5, 0.8, n_dims) + loading * general[:, None]
    log_odds = log_odds + world.residual_sd * rng.standard_normal(log_odds.shape)
    log_slope = rng.normal(0, world.dim_slope_sd, n_dims) + rng.normal(0, world.model_slope_sd, n_models)[:, None]
    slope, midpoint = np.exp(log_slope), CENTRE_LEVEL + log_odds / np.exp(log_slope)
    effect = _level_effects(n, world.level_effect_sd, rng)
    line = curve_log_odds(midpoint[..., None], slope[..., None], np.arange(n_levels, dtype=float))
    mean = 1 / (1 + np.exp(-(line + effect)))
    share = rng.beta(mean * world.concentration, (1 - mean) * world.concentration)
    counts = LevelCounts(
        tuple(f"model-{number:02d}" for number in range(n_models)),
        tuple(f"D{number:02d}" for number in range(n_dims)),
        n.astype(float),
        rng.binomial(n.astype(int), share).astype(float),
    )
    return counts, curve_area(torch.as_tensor(midpoint), torch.as_tensor(slope)).numpy()


def _level_effects(n: np.ndarray, sd: float, rng: np.random.Generator) -> Float[np.ndarray, "dim level"]:
    total = torch.as_tensor(n.sum(axis=0), dtype=torch.float64)
    cells = torch.nonzero(total > 0)
    effect = np.zeros(total.shape)
    drawn = torch.as_tensor(sd * rng.standard_normal(len(cells)))
    effect[cells[:, 0], cells[:, 1]] = (detrending(cells, total) @ drawn).numpy()
    return effect
