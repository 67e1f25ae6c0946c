"""Data of one fit on its device, warm starts, and the fit of one model."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from capscope.axes import RowFloats
from capscope.errors import FitError
from capscope.fit.cells.answers import Answers, as_rows
from capscope.fit.cells.interface import Cells
from capscope.fit.cells.ranks import RankCells, Ranks, lay_out_ranks
from capscope.fit.cells.response_summary import ResponseSummary
from capscope.fit.engines.score_cells import score_model_cells
from capscope.fit.engines.variational.item_forms import ItemForm, PositiveForm, SignedForm
from capscope.fit.engines.variational.item_prior import Design, make_design
from capscope.fit.engines.variational.kernels import Gaussians, cell_sums
from capscope.fit.engines.variational.sweeps import Schedule, State, model_step, run_sweeps, start_state
from capscope.fit.irt.score_models.binary import LEAST_CHANCE, Binary
from capscope.fit.irt.score_models.score_model import ScoreModel
from capscope.fit.irt.settings import IRTSettings

MODEL_STEPS = 3
"""Newton steps of the abilities on known items."""
LEAST_LOADED = 3
"""Fewest items that identify a dimension."""


CPU = torch.device("cpu")
"""Default device."""


@dataclass(frozen=True)
class WarmStart:
    """A fit of some models on all items, or of all models on some items."""

    state: State
    """The fit."""
    models: Int[np.ndarray, " known_model"]
    """Positions of these models."""
    items: Int[np.ndarray, " known_item"]
    """Positions of these items."""

    def covers_an_axis(self, cells: Cells) -> bool:
        """Whether one axis is known in full."""
        return len(self.models) == cells.shape[0] or len(self.items) == cells.shape[1]

    def state_on(self, by_model: Cells, form: ItemForm, threads: int) -> State:
        """The start on all models and items.

        Args:
            by_model: All cells, models in rows.
            form: Form of the items.
            threads: Number of chunks of rows computed in parallel.
        """
        n_models, n_items = by_model.shape
        items = _placed(self.state.items, self.items, n_items, self.state.prior.intercept, self.state.prior.cov)
        models = _unknown_models(self.state.models, n_models)
        if len(self.models) == n_models:
            return State(self.state.models, items, self.state.prior)
        moments = form.moments(items)
        for _ in range(MODEL_STEPS):
            models = model_step(models, cell_sums(by_model, models, moments, "model", threads))
        return State(models, items, self.state.prior)


def _unknown_models(like: Gaussians, n_models: int) -> Gaussians:
    size = like.mean.shape[1]
    mean = like.mean.new_zeros(n_models, size)
    mean[:, -1] = 1
    return Gaussians(mean, like.cov.new_zeros(n_models, size, size))


def _placed(known: Gaussians, at: np.ndarray, size: int, mean: Tensor, cov: Tensor) -> Gaussians:
    """All items: known ones at their positions, the others at the population's mean."""
    if len(at) == size:
        return known
    where = torch.from_numpy(at).to(known.mean.device)
    everywhere = Gaussians(mean.expand(size, -1).clone(), cov.expand(size, -1, -1).clone())
    everywhere.mean[where], everywhere.cov[where] = known.mean, known.cov
    return everywhere


@dataclass(frozen=True)
class ModelChoice:
    """One item response model with all choices made."""

    name: Literal["rasch", "2pl", "3pl", "4pl", "mirt"]
    """Rasch has one slope for all items; 3PL and 4PL estimate a floor, 4PL a ceiling too."""
    dims: int = 1
    """Number of abilities."""
    form: Literal["signed", "positive"] = "signed"
    """Parameters of the items."""
    score_model: ScoreModel | None = None
    """Distribution of scores; None for right and wrong, or shares of right trials."""
    guess: bool = True
    """Whether known chances of a guess are used as floors."""
    loads_on: Bool[np.ndarray, "item dim"] | None = field(default=None, compare=False)
    """Which dimensions each item may load on; None for all."""

    @property
    def words(self) -> str:
        """The choice in words."""
        return self._model_words + ("" if self.guess else " without guessing")

    @property
    def _model_words(self) -> str:
        if self.name == "mirt":
            return f"{self.dims} dimensions"
        if self.score_model is not None:
            return f"{self.name} for {self.score_model.code} scores"
        several = f", {self.dims} dimensions" if self.dims > 1 else ""
        return "Rasch" if self.name == "rasch" else f"{self.name.upper()} ({self.form} slopes{several})"

    @property
    def estimates_asymptotes(self) -> bool:
        """Whether floors (and ceilings) are estimated."""
        return self.name in ("3pl", "4pl")

    def item_form(self, answers_per_item: float = math.inf, device: torch.device = CPU) -> ItemForm:
        """The items' parameters and updates, where they have so many answers each, on a device.

        Args:
            answers_per_item: Mean number of answers to an item.
            device: Device of the mask of loadings.

        Returns:
            The form of the items' parameters, with its updates.
        """
        if self.form == "positive":
            return PositiveForm(answers_per_item)
        loads = None if self.loads_on is None else torch.from_numpy(self.loads_on.astype(float)).to(device)
        return SignedForm(self.dims, self.name != "rasch", loads)


@dataclass(frozen=True)
class Problem:
    """The data of one fit on its device, with models in rows and with items in rows."""

    by_model: Cells
    """Scores, models in rows."""
    by_item: Cells
    """Scores, items in rows."""
    design: Design
    """Item features."""
    device: torch.device
    """Where to compute."""
    trial_weight: float = 1.0
    """Effective number of binary trials of a row."""
    answers_per_item: float = math.inf
    """Mean number of answers of an item."""

    def with_score_model(self, answers: Answers, score_model: ScoreModel) -> "Problem":
        """The same answers under a score model.

        Args:
            answers: The answers of this problem.
            score_model: Score model with its extra parameters.

        Returns:
            The problem with cells that hold an extra for each item.
        """
        nothing = torch.zeros(len(answers.items), len(score_model.names), dtype=torch.float64)
        rows = as_rows(answers)
        cells = score_model_cells(replace(rows, n_trials=rows.n_trials * self.trial_weight), score_model, nothing).to(
            self.device
        )
        return replace(self, by_model=cells, by_item=cells.transposed())


@dataclass(frozen=True)
class ItemCovariates:
    """Covariates of the items: features, floors, and the dimensions they may load on."""

    features: np.ndarray | None = None
    """Array (item, feature); None for none."""
    floor: RowFloats | None = None
    """Chance of a right guess on each item; None for none."""
    loads_on: Bool[np.ndarray, "item dim"] | None = None
    """Which dimensions each item may load on; None for all."""

    def of(self, items: np.ndarray) -> "ItemCovariates":
        """Covariates of some items."""
        features = None if self.features is None else self.features[items]
        loads_on = None if self.loads_on is None else self.loads_on[items]
        return ItemCovariates(features, None if self.floor is None else self.floor[items], loads_on)


def checked_covariates(features: np.ndarray | None, floor: RowFloats | None, n_items: int) -> ItemCovariates:
    """Validate item features and floors; see `make_design` for the features.

    Args:
        features: Item features, shape (item, feature), or None.
        floor: Chance of a right guess of each item, in [0, 1), or None.
        n_items: Number of items.

    Returns:
        Both; the floor is None where all floors are 0.

    Raises:
        FitError: Features or floors have the wrong shape or values.
    """
    make_design(features, n_items)
    if floor is None or not np.any(floor):
        return ItemCovariates(features)
    floor = np.asarray(floor, float)
    if not (floor.shape == (n_items,) and floor.min() >= 0 and floor.max() < 1):
        raise FitError("fit_irt: floor must hold one chance in [0, 1) for each item, in the order of the items")
    return ItemCovariates(features, floor)


def make_problem(
    answers: Answers,
    summary: ResponseSummary,
    side: ItemCovariates,
    settings: IRTSettings,
    device: torch.device,
    ranks: Ranks | None = None,
) -> Problem:
    """Lay the data out on the device.

    Args:
        answers: Observed answers, at least one of each model and item.
        summary: Summary of these answers.
        side: Covariates of the items.
        settings: For the memory that cells may take.
        device: Where to compute.
        ranks: Processes that the cells are spread over; None for this one alone.
    """
    by_model, by_item = lay_out_ranks(answers, summary, side.floor, settings.memory_mb, ranks)
    design = make_design(side.features, len(answers.items)).to(device)
    per_item = summary.n_rows / len(answers.items)
    return Problem(by_model.to(device), by_item.to(device), design, device, summary.weight, per_item)


def problem_of(choice: ModelChoice, problem: Problem, answers: Answers, side: ItemCovariates) -> Problem:
    """The problem for a choice of model: without known floors where floors are estimated.

    Args:
        choice: The model to fit.
        problem: The answers as cells, with known floors.
        answers: The same answers.
        side: Known floors and item features.

    Returns:
        The problem to fit: with a score model where the choice has one or estimates asymptotes, else without it.
    """
    if choice.score_model is not None:
        return problem.with_score_model(answers, choice.score_model)
    if not choice.guess:
        return replace(problem, by_model=problem.by_model.without_floor(), by_item=problem.by_item.without_floor())
    if not choice.estimates_asymptotes:
        return problem
    known = None if side.floor is None else torch.from_numpy(side.floor.clip(LEAST_CHANCE, None)).to(problem.device)
    return problem.with_score_model(answers, Binary(True, choice.name == "4pl", known))


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` takes a GPU where there is one.

    Raises:
        FitError: A GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise FitError("device 'cuda' is not available; use --device cpu")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def fit_choice(problem: Problem, choice: ModelChoice, settings: IRTSettings, warm: WarmStart | None = None) -> State:
    """Start and sweep one model; dimensions are turned to simple structure at the end.

    Args:
        problem: The data.
        choice: The model.
        settings: Tolerance and number of sweeps.
        warm: A fit of the same model to part of the data, to start from.
    """
    form = choice.item_form(problem.answers_per_item, problem.device)
    ranks = problem.by_model.ranks if isinstance(problem.by_model, RankCells) else None
    schedule = Schedule(settings.max_sweeps, settings.tolerance, settings.threads, ranks)
    if warm is not None and warm.covers_an_axis(problem.by_model):
        state = warm.state_on(problem.by_model, form, settings.threads)
    else:
        generator = torch.Generator().manual_seed(settings.seed)
        state = start_state(problem.by_model, problem.by_item, form, choice.dims, problem.design, generator)
    state = run_sweeps(problem.by_model, problem.by_item, form, problem.design, state, schedule)
    return _turned(state, form)


def checked_loads(
    loads_on: np.ndarray | None, n_items: int, settings: IRTSettings, features: np.ndarray | None
) -> Bool[np.ndarray, "item dim"] | None:
    """Validate a confirmatory mask of loadings.

    Args:
        loads_on: Whether each item may load on each dimension, shape (item, dim), or None.
        n_items: Number of items.
        settings: Settings of the fit, which name model and dimensions.
        features: Item features, which cannot be combined with a mask.

    Returns:
        The mask as booleans, or None.

    Raises:
        FitError: The mask does not fit the items, the model or the features, or a dimension has too few items.
    """
    if loads_on is None:
        return None
    mask = np.asarray(loads_on)
    if mask.ndim != 2 or len(mask) != n_items or not np.isin(mask, (0, 1)).all():
        raise FitError(f"fit_irt: loads_on must be true or false for each of {n_items} items and each dimension")
    empty = np.flatnonzero(mask.sum(0) < LEAST_LOADED)
    if len(empty):
        raise FitError(
            f"fit_irt: under {LEAST_LOADED} items load on dimension {empty[0] + 1}, too few to find it; leave it out"
        )
    if settings.model not in ("auto", "mirt") or settings.dims not in (1, mask.shape[1]) or features is not None:
        raise FitError("fit_irt: loads_on is for model 'mirt' with as many dims as it has columns, without features")
    return mask.astype(bool)


def _positive_on_average(slopes: torch.Tensor) -> torch.Tensor:
    return torch.diag(torch.where(slopes.sum(0) < 0, -1.0, 1.0).to(slopes.dtype))


def _turned(state: State, form: ItemForm) -> State:
    slopes = form.moments(state.items).mean[:, :-1]
    rotation = simple_structure(slopes) if form.loads is None else _positive_on_average(slopes)
    mean, cov = state.models.mean.clone(), state.models.cov.clone()
    mean[:, :-1] = mean[:, :-1] @ rotation
    cov[:, :-1, :-1] = rotation.T @ cov[:, :-1, :-1] @ rotation
    items, prior = form.rescale(state.items, state.prior, rotation, torch.zeros_like(rotation[0]))
    extras = None if state.extras is None else state.extras.turned(rotation)
    return replace(state, models=Gaussians(mean, cov), items=items, prior=prior, extras=extras)


MAX_ROUNDS = 200


def varimax(slopes: Float[Tensor, "item dim"], tolerance: float = 1e-8) -> Float[Tensor, "dim dim"]:
    """Orthogonal matrix R so that ``slopes @ R`` has few large entries a row (Kaiser, 1958; without row weights).

    Args:
        slopes: Slopes of the items.
        tolerance: Relative gain of the criterion under which to stop.
    """
    n_items, dims = slopes.shape
    rotation = torch.eye(dims, dtype=slopes.dtype, device=slopes.device)
    criterion = 0.0
    for _ in range(MAX_ROUNDS):
        rotated = slopes @ rotation
        target = rotated**3 - rotated * rotated.square().mean(0)
        u, s, vh = torch.linalg.svd(slopes.T @ target / n_items)
        rotation = u @ vh
        total = float(s.sum())
        if total <= criterion * (1 + tolerance):
            break
        criterion = total
    return rotation


def simple_structure(slopes: Float[Tensor, "item dim"]) -> Float[Tensor, "dim dim"]:
    """Varimax, dimensions ordered by the sum of squared slopes, each with a positive mean slope."""
    rotation = varimax(slopes)
    rotated = slopes @ rotation
    order = torch.argsort(rotated.square().sum(0), descending=True, stable=True)
    sign = torch.where(rotated.sum(0) < 0, -1.0, 1.0).to(slopes.dtype)
    return (rotation * sign)[:, order]
