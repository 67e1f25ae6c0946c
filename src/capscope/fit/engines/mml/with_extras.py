"""Marginal maximum likelihood with a head: floors and ceilings, grades, bounded scores, for many persons, few items.

The objective is that of `marginal` with the head's log-likelihood in place of the logistic's, and a prior on the
extras where the head has one that is not flat. Nodes are adapted to each person and visited one at a time.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.engines.mml.binary import MOST_CELLS, NODES
from capscope.fit.engines.score_cells import ScoreModelCells, score_model_cells
from capscope.fit.irt.item_extras import ItemExtras
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.score_models.extra_priors import ExtraPrior
from capscope.fit.irt.score_models.score_model import ScoreModel
from capscope.fit.outcome import Outcome, Status

MODE_STEPS = 25
"""Most Newton steps to a person's mode."""


@dataclass(frozen=True)
class MarginalExtrasPosterior:
    """Items by marginal maximum likelihood (or maximum a posteriori for extras with a prior)."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    head: ScoreModel
    """Distribution of the scores."""
    parameters: Float[np.ndarray, "item param"]
    """Slope, intercept and the extras' coordinates of each item."""
    covariance: Float[np.ndarray, "item param param"]
    """Their covariances, from Louis' cross-products and the prior's curvature."""
    typical: Float[np.ndarray, "coordinate 2"]
    """Shape of a typical new item and its variance."""
    ability_mean: Float[np.ndarray, " model"]
    """Expected a posteriori abilities."""
    ability_sd: Float[np.ndarray, " model"]
    """Posterior standard deviations of the abilities."""
    log_likelihood: float
    """Marginal log-likelihood at the estimates, without the prior of the extras."""

    @property
    def slope(self) -> Float[np.ndarray, " item"]:
        """Slopes a."""
        return self.parameters[:, 0]

    @property
    def intercept(self) -> Float[np.ndarray, " item"]:
        """Intercepts d."""
        return self.parameters[:, 1]

    def as_irt(self, model_name: str) -> IRTPosterior:
        """The same fit as a posterior that predicts, profiles and scores like any other.

        Args:
            model_name: What was fitted.
        """
        items, cov = np.ascontiguousarray(self.parameters[:, :2]), np.ascontiguousarray(self.covariance[:, :2, :2])
        shape_cov, shared = self.covariance[:, 2:, 2:], self.covariance[:, :2, 2:]
        covariance_inflation = shared @ np.linalg.pinv(shape_cov, hermitian=True) @ shared.transpose(0, 2, 1)
        extras = ItemExtras(
            self.head.code,
            np.ascontiguousarray(self.parameters[:, 2:]),
            np.ascontiguousarray(shape_cov),
            covariance_inflation,
            np.ascontiguousarray(self.typical[:, 0]),
            np.ascontiguousarray(self.typical[:, 1]),
        )
        between = np.cov(items.T, ddof=0) + 1e-6 * np.eye(2)
        nothing = np.zeros(0)
        population = ItemPopulation(
            "signed", items.mean(0), np.zeros((2, 0)), between, np.zeros((2, 0, 0)), nothing, nothing
        )
        ability, variance = self.ability_mean[:, None], self.ability_sd[:, None, None] ** 2
        return IRTPosterior(
            self.models,
            self.items,
            ability,
            variance,
            items,
            cov,
            items,
            cov,
            population,
            extras.floor,
            model_name,
            extras,
        )


@dataclass(frozen=True)
class _Nodes:
    ability: Tensor
    share: Tensor
    log_marginal: Tensor


@dataclass(frozen=True)
class _World:
    """Scores, priors and which coordinates are free."""

    cells: ScoreModelCells
    priors: tuple[ExtraPrior, ...]
    flat: bool

    @property
    def free(self) -> list[int]:
        """Columns of the parameters that are estimated."""
        return [0, 1, *(2 + k for k, prior in enumerate(self.priors) if prior.free)]

    def parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        return parameters[:, 0], parameters[:, 1], tuple(part[None, :] for part in parameters[:, 2:].T)


def fit_marginal_extras(
    responses: Responses, head: ScoreModel, flat: bool = False, max_steps: int = 300
) -> Outcome[MarginalExtrasPosterior]:
    """Fit slopes, intercepts and extras by marginal maximum likelihood; abilities are N(0, 1).

    Args:
        responses: Observed responses.
        head: Distribution of the scores.
        flat: Leave the extras without a prior.
        max_steps: Most steps of the quasi-Newton search.

    Raises:
        FitError: The matrix is too large for this engine.
    """
    n_models, n_items = len(responses.models), len(responses.items)
    if n_models * n_items > MOST_CELLS:
        raise FitError(f"engine 'mml' is for at most {MOST_CELLS:,} cells; use the default engine")
    priors = head.start()
    start = torch.stack([prior.start.expand(n_items) for prior in priors], 1)
    cells = score_model_cells(responses, head, start)
    cells = ScoreModelCells(cells.score.double(), cells.trials.double(), head, start)
    world = _World(cells, priors, flat)
    values = torch.cat([torch.ones(n_items, 1).double(), _start_intercepts(cells)[:, None], start], 1)
    free = world.free
    history: list[float] = []

    def placed(vector: FloatArray) -> Tensor:
        whole = values.clone()
        whole[:, free] = torch.from_numpy(vector.reshape(n_items, len(free)))
        return whole

    def objective(vector: FloatArray) -> tuple[float, FloatArray]:
        parameters = placed(vector)
        nodes = _adapted(world, parameters)
        gradient = _person_scores(world, parameters, nodes).sum(0) + _prior_gradient(world, parameters)
        history.append(float(nodes.log_marginal.sum()))
        return -history[-1] - _log_prior(world, parameters), -gradient[:, free].numpy().ravel()

    from scipy.optimize import minimize

    found = minimize(
        objective,
        values[:, free].numpy().ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "ftol": 1e-11, "gtol": 1e-4},
    )
    posterior = _posterior(responses, world, placed(found.x))
    advice = () if found.success else ("still moving; raise max_steps",)
    status = Status(bool(found.success), "converged" if found.success else "still-moving", advice)
    return Outcome(posterior, status, tuple(history))


def _start_intercepts(cells: ScoreModelCells) -> Tensor:
    right, trials = (cells.score * cells.trials).sum(0), cells.trials.sum(0)
    return torch.logit((right + 0.5) / (trials + 1))


def _log_prior(world: _World, parameters: Tensor) -> float:
    if world.flat:
        return 0.0
    free = [(prior, parameters[:, 2 + k]) for k, prior in enumerate(world.priors) if prior.free]
    return float(np.sum([float(prior.log_density(value).sum()) for prior, value in free]))


def _prior_gradient(world: _World, parameters: Tensor) -> Tensor:
    gradient = torch.zeros_like(parameters)
    for k, prior in enumerate(world.priors):
        if prior.free and not world.flat:
            gradient[:, 2 + k] = prior.gradient(parameters[:, 2 + k])
    return gradient


def _adapted(world: _World, parameters: Tensor) -> _Nodes:
    """Nodes around each person's mode, scaled by the curvature there."""
    slope, intercept, extras = world.parts(parameters)
    cells, known = world.cells, torch.zeros(1, 1, dtype=torch.float64)
    mode = torch.zeros(cells.shape[0], dtype=torch.float64)
    precision = torch.ones_like(mode)
    for _ in range(MODE_STEPS):
        logit = mode[:, None] * slope + intercept
        residual, curvature = cells.head.residuals(cells.score, cells.trials, logit, known, extras)
        precision = 1 + (curvature @ slope.square()).clamp_min(0)
        step = ((residual @ slope - mode) / precision).clamp(-1.5, 1.5)
        mode = mode + step
        if float(step.abs().max()) < 1e-7:
            break
    sd = precision.rsqrt()
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    ability = mode[:, None] + sd[:, None] * torch.from_numpy(node)
    fit = torch.stack([_log_likelihood(world, ability[:, q], parameters) for q in range(NODES)], 1)
    log_density = fit - 0.5 * ability**2 + torch.from_numpy(0.5 * node**2 + np.log(weight)) + torch.log(sd)[:, None]
    log_marginal = torch.logsumexp(log_density, 1)
    return _Nodes(ability, torch.exp(log_density - log_marginal[:, None]), log_marginal - 0.5 * np.log(2 * np.pi))


def _log_likelihood(world: _World, ability: Tensor, parameters: Tensor) -> Tensor:
    slope, intercept, extras = world.parts(parameters)
    cells, logit = world.cells, ability[:, None] * slope + intercept
    known = torch.zeros(1, 1, dtype=torch.float64)
    return cells.head.log_likelihood(cells.score, cells.trials, logit, known, extras).sum(1)


def _person_scores(world: _World, parameters: Tensor, nodes: _Nodes) -> Float[Tensor, "model item param"]:
    """Each person's gradient of the marginal log-likelihood (Fisher's identity)."""
    slope, intercept, extras = world.parts(parameters)
    cells, known = world.cells, torch.zeros(1, 1, dtype=torch.float64)
    total = torch.zeros(*cells.shape, parameters.shape[1], dtype=torch.float64)
    for q in range(nodes.ability.shape[1]):
        ability, share = nodes.ability[:, q, None], nodes.share[:, q, None]
        logit = ability * slope + intercept
        residual, _ = cells.head.residuals(cells.score, cells.trials, logit, known, extras)
        total[:, :, 0] += share * ability * residual
        total[:, :, 1] += share * residual
        for k, gradient in enumerate(cells.head.derivatives(cells.score, cells.trials, logit, known, extras).gradient):
            total[:, :, 2 + k] += share * gradient
    return total


def _posterior(responses: Responses, world: _World, parameters: Tensor) -> MarginalExtrasPosterior:
    if float(parameters[:, 0].mean()) < 0:
        parameters = parameters * torch.tensor([-1.0, *[1.0] * (parameters.shape[1] - 1)], dtype=torch.float64)
    nodes = _adapted(world, parameters)
    mean = (nodes.share * nodes.ability).sum(1)
    sd = (nodes.share * (nodes.ability - mean[:, None]).square()).sum(1).sqrt()
    return MarginalExtrasPosterior(
        responses.models,
        responses.items,
        world.cells.head,
        parameters.numpy(),
        _covariance(world, parameters, nodes),
        np.array([prior.typical for prior in world.priors]),
        mean.numpy(),
        sd.numpy(),
        float(nodes.log_marginal.sum()),
    )


def _covariance(world: _World, parameters: Tensor, nodes: _Nodes) -> FloatArray:
    """Blocks of the inverse information, item by item."""
    n_items, n_params = parameters.shape
    free = world.free
    scores = _person_scores(world, parameters, nodes)[:, :, free].flatten(1)
    information = scores.T @ scores
    for place, column in enumerate(free):
        if column >= 2 and not world.flat:
            curvature = world.priors[column - 2].precision(parameters[:, column])
            at = torch.arange(n_items) * len(free) + place
            information[at, at] += curvature
    cov = torch.linalg.pinv(information, hermitian=True)
    blocks = torch.zeros(n_items, n_params, n_params, dtype=torch.float64)
    at = torch.arange(n_items * len(free)).reshape(n_items, len(free))
    index = torch.tensor(free)
    blocks[:, index[:, None], index[None, :]] = cov[at[:, :, None], at[:, None, :]]
    return blocks.numpy()
