"""Fit an item response model, and score new models with its items."""

from dataclasses import replace

import numpy as np
import torch

from capscope.axes import RowFloats
from capscope.data import ResponseFile, Responses
from capscope.errors import FitError
from capscope.fit.cells.answers import Answers, PartOfAnswers, as_answers
from capscope.fit.cells.interface import Cells
from capscope.fit.cells.layout import lay_out
from capscope.fit.cells.response_summary import survey, trial_weight
from capscope.fit.engines.score_cells import head_cells
from capscope.fit.engines.variational.kernels import Gaussians, cell_sums
from capscope.fit.engines.variational.problem import (
    checked_loads,
    checked_side,
    fit_choice,
    make_problem,
    pick_device,
    problem_of,
)
from capscope.fit.engines.variational.selection import choose
from capscope.fit.engines.variational.sweeps import model_step
from capscope.fit.engines.variational.to_posterior import as_numpy, extended, make_posterior
from capscope.fit.irt.advice import advise
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.outcome import Fit, Status
from capscope.fit.psychometrics.linking import calibrate_items

SCORING_SWEEPS = 50


def fit_irt(
    responses: Responses | ResponseFile | Answers,
    settings: IRTSettings | None = None,
    features: np.ndarray | None = None,
    floor: RowFloats | None = None,
    loads_on: np.ndarray | None = None,
    anchors: IRTPosterior | None = None,
) -> Fit[IRTPosterior]:
    """Fit an item response model by block natural-gradient variational Bayes.

    Args:
        responses: Observed responses, as rows, as a grid or in a file; scores in [0, 1] count as quasi-binomial with
            their trials.
        settings: What to fit; by default held-out cells choose.
        features: Array (item, feature) in the order of ``responses.items``: the items' prior is N(G [1, x], S).
        floor: Known chance of a right guess on each item; None for none.
        loads_on: Confirmatory mask (item, dim), such as demand levels above 0: where it is false a slope stays exactly
            0, so the dimensions are those of the mask, in its order, and are not rotated.
        anchors: A fit whose models and items keep their posteriors wherever they occur here, which sets the scale; the
            model, its form and its prior are then those of that fit (see `calibrate_items`).

    Raises:
        FitError: Responses, features or settings cannot be used; one line with what to do.
    """
    settings = settings or IRTSettings()
    answers = as_answers(responses)
    if anchors is not None:
        return _anchored(anchors, answers, features, floor, loads_on)
    device = pick_device(settings.device)
    loads = checked_loads(loads_on, len(answers.items), settings, features)
    side = replace(checked_side(features, floor, len(answers.items)), loads_on=loads)
    found = survey(answers)
    if settings.response == "auto":  # grades and continuous scores have a scatter of their own
        found = replace(found, weight=trial_weight(answers, found))
    models, items = np.flatnonzero(found.models.count), np.flatnonzero(found.items.count)
    whole = len(models) == len(answers.models) and len(items) == len(answers.items)
    answered = answers if whole else PartOfAnswers(answers, models, items)
    answered_side = side if whole else side.of(items)
    chosen = choose(answered, found, settings, answered_side)
    problem = make_problem(answered, found.of(models, items), answered_side, settings, device)
    choice = chosen.choice
    state = fit_choice(problem_of(choice, problem, answered, answered_side), choice, settings, chosen.warm)
    fitted = make_posterior(answered, problem, choice, state, answered_side)
    posterior = extended(fitted, answers, side, models, items)
    status = Status(state.converged, "converged" if state.converged else "still-moving", chosen.reasons)
    return Fit(posterior, advise(status, posterior, answers, found), state.history)


def _anchored(
    anchors: IRTPosterior,
    answers: Answers,
    features: np.ndarray | None,
    floor: RowFloats | None,
    loads_on: np.ndarray | None,
) -> Fit[IRTPosterior]:
    """The calibrated fit over the axes of the answers."""
    if loads_on is not None:
        raise FitError("fit_irt: anchors bring their own dimensions; leave loads_on out")
    fit = calibrate_items(anchors, answers, features, floor)
    whole = fit.posterior
    models = whole.model_index(answers.models)
    kept = replace(
        whole, models=answers.models, ability_mean=whole.ability_mean[models], ability_cov=whole.ability_cov[models]
    )
    return replace(fit, posterior=kept.take_items(whole.item_index(answers.items)))


def _cells_to_score(posterior: IRTPosterior, responses: Responses) -> Cells:
    """Answers as the items of a fit see them, in the order of the responses' items."""
    if posterior.shape is None:
        answers = as_answers(responses)
        found = replace(survey(answers), weight=posterior.trial_weight)
        return lay_out(answers, found, posterior.floor if posterior.floor.any() else None)[0]
    survey(as_answers(responses))  # refuses what no model can be fitted to
    weighted = replace(responses, n_trials=responses.n_trials * posterior.trial_weight)
    return head_cells(weighted, posterior.shape.distribution(), torch.from_numpy(posterior.shape.mean))


def score_models(posterior: IRTPosterior, responses: Responses) -> IRTPosterior:
    """Abilities of new models, the items' posteriors held fixed (the ability half-step of the fit).

    Args:
        posterior: A fit.
        responses: Answers of new models to items of the fit, in any order.

    Returns:
        The same items with the new models, on the ability scale of the fit.

    Raises:
        FitError: An item is not in the fit.
    """
    index = posterior.item_index(responses.items)
    items = Gaussians(torch.from_numpy(posterior.item_mean[index]), torch.from_numpy(posterior.answer_cov[index]))
    cells = _cells_to_score(posterior.take_items(index), responses)
    n_models, dims = len(responses.models), posterior.dims
    mean = torch.zeros(n_models, dims + 1, dtype=torch.float64)
    mean[:, -1] = 1
    models = Gaussians(mean, torch.zeros(n_models, dims + 1, dims + 1, dtype=torch.float64))
    for _ in range(SCORING_SWEEPS):
        before, models = models, model_step(models, cell_sums(cells, models, items, "model").to_fixed_columns())
        if float((models.mean - before.mean).abs().max()) < 1e-5:
            break
    ability, cov = as_numpy(models.mean[:, :-1]), as_numpy(models.cov[:, :-1, :-1])
    return replace(posterior, models=responses.models, ability_mean=ability, ability_cov=cov)
