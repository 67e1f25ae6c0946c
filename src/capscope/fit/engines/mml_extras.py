"""Marginal maximum likelihood as an engine, with a score model: floors and ceilings, grades, bounded scores.

The objective is that of `mml_binary` with the score model's log-likelihood in place of the logistic one, and a prior on
the extra parameters where the score model has one that is not flat. Quadrature nodes are adapted to each person.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from capscope.axes import FloatArray, RowFloats
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.cells.response_summary import summarise
from capscope.fit.engines.mml_binary import MOST_CELLS, NODES, fit_marginal
from capscope.fit.engines.score_cells import ScoreModelCells, score_model_cells
from capscope.fit.irt.advice import advise
from capscope.fit.irt.item_extras import ItemExtras
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.score_models import SCORE_MODELS
from capscope.fit.irt.score_models.score_model import ExtraPrior, ScoreModel
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.outcome import Outcome, Status

INDEPENDENT = (
    "mml counts repeated answers to an item as independent, which makes standard errors too small where they are alike;"
    " the default engine estimates how alike they are"
)
MODE_STEPS = 25
"""Most Newton steps to a person's mode."""


@dataclass(frozen=True)
class MarginalExtrasPosterior:
    """Items by marginal maximum likelihood (or maximum a posteriori for extras with a prior)."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    score_model: ScoreModel
    """Distribution of the scores."""
    parameters: Float[np.ndarray, "item param"]
    """Slope, intercept and the extras' coordinates of each item."""
    covariance: Float[np.ndarray, "item param param"]
    """Their covariances, from Louis' cross-products and the prior's curvature."""
    typical: Float[np.ndarray, "coordinate 2"]
    """Extras of a typical new item and their variances."""
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
        """Convert to the posterior that all engines return.

        Args:
            model_name: What was fitted.
        """
        items, cov = np.ascontiguousarray(self.parameters[:, :2]), np.ascontiguousarray(self.covariance[:, :2, :2])
        extras_cov, shared = self.covariance[:, 2:, 2:], self.covariance[:, :2, 2:]
        covariance_inflation = shared @ np.linalg.pinv(extras_cov, hermitian=True) @ shared.transpose(0, 2, 1)
        extras = ItemExtras(
            self.score_model.code,
            np.ascontiguousarray(self.parameters[:, 2:]),
            np.ascontiguousarray(extras_cov),
            covariance_inflation,
            np.ascontiguousarray(self.typical[:, 0]),
            np.ascontiguousarray(self.typical[:, 1]),
        )
        floor, estimated = extras.floor, bool((np.diagonal(extras_cov, axis1=1, axis2=2) > 0).any())
        between = np.cov(items.T, ddof=0) + 1e-6 * np.eye(2)
        nothing = np.zeros(0)
        population = ItemPopulation(
            "signed", items.mean(0), np.zeros((2, 0)), between, np.zeros((2, 0, 0)), nothing, nothing, is_prior=False
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
            floor,
            model_name,
            extras if estimated else None,
        )


@dataclass(frozen=True)
class _ExtrasNodes:
    ability: Tensor
    share: Tensor
    log_marginal: Tensor


@dataclass(frozen=True)
class _World:
    """Scores, priors and which parameters are free."""

    cells: ScoreModelCells
    priors: tuple[ExtraPrior, ...]
    flat: bool
    rasch: bool

    @property
    def free(self) -> list[int]:
        """Columns of the parameters that are estimated."""
        return [0, 1, *(2 + k for k, prior in enumerate(self.priors) if prior.free)]

    @property
    def places(self) -> Int[np.ndarray, "item param"]:
        """Position of each parameter in the optimised vector, the same for a common slope; -1 where it is fixed."""
        free, n_items = self.free, self.cells.shape[1]
        places = np.full((n_items, 2 + len(self.priors)), -1)
        if self.rasch:
            places[:, 0] = 0
            places[:, free[1:]] = 1 + np.arange(n_items * (len(free) - 1)).reshape(n_items, -1)
        else:
            places[:, free] = np.arange(n_items * len(free)).reshape(n_items, -1)
        return places

    def parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        return parameters[:, 0], parameters[:, 1], tuple(part[None, :] for part in parameters[:, 2:].T)

    def gathered(self, by_parameter: Tensor) -> Tensor:
        """Sums (row, item, param) over the parameters that share a place, as (row, place)."""
        places = torch.from_numpy(self.places)
        kept = places >= 0
        total = by_parameter.new_zeros(len(by_parameter), int(places.max()) + 1)
        return total.index_add_(1, places[kept], by_parameter[:, kept])


def fit_marginal_extras(
    responses: Responses, score_model: ScoreModel, flat: bool = False, max_steps: int = 300, rasch: bool = False
) -> Outcome[MarginalExtrasPosterior]:
    """Fit slopes, intercepts and extras by marginal maximum likelihood; abilities are N(0, 1).

    Args:
        responses: Observed responses.
        score_model: Distribution of the scores.
        flat: Leave the extras without a prior.
        max_steps: Most steps of the quasi-Newton search.
        rasch: One slope for all items.

    Returns:
        Posterior, status and history.

    Raises:
        FitError: The matrix is too large for this engine.
    """
    n_models, n_items = len(responses.models), len(responses.items)
    if n_models * n_items > MOST_CELLS:
        raise FitError(f"engine 'mml' is for at most {MOST_CELLS:,} cells; use the default engine")
    priors = score_model.start()
    start = torch.stack([prior.start.expand(n_items) for prior in priors], 1)
    cells = score_model_cells(responses, score_model, start)
    cells = ScoreModelCells(cells.score.double(), cells.trials.double(), score_model, start)
    world = _World(cells, priors, flat, rasch)
    values = torch.cat([torch.ones(n_items, 1).double(), _start_intercepts(cells)[:, None], start], 1)
    parameters, converged, history = _maximised(world, values, max_steps)
    advice = () if converged else ("still moving; raise max_steps",)
    status = Status(converged, "converged" if converged else "still-moving", advice)
    return Outcome(_posterior(responses, world, parameters), status, history)


def _maximised(world: "_World", values: Tensor, max_steps: int) -> tuple[Tensor, bool, tuple[float, ...]]:
    """Maximise the penalised marginal likelihood by L-BFGS.

    Args:
        world: Cells, priors and which parameters are free.
        values: Parameters of the items to start from (item, parameter).
        max_steps: Most steps.

    Returns:
        The parameters, whether the search converged, and the log-likelihood at each evaluation.
    """
    from scipy.optimize import minimize

    places, history = world.places, list[float]()
    kept = places >= 0

    def placed(vector: FloatArray) -> Tensor:
        whole = values.clone()
        whole[torch.from_numpy(kept)] = torch.from_numpy(vector[places[kept]])
        return whole

    def objective(vector: FloatArray) -> tuple[float, FloatArray]:
        parameters = placed(vector)
        nodes = _adapted(world, parameters)
        gradient = _person_scores(world, parameters, nodes).sum(0) + _prior_gradient(world, parameters)
        history.append(float(nodes.log_marginal.sum()))
        return -history[-1] - _log_prior(world, parameters), -world.gathered(gradient[None])[0].numpy()

    first = np.zeros(int(places.max()) + 1)
    first[places[kept]] = values.numpy()[kept]
    optimum = minimize(
        objective, first, jac=True, method="L-BFGS-B", options={"maxiter": max_steps, "ftol": 1e-11, "gtol": 1e-4}
    )
    return placed(optimum.x), bool(optimum.success), tuple(history)


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


def _adapted(world: _World, parameters: Tensor) -> _ExtrasNodes:
    """Nodes around each person's mode, scaled by the curvature there."""
    slope, intercept, extras = world.parts(parameters)
    cells, known = world.cells, torch.zeros(1, 1, dtype=torch.float64)
    mode = torch.zeros(cells.shape[0], dtype=torch.float64)
    precision = torch.ones_like(mode)
    for _ in range(MODE_STEPS):
        logit = mode[:, None] * slope + intercept
        residual, curvature = cells.score_model.residuals(cells.score, cells.trials, logit, known, extras)
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
    return _ExtrasNodes(ability, torch.exp(log_density - log_marginal[:, None]), log_marginal - 0.5 * np.log(2 * np.pi))


def _log_likelihood(world: _World, ability: Tensor, parameters: Tensor) -> Tensor:
    slope, intercept, extras = world.parts(parameters)
    cells, logit = world.cells, ability[:, None] * slope + intercept
    known = torch.zeros(1, 1, dtype=torch.float64)
    return cells.score_model.log_likelihood(cells.score, cells.trials, logit, known, extras).sum(1)


def _person_scores(world: _World, parameters: Tensor, nodes: _ExtrasNodes) -> Float[Tensor, "model item param"]:
    """Each person's gradient of the marginal log-likelihood (Fisher's identity)."""
    slope, intercept, extras = world.parts(parameters)
    cells, known = world.cells, torch.zeros(1, 1, dtype=torch.float64)
    total = torch.zeros(*cells.shape, parameters.shape[1], dtype=torch.float64)
    for q in range(nodes.ability.shape[1]):
        ability, share = nodes.ability[:, q, None], nodes.share[:, q, None]
        logit = ability * slope + intercept
        residual, _ = cells.score_model.residuals(cells.score, cells.trials, logit, known, extras)
        total[:, :, 0] += share * ability * residual
        total[:, :, 1] += share * residual
        for k, gradient in enumerate(
            cells.score_model.derivatives(cells.score, cells.trials, logit, known, extras).gradient
        ):
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
        world.cells.score_model,
        parameters.numpy(),
        _covariance(world, parameters, nodes),
        np.array([prior.typical for prior in world.priors]),
        mean.numpy(),
        sd.numpy(),
        float(nodes.log_marginal.sum()),
    )


def _covariance(world: _World, parameters: Tensor, nodes: _ExtrasNodes) -> FloatArray:
    """Blocks of the inverse information, item by item."""
    places = world.places
    scores = world.gathered(_person_scores(world, parameters, nodes))
    information = scores.T @ scores
    for column in world.free[2:]:
        if not world.flat:
            at = torch.from_numpy(places[:, column])
            information[at, at] += world.priors[column - 2].precision(parameters[:, column])
    cov = torch.linalg.pinv(information, hermitian=True).numpy()
    kept = places >= 0
    blocks = cov[places[:, :, None], places[:, None, :]]
    return np.where(kept[:, :, None] & kept[:, None, :], blocks, 0.0)


def fit_answers(responses: Responses, settings: IRTSettings, floor: RowFloats | None = None) -> Outcome[IRTPosterior]:
    """Fit items by marginal maximum likelihood, and abilities by their posteriors given the items.

    Args:
        responses: Observed responses.
        settings: What to fit.
        floor: Known chance of a right guess on each item; None for none.

    Raises:
        FitError: The responses cannot support the model.
    """
    rasch, floored = settings.model == "rasch", floor is not None and bool(np.any(floor))
    if settings.response != "auto" or settings.model in ("3pl", "4pl") or floored:
        score_model = SCORE_MODELS[settings.response].load().from_scores(responses.score, settings.model, floor)
        marginal = fit_marginal_extras(responses, score_model, flat=settings.response != "auto", rasch=rasch)
    else:
        marginal = fit_marginal(responses, rasch=rasch)
    posterior, summary = marginal.posterior.as_irt(settings.model), summarise(responses)
    status = advise(marginal.status, posterior, responses, summary)
    status = status if summary.one_trial else status.with_advice(INDEPENDENT)
    return Outcome(posterior, status, marginal.history)
