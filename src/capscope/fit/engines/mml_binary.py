"""Marginal maximum likelihood for many persons and few items, with adaptive quadrature.

The objective and its gradient are those of Bock & Aitkin (1981), climbed by a quasi-Newton search in place of EM
steps. The nodes of each person stand around that person's own posterior mode (Rabe-Hesketh, Skrondal & Pickles, 2002;
Naylor & Smith, 1982), so that they cannot fall between the nodes of a fixed grid however many items there are.
Abilities are N(0, 1) in the population; there are no priors on items.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_expit, logsumexp

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.cells.response_summary import summarise
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.outcome import Outcome, Status

NODES = 31
"""Quadrature nodes of each person; more nodes leave the log-likelihood unchanged to four decimals."""

MOST_CELLS = 5_000_000
"""Persons times items up to which this engine is offered."""


@dataclass(frozen=True)
class MarginalPosterior:
    """Items by marginal maximum likelihood, abilities by their posteriors given the items."""

    models: tuple[str, ...]
    """Names on the model axis; the persons of the classical examples."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    slope: Float[np.ndarray, " item"]
    """Slopes a; one value for all under Rasch."""
    intercept: Float[np.ndarray, " item"]
    """Intercepts d; log-odds are ``a theta + d``."""
    slope_se: Float[np.ndarray, " item"]
    """Standard errors of the slopes, from the observed information by Louis' cross-products."""
    intercept_se: Float[np.ndarray, " item"]
    """Standard errors of the intercepts."""
    ability_mean: Float[np.ndarray, " model"]
    """Expected a posteriori abilities."""
    ability_sd: Float[np.ndarray, " model"]
    """Posterior standard deviations of the abilities."""
    ability_mode: Float[np.ndarray, " model"]
    """Maximum a posteriori abilities."""
    log_likelihood: float
    """Marginal log-likelihood at the estimates."""

    def as_irt(self, model_name: str = "2pl") -> IRTPosterior:
        """Convert to the posterior that all engines return.

        Items are independent Gaussians with the standard errors; the population of items has the mean and covariance of
        the estimates.

        Args:
            model_name: What was fitted: ``2pl`` or ``rasch``.
        """
        items = np.column_stack([self.slope, self.intercept])
        spread = np.column_stack([self.slope_se, self.intercept_se]) ** 2
        cov = spread[:, :, None] * np.eye(2)
        between = np.cov(items.T, ddof=0) + 1e-6 * np.eye(2)
        nothing = np.zeros(0)
        population = ItemPopulation(
            "signed", items.mean(0), np.zeros((2, 0)), between, np.zeros((2, 0, 0)), nothing, nothing, is_prior=False
        )
        ability, variance = self.ability_mean[:, None], self.ability_sd[:, None, None] ** 2
        floor = np.zeros(len(self.items))
        return IRTPosterior(
            self.models, self.items, ability, variance, items, cov, items, cov, population, floor, model_name
        )

    @property
    def difficulty(self) -> Float[np.ndarray, " item"]:
        """Difficulties ``b = -d / a``."""
        return -self.intercept / self.slope


@dataclass(frozen=True)
class _Table:
    """Answers as a dense table; NaN-free, with trials 0 where nothing was administered."""

    right: FloatArray
    wrong: FloatArray


@dataclass(frozen=True)
class _Nodes:
    """Quadrature nodes of each person, and the posterior of the person's ability at them."""

    ability: FloatArray
    share: FloatArray
    log_marginal: FloatArray
    mode: FloatArray


def fit_marginal(
    responses: Responses, rasch: bool = False, tolerance: float = 1e-12, max_steps: int = 500
) -> Outcome[MarginalPosterior]:
    """Fit a Rasch or two-parameter model by marginal maximum likelihood.

    Args:
        responses: Observed responses; scores in [0, 1] with trials count as quasi-binomial.
        rasch: One slope for all items.
        tolerance: Gain in log-likelihood, relative, under which to stop.
        max_steps: Most steps of the quasi-Newton search.

    Returns:
        Posterior, status and history.

    Raises:
        FitError: The matrix is too large for this engine, or an item has only right or only wrong answers.
    """
    summarise(responses)
    table = _table(responses)
    n_items = len(responses.items)
    start = np.concatenate([np.ones(1 if rasch else n_items), _start_intercepts(table)])
    history: list[float] = []

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        slope, intercept = _unpacked(parameters, n_items)
        nodes = _adapted(table, slope, intercept)
        by_slope, by_intercept = _scores(table, nodes, slope, intercept)
        gradient_slope = by_slope.sum(0)
        if rasch:
            gradient_slope = gradient_slope.sum(keepdims=True)
        history.append(float(nodes.log_marginal.sum()))
        return -history[-1], -np.concatenate([gradient_slope, by_intercept.sum(0)])

    from scipy.optimize import minimize

    optimum = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "ftol": tolerance, "gtol": 1e-5},
    )
    slope, intercept = _unpacked(optimum.x, n_items)
    posterior = _posterior(responses, table, slope, intercept, rasch)
    advice = () if optimum.success else ("still moving; raise max_steps",)
    status = Status(bool(optimum.success), "converged" if optimum.success else "still-moving", advice)
    return Outcome(posterior, status, tuple(history))


def _table(responses: Responses) -> _Table:
    shape = (len(responses.models), len(responses.items))
    if shape[0] * shape[1] > MOST_CELLS:
        raise FitError(f"engine 'mml' is for at most {MOST_CELLS:,} cells; use the default engine")
    right, wrong = np.zeros(shape), np.zeros(shape)
    where = (responses.model_index, responses.item_index)
    np.add.at(right, where, responses.n_trials * responses.score)
    np.add.at(wrong, where, responses.n_trials * (1 - responses.score))
    flat = np.flatnonzero((right.sum(0) <= 0) | (wrong.sum(0) <= 0))
    if len(flat):
        item = responses.items[flat[0]]
        raise FitError(f"engine 'mml': item {item} has only right or only wrong answers; drop it, or use the default")
    return _Table(right, wrong)


def _start_intercepts(table: _Table) -> FloatArray:
    return np.log(table.right.sum(0) / table.wrong.sum(0)) * 1.2


def _unpacked(parameters: FloatArray, n_items: int) -> tuple[FloatArray, FloatArray]:
    return np.broadcast_to(parameters[:-n_items], n_items), parameters[-n_items:]


def _adapted(table: _Table, slope: FloatArray, intercept: FloatArray) -> _Nodes:
    """Nodes around each person's mode, scaled by the curvature there."""
    mode = np.zeros(len(table.right))
    trials = table.right + table.wrong
    precision = np.ones_like(mode)
    for _ in range(12):
        p = expit(mode[:, None] * slope + intercept)
        precision = 1 + (trials * p * (1 - p)) @ slope**2
        step = ((table.right - trials * p) @ slope - mode) / precision
        mode = mode + np.clip(step, -1.5, 1.5)
        if np.abs(step).max() < 1e-9:
            break
    sd = 1 / np.sqrt(precision)
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    ability = mode[:, None] + sd[:, None] * node
    logit = ability[:, :, None] * slope + intercept
    fit = np.einsum("mi,mqi->mq", table.right, log_expit(logit))
    fit += np.einsum("mi,mqi->mq", table.wrong, log_expit(-logit))
    log_density = fit - 0.5 * ability**2 + 0.5 * node**2 + np.log(weight) + np.log(sd)[:, None]
    log_marginal = logsumexp(log_density, axis=1)
    share = np.exp(log_density - log_marginal[:, None])
    return _Nodes(ability, share, log_marginal - 0.5 * np.log(2 * np.pi), mode)


def _scores(table: _Table, nodes: _Nodes, slope: FloatArray, intercept: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each person's gradient of the marginal log-likelihood (Fisher's identity): by slope and by intercept."""
    p = expit(nodes.ability[:, :, None] * slope + intercept)
    trials = table.right + table.wrong
    mean_p = np.einsum("mq,mqi->mi", nodes.share, p)
    mean_ability = (nodes.share * nodes.ability).sum(1)
    mean_both = np.einsum("mq,mqi->mi", nodes.share * nodes.ability, p)
    return table.right * mean_ability[:, None] - trials * mean_both, table.right - trials * mean_p


def _posterior(
    responses: Responses, table: _Table, slope: FloatArray, intercept: FloatArray, rasch: bool
) -> MarginalPosterior:
    sign = -1.0 if slope.mean() < 0 else 1.0
    slope = sign * slope
    nodes = _adapted(table, slope, intercept)
    by_slope, by_intercept = _scores(table, nodes, slope, intercept)
    if rasch:
        by_slope = by_slope.sum(1, keepdims=True)
    scores = np.concatenate([by_slope, by_intercept], 1)
    se = np.sqrt(np.maximum(np.diagonal(np.linalg.pinv(scores.T @ scores)), 0))
    mean = (nodes.share * nodes.ability).sum(1)
    sd = np.sqrt((nodes.share * (nodes.ability - mean[:, None]) ** 2).sum(1))
    n_items = len(responses.items)
    return MarginalPosterior(
        responses.models,
        responses.items,
        np.array(slope),
        intercept,
        np.array(np.broadcast_to(se[:-n_items], n_items)),
        se[-n_items:],
        mean,
        sd,
        nodes.mode,
        float(nodes.log_marginal.sum()),
    )
