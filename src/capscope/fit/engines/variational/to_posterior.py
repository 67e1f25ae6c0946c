"""From the engine's tensors to a posterior over all models and items asked about."""

import numpy as np
import torch

from capscope.fit.cells.answers import Answers
from capscope.fit.engines.variational.extras import ExtrasState
from capscope.fit.engines.variational.problem import ItemCovariates, ModelChoice, Problem
from capscope.fit.engines.variational.sweeps import State
from capscope.fit.irt.item_extras import ItemExtras
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.score_models.binary import Binary


def make_posterior(
    answers: Answers, problem: Problem, choice: ModelChoice, state: State, side: ItemCovariates
) -> IRTPosterior:
    """The posterior of a fit, outside of torch."""
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
        side: Features and floors of all items.
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
    item_mean, item_cov = population.moments(side.features, n_items)
    native_mean, native_cov = population.native(side.features, n_items)
    if side.loads_on is not None:
        free = np.column_stack([side.loads_on, np.ones(n_items, bool)])
        item_mean, item_cov = item_mean * free, item_cov * free[:, :, None] * free[:, None, :]
        native_mean, native_cov = item_mean.copy(), item_cov.copy()
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


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor outside of torch."""
    return np.ascontiguousarray(tensor.cpu().numpy())
