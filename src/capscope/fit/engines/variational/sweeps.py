"""The default engine: block natural-gradient variational Bayes.

One Gaussian with full covariance for each model and each item. A sweep takes one Newton step on the expected
log-density for all items at once, updates the items' prior by empirical Bayes, takes one Newton step for all models,
and then moves the ability scale to mean 0 and identity covariance (parameter expansion; Liu, Rubin & Wu, 1998), which
removes the slow directions.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from capscope.fit.cells.interface import Cells
from capscope.fit.cells.ranks import Ranks
from capscope.fit.engines.score_cells import ScoreModelCells
from capscope.fit.engines.variational.extras import ExtrasState, joint_step, start_extras
from capscope.fit.engines.variational.item_forms import ItemForm, bounded, quadrature_moments
from capscope.fit.engines.variational.item_prior import (
    AbilityPopulation,
    Design,
    ItemPrior,
    fit_prior,
    inverse,
    start_prior,
)
from capscope.fit.engines.variational.kernels import Gaussians, Sums, cell_sums, start
from capscope.fit.links import PROBIT_SCALE
from capscope.fit.outcome import single_threaded

PROBES = 64
"""Number of models and items on which predictions are compared between sweeps."""

LEAST_GAIN = 2e-4
"""Share by which a sweep must reduce the squared residuals to count as better."""

PATIENCE = 3
"""Sweeps without gain after which steep models stop: slopes that separate groups of models grow without bound."""

EARLIEST_STOP = 8
"""Sweeps before that rule applies; the first sweeps may fit worse than the start."""

EXTRAS_WAIT = 4
"""Sweeps before the items' extras are updated; far from the optimum they would fit what slopes will explain."""

STEEP_SLOPE = 2.0
"""Root-mean-square slope above which that rule applies; models with smaller slopes may fit worse while they shrink."""


@dataclass(frozen=True)
class Schedule:
    """Stopping rule and parallelism of the sweeps."""

    max_sweeps: int
    """Most sweeps."""
    tolerance: float
    """Root-mean-square change, in posterior standard deviations, under which to stop; or a share of it in the
    predicted chances of success, where parameters still move along directions that predict alike."""
    threads: int
    """Chunks of rows worked on at once."""
    ranks: Ranks | None = None
    """Processes that the cells are spread over; None for this one alone."""

    def agreed(self, *values: float) -> tuple[float, ...]:
        """Values of the first process, so that all processes take the same decisions."""
        return values if self.ranks is None else self.ranks.agreed(*values)


@dataclass(frozen=True)
class State:
    """State of the sweeps."""

    models: Gaussians
    """Posteriors of ``(theta, 1)``."""
    items: Gaussians
    """Posteriors of the items in their form's parameters."""
    prior: ItemPrior
    """The items' prior."""
    loss: float = float("inf")
    """Sum of squared residuals before the models' last step."""
    history: tuple[float, ...] = ()
    """Change in each sweep, in posterior standard deviations."""
    converged: bool = False
    """Whether the last change was under the tolerance."""
    extras: ExtrasState | None = None
    """Extras of the items, where the score model has any."""
    age: int = 0
    """Sweeps made."""


def start_state(
    by_model: Cells, by_item: Cells, form: ItemForm, dims: int, design: Design, generator: torch.Generator
) -> State:
    """The starting state: no uncertainty, and a prior around the starting means.

    Args:
        by_model: Cells with models in rows.
        by_item: The same cells with items in rows.
        form: Parametrisation of the items.
        dims: Number of dimensions.
        design: Item features.
        generator: Source of randomness.

    Returns:
        The state before the first sweep.
    """
    device = design.features.device
    models, on_slope = start(by_model, by_item, dims, generator, device, form.loads)
    items = form.start(on_slope)
    spread = form.spread.to(items.mean.device)
    prior = start_prior(items.mean.mean(0), torch.diag(spread), design)
    extras = start_extras(by_item.score_model, items) if isinstance(by_item, ScoreModelCells) else None
    return State(models, items, prior, extras=extras)


def run_sweeps(
    by_model: Cells, by_item: Cells, form: ItemForm, design: Design, state: State, schedule: Schedule
) -> State:
    """Sweep until the change is under the tolerance.

    Args:
        by_model: Cells with models in rows.
        by_item: The same cells with items in rows.
        form: Parametrisation of the items.
        design: Item features.
        state: State to start from.
        schedule: Tolerance, most sweeps and threads.

    Returns:
        The last state; where it stopped for lack of progress at steep slopes, the one with the lowest loss.
    """
    history = list(state.history)
    probe = _Probe.spread_over(state, form)
    chance = probe.chance(state, form)
    best, since_best = state, 0
    with single_threaded():
        for _ in range(schedule.max_sweeps):
            before, seen = state, chance
            state = _sweep(by_model, by_item, form, design, state, schedule.threads)
            chance = probe.chance(state, form)
            moved, predicted = _largest_change(before, state), float((chance - seen).square().mean().sqrt())
            moved, predicted, steepness = schedule.agreed(moved, predicted, _steepness(state, form))
            history.append(moved)
            if not math.isfinite(history[-1]):
                return replace(before, history=tuple(history[:-1]), converged=False)
            if state.extras is not None and state.age < 2 * EXTRAS_WAIT:
                continue
            if history[-1] < schedule.tolerance or predicted < schedule.tolerance * _enough_predicted(form, state):
                return replace(state, history=tuple(history), converged=True)
            better = state.loss < best.loss * (1 - LEAST_GAIN)
            best, since_best = (state, 0) if better else (best, since_best + 1)
            if len(history) >= EARLIEST_STOP and since_best >= PATIENCE and steepness > STEEP_SLOPE**2:
                return replace(best, history=tuple(history), converged=True)
    return replace(state, history=tuple(history), converged=False)


def _enough_predicted(form: ItemForm, state: State) -> float:
    """Share of the tolerance under which the predicted chances count as converged.

    Free dimensions serve prediction and may rotate for long; those of a mask have names, and slopes are interpreted.
    """
    if form.loads is not None:
        return 1 / 40
    return 1 / 20 if state.models.mean.shape[1] == 2 else 1 / 8


def _steepness(state: State, form: ItemForm) -> float:
    """Mean squared slope: where it is large, a loss that no longer falls ends the sweeps."""
    slope = form.moments(state.items).mean[:, :-1]
    return float(slope.square().sum(1).mean())


@dataclass(frozen=True)
class _Probe:
    """A few models and items, evenly spaced by rank, whose predictions are compared between sweeps."""

    models: Tensor
    items: Tensor

    @staticmethod
    def spread_over(state: State, form: ItemForm) -> "_Probe":
        easiness = form.moments(state.items).mean[:, -1]
        return _Probe(_even_ranks(state.models.mean[:, 0]), _even_ranks(easiness))

    def chance(self, state: State, form: ItemForm) -> Tensor:
        moments = form.moments(Gaussians(state.items.mean[self.items], state.items.cov[self.items]))
        models = Gaussians(state.models.mean[self.models], state.models.cov[self.models])
        mean = models.mean @ moments.mean.T
        second = models.cov + models.mean[:, :, None] * models.mean[:, None, :]
        outer = moments.mean[:, :, None] * moments.mean[:, None, :]
        variance = torch.einsum("mij,nij->mn", second, moments.cov) + torch.einsum("mij,nij->mn", models.cov, outer)
        return torch.sigmoid(mean * torch.rsqrt(1 + PROBIT_SCALE * variance))


def _even_ranks(value: Tensor) -> Tensor:
    ranks = torch.linspace(0, len(value) - 1, min(PROBES, len(value)), device=value.device).round().long()
    return torch.argsort(value, stable=True)[ranks]


def _sweep(by_model: Cells, by_item: Cells, form: ItemForm, design: Design, state: State, threads: int) -> State:
    by_model, by_item = _with_extras(by_model, state.extras), _with_extras(by_item, state.extras)
    moments = form.moments(state.items)
    items = form.step(state.items, cell_sums(by_item, moments, state.models, "item", threads), state.prior, design)
    if form.wants_quadrature:
        items = quadrature_moments(by_item, items, state.models, state.prior, design)
    extras = state.extras
    if extras is not None and isinstance(by_item, ScoreModelCells) and state.age >= EXTRAS_WAIT:
        items, extras = joint_step(by_item, state.items, items, state.models, form, extras)
        by_model = _with_extras(by_model, extras)
    whole = items if extras is None else extras.inflated(items)
    prior = fit_prior(whole, design, state.prior, form.spread.to(items.mean.device), form.loads)
    sums = cell_sums(by_model, state.models, form.moments(items), "model", threads)
    return _expanded(
        State(model_step(state.models, sums), items, prior, sums.loss, extras=extras, age=state.age + 1), form
    )


def _with_extras(cells: Cells, extras: ExtrasState | None) -> Cells:
    """The cells with their items' extras as they are now."""
    return cells.with_extras(extras.items.mean) if isinstance(cells, ScoreModelCells) and extras is not None else cells


def model_step(models: Gaussians, sums: Sums, population: AbilityPopulation | None = None) -> Gaussians:
    """One Newton step of the models' abilities from the sums over their cells.

    Args:
        models: Posteriors of ``(theta, 1)``.
        sums: Sums over the models' cells.
        population: The abilities' prior; N(0, I) by default.
    """
    ability = models.mean[:, :-1]
    population = population or AbilityPopulation.standard(ability.shape[1], ability.device)
    pull = inverse(population.cov)
    cov = inverse(sums.information[:, :-1, :-1] + pull)
    gradient = sums.gradient(models.mean)[:, :-1] - (ability - population.mean) @ pull
    mean, full = models.mean.clone(), torch.zeros_like(models.cov)
    mean[:, :-1] += bounded(torch.einsum("nij,nj->ni", cov, gradient))
    full[:, :-1, :-1] = cov
    return Gaussians(mean, full)


def _expanded(state: State, form: ItemForm) -> State:
    """Abilities to mean 0 and second moment I over the models; items and prior follow, so no log-odds change."""
    ability, cov = state.models.mean[:, :-1], state.models.cov[:, :-1, :-1]
    shift = ability.mean(0)
    centred = ability - shift
    second = (cov.sum(0) + centred.T @ centred) / len(ability)
    if form.loads is not None:
        second = torch.diag(second.diagonal())  # a rotation would move slopes off their zeros
    value, vector = torch.linalg.eigh(second)
    root = value.clamp_min(1e-8).sqrt()
    scale, inverse_scale = (vector * root) @ vector.T, (vector / root) @ vector.T
    mean, full = state.models.mean.clone(), torch.zeros_like(state.models.cov)
    mean[:, :-1] = centred @ inverse_scale
    full[:, :-1, :-1] = inverse_scale @ cov @ inverse_scale
    items, prior = form.rescale(state.items, state.prior, scale, shift)
    return replace(state, models=Gaussians(mean, full), items=items, prior=prior)


def _largest_change(before: State, after: State) -> float:
    moved = [posterior_change(before.models, after.models), posterior_change(before.items, after.items)]
    if before.extras is not None and after.extras is not None:
        moved.append(posterior_change(before.extras.items, after.extras.items))
    return max(moved)


def posterior_change(before: Gaussians, after: Gaussians) -> float:
    """Root-mean-square change in posterior standard deviations, over the parameters that are free.

    Args:
        before: Gaussians of the parameters before a sweep.
        after: The same parameters after it.

    Returns:
        The change; 0 where no parameter is free.
    """
    variance = after.cov.diagonal(dim1=1, dim2=2)
    free = variance > 0
    if not bool(free.any()):
        return 0.0
    squared = (after.mean - before.mean).square()[free] / variance[free]
    return float(squared.mean().sqrt())
