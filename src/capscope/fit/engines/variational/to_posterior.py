"""From the engine's tensors to a posterior over all models and items asked about."""

import numpy as np
import torch

from capscope.fit.cells.answers import Answers
from capscope.fit.engines.variational.extras import Shapes
from capscope.fit.engines.variational.problem import ModelChoice, Problem, Side
from capscope.fit.engines.variational.sweeps import State
from capscope.fit.irt.item_extras import ItemShape, shape_name
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior


def make_posterior(answers: Answers, problem: Problem, choice: ModelChoice, state: State, side: Side) -> IRTPosterior:
    """The posterior of a fit, outside of torch."""
    form = choice.item_form()
    moments, shape = form.moments(state.items), None
    floor = side.floor if side.floor is not None and choice.guess else np.zeros(len(answers.items))
    item_cov, native_cov = moments.cov, state.items.cov
    if state.shapes is not None:
        whole = state.shapes.widened(state.items)
        item_cov, native_cov = form.moments(whole).cov, whole.cov
        shape = _item_shape(choice, state.shapes, item_cov - moments.cov)
        floor = shape.floor
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
        shape=shape,
        trial_weight=problem.trial_weight,
    )


def _item_shape(choice: ModelChoice, shapes: Shapes, widening: torch.Tensor) -> ItemShape:
    typical = np.array([prior.typical for prior in shapes.priors])
    return ItemShape(
        shape_name(choice.grades, choice.edge),
        as_numpy(shapes.items.mean),
        as_numpy(shapes.items.cov),
        as_numpy(widening),
        np.ascontiguousarray(typical[:, 0]),
        np.ascontiguousarray(typical[:, 1]),
    )


def extended(fitted: IRTPosterior, answers: Answers, side: Side, model: np.ndarray, item: np.ndarray) -> IRTPosterior:
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
    floor, shape = side.floor if side.floor is not None and fitted.floor.any() else np.zeros(n_items), None
    if fitted.shape is not None:
        shape = fitted.shape.typical_items(n_items).placed(item, fitted.shape)
        floor = shape.floor
    return IRTPosterior(
        answers.models,
        answers.items,
        ability_mean,
        ability_cov,
        item_mean,
        item_cov,
        native_mean,
        native_cov,
        population,
        floor,
        fitted.model_name,
        shape,
        fitted.trial_weight,
    )


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor outside of torch."""
    return np.ascontiguousarray(tensor.cpu().numpy())
