"""From the engine's tensors to a posterior over all models and items asked about."""

import numpy as np
import torch

from capscope.data import ResponseMatrix
from capscope.fit.irt_population import ItemPopulation
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.irt_problem import ModelChoice, Problem, Side
from capscope.fit.variational import State


def make_posterior(
    responses: ResponseMatrix, problem: Problem, choice: ModelChoice, state: State, side: Side
) -> IRTPosterior:
    """The posterior of a fit, outside of torch."""
    moments = choice.item_form().moments(state.items)
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
        models=responses.models,
        items=responses.items,
        ability_mean=as_numpy(state.models.mean[:, :-1]),
        ability_cov=as_numpy(state.models.cov[:, :-1, :-1]),
        item_mean=as_numpy(moments.mean),
        item_cov=as_numpy(moments.cov),
        native_mean=as_numpy(state.items.mean),
        native_cov=as_numpy(state.items.cov),
        population=population,
        floor=np.zeros(len(responses.items)) if side.floor is None else side.floor,
        model_name=choice.name,
    )


def extended(
    fitted: IRTPosterior, responses: ResponseMatrix, side: Side, model: np.ndarray, item: np.ndarray
) -> IRTPosterior:
    """The posterior over all axes: models and items without an answer stay at their priors.

    Args:
        fitted: The fit of those with an answer.
        responses: All responses, for the axes.
        side: Features and floors of all items.
        model: Positions of the fitted models.
        item: Positions of the fitted items.
    """
    if fitted.models == responses.models and fitted.items == responses.items:
        return fitted
    population, dims = fitted.population, fitted.dims
    ability_mean = np.zeros((len(responses.models), dims))
    ability_cov = np.tile(np.eye(dims), (len(responses.models), 1, 1))
    ability_mean[model], ability_cov[model] = fitted.ability_mean, fitted.ability_cov
    n_items = len(responses.items)
    item_mean, item_cov = population.moments(side.features, n_items)
    native_mean, native_cov = population.native(side.features, n_items)
    for whole, part in (
        (item_mean, fitted.item_mean),
        (item_cov, fitted.item_cov),
        (native_mean, fitted.native_mean),
        (native_cov, fitted.native_cov),
    ):
        whole[item] = part
    return IRTPosterior(
        responses.models,
        responses.items,
        ability_mean,
        ability_cov,
        item_mean,
        item_cov,
        native_mean,
        native_cov,
        population,
        np.zeros(n_items) if side.floor is None else side.floor,
        fitted.model_name,
    )


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor outside of torch."""
    return np.ascontiguousarray(tensor.cpu().numpy())
