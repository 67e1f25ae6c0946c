"""Draws of the effects of prompts whose distribution need not be Gaussian.

Paraphrases of a task are often alike but for a few that a model cannot make sense of, or fall into two camps. The
distribution of their effects is a Gaussian and, perhaps, a second group beside it: fewer prompts, elsewhere or spread
more widely. Which it is, the likelihood decides on a grid, and a Dirichlet process around it (Escobar & West, 1995)
leaves room for other shapes.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, softmax
from scipy.stats import norm

from capscope.axes import FloatArray, RowFloats
from capscope.battery.prompts.fit import NODES, PROMPT_SDS, PromptFit, PromptPrior, Prompts
from capscope.fit.links import log_likelihood

SHARES = (0.03, 0.08, 0.2, 0.4)
"""Shares of prompts that a second group may hold."""
PLACES = ((-3.0, 0.7), (-1.5, 0.5), (0.0, 1.5), (1.5, 0.5), (3.0, 0.7))
"""Where it may lie beside the first, and how widely spread, in log-odds."""
GROUPS = np.array([(0.0, 0.0, 1.0), *((share, *place) for share in SHARES for place in PLACES)])
"""Second groups: share, place, spread. The first stands for none."""
SINGLE = 0.5
"""Chance that there is no second group, before any answer."""
CONCENTRATION = 20.0
"""Both groups together count as much as so many prompts; what they leave open, the prompts decide."""
ITEM_DRAWS = 6
"""The shape is weighed at so many draws of the items' locations."""
CENTRES = np.linspace(-1, 1, 17)
"""Where the first group may be centred, about the mean effect and in standard deviations of effects."""
STEPS, REACH, LEAST_WINDOW = 141, 5.0, 0.15

Steps = Float[np.ndarray, " step"]
PromptStep = Float[np.ndarray, "prompt step"]


def shaped_draws(fit: PromptFit, count: int, rng: np.random.Generator) -> Iterator[tuple[Prompts, RowFloats]]:
    """Yield draws of the effects of prompts and of the locations of items.

    Items come from the Gaussian fit; given them, the shape of the distribution and the effects are drawn on a grid.
    Prompts with covariates keep the Gaussian of the fit, which is not one distribution for all of them.

    Args:
        fit: The Gaussian fit.
        count: Number of draws.
        rng: Source of chance.
    """
    if fit.best.cells.covariates is not None:
        yield from ((effect, location) for _, effect, location in fit.draws(count, rng))
        return
    grid = effect_grid(fit)
    chance = shape_chances(fit, grid, rng)
    for posterior, effect, location in fit.draws(count, rng):
        likelihood = _likelihood(fit, location, posterior.item_sd, grid)
        spread, group = divmod(int(rng.choice(chance.size, p=chance.ravel())), len(GROUPS))
        shapes = _shapes(grid, _centres(fit, effect), PROMPT_SDS[[spread]], GROUPS[[group]])[0, 0]
        shape = shapes[rng.choice(len(shapes), p=softmax(_log_evidence(likelihood, shapes)))]
        taken = np.bincount(_draw_places(likelihood * shape, rng), minlength=len(grid))
        free = rng.standard_gamma(CONCENTRATION * shape + taken)
        yield grid[_draw_places(likelihood * free, rng)], location


def effect_grid(fit: PromptFit) -> Steps:
    """Effects on a grid about their mean: fine where most prompts are, coarse where a broken one may lie."""
    mean, spread = fit.best.mean.mean(), _spread(fit)
    return mean + spread * np.sinh(np.linspace(-1, 1, STEPS) * np.arcsinh(max(6.0, REACH / spread)))


def shape_chances(fit: PromptFit, grid: Steps, rng: np.random.Generator) -> Float[np.ndarray, "spread group"]:
    """Chance of each spread of the first group together with each second group, given the answers."""
    alone = GROUPS[:, 0] == 0
    prior = np.log(np.where(alone, SINGLE, (1 - SINGLE) / (len(GROUPS) - 1)))
    prior = prior + np.array([PromptPrior(sd, fit.best.item_sd).log_weight for sd in PROMPT_SDS])[:, None]
    total = np.zeros(prior.shape)
    for posterior, effect, location in fit.draws(ITEM_DRAWS, rng):
        shapes = _shapes(grid, _centres(fit, effect), PROMPT_SDS, GROUPS)
        found = _log_evidence(_likelihood(fit, location, posterior.item_sd, grid), shapes)
        evidence = prior + logsumexp(found, axis=2)
        total += softmax(evidence) / ITEM_DRAWS
    return total


def _spread(fit: PromptFit) -> float:
    return float(np.sqrt(fit.prompt_variance + fit.best.mean.var()))


def _centres(fit: PromptFit, effect: Prompts) -> RowFloats:
    return effect.mean() + CENTRES * max(_spread(fit), LEAST_WINDOW)


def _shapes(
    grid: Steps, centre: FloatArray, spread: FloatArray, group: FloatArray
) -> Float[np.ndarray, "spread group centre step"]:
    """Chances of the steps of the grid for each shape."""
    apart = grid - centre[:, None]
    first = norm.pdf(apart / spread[:, None, None]) / spread[:, None, None]
    second = norm.pdf((apart - group[:, 1, None, None]) / group[:, 2, None, None]) / group[:, 2, None, None]
    share = group[:, 0, None, None]
    density = ((1 - share) * first[:, None] + share * second) * np.gradient(grid)
    return density / density.sum(-1, keepdims=True)


def _log_evidence(likelihood: PromptStep, shapes: FloatArray) -> FloatArray:
    """Log-likelihood of all answers under each shape (its last axis is the grid)."""
    chance = likelihood @ shapes.reshape(-1, shapes.shape[-1]).T
    return np.log(np.maximum(chance, 1e-300)).sum(0).reshape(shapes.shape[:-1])


def _likelihood(fit: PromptFit, location: RowFloats, item_sd: float, grid: Steps) -> PromptStep:
    """Likelihood of each prompt's answers at each effect, its largest 1, given where the items lie on their grid."""
    cells, node = fit.best.cells, np.searchsorted(item_sd * NODES, location - 1e-9)
    member = np.zeros((len(location), len(NODES)))
    member[np.arange(len(location)), node] = 1
    logit = item_sd * NODES[:, None] + grid
    wrong = log_likelihood(logit, np.zeros_like(logit))
    found = (cells.right @ member) @ logit + (cells.trials @ member) @ wrong
    return np.exp(found - found.max(1, keepdims=True))


def _draw_places(chance: FloatArray, rng: np.random.Generator) -> np.ndarray:
    total = chance.cumsum(1)
    return (total < rng.random((len(total), 1)) * total[:, -1:]).sum(1)
