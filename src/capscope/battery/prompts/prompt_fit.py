"""A Rasch model of one model's answers with an effect for each prompt (Maia Polo et al., 2024).

The log-odds of prompt p on item i are ``u_p + v_i``. Items are integrated out on a grid of locations, so that items
may be seen under several prompts. Prompts have a Gaussian prior; its standard deviation, and the share of its variance
that covariates explain, are averaged over by their evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax

from capscope.axes import FloatArray, RowFloats
from capscope.fit.links import log_likelihood

LOCATION_SD = 3.0
"""Prior standard deviation of the ability at the average prompt, in log-odds."""
PROMPT_SDS = np.array([0.05, 0.12, 0.22, 0.35, 0.55, 0.8, 1.1, 1.6])
ITEM_SDS = np.array([0.3, 0.6, 0.9, 1.2, 1.6, 2.1, 2.8, 4.0])
PROMPT_SCALE, ITEM_SCALE = 0.6, 2.0
"""Scales of the half-normal priors of both standard deviations, in log-odds."""
EXPLAINED = (0.5, 0.95)
"""Shares of the variance of prompts that covariates may explain, beside none."""
PILOT_SD = 0.3
NODES = np.linspace(-4, 4, 49)
"""Grid of item locations, in standard deviations."""
WEAKEST_CURVATURE = 0.05

PromptItem = Float[np.ndarray, "prompt item"]
Prompts = Float[np.ndarray, " prompt"]


@dataclass(frozen=True)
class PromptCells:
    """Scores of one model under each prompt on each item."""

    score: PromptItem
    """Mean score of each cell; 0 where nothing was asked."""
    trials: PromptItem
    """Trials behind it; 0 where nothing was asked."""
    covariates: Float[np.ndarray, "prompt covariate"] | None = None
    """Covariates of each prompt, such as an embedding; None without."""

    @cached_property
    def right(self) -> PromptItem:
        """Trials that were right."""
        return self.score * self.trials

    @cached_property
    def similarity(self) -> FloatArray | None:
        """Similarity of prompts by their covariates, (prompt, prompt), with a mean of 1 on the diagonal."""
        if self.covariates is None:
            return None
        spread = self.covariates.std(0)
        centred = (self.covariates - self.covariates.mean(0)) / np.where(spread > 0, spread, 1)
        gram = centred @ centred.T
        return gram / max(float(np.diagonal(gram).mean()), 1e-12)


@dataclass(frozen=True)
class PromptPosterior:
    """Gaussian posterior of the effects of prompts at one prior."""

    cells: PromptCells
    """The answers it was fitted to."""
    prompt_sd: float
    """Prior standard deviation of prompts, in log-odds."""
    item_sd: float
    """Standard deviation of item locations, in log-odds."""
    mean: Prompts
    """Posterior mode of each prompt's log-odds on the average item."""
    root: Float[np.ndarray, "prompt prompt"]
    """A root of their covariance: ``mean + root @ z`` is a draw."""
    evidence: float
    """Log of the marginal likelihood times the prior of the standard deviations."""

    def item_weights(self, effect: Prompts) -> Float[np.ndarray, "item node"]:
        """Return the probabilities of each item's location on the grid, given the effects of prompts."""
        return softmax(_node_log_weights(self.cells, effect, self.item_sd), axis=1)

    def locations(self) -> tuple[RowFloats, RowFloats]:
        """Return means and variances of the items' locations at the mode, in log-odds."""
        weight, node = self.item_weights(self.mean), self.item_sd * NODES
        mean = weight @ node
        return mean, weight @ node**2 - mean**2


@dataclass(frozen=True)
class PromptFit:
    """Posteriors at several priors, weighted by their evidence."""

    posteriors: tuple[PromptPosterior, ...]
    """One for each prior."""

    @cached_property
    def weight(self) -> RowFloats:
        """Probability of each prior."""
        return softmax(np.array([each.evidence for each in self.posteriors]))

    @property
    def best(self) -> PromptPosterior:
        """The posterior at the most probable prior."""
        return self.posteriors[int(self.weight.argmax())]

    @property
    def prompt_variance(self) -> float:
        """Expected variance of the log-odds over prompts."""
        return float(self.weight @ np.array([each.prompt_sd**2 for each in self.posteriors]))

    def draws(self, count: int, rng: np.random.Generator) -> Iterator[tuple[PromptPosterior, Prompts, RowFloats]]:
        """Yield draws: a prior's posterior, the effects of prompts, and the locations of items.

        Args:
            count: Number of draws.
            rng: Source of randomness.
        """
        for chosen in rng.choice(len(self.weight), count, p=self.weight):
            posterior = self.posteriors[chosen]
            effect = posterior.mean + posterior.root @ rng.standard_normal(len(posterior.mean))
            total = posterior.item_weights(effect).cumsum(1)
            node = (total < rng.random((len(total), 1))).sum(1).clip(max=len(NODES) - 1)
            yield posterior, effect, posterior.item_sd * NODES[node]


def fit_prompts(cells: PromptCells) -> PromptFit:
    """Fit the effects of prompts and items of one model.

    The standard deviation of items is the most probable one at a middling standard deviation of prompts. The standard
    deviation of prompts, which decides how much prompts with few answers are shrunk, is integrated over.

    Args:
        cells: Answers by prompt and item.
    """
    start, best, item_sd = np.zeros(len(cells.trials)), -np.inf, float(ITEM_SDS[0])
    for tried in ITEM_SDS:
        pilot = _posterior(cells, PromptPrior(PILOT_SD, float(tried)), start)
        start = pilot.mean
        if pilot.evidence > best:
            best, item_sd = pilot.evidence, float(tried)
    explained = (0.0,) if cells.similarity is None else (0.0, *EXPLAINED)
    priors = [PromptPrior(float(sd), item_sd, share) for sd, share in product(PROMPT_SDS, explained)]
    return PromptFit(tuple(_posterior(cells, prior, start) for prior in priors))


@dataclass(frozen=True)
class PromptPrior:
    """Prior of the effects of prompts and items."""

    prompt_sd: float
    """Standard deviation of prompts, in log-odds."""
    item_sd: float
    """Standard deviation of item locations, in log-odds."""
    explained: float = 0.0
    """Share of the variance of prompts that their covariates explain."""

    def root(self, cells: PromptCells) -> FloatArray:
        """Return the lower Cholesky root of the covariance of the prompts' log-odds."""
        n_prompts = len(cells.trials)
        cov = (1 - self.explained) * np.eye(n_prompts)
        if cells.similarity is not None:
            cov += self.explained * cells.similarity
        return cholesky(self.prompt_sd**2 * cov + LOCATION_SD**2, lower=True)

    @property
    def log_weight(self) -> float:
        """Log of the prior of both standard deviations, times the interval that the first represents on its grid."""
        edges = np.concatenate([[0.0], (PROMPT_SDS[1:] + PROMPT_SDS[:-1]) / 2, PROMPT_SDS[-1:] * 1.2])
        interval = float(np.log(np.interp(self.prompt_sd, PROMPT_SDS, np.diff(edges))))
        return interval - 0.5 * (self.prompt_sd / PROMPT_SCALE) ** 2 - 0.5 * (self.item_sd / ITEM_SCALE) ** 2


def _posterior(cells: PromptCells, prior: PromptPrior, start: Prompts) -> PromptPosterior:
    """Return the Laplace approximation over prompts, in coordinates in which their prior is standard normal."""
    root = prior.root(cells)

    def loss(coordinate: RowFloats) -> tuple[float, RowFloats]:
        value, gradient = _marginal_likelihood(cells, root @ coordinate, prior.item_sd)
        return 0.5 * float(coordinate @ coordinate) - value, coordinate - root.T @ gradient

    first = solve_triangular(root, start, lower=True)
    optimum = minimize(loss, first, jac=True, method="L-BFGS-B")
    mode = root @ optimum.x
    curvature = np.eye(len(mode)) + root.T @ _information(cells, mode, prior.item_sd) @ root
    value, vectors = np.linalg.eigh(curvature)
    value = np.maximum(value, WEAKEST_CURVATURE)
    evidence = prior.log_weight - float(optimum.fun) - 0.5 * float(np.log(value).sum())
    return PromptPosterior(cells, prior.prompt_sd, prior.item_sd, mode, root @ (vectors / np.sqrt(value)), evidence)


def _node_log_weights(cells: PromptCells, effect: Prompts, item_sd: float) -> Float[np.ndarray, "item node"]:
    """Return the log of the likelihood of each item's answers times the prior, at each location."""
    logit = effect[:, None] + item_sd * NODES
    prior = -0.5 * NODES**2 - logsumexp(-0.5 * NODES**2)
    # right answers add the log-odds to the log chance of a wrong one
    return cells.right.T @ logit + cells.trials.T @ log_likelihood(logit, np.zeros_like(logit)) + prior


def _marginal_likelihood(cells: PromptCells, effect: Prompts, item_sd: float) -> tuple[float, Prompts]:
    """Return the log-likelihood with the items integrated out, and its gradient."""
    log_weight = _node_log_weights(cells, effect, item_sd)
    total = logsumexp(log_weight, axis=1)
    weight = np.exp(log_weight - total[:, None])
    chance = expit(effect[:, None] + item_sd * NODES)
    expected = ((cells.trials @ weight) * chance).sum(1)
    return float(total.sum()), cells.right.sum(1) - expected


def _information(cells: PromptCells, effect: Prompts, item_sd: float) -> Float[np.ndarray, "prompt prompt"]:
    """Return the curvature of the marginal likelihood: complete minus missing information (Louis, 1982).

    The uncertainty of an item moves its chances under all prompts together; that joint change is taken to be linear
    in the item's location.
    """
    weight = softmax(_node_log_weights(cells, effect, item_sd), axis=1)
    chance = expit(effect[:, None] + item_sd * NODES)
    complete = ((cells.trials @ weight) * chance * (1 - chance)).sum(1)
    mean = weight @ NODES
    centred = weight * (NODES - mean[:, None])
    spread = np.sqrt(np.maximum((centred * NODES).sum(1), 1e-12))
    moved = cells.trials * (chance @ centred.T) / spread
    return np.diag(complete) - moved @ moved.T
