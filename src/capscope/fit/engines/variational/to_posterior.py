"""Conversion of the engine's tensors to a posterior, with a correction of item covariances for short tests.

The engine's posterior of an item conditions on the abilities' posteriors. With few items, an ability is estimated
mostly from the item itself, and the item's covariance is too small. For these tests the observed information of all
items is taken from the marginal likelihood at the engine's estimates, with the abilities integrated out by quadrature
around each model's mode (Louis, 1982), plus the items' prior.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import expit, log_expit, logsumexp

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.fit.cells.answers import Answers
from capscope.fit.engines.variational.extras import ExtrasState
from capscope.fit.engines.variational.problem import ItemCovariates, ModelChoice, Problem
from capscope.fit.engines.variational.sweeps import State
from capscope.fit.irt.item_extras import ItemExtras
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.score_models.binary import Binary

MOST_ITEMS = 100
"""Items up to which the uncertainty of abilities matters: 90 % intervals of the engine cover 84 % at 40 items."""

MOST_WORK = 2e9
"""Products up to which the information is computed."""

NODES = 21
"""Nodes of each model's ability."""

CELLS_AT_ONCE = 1 << 14
"""Models are worked on some at a time, so that the arrays over nodes stay small."""

MODE_STEPS = 25
LEAST_FLOOR = 1e-12


def make_posterior(
    answers: Answers, problem: Problem, choice: ModelChoice, state: State, side: ItemCovariates
) -> IRTPosterior:
    """Convert the last state of the engine to a posterior of numpy arrays.

    Args:
        answers: The fitted answers.
        problem: The same as cells on a device.
        choice: The fitted model.
        state: The last state.
        side: Known floors of the items.

    Returns:
        The posterior.
    """
    form = choice.item_form()
    moments, extras = form.moments(state.items), None
    floor = side.floor if side.floor is not None and choice.guess else np.zeros(len(answers.items))
    item_cov, native_cov = moments.cov, state.items.cov
    if state.extras is not None:
        whole = state.extras.inflated(state.items)
        item_cov, native_cov = form.moments(whole).cov, whole.cov
        extras = _item_extras(choice, state.extras, item_cov - moments.cov)
        floor = extras.floor
    population = ItemPopulation(
        choice.form,
        as_numpy(state.prior.intercept),
        as_numpy(state.prior.weight),
        as_numpy(state.prior.cov),
        as_numpy(problem.design.leverage(state.prior.ridge)),
        as_numpy(problem.design.center),
        as_numpy(problem.design.scale),
    )
    return IRTPosterior(
        models=answers.models,
        items=answers.items,
        ability_mean=as_numpy(state.models.mean[:, :-1]),
        ability_cov=as_numpy(state.models.cov[:, :-1, :-1]),
        item_mean=as_numpy(moments.mean),
        item_cov=as_numpy(item_cov),
        native_mean=as_numpy(state.items.mean),
        native_cov=as_numpy(native_cov),
        population=population,
        floor=floor,
        model_name=choice.name,
        extras=extras,
        trial_weight=problem.trial_weight,
    )


def _item_extras(choice: ModelChoice, extras: ExtrasState, covariance_inflation: torch.Tensor) -> ItemExtras:
    typical = np.array([prior.typical for prior in extras.priors])
    return ItemExtras(
        Binary.stored if choice.score_model is None else choice.score_model.code,
        as_numpy(extras.items.mean),
        as_numpy(extras.items.cov),
        as_numpy(covariance_inflation),
        np.ascontiguousarray(typical[:, 0]),
        np.ascontiguousarray(typical[:, 1]),
    )


def extended(
    fitted: IRTPosterior, answers: Answers, side: ItemCovariates, model: np.ndarray, item: np.ndarray
) -> IRTPosterior:
    """The posterior over all axes: models and items without an answer stay at their priors.

    Args:
        fitted: The fit of those with an answer.
        answers: All answers, for the axes.
        side: Covariates of all items.
        model: Positions of the fitted models.
        item: Positions of the fitted items.
    """
    if fitted.models == answers.models and fitted.items == answers.items:
        return fitted
    population, dims = fitted.population, fitted.dims
    ability_mean = np.zeros((len(answers.models), dims))
    ability_cov = np.tile(np.eye(dims), (len(answers.models), 1, 1))
    ability_mean[model], ability_cov[model] = fitted.ability_mean, fitted.ability_cov
    n_items = len(answers.items)
    item_mean, item_cov, native_mean, native_cov = _items_at_prior(population, side, n_items)
    for whole, part in (
        (item_mean, fitted.item_mean),
        (item_cov, fitted.item_cov),
        (native_mean, fitted.native_mean),
        (native_cov, fitted.native_cov),
    ):
        whole[item] = part
    floor, extras = side.floor if side.floor is not None and fitted.floor.any() else np.zeros(n_items), None
    if fitted.extras is not None:
        extras = fitted.extras.typical_items(n_items).placed(item, fitted.extras)
        floor = extras.floor
    inflation = None
    if fitted.ability_inflation is not None:
        inflation = np.zeros_like(item_cov)
        inflation[item] = fitted.ability_inflation
    return IRTPosterior(
        models=answers.models,
        items=answers.items,
        ability_mean=ability_mean,
        ability_cov=ability_cov,
        item_mean=item_mean,
        item_cov=item_cov,
        native_mean=native_mean,
        native_cov=native_cov,
        population=population,
        floor=floor,
        model_name=fitted.model_name,
        extras=extras,
        ability_inflation=inflation,
        trial_weight=fitted.trial_weight,
    )


def _items_at_prior(
    population: ItemPopulation, side: ItemCovariates, n_items: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means and covariances of all items at their prior, as linear and as native coordinates; masked slopes are 0."""
    mean, cov = population.moments(side.features, n_items)
    if side.loads_on is None:
        return mean, cov, *population.native(side.features, n_items)
    free = np.column_stack([side.loads_on, np.ones(n_items, bool)])
    mean, cov = mean * free, cov * free[:, :, None] * free[:, None, :]
    return mean, cov, mean.copy(), cov.copy()


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor outside of torch."""
    return np.ascontiguousarray(tensor.cpu().numpy())


@dataclass(frozen=True)
class ShortTest:
    """Pooled answers of models to few items, and the estimates."""

    right: FloatArray
    """Sum of scores, as (model, item)."""
    trials: FloatArray
    """Number of trials, as (model, item)."""
    item: FloatArray
    """Slopes and intercepts, as (item, 2)."""
    floor: FloatArray
    """Chance of a right guess on each item."""


def is_short(n_models: int, n_items: int) -> bool:
    """Whether the items are so few that the correction matters, and it is cheap.

    Args:
        n_models: Number of models.
        n_items: Number of items.
    """
    return n_items <= MOST_ITEMS and n_models * NODES * (2.0 * n_items) ** 2 <= MOST_WORK


def marginal_information(test: ShortTest) -> FloatArray:
    """Observed information of all slopes and intercepts, as (item * 2, item * 2), in the order of the items.

    Args:
        test: Answers and estimates.
    """
    n_models, n_items = test.right.shape
    total = np.zeros((2 * n_items, 2 * n_items))
    step = max(1, CELLS_AT_ONCE // n_items)
    for start in range(0, n_models, step):
        rows = slice(start, start + step)
        total += _information(ShortTest(test.right[rows], test.trials[rows], test.item, test.floor))
    return total


def _information(test: ShortTest) -> FloatArray:
    ability, share = _nodes(test)  # (model, node)
    score, curvature = _derivatives(test, ability)  # (model, node, item)
    n_items = test.item.shape[0]
    design = np.stack([ability, np.ones_like(ability)], -1)  # (model, node, 2)
    scores = (score[..., None] * design[:, :, None, :]).reshape(*ability.shape, 2 * n_items)
    mean = np.einsum("mq,mqk->mk", share, scores)
    weighted = (np.sqrt(share)[..., None] * scores).reshape(-1, 2 * n_items)
    missing = weighted.T @ weighted - mean.T @ mean
    complete = np.einsum("mq,mqi,mqa,mqb->iab", share, curvature, design, design, optimize=True)
    information = -missing
    at = 2 * np.arange(n_items)
    for a in range(2):
        for b in range(2):
            information[at + a, at + b] += complete[:, a, b]
    return information


def _derivatives(test: ShortTest, ability: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient and minus the curvature of each cell's log-likelihood in its log-odds, as (model, node, item)."""
    logit = ability[..., None] * test.item[:, 0] + test.item[:, 1]
    knowing = expit(logit)
    chance = test.floor + (1 - test.floor) * knowing
    knew = knowing / chance  # that a right answer was known
    right, trials = test.right[:, None, :], test.trials[:, None, :]
    score = right * knew - trials * knowing
    return score, trials * knowing * (1 - knowing) - right * knew * (1 - knew)


def _nodes(test: ShortTest) -> tuple[FloatArray, FloatArray]:
    """Abilities around each model's mode and their shares of its posterior under N(0, 1)."""
    slope = test.item[:, 0]
    mode, precision = np.zeros(len(test.right)), np.ones(len(test.right))
    for _ in range(MODE_STEPS):
        score, curvature = (part[:, 0] for part in _derivatives(test, mode[:, None]))
        precision = 1 + np.maximum(curvature @ slope**2, 0)
        step = np.clip((score @ slope - mode) / precision, -1.5, 1.5)
        mode = mode + step
        if np.abs(step).max() < 1e-8:
            break
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    ability = mode[:, None] + node / np.sqrt(precision)[:, None]
    logit = ability[..., None] * slope + test.item[:, 1]
    known, guessed = np.log1p(-test.floor) + log_expit(logit), np.log(np.maximum(test.floor, LEAST_FLOOR))
    wrong = (test.trials - test.right)[:, None, :]
    cells = test.right[:, None, :] * np.logaddexp(known, guessed) + wrong * (np.log1p(-test.floor) + log_expit(-logit))
    log_density = cells.sum(-1) - 0.5 * ability**2 + 0.5 * node**2 + np.log(weight)
    return ability, np.exp(log_density - logsumexp(log_density, axis=1, keepdims=True))


def blocks_of(matrix: FloatArray, size: int) -> FloatArray:
    """Diagonal blocks of a matrix, as (block, size, size).

    Args:
        matrix: A square matrix.
        size: Rows of a block.
    """
    n = len(matrix) // size
    at = np.arange(n)
    return matrix.reshape(n, size, n, size)[at, :, at, :]


def block_diagonal(blocks: FloatArray) -> FloatArray:
    """A square matrix with these blocks along its diagonal; the reverse of `blocks_of`."""
    n, size, _ = blocks.shape
    matrix = np.zeros((n, size, n, size))
    matrix[np.arange(n), :, np.arange(n), :] = blocks
    return matrix.reshape(n * size, n * size)


def missing_covariance(own: FloatArray, information: FloatArray, prior: FloatArray, free: FloatArray) -> FloatArray:
    """Covariance that uncertain abilities add to each item, as (item, param, param); positive semidefinite.

    Args:
        own: The engine's covariances, as (item, param, param).
        information: Observed information of the items' parameters, as (item * param, item * param).
        prior: Precision of the items' prior, as (param, param).
        free: 1 where a parameter is estimated, as (param,).
    """
    n_items, size = own.shape[:2]
    kept = np.tile(free > 0, n_items)
    precision = information + block_diagonal(np.broadcast_to(prior, (n_items, size, size)))
    cov = np.zeros_like(precision)
    try:
        cov[np.ix_(kept, kept)] = np.linalg.inv(precision[np.ix_(kept, kept)])
        np.linalg.cholesky(precision[np.ix_(kept, kept)])
    except np.linalg.LinAlgError:  # the answers alone do not determine the items
        return np.zeros_like(own)
    value, vector = np.linalg.eigh(blocks_of(cov, size) - own)
    return (vector * np.maximum(value, 0)[:, None, :]) @ vector.transpose(0, 2, 1)


def corrected(posterior: IRTPosterior, responses: Responses, choice: ModelChoice, state: State) -> IRTPosterior:
    """The posterior with item covariances that include the uncertainty of the abilities.

    Args:
        posterior: The engine's posterior of a model with one ability and without extras.
        responses: Its answers.
        choice: The model.
        state: Where the sweeps ended, for the items' form and prior.
    """
    form, n_items = choice.item_form(), len(posterior.items)
    cell = responses.model_index * n_items + responses.item_index
    trials = responses.n_trials * posterior.trial_weight
    shape = (len(posterior.models), n_items)
    pooled = [
        np.bincount(cell, weight, shape[0] * shape[1]).reshape(shape).astype(float)
        for weight in (trials * responses.score, trials)
    ]
    information = marginal_information(ShortTest(pooled[0], pooled[1], posterior.item_mean, posterior.floor))
    jacobian = form.jacobian(state.items).cpu().numpy()
    turn = block_diagonal(jacobian)
    free = np.array([0.0 if choice.name == "rasch" else 1.0, 1.0])
    prior = np.zeros((2, 2))
    kept = np.ix_(free > 0, free > 0)
    prior[kept] = np.linalg.inv(state.prior.cov.cpu().numpy()[kept])
    added = missing_covariance(posterior.native_cov, turn.T @ information @ turn, prior, free)
    inflation = jacobian @ added @ jacobian.transpose(0, 2, 1)
    return replace(
        posterior,
        native_cov=posterior.native_cov + added,
        item_cov=posterior.item_cov + inflation,
        ability_inflation=inflation,
    )
