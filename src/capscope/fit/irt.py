"""Fit an item response model, and score new models with its items."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from capscope.axes import RowFloats
from capscope.data import ResponseMatrix
from capscope.errors import FitError
from capscope.fit.cells import Cells, response_cells
from capscope.fit.irt_advice import advise
from capscope.fit.irt_model import IRTSettings
from capscope.fit.irt_population import ItemPopulation
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.item_forms import ItemForm, PositiveForm, SignedForm
from capscope.fit.item_prior import Design, make_design
from capscope.fit.kernels import Gaussians
from capscope.fit.result import Fit, Status
from capscope.fit.rotation import simple_structure
from capscope.fit.variational import Schedule, State, model_step, run_sweeps, start_state

SCORING_SWEEPS = 50


@dataclass(frozen=True)
class ModelChoice:
    """One item response model, all choices made."""

    name: Literal["rasch", "2pl", "mirt"]
    """Rasch has one slope for all items."""
    dims: int = 1
    """Number of abilities."""
    form: Literal["signed", "positive"] = "signed"
    """Parameters of the items."""

    def item_form(self) -> ItemForm:
        """The items' parameters and updates."""
        return PositiveForm() if self.form == "positive" else SignedForm(self.dims, self.name != "rasch")


@dataclass(frozen=True)
class Problem:
    """The data of one fit, both ways round, on its device."""

    by_model: Cells
    """Scores, models in rows."""
    by_item: Cells
    """Scores, items in rows."""
    design: Design
    """Item features."""
    device: torch.device
    """Where to compute."""


def fit_irt(
    responses: ResponseMatrix,
    settings: IRTSettings | None = None,
    features: np.ndarray | None = None,
    floor: RowFloats | None = None,
) -> Fit[IRTPosterior]:
    """Fit an item response model by block natural-gradient variational Bayes.

    Args:
        responses: Observed responses; scores in [0, 1] count as quasi-binomial with their trials.
        settings: What to fit; by default held-out cells choose.
        features: Array (item, feature) in the order of ``responses.items``: the items' prior is N(G [1, x], S).
        floor: Known chance of a right guess on each item; None for none.

    Raises:
        FitError: Responses, features or settings cannot be used; one line with what to do.
    """
    settings = settings or IRTSettings()
    problem = make_problem(responses, settings, features, floor)
    choice = _choose(settings)
    state = fit_choice(problem, choice, settings)
    posterior = _posterior(responses, problem, choice, state, floor)
    status = Status(state.converged, "converged" if state.converged else "still-moving")
    return Fit(posterior, advise(status, posterior, responses), state.history)


def _choose(settings: IRTSettings) -> ModelChoice:
    if settings.model == "rasch":
        return ModelChoice("rasch")
    if settings.model == "mirt" and settings.dims > 1:
        return ModelChoice("mirt", settings.dims)
    return ModelChoice("2pl", 1, "positive" if settings.form == "positive" else "signed")


def make_problem(
    responses: ResponseMatrix, settings: IRTSettings, features: np.ndarray | None, floor: RowFloats | None
) -> Problem:
    """Lay the data out on the device.

    Raises:
        FitError: The data or the device cannot be used.
    """
    device = pick_device(settings.device)
    if floor is not None and not (len(floor) == len(responses.items) and np.min(floor) >= 0 and np.max(floor) < 1):
        raise FitError("fit_irt: floor must hold one chance in [0, 1) for each item, in the order of the items")
    used = None if floor is None or not np.any(floor) else floor
    cells = response_cells(responses, used).to(device)
    return Problem(cells, cells.transposed(), make_design(features, len(responses.items)).to(device), device)


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` takes a GPU where there is one.

    Raises:
        FitError: A GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise FitError("device 'cuda' is not available; use --device cpu")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def fit_choice(problem: Problem, choice: ModelChoice, settings: IRTSettings) -> State:
    """Start and sweep one model; dimensions are turned to simple structure at the end."""
    form = choice.item_form()
    generator = torch.Generator(problem.device).manual_seed(settings.seed)
    schedule = Schedule(settings.max_sweeps, settings.tolerance, settings.threads)
    state = start_state(problem.by_model, problem.by_item, form, choice.dims, problem.design, generator)
    state = run_sweeps(problem.by_model, problem.by_item, form, problem.design, state, schedule)
    return _turned(state, form)


def _turned(state: State, form: ItemForm) -> State:
    slopes = form.moments(state.items).mean[:, :-1]
    rotation = simple_structure(slopes)
    mean, cov = state.models.mean.clone(), state.models.cov.clone()
    mean[:, :-1] = mean[:, :-1] @ rotation
    cov[:, :-1, :-1] = rotation.T @ cov[:, :-1, :-1] @ rotation
    items, prior = form.rescale(state.items, state.prior, rotation, torch.zeros_like(rotation[0]))
    return replace(state, models=Gaussians(mean, cov), items=items, prior=prior)


def _posterior(
    responses: ResponseMatrix, problem: Problem, choice: ModelChoice, state: State, floor: RowFloats | None
) -> IRTPosterior:
    moments = choice.item_form().moments(state.items)
    population = ItemPopulation(
        choice.form,
        _numpy(state.prior.intercept),
        _numpy(state.prior.weight),
        _numpy(state.prior.cov),
        _numpy(problem.design.leverage(state.prior.ridge)),
        _numpy(problem.design.center),
        _numpy(problem.design.scale),
    )
    return IRTPosterior(
        models=responses.models,
        items=responses.items,
        ability_mean=_numpy(state.models.mean[:, :-1]),
        ability_cov=_numpy(state.models.cov[:, :-1, :-1]),
        item_mean=_numpy(moments.mean),
        item_cov=_numpy(moments.cov),
        native_mean=_numpy(state.items.mean),
        native_cov=_numpy(state.items.cov),
        population=population,
        floor=np.zeros(len(responses.items)) if floor is None else np.asarray(floor, float),
        model_name=choice.name,
    )


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.cpu().numpy())


def score_models(posterior: IRTPosterior, responses: ResponseMatrix) -> IRTPosterior:
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
    items = Gaussians(torch.from_numpy(posterior.item_mean[index]), torch.from_numpy(posterior.item_cov[index]))
    floor = posterior.floor[index]
    cells = response_cells(responses, floor if floor.any() else None)
    n_models, dims = len(responses.models), posterior.dims
    mean = torch.zeros(n_models, dims + 1, dtype=torch.float64)
    mean[:, -1] = 1
    models = Gaussians(mean, torch.zeros(n_models, dims + 1, dims + 1, dtype=torch.float64))
    for _ in range(SCORING_SWEEPS):
        before, models = models, model_step(cells, models, items)
        if float((models.mean - before.mean).abs().max()) < 1e-5:
            break
    ability, cov = _numpy(models.mean[:, :-1]), _numpy(models.cov[:, :-1, :-1])
    return replace(posterior, models=responses.models, ability_mean=ability, ability_cov=cov)
