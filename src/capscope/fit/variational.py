"""The default engine: block natural-gradient variational Bayes.

One Gaussian with full covariance for each model and each item. A sweep takes one Newton step on the expected
log-density for all items at once, updates the items' prior by empirical Bayes, takes one Newton step for all models,
and then moves the ability scale to mean 0 and identity covariance (parameter expansion; Liu, Rubin & Wu, 1998), which
removes the slow directions.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from capscope.fit.cells import Cells
from capscope.fit.item_forms import ItemForm, bounded
from capscope.fit.item_prior import Design, ItemPrior, fit_prior, inverse, start_prior
from capscope.fit.kernels import Gaussians, cell_sums
from capscope.fit.start import start


@dataclass(frozen=True)
class Schedule:
    """How far and how to run the sweeps."""

    max_sweeps: int
    """Most sweeps."""
    tolerance: float
    """Root-mean-square change, in posterior standard deviations, under which to stop."""
    threads: int
    """Chunks of rows worked on at once."""


@dataclass(frozen=True)
class State:
    """Where the sweeps stand."""

    models: Gaussians
    """Posteriors of ``(theta, 1)``."""
    items: Gaussians
    """Posteriors of the items in their form's parameters."""
    prior: ItemPrior
    """The items' prior."""
    history: tuple[float, ...] = ()
    """Change in each sweep, in posterior standard deviations."""
    converged: bool = False
    """Whether the last change was under the tolerance."""


def start_state(
    by_model: Cells, by_item: Cells, form: ItemForm, dims: int, design: Design, generator: torch.Generator
) -> State:
    """The start: no uncertainty yet, a prior around the start's means."""
    models, on_slope = start(by_model, by_item, dims, generator)
    items = form.start(on_slope)
    spread = form.spread.to(items.mean.device)
    prior = start_prior(items.mean.mean(0), torch.diag(spread), design)
    return State(models, items, prior)


def run_sweeps(
    by_model: Cells, by_item: Cells, form: ItemForm, design: Design, state: State, schedule: Schedule
) -> State:
    """Sweep until the change is under the tolerance."""
    history = list(state.history)
    with _single_threaded():
        for _ in range(schedule.max_sweeps):
            before = state
            state = _sweep(by_model, by_item, form, design, state, schedule.threads)
            history.append(max(_change(before.models, state.models), _change(before.items, state.items)))
            if history[-1] < schedule.tolerance:
                return State(state.models, state.items, state.prior, tuple(history), True)
    return State(state.models, state.items, state.prior, tuple(history), False)


def _sweep(by_model: Cells, by_item: Cells, form: ItemForm, design: Design, state: State, threads: int) -> State:
    moments = form.moments(state.items)
    items = form.step(state.items, cell_sums(by_item, moments, state.models, "item", threads), state.prior, design)
    prior = fit_prior(items, design, state.prior, form.spread.to(items.mean.device))
    models = model_step(by_model, state.models, form.moments(items), threads)
    return _expanded(State(models, items, prior), form)


def model_step(by_model: Cells, models: Gaussians, items: Gaussians, threads: int = 1) -> Gaussians:
    """One Newton step of the models' abilities under their prior N(0, I), items held fixed on ``(a, d)``."""
    sums = cell_sums(by_model, models, items, "model", threads)
    ability = models.mean[:, :-1]
    eye = torch.eye(ability.shape[1], dtype=ability.dtype, device=ability.device)
    cov = inverse(sums.information[:, :-1, :-1] + eye)
    gradient = sums.gradient(models.mean)[:, :-1] - ability
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
    value, vector = torch.linalg.eigh(second)
    root = value.clamp_min(1e-8).sqrt()
    scale, inverse_scale = (vector * root) @ vector.T, (vector / root) @ vector.T
    mean, full = state.models.mean.clone(), torch.zeros_like(state.models.cov)
    mean[:, :-1] = centred @ inverse_scale
    full[:, :-1, :-1] = inverse_scale @ cov @ inverse_scale
    items, prior = form.rescale(state.items, state.prior, scale, shift)
    return State(Gaussians(mean, full), items, prior)


def _change(before: Gaussians, after: Gaussians) -> float:
    """Root-mean-square change in posterior standard deviations, over the parameters that are free."""
    variance = after.cov.diagonal(dim1=1, dim2=2)
    free = variance > 0
    if not bool(free.any()):
        return 0.0
    squared = (after.mean - before.mean).square()[free] / variance[free]
    return float(squared.mean().sqrt())


@contextmanager
def _single_threaded() -> Generator[None]:
    """Threads inside one product cost more than they give on chunks this small; chunks run side by side instead."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
