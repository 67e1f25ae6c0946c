"""New items and models on the scale of a fit, whose own items and models stay as they are.

Fixed-parameter calibration (Kim, 2006): the old items set the scale, so nothing is rescaled, and the populations of
the new items and of the new models are estimated with them, because new models need not be like the old.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from capscope.axes import RowFloats
from capscope.data import Responses
from capscope.errors import FitError, first_few
from capscope.fit.cells.answers import Answers, PartOfAnswers
from capscope.fit.cells.interface import Cells
from capscope.fit.cells.layout import BothWays, lay_out
from capscope.fit.cells.response_summary import ResponseSummary, block_labels, summarise
from capscope.fit.engines.variational.item_forms import ItemForm, PositiveForm, SignedForm, quadrature_moments
from capscope.fit.engines.variational.item_prior import AbilityPopulation, Design, ItemPrior, updated_prior
from capscope.fit.engines.variational.kernels import Gaussians, Sums, cell_sums
from capscope.fit.engines.variational.problem import ItemCovariates, checked_covariates
from capscope.fit.engines.variational.sweeps import model_step, posterior_change
from capscope.fit.engines.variational.to_posterior import as_numpy
from capscope.fit.irt.advice import flat_rows
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import effective_trials
from capscope.fit.outcome import Outcome, Status, single_threaded
from capscope.fit.psychometrics.scale_links import LEAST_COMMON

Index = Int[np.ndarray, "_"]


FIRST_STEPS = 10
"""Steps of the new models on the old items alone, before the new items are updated."""

MAX_SWEEPS, TOLERANCE = 200, 5e-3

DAMPED_FROM = 30
"""Sweeps from which items take half steps; with little information full steps may oscillate."""


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
        """Sums over the cells of the rows; None where there is no cell.

        Args:
            rows: Gaussians of the rows.
            columns: Gaussians of the columns.
            update: Kind of update of the rows.
            anchors_only: Whether only cells with fixed columns count.

        Returns:
            Sums of the derivatives over each row's cells; None where there is no cell.
        """
        fixed = free = None
        if self.fixed_cells is not None:
            fixed = cell_sums(self.fixed_cells, rows, rows_of(columns, self.fixed), update).to_fixed_columns()
        if self.free_cells is not None and not anchors_only:
            free = cell_sums(self.free_cells, rows, rows_of(columns, self.free), update)
        return fixed.plus(free) if fixed and free else fixed or free


@dataclass(frozen=True)
class SweepState:
    """State of the sweeps: posteriors of all rows, and the populations of the new ones."""

    models: Gaussians
    """All models as ``(theta, 1)``."""
    items: Gaussians
    """All items in the form's parameters."""
    population: AbilityPopulation
    """Population of the new models."""
    prior: ItemPrior
    """Population of the new items, as their prior."""


@dataclass(frozen=True)
class Job:
    """Input of the sweeps: answers to new rows, features, priors and the first state."""

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
    start: SweepState
    """Old rows at their posteriors, new ones at their priors."""


def calibration_sweeps(job: Job) -> tuple[SweepState, tuple[float, ...], bool]:
    """Sweep until the new rows change by less than `TOLERANCE` posterior standard deviations.

    Returns:
        The last state, the change in each of them, and whether they settled.
    """
    state, history = job.start, list[float]()
    for _ in range(FIRST_STEPS):
        state = _moved_models(job, state, anchors_only=True)
    for _ in range(MAX_SWEEPS):
        before = state
        state = _moved_items(job, state)
        if len(history) >= DAMPED_FROM:
            state = replace(state, items=_halfway(before.items, state.items))
        state = _moved_models(job, state)
        moved = (
            posterior_change(rows_of(before.models, job.by_model.rows), rows_of(state.models, job.by_model.rows)),
            posterior_change(rows_of(before.items, job.by_item.rows), rows_of(state.items, job.by_item.rows)),
        )
        history.append(max(moved))
        if history[-1] < TOLERANCE:
            return state, tuple(history), True
    return state, tuple(history), False


def _moved_models(job: Job, state: SweepState, *, anchors_only: bool = False) -> SweepState:
    """Update the new models given the items, then their population."""
    new = job.by_model.rows
    rows = rows_of(state.models, new)
    sums = job.by_model.sums(rows, job.form.moments(state.items), "model", anchors_only=anchors_only)
    if sums is None:
        return state
    rows = model_step(rows, sums, state.population)
    population = AbilityPopulation.standard(rows.mean.shape[1] - 1).updated(rows)
    return replace(state, models=_placed(state.models, new, rows), population=population)


def _moved_items(job: Job, state: SweepState) -> SweepState:
    """Update the new items given all models, then their population."""
    new, form = job.by_item.rows, job.form
    rows = rows_of(state.items, new)
    sums = job.by_item.sums(form.moments(rows), state.models, "item")
    if sums is None:
        return state
    rows = form.step(rows, sums, state.prior, job.design)
    if job.by_item_whole is not None:
        rows = quadrature_moments(job.by_item_whole, rows, state.models, state.prior, job.design)
    return replace(state, items=_placed(state.items, new, rows), prior=updated_prior(job.prior, rows, job.design))


def rows_of(gaussians: Gaussians, index: Index) -> Gaussians:
    """Return some of the rows.

    Args:
        gaussians: Gaussians of all rows.
        index: Positions of the rows wanted.
    """
    return Gaussians(gaussians.mean[index], gaussians.cov[index])


def _halfway(before: Gaussians, after: Gaussians) -> Gaussians:
    return Gaussians((before.mean + after.mean) / 2, (before.cov + after.cov) / 2)


def _placed(gaussians: Gaussians, index: Index, rows: Gaussians) -> Gaussians:
    mean, cov = gaussians.mean.clone(), gaussians.cov.clone()
    mean[index], cov[index] = rows.mean, rows.cov
    return Gaussians(mean, cov)


def calibrate_items(
    posterior: IRTPosterior,
    responses: Answers,
    features: np.ndarray | None = None,
    floor: RowFloats | None = None,
) -> Outcome[IRTPosterior]:
    """Put new items (and new models) on the scale of a fit; the posteriors of the fit stay bit for bit.

    Items and models of the fit are anchors. New items are estimated from the answers of models that the fit knows,
    of new models that also answered old items, or both. Answers of old models to old items are not used again.

    Args:
        posterior: The old fit.
        responses: Answers that bring the new items; its items and models may be old or new, in any order.
        features: Array (item, feature) in the order of ``responses.items``, where the old fit has item features.
        floor: Known chance of a right guess on each item of the responses; None for none. Old items keep theirs.

    Returns:
        The old models and items in their order, followed by the new ones in the order of the responses. The status
        names new items that are all right or wrong, of few anchors, and of a calibration that did not settle.

    Raises:
        FitError: A new item or model has no path of answers to the old scale, or the arguments do not fit.
    """
    if posterior.extras is not None:
        raise FitError("calibrate_items: floors estimated from answers do not carry over; fit the old items as 2PL")
    summary = summarise(responses)
    side = checked_covariates(features, floor, len(responses.items))
    roles = _roles(posterior, responses)
    _refuse_unlinked(responses, roles)
    with single_threaded():
        state, history, settled = calibration_sweeps(_job(posterior, responses, summary, roles, side))
    status = Status(settled, "converged" if settled else "still-moving", tuple(_advice(responses, summary, roles)))
    floors = _floors(posterior, roles, side, len(responses.items))
    return Outcome(_appended(posterior, responses, roles, state, floors), status, history)


@dataclass(frozen=True)
class _Roles:
    """Which models and items of the responses are in the old fit, and their positions there."""

    old_model: Index
    """Positions in the responses of the models that the fit knows."""
    model_at: Index
    """Their positions in the fit."""
    new_model: Index
    """Positions of the others."""
    old_item: Index
    """Positions in the responses of the items that the fit knows."""
    item_at: Index
    """Their positions in the fit."""
    new_item: Index
    """Positions of the others."""


def _roles(posterior: IRTPosterior, answers: Answers) -> _Roles:
    models = pd.Index(posterior.models).get_indexer(pd.Index(answers.models))
    items = pd.Index(posterior.items).get_indexer(pd.Index(answers.items))
    old_model, old_item = np.flatnonzero(models >= 0), np.flatnonzero(items >= 0)
    return _Roles(
        old_model, models[old_model], np.flatnonzero(models < 0), old_item, items[old_item], np.flatnonzero(items < 0)
    )


def _refuse_unlinked(answers: Answers, roles: _Roles) -> None:
    """Refuse new models and items that no chain of answers links to old ones, because their scale is not identified."""
    model_block, item_block = block_labels(answers)
    anchored = np.union1d(model_block[roles.old_model], item_block[roles.old_item])
    unlinked = [
        (what, [names[i] for i in new if block[i] not in anchored and block[i] in other])
        for what, names, new, block, other in (
            ("item", answers.items, roles.new_item, item_block, set(model_block)),
            ("model", answers.models, roles.new_model, model_block, set(item_block)),
        )
    ]
    for what, names in unlinked:
        if names:
            raise FitError(
                f"calibrate_items: {len(names)} new {what}s ({first_few(names, 3)}) share no answer with the old "
                f"fit; add answers of its models, or of these models to its items"
            )


def _job(
    posterior: IRTPosterior, answers: Answers, summary: ResponseSummary, roles: _Roles, side: ItemCovariates
) -> Job:
    if isinstance(answers, Responses):
        answers = replace(answers, n_trials=effective_trials(answers.n_trials, posterior.trial_correlation))
    positive = posterior.population.form == "positive"
    answers_each = float(summary.items.count[roles.new_item].mean()) if len(roles.new_item) else math.inf
    form = PositiveForm(answers_each) if positive else SignedForm(posterior.dims, posterior.model_name != "rasch")
    floor = _floors(posterior, roles, side, len(answers.items))

    def laid_out(models: Index, items: Index) -> BothWays | tuple[None, None]:
        part = PartOfAnswers(answers, models, items)
        if not any(len(rows.score) for rows in part.blocks()):
            return None, None
        weighed = replace(summarise(part), weight=posterior.trial_weight)
        return lay_out(part, weighed, floor[items] if floor[items].any() else None)

    old_model, new_model, old_item, new_item = roles.old_model, roles.new_model, roles.old_item, roles.new_item
    known_items, known_models = laid_out(new_model, old_item)[0], laid_out(old_model, new_item)[1]
    by_model, by_item = laid_out(new_model, new_item)
    design, prior = _known_prior(posterior, None if side.features is None else side.features[new_item], roles)
    return Job(
        form=form,
        by_item=Split(new_item, old_model, known_models, new_model, by_item),
        by_model=Split(new_model, old_item, known_items, new_item, by_model),
        by_item_whole=laid_out(np.arange(len(answers.models)), new_item)[1] if form.wants_quadrature else None,
        design=design,
        prior=prior,
        start=_start(posterior, answers, roles, prior, design),
    )


def _floors(posterior: IRTPosterior, roles: _Roles, side: ItemCovariates, n_items: int) -> RowFloats:
    """Chance of a right guess on each item of the responses: the fit's own for old items."""
    floor = np.zeros(n_items) if side.floor is None else side.floor.copy()
    floor[roles.old_item] = posterior.floor[roles.item_at]
    return floor


def _known_prior(posterior: IRTPosterior, features: np.ndarray | None, roles: _Roles) -> tuple[Design, ItemPrior]:
    """The old population as the engine's prior, and the new items' features in its units."""
    population = posterior.population
    standard = torch.from_numpy(population.standardised(features, len(roles.new_item)))
    n_features = standard.shape[1]
    center, scale = torch.from_numpy(population.center), torch.from_numpy(population.scale)
    # the weights stay, so nothing is regressed on the features
    design = Design(standard, center, scale, torch.eye(n_features, dtype=torch.float64), torch.zeros_like(center))
    intercept, weight, cov = (
        torch.from_numpy(array) for array in (population.intercept, population.weight, population.cov)
    )
    return design, ItemPrior(intercept, weight, cov, torch.ones_like(intercept))


def _start(posterior: IRTPosterior, answers: Answers, roles: _Roles, prior: ItemPrior, design: Design) -> SweepState:
    dims, n_models, n_items = posterior.dims, len(answers.models), len(answers.items)
    population = AbilityPopulation.standard(dims)
    mean, cov = torch.zeros(n_models, dims + 1).double(), torch.zeros(n_models, dims + 1, dims + 1).double()
    mean[:, -1] = 1
    mean[roles.old_model, :-1] = torch.from_numpy(posterior.ability_mean[roles.model_at])
    cov[roles.old_model, :-1, :-1] = torch.from_numpy(posterior.ability_cov[roles.model_at])
    cov[roles.new_model, :-1, :-1] = population.cov
    n_params = len(prior.intercept)
    item, item_cov = torch.zeros(n_items, n_params).double(), torch.zeros(n_items, n_params, n_params).double()
    item[roles.old_item] = torch.from_numpy(posterior.native_mean[roles.item_at])
    item_cov[roles.old_item] = torch.from_numpy(posterior.native_cov[roles.item_at])
    item[roles.new_item] = prior.mean(design.features)
    item_cov[roles.new_item] = prior.cov
    return SweepState(Gaussians(mean, cov), Gaussians(item, item_cov), population, prior)


def _appended(
    posterior: IRTPosterior, answers: Answers, roles: _Roles, state: SweepState, floor: RowFloats
) -> IRTPosterior:
    models, native = rows_of(state.models, roles.new_model), rows_of(state.items, roles.new_item)
    items = PositiveForm().moments(native) if posterior.population.form == "positive" else native

    def joined(old: np.ndarray, new: torch.Tensor) -> np.ndarray:
        return np.concatenate([old, as_numpy(new)])

    every_floor = np.concatenate([posterior.floor, floor[roles.new_item]])
    return replace(
        posterior,
        models=posterior.models + tuple(answers.models[i] for i in roles.new_model),
        items=posterior.items + tuple(answers.items[i] for i in roles.new_item),
        ability_mean=joined(posterior.ability_mean, models.mean[:, :-1]),
        ability_cov=joined(posterior.ability_cov, models.cov[:, :-1, :-1]),
        item_mean=joined(posterior.item_mean, items.mean),
        item_cov=joined(posterior.item_cov, items.cov),
        native_mean=joined(posterior.native_mean, native.mean),
        native_cov=joined(posterior.native_cov, native.cov),
        floor=every_floor,
        ability_inflation=None
        if posterior.ability_inflation is None
        else joined(posterior.ability_inflation, torch.zeros_like(items.cov)),
    )


def _advice(answers: Answers, summary: ResponseSummary, roles: _Roles) -> list[str]:
    lines = flat_rows(answers, summary, roles.new_model, roles.new_item)
    if not len(roles.old_model) and len(roles.old_item) < LEAST_COMMON:
        lines.append(f"the scale rests on {len(roles.old_item)} old items; have {LEAST_COMMON} or more answered")
    return lines
