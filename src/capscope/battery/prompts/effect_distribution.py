"""Draws of the effects of prompts from a distribution that need not be Gaussian.

Paraphrases of a task often have similar effects except for a few that a model does not understand, or they form two
groups. The distribution is therefore a Gaussian with an optional second group: fewer prompts, elsewhere or with a
larger standard deviation. The likelihood weighs the alternatives on a grid, and a Dirichlet process around them
(Escobar & West, 1995) allows other distributions.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, softmax
from scipy.stats import norm

from capscope.axes import FloatArray, RowFloats
from capscope.battery.prompts.prompt_fit import NODES, PROMPT_SDS, PromptFit, PromptPrior, Prompts
from capscope.fit.links import log_likelihood

SHARES = (0.03, 0.08, 0.2, 0.4)
"""Shares of prompts that a second group may hold."""
PLACES = ((-3.0, 0.7), (-1.5, 0.5), (0.0, 1.5), (1.5, 0.5), (3.0, 0.7))
"""Place of the second group relative to the first, and its standard deviation, in log-odds."""
GROUPS = np.array([(0.0, 0.0, 1.0), *((share, *place) for share in SHARES for place in PLACES)])
"""Second groups: share, place, standard deviation; the first row means none."""
SINGLE = 0.5
"""Prior probability of no second group."""
CONCENTRATION = 20.0
"""Concentration of the Dirichlet process: the weight of both groups, in numbers of prompts."""
ITEM_DRAWS = 6
"""Number of draws of the items' locations over which the weights of distributions are averaged."""
CENTRES = np.linspace(-1, 1, 17)
"""Centres of the first group, relative to the mean effect, in standard deviations of effects."""
STEPS, REACH, LEAST_WINDOW = 141, 5.0, 0.15

Steps = Float[np.ndarray, " step"]
PromptStep = Float[np.ndarray, "prompt step"]


def effect_draws(fit: PromptFit, count: int, rng: np.random.Generator) -> Iterator[tuple[Prompts, RowFloats]]:
    """Yield draws of the effects of prompts and of the locations of items.

    Items come from the Gaussian fit; given them, the distribution and the effects are drawn on a grid. Prompts with
    covariates keep the Gaussian of the fit, because they have no common distribution.

    Args:
        fit: The Gaussian fit.
        count: Number of draws.
        rng: Source of randomness.
    """
    if fit.best.cells.covariates is not None:
        yield from ((effect, location) for _, effect, location in fit.draws(count, rng))
        return
    grid = effect_grid(fit)
    chance = distribution_weights(fit, grid, rng)
    for posterior, effect, location in fit.draws(count, rng):
        likelihood = _likelihood(fit, location, posterior.item_sd, grid)
        spread, group = divmod(int(rng.choice(chance.size, p=chance.ravel())), len(GROUPS))
        distributions = _distributions(grid, _centres(fit, effect), PROMPT_SDS[[spread]], GROUPS[[group]])[0, 0]
        distribution = distributions[
            rng.choice(len(distributions), p=softmax(_log_evidence(likelihood, distributions)))
        ]
        taken = np.bincount(_draw_places(likelihood * distribution, rng), minlength=len(grid))
        free = rng.standard_gamma(CONCENTRATION * distribution + taken)
        yield grid[_draw_places(likelihood * free, rng)], location


def effect_grid(fit: PromptFit) -> Steps:
    """Return effects on a grid about their mean: fine near it, coarse far from it."""
    mean, spread = fit.best.mean.mean(), _spread(fit)
    return mean + spread * np.sinh(np.linspace(-1, 1, STEPS) * np.arcsinh(max(6.0, REACH / spread)))


def distribution_weights(fit: PromptFit, grid: Steps, rng: np.random.Generator) -> Float[np.ndarray, "spread group"]:
    """Return the probability of each sd of the first group with each second group, given the answers."""
    alone = GROUPS[:, 0] == 0
    prior = np.log(np.where(alone, SINGLE, (1 - SINGLE) / (len(GROUPS) - 1)))
    prior = prior + np.array([PromptPrior(sd, fit.best.item_sd).log_weight for sd in PROMPT_SDS])[:, None]
    total = np.zeros(prior.shape)
    for posterior, effect, location in fit.draws(ITEM_DRAWS, rng):
        distributions = _distributions(grid, _centres(fit, effect), PROMPT_SDS, GROUPS)
        by_centre = _log_evidence(_likelihood(fit, location, posterior.item_sd, grid), distributions)
        evidence = prior + logsumexp(by_centre, axis=2)
        total += softmax(evidence) / ITEM_DRAWS
    return total


def _spread(fit: PromptFit) -> float:
    return float(np.sqrt(fit.prompt_variance + fit.best.mean.var()))


def _centres(fit: PromptFit, effect: Prompts) -> RowFloats:
    return effect.mean() + CENTRES * max(_spread(fit), LEAST_WINDOW)


def _distributions(
    grid: Steps, centre: FloatArray, spread: FloatArray, group: FloatArray
) -> Float[np.ndarray, "spread group centre step"]:
    """Return the probabilities of the steps of the grid under each distribution."""
    apart = grid - centre[:, None]
    first = norm.pdf(apart / spread[:, None, None]) / spread[:, None, None]
    second = norm.pdf((apart - group[:, 1, None, None]) / group[:, 2, None, None]) / group[:, 2, None, None]
    share = group[:, 0, None, None]
    density = ((1 - share) * first[:, None] + share * second) * np.gradient(grid)
    return density / density.sum(-1, keepdims=True)


def _log_evidence(likelihood: PromptStep, distributions: FloatArray) -> FloatArray:
    """Return the log-likelihood of all answers under each distribution (its last axis is the grid)."""
    chance = likelihood @ distributions.reshape(-1, distributions.shape[-1]).T
    return np.log(np.maximum(chance, 1e-300)).sum(0).reshape(distributions.shape[:-1])


def _likelihood(fit: PromptFit, location: RowFloats, item_sd: float, grid: Steps) -> PromptStep:
    """Return the likelihood of each prompt's answers at each effect, scaled to a maximum of 1, given the items."""
    cells, node = fit.best.cells, np.searchsorted(item_sd * NODES, location - 1e-9)
    member = np.zeros((len(location), len(NODES)))
    member[np.arange(len(location)), node] = 1
    logit = item_sd * NODES[:, None] + grid
    wrong = log_likelihood(logit, np.zeros_like(logit))
    log_likelihoods = (cells.right @ member) @ logit + (cells.trials @ member) @ wrong
    return np.exp(log_likelihoods - log_likelihoods.max(1, keepdims=True))


def _draw_places(chance: FloatArray, rng: np.random.Generator) -> np.ndarray:
    total = chance.cumsum(1)
    return (total < rng.random((len(total), 1)) * total[:, -1:]).sum(1)
