"""The sweeps of a fixed-parameter calibration: new items and new models move, old ones stay."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from capscope.fit.cells.interface import Cells
from capscope.fit.engine.item_forms import ItemForm
from capscope.fit.engine.item_prior import Design, ItemPrior
from capscope.fit.engine.item_quadrature import quadrature_moments
from capscope.fit.engine.kernels import Gaussians, Sums, cell_sums
from capscope.fit.engine.variational import model_step, posterior_change
from capscope.fit.psychometrics.populations import AbilityPopulation, updated_prior

FIRST_STEPS = 10
"""Steps of the new models on the old items alone, before the new items join."""

MAX_SWEEPS, TOLERANCE = 200, 5e-3

DAMPED_FROM = 30
"""Sweeps from which items go half a step: near the edge of what the data say, a full step may alternate for ever."""

Index = Int[np.ndarray, "_"]


@dataclass(frozen=True)
class Split:
    """Cells of free rows, by whether their columns are fixed or free; None for none."""

    rows: Index
    """Positions of the rows."""
    fixed: Index
    """Positions of the columns that stay."""
    fixed_cells: Cells | None
    """The cells there."""
    free: Index
    """Positions of the columns that move too."""
    free_cells: Cells | None
    """The cells there."""

    def sums(self, rows: Gaussians, columns: Gaussians, update: str, *, anchors_only: bool = False) -> Sums | None:
        """Sums over the cells of the rows; None where there is no cell."""
        fixed = free = None
        if self.fixed_cells is not None:
            fixed = cell_sums(self.fixed_cells, rows, rows_of(columns, self.fixed), update).to_fixed_columns()
        if self.free_cells is not None and not anchors_only:
            free = cell_sums(self.free_cells, rows, rows_of(columns, self.free), update)
        return fixed.plus(free) if fixed and free else fixed or free


@dataclass(frozen=True)
class Where:
    """Where the sweeps stand."""

    models: Gaussians
    """All models as ``(theta, 1)``."""
    items: Gaussians
    """All items in the form's parameters."""
    population: AbilityPopulation
    """Where new models come from."""
    prior: ItemPrior
    """Where new items come from."""


@dataclass(frozen=True)
class Job:
    """What the sweeps work on; only free rows have cells."""

    form: ItemForm
    """The old items' parameters and updates."""
    by_item: Split
    """New items in rows, models in columns."""
    by_model: Split
    """New models in rows, items in columns."""
    by_item_whole: Cells | None
    """New items in rows, all models in columns, where moments are taken by quadrature."""
    design: Design
    """Features of the new items."""
    prior: ItemPrior
    """The old population of items."""
    start: Where
    """Old rows at their posteriors, new ones at their priors."""


def calibration_sweeps(job: Job) -> tuple[Where, tuple[float, ...], bool]:
    """Sweep until the new rows change by less than `TOLERANCE` posterior standard deviations.

    Returns:
        Where the sweeps ended, the change in each of them, and whether they settled.
    """
    here, history = job.start, list[float]()
    for _ in range(FIRST_STEPS):
        here = _moved_models(job, here, anchors_only=True)
    for _ in range(MAX_SWEEPS):
        before = here
        here = _moved_items(job, here)
        if len(history) >= DAMPED_FROM:
            here = replace(here, items=_halfway(before.items, here.items))
        here = _moved_models(job, here)
        moved = (
            posterior_change(rows_of(before.models, job.by_model.rows), rows_of(here.models, job.by_model.rows)),
            posterior_change(rows_of(before.items, job.by_item.rows), rows_of(here.items, job.by_item.rows)),
        )
        history.append(max(moved))
        if history[-1] < TOLERANCE:
            return here, tuple(history), True
    return here, tuple(history), False


def _moved_models(job: Job, here: Where, *, anchors_only: bool = False) -> Where:
    """A step of the new models given the items, and of their population given them."""
    new = job.by_model.rows
    rows = rows_of(here.models, new)
    sums = job.by_model.sums(rows, job.form.moments(here.items), "model", anchors_only=anchors_only)
    if sums is None:
        return here
    rows = model_step(rows, sums, here.population)
    population = AbilityPopulation.standard(rows.mean.shape[1] - 1).updated(rows)
    return replace(here, models=_placed(here.models, new, rows), population=population)


def _moved_items(job: Job, here: Where) -> Where:
    """A step of the new items given all models, and of their population given them."""
    new, form = job.by_item.rows, job.form
    rows = rows_of(here.items, new)
    sums = job.by_item.sums(form.moments(rows), here.models, "item")
    if sums is None:
        return here
    rows = form.step(rows, sums, here.prior, job.design)
    if job.by_item_whole is not None:
        rows = quadrature_moments(job.by_item_whole, rows, here.models, here.prior, job.design)
    return replace(here, items=_placed(here.items, new, rows), prior=updated_prior(job.prior, rows, job.design))


def rows_of(gaussians: Gaussians, index: Index) -> Gaussians:
    """Some of the rows."""
    return Gaussians(gaussians.mean[index], gaussians.cov[index])


def _halfway(before: Gaussians, after: Gaussians) -> Gaussians:
    return Gaussians((before.mean + after.mean) / 2, (before.cov + after.cov) / 2)


def _placed(gaussians: Gaussians, index: Index, rows: Gaussians) -> Gaussians:
    mean, cov = gaussians.mean.clone(), gaussians.cov.clone()
    mean[index], cov[index] = rows.mean, rows.cov
    return Gaussians(mean, cov)
