"""Draws of the effects of prompts whose distribution need not be Gaussian.

Paraphrases of a task are often alike but for a few that a model cannot make sense of. The Gaussian of the fit is
therefore only the centre of a Dirichlet process (Escobar & West, 1995): where answers are few the Gaussian decides,
where they are many the prompts themselves do.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import softmax
from scipy.stats import norm

from capscope.axes import FloatArray, RowFloats
from capscope.battery.prompts.fit import NODES, PromptFit, Prompts
from capscope.fit.links import log_likelihood

CONCENTRATION = 8.0
"""The Gaussian counts as much as so many prompts."""
STEPS = np.linspace(-6, 6, 121)
"""Grid of effects around their mean, in standard deviations."""
SWEEPS = 4
"""Rounds from each Gaussian draw; a few, so that where answers are few the draws stay as spread as they began."""


def shaped_draws(fit: PromptFit, count: int, rng: np.random.Generator) -> Iterator[tuple[Prompts, RowFloats]]:
    """Yield draws of the effects of prompts and of the locations of items.

    Items come from the Gaussian fit; given them, effects and their distribution are drawn in turn, exactly on a grid.
    Prompts with covariates keep the Gaussian of the fit, which is not one distribution for all of them.

    Args:
        fit: The Gaussian fit.
        count: Number of draws.
        rng: Source of chance.
    """
    if fit.best.cells.covariates is not None:
        yield from ((effect, location) for _, effect, location in fit.draws(count, rng))
        return
    grid = fit.best.mean.mean() + np.sqrt(fit.prompt_variance + fit.best.mean.var()) * STEPS
    for posterior, effect, location in fit.draws(count, rng):
        log_chance = _log_likelihood(fit, location, posterior.item_sd, grid)
        centre = norm.pdf(grid, effect.mean(), posterior.prompt_sd)
        place = np.abs(effect[:, None] - grid).argmin(1)
        for _ in range(SWEEPS):
            taken = np.bincount(place, minlength=len(grid))
            shape = rng.standard_gamma(CONCENTRATION * centre / centre.sum() + taken)
            place = _draw_places(softmax(log_chance + np.log(np.maximum(shape, 1e-300)), axis=1), rng)
        yield grid[place], location


def _log_likelihood(
    fit: PromptFit, location: RowFloats, item_sd: float, grid: Float[np.ndarray, " step"]
) -> Float[np.ndarray, "prompt step"]:
    """Log-likelihood of each prompt's answers at each effect, given where the items lie on their grid."""
    cells, node = fit.best.cells, np.searchsorted(item_sd * NODES, location - 1e-9)
    member = np.zeros((len(location), len(NODES)))
    member[np.arange(len(location)), node] = 1
    logit = item_sd * NODES[:, None] + grid
    wrong = log_likelihood(logit, np.zeros_like(logit))
    return (cells.right @ member) @ logit + (cells.trials @ member) @ wrong


def _draw_places(chance: FloatArray, rng: np.random.Generator) -> np.ndarray:
    total = chance.cumsum(1)
    return (total < rng.random((len(total), 1)) * total[:, -1:]).sum(1)
