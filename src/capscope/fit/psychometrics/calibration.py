"""New items and models on the scale of a fit, whose own items and models stay as they are.

Fixed-parameter calibration (Kim, 2006): the old items set the scale, so nothing is rescaled, and the populations of
the new items and of the new models are found along with them, because new models need not be like the old.
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
from capscope.fit.cells.answers import Answers, PartOfAnswers, as_answers
from capscope.fit.cells.blocks import block_labels
from capscope.fit.cells.layout import BothWays, lay_out
from capscope.fit.cells.survey import Survey, survey
from capscope.fit.engine.item_forms import PositiveForm, SignedForm
from capscope.fit.engine.item_prior import Design, ItemPrior
from capscope.fit.engine.kernels import Gaussians
from capscope.fit.engine.problem import Side, checked_side
from capscope.fit.engine.result import as_numpy
from capscope.fit.posterior.advice import flat_rows
from capscope.fit.posterior.irt import IRTPosterior
from capscope.fit.psychometrics.calibration_sweeps import Job, Split, Where, calibration_sweeps, rows_of
from capscope.fit.psychometrics.linking import LEAST_COMMON
from capscope.fit.psychometrics.populations import AbilityPopulation
from capscope.fit.result import Fit, Status
from capscope.fit.threads import single_threaded

Index = Int[np.ndarray, "_"]


def calibrate_items(
    posterior: IRTPosterior,
    responses: Responses | Answers,
    features: np.ndarray | None = None,
    floor: RowFloats | None = None,
) -> Fit[IRTPosterior]:
    """Put new items (and new models) on the scale of a fit; everything the fit knows stays bit for bit.

    Items and models of the fit are anchors. New items are estimated from the answers of models that the fit knows,
    of new models that also answered old items, or both. Answers of old models to old items are not used again.

    Args:
        posterior: The old fit.
        responses: Answers that bring the new items; its items and models may be old or new, in any order.
        features: Array (item, feature) in the order of ``responses.items``, where the old fit has item features.
        floor: Known chance of a right guess on each item of the responses; None for none. Old items keep theirs.

    Returns:
        The old models and items in their order, followed by the new ones in the order of the responses. The status
        tells of new items that are all right or wrong, of few anchors, and of a calibration that did not settle.

    Raises:
        FitError: A new item or model has no path of answers to the old scale, or the arguments do not fit.
    """
    if posterior.shape is not None:
        raise FitError("calibrate_items: floors estimated from answers do not carry over; fit the old items as 2PL")
    answers = as_answers(responses)
    found = survey(answers)
    side = checked_side(features, floor, len(answers.items))
    roles = _roles(posterior, answers)
    _refuse_unlinked(answers, roles)
    with single_threaded():
        where, history, settled = calibration_sweeps(_job(posterior, answers, found, roles, side))
    status = Status(settled, "converged" if settled else "still-moving", tuple(_advice(answers, found, roles)))
    floors = _floors(posterior, roles, side, len(answers.items))
    return Fit(_appended(posterior, answers, roles, where, floors), status, history)


@dataclass(frozen=True)
class _Roles:
    """Which models and items of the responses are old, and where in the old fit."""

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
    """New rows that meet no old one would set a scale of their own."""
    model_block, item_block = block_labels(answers)
    anchored = np.union1d(model_block[roles.old_model], item_block[roles.old_item])
    adrift = [
        (what, [names[i] for i in new if block[i] not in anchored and block[i] in other])
        for what, names, new, block, other in (
            ("item", answers.items, roles.new_item, item_block, set(model_block)),
            ("model", answers.models, roles.new_model, model_block, set(item_block)),
        )
    ]
    for what, names in adrift:
        if names:
            raise FitError(
                f"calibrate_items: {len(names)} new {what}s ({first_few(names, 3)}) share no answer with the old "
                f"fit; add answers of its models, or of these models to its items"
            )


def _job(posterior: IRTPosterior, answers: Answers, found: Survey, roles: _Roles, side: Side) -> Job:
    positive = posterior.population.form == "positive"
    answers_each = float(found.items.count[roles.new_item].mean()) if len(roles.new_item) else math.inf
    form = PositiveForm(answers_each) if positive else SignedForm(posterior.dims, posterior.model_name != "rasch")
    floor = _floors(posterior, roles, side, len(answers.items))

    def laid_out(models: Index, items: Index) -> BothWays | tuple[None, None]:
        part = PartOfAnswers(answers, models, items)
        if not any(len(rows.score) for rows in part.chunks()):
            return None, None
        weighed = replace(survey(part), weight=posterior.trial_weight)
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


def _floors(posterior: IRTPosterior, roles: _Roles, side: Side, n_items: int) -> RowFloats:
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


def _start(posterior: IRTPosterior, answers: Answers, roles: _Roles, prior: ItemPrior, design: Design) -> Where:
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
    return Where(Gaussians(mean, cov), Gaussians(item, item_cov), population, prior)


def _appended(posterior: IRTPosterior, answers: Answers, roles: _Roles, where: Where, floor: RowFloats) -> IRTPosterior:
    models, native = rows_of(where.models, roles.new_model), rows_of(where.items, roles.new_item)
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
    )


def _advice(answers: Answers, found: Survey, roles: _Roles) -> list[str]:
    lines = flat_rows(answers, found, roles.new_model, roles.new_item)
    if not len(roles.old_model) and len(roles.old_item) < LEAST_COMMON:
        lines.append(f"the scale rests on {len(roles.old_item)} old items; have {LEAST_COMMON} or more answered")
    return lines
