"""Variance components of scores over models, items, tasks, prompts, judges and runs (a generalizability study).

Components are estimated by the method of moments: the sum of squares within the groups of every component's levels is
set equal to its expectation, which holds for unbalanced data with gaps and needs no distribution (Henderson, 1953;
Gao & Owen, 2017). Their intervals come from a bootstrap over models and items.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from capscope.axes import Float, Int, RowFloats
from capscope.data import Responses, Study, task_labels
from capscope.errors import InputError, counted
from capscope.intervals import bootstrap_interval

RESIDUAL = "residual"
"""Name of the residual component: runs, and all that is confounded with them."""

EFFECTS: dict[str, tuple[str, ...]] = {
    "model": ("model",),
    "task": ("task",),
    "item": ("item",),
    "prompt": ("prompt",),
    "judge": ("judge",),
    "model x task": ("model", "task"),
    "model x item": ("model", "item"),
    "model x prompt": ("model", "prompt"),
    "model x judge": ("model", "judge"),
    "item x prompt": ("item", "prompt"),
    "item x judge": ("item", "judge"),
}
"""Facets of each component."""

FEWEST_MODELS = 10
"""With fewer models a note says that the model component is uncertain."""

Levels = Int[np.ndarray, " row"]


@dataclass(frozen=True)
class VarianceComponent:
    """One source of variance in the score of a single trial."""

    name: str
    """Name of the component, such as `item` or `model x item`; see `EFFECTS`."""
    variance: float
    """Variance in squared shares of the score, at least 0."""
    lower: float
    """Lower bound, from draws of models and items."""
    upper: float
    """Upper bound."""
    share: float
    """Share of the sum of all components."""
    clipped: bool
    """Whether the estimate was below 0 and set to 0."""
    share_lower: float = 0.0
    """Lower bound of the share, within 0 and 1."""
    share_upper: float = 1.0
    """Upper bound of the share, within 0 and 1."""


@dataclass(frozen=True)
class VarianceComponents:
    """Variance components of the score of a single trial."""

    components: tuple[VarianceComponent, ...]
    """The components that the data identify, the residual last."""
    runs_known: bool
    """Whether models answered items more than once, so that the residual is run variance."""
    n_models: int
    """Number of models."""
    n_items: int
    """Number of items."""
    n_tasks: int
    """Number of tasks; 1 where tasks are not identified."""
    level: float
    """Coverage of the bounds."""
    notes: tuple[str, ...]
    """Components that the data do not identify, one line each."""

    def of(self, name: str) -> float:
        """Variance of a component; 0 for one that the data do not identify."""
        return next((component.variance for component in self.components if component.name == name), 0.0)


@dataclass(frozen=True)
class TrialRows:
    """Scores with the levels of every axis, one row for each set of trials under the same conditions."""

    levels: Mapping[str, Levels]
    """Position of each row on each axis."""
    score: RowFloats
    """Mean score of the row's trials."""
    trials: RowFloats
    """Trials of the row."""
    squares: RowFloats
    """Sum of the squared scores of these trials."""

    @classmethod
    def of(cls, study: Study) -> "TrialRows":
        """Convert a study's responses; a score that is no whole number of right trials counts as one trial.

        Args:
            study: Responses, and items where tasks are a facet.

        Raises:
            InputError: Fewer than two models or items.
        """
        responses = Responses.of(study)
        if len(responses.models) < 2 or len(responses.items) < 2:
            raise InputError(f"{study.name}: a plan needs answers of two models or more to two items or more")
        right = responses.score * responses.n_trials
        trials = responses.n_trials if np.allclose(right, right.round(), atol=1e-6) else np.ones(len(right))
        counted = np.where(trials > 1, trials * responses.score, responses.score**2)
        levels = {"model": responses.model_index, "item": responses.item_index}
        task = _task_of_items(study, responses.items)
        if task is not None:
            levels["task"] = task[responses.item_index]
        for facet in ("prompt", "judge"):
            if facet in responses.facets and len(responses.facets[facet].names) > 1:
                levels[facet] = responses.facets[facet].codes
        return cls(levels, responses.score, trials, counted)

    def drawn(self, rng: np.random.Generator) -> "TrialRows":
        """Draw models and items with replacement; each copy is a model or an item of its own (Owen, 2007)."""
        times = {axis: _multiplicity(self.levels[axis], rng) for axis in ("model", "item")}
        copies = times["model"][self.levels["model"]] * times["item"][self.levels["item"]]
        row = np.repeat(np.arange(len(self.score)), copies)
        number = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
        of_item = times["item"][self.levels["item"][row]]
        levels = {axis: codes[row] for axis, codes in self.levels.items()}
        levels["model"] = _copied(levels["model"], times["model"], number // of_item)
        levels["item"] = _copied(levels["item"], times["item"], number % of_item)
        return TrialRows(levels, self.score[row], self.trials[row], self.squares[row])


def variance_components(
    study: Study, rng: np.random.Generator, draws: int = 100, level: float = 0.9
) -> VarianceComponents:
    """Estimate the variance components of a study's scores.

    Args:
        study: Responses; items with tasks, facets `prompt` and `judge`, repeats or `n_trials` where there are any.
        rng: Source of the draws of models and items.
        draws: Number of these draws.
        level: Coverage of the bounds.

    Raises:
        InputError: Fewer than two models or items.
    """
    rows = TrialRows.of(study)
    names, runs_known = identified_components(rows)
    point = moment_estimates(rows, names)
    anew = np.array([_drawn_estimates(rows, names, rng) for _ in range(draws)])
    if np.ptp(rows.score) == 0:
        raise InputError(
            f"{study.name}: all scores are {rows.score[0]:g}, which does not say how much scores vary; a plan needs"
            " answers of models that differ, or harder or easier items"
        )
    shares = np.clip(anew, 0, None) / np.maximum(np.clip(anew, 0, None).sum(axis=1, keepdims=True), 1e-300)
    n_models, n_items = (len(np.unique(rows.levels[axis])) for axis in ("model", "item"))
    n_tasks = len(np.unique(rows.levels["task"])) if "task" in rows.levels else 1
    clusters = min(n_models, n_items)
    total = float(np.clip(point, 0, None).sum()) or 1.0
    components: list[VarianceComponent] = []
    for place, name in enumerate((*names, RESIDUAL)):
        bounds = bootstrap_interval(point[place], anew[:, place], clusters, level)
        # copies of a model or item agree more than new ones would: the spread of the draws is used, not their mean
        shift = float(point[place]) - bounds.point
        value = max(0.0, float(point[place]))
        lower, upper = (float(end) for end in np.clip([bounds.lower + shift, bounds.upper + shift], 0, np.inf))
        # a component below 0 in all draws is known as well as one at 0 would be
        upper = bounds.upper - bounds.point if upper == lower else upper
        share = value / total
        of_share = bootstrap_interval(share, shares[:, place], clusters, level)
        ends = np.clip([of_share.lower + share - of_share.point, of_share.upper + share - of_share.point], 0, 1)
        of_share = min(float(ends[0]), share), max(float(ends[1]), share)
        if of_share[0] == of_share[1]:
            of_share = of_share[0], min(1.0, upper / total)
        components.append(VarianceComponent(name, value, lower, upper, share, bool(point[place] < 0), *of_share))
    notes = _notes(components, runs_known, n_models)
    return VarianceComponents(tuple(components), runs_known, n_models, n_items, n_tasks, level, notes)


def _drawn_estimates(
    rows: TrialRows, names: tuple[str, ...], rng: np.random.Generator
) -> Float[np.ndarray, " component"]:
    """Components of a draw of models and items; NaN where sparse answers leave none in it."""
    drawn = rows.drawn(rng)
    return moment_estimates(drawn, names) if len(drawn.score) else np.full(len(names) + 1, np.nan)


def identified_components(rows: TrialRows) -> tuple[tuple[str, ...], bool]:
    """Return the components that the data identify, and whether repeated runs identify the run variance.

    Args:
        rows: Scores with the levels of every axis.
    """
    names: list[str] = []
    sizes: set[int] = {1}
    for name, axes in EFFECTS.items():
        if all(axis in rows.levels for axis in axes):
            groups = int(_grouped(rows, axes).max()) + 1
            if groups not in sizes and groups < rows.trials.sum():
                names.append(name)
                sizes.add(groups)
    conditions = int(_grouped(rows, tuple(rows.levels)).max()) + 1
    return tuple(names), conditions < float(rows.trials.sum())


def moment_estimates(rows: TrialRows, names: tuple[str, ...]) -> Float[np.ndarray, " component"]:
    """Variance components by the method of moments, the residual last; estimates may be below 0.

    Args:
        rows: Scores with the levels of every axis.
        names: Components that the data identify.
    """
    groupings = [frozenset[str](), *(_closed(EFFECTS[name], rows) for name in names)]
    unions = {first | second for first in groupings for second in groupings}
    index = {union: _grouped(rows, tuple(union)) for union in unions}
    count = {union: np.bincount(group, rows.trials) for union, group in index.items()}
    size = {union: count[union][index[union]] for union in unions}
    total = float(rows.trials.sum())
    left = np.empty((len(groupings), len(groupings)))
    right = np.empty(len(groupings))
    for place, inside in enumerate(groupings):
        sums = np.bincount(index[inside], rows.trials * rows.score)
        right[place] = rows.squares.sum() - (sums[count[inside] > 0] ** 2 / count[inside][count[inside] > 0]).sum()
        for column, of in enumerate(groupings[1:]):
            left[place, column] = total - (rows.trials * size[inside | of] / size[inside]).sum()
        left[place, -1] = total - (count[inside] > 0).sum()
    return np.linalg.lstsq(left, right, rcond=None)[0]


def _task_of_items(study: Study, items: tuple[str, ...]) -> Levels | None:
    """Task of each item; None with fewer than two tasks, or with hardly more items than tasks."""
    if study.items is None:
        return None
    label = dict(zip(study.items["item_id"].astype(str), map(str, task_labels(study.items)), strict=True))
    _, task = np.unique([label.get(item, "?") for item in items], return_inverse=True)
    return task if 1 < task.max() + 1 <= len(items) / 2 else None


def _closed(axes: tuple[str, ...], rows: TrialRows) -> frozenset[str]:
    """The axes, and the task for each item axis, since items are nested in tasks."""
    return frozenset(axes) | ({"task"} if "item" in axes and "task" in rows.levels else frozenset[str]())


def _grouped(rows: TrialRows, axes: tuple[str, ...]) -> Levels:
    """Number of the group of each row, without gaps where the axes have many combinations."""
    group = np.zeros(len(rows.score), np.int64)
    # the task follows from the item
    for axis in (axis for axis in axes if not (axis == "task" and "item" in axes)):
        group = group * (int(rows.levels[axis].max()) + 1) + rows.levels[axis]
    return np.unique(group, return_inverse=True)[1]


def _multiplicity(levels: Levels, rng: np.random.Generator) -> Int[np.ndarray, " level"]:
    size = int(levels.max()) + 1
    return np.bincount(rng.integers(size, size=size), minlength=size)


def _copied(levels: Levels, times: Int[np.ndarray, " level"], number: Levels) -> Levels:
    return (np.cumsum(times) - times)[levels] + number


def _notes(components: list[VarianceComponent], runs_known: bool, n_models: int) -> tuple[str, ...]:
    notes: list[str] = []
    if not runs_known:
        notes.append(
            "no question was asked twice: differences between runs are confounded with effects of single items;"
            " let some models answer the same items again"
        )
    clipped = [component.name for component in components if component.clipped]
    if clipped:
        notes.append(f"estimated below 0 and set to 0: {', '.join(clipped)}")
    if n_models < FEWEST_MODELS:
        notes.append(f"{counted(n_models, 'model')}: how much models differ is poorly known")
    return tuple(notes)
