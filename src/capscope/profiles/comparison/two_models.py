"""Compare two models: by benchmark and by dimension, and what is left after the general factor."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, RowFloats
from capscope.data import Demands, Responses, Study
from capscope.errors import InputError, nearest
from capscope.fit import IRTSettings, fit_irt
from capscope.profiles.comparison.paired import paired_difference
from capscope.profiles.item_groups import places_of

HIGH_LEVEL = 3.0
FEWEST_ITEMS = 5
FEWEST_MODELS = 5
"""Models under which there is no general factor to speak of."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the items that both answered."""

    models: tuple[str, str]
    """A and B; differences are A - B."""
    table: pd.DataFrame
    """Columns scope (`all`, `benchmark`, `dim`), name, items, tasks, a, b (mean scores), difference (observed), mean,
    lower, upper (posterior over tasks like these), ahead, improvement, leader, beyond, beyond_lower, beyond_upper."""
    level: float
    """Coverage of the bounds."""
    notes: tuple[str, ...]
    """What could not be said, and why."""


def compare_models(study: Study, names: tuple[str, str], seed: int = 0, level: float = 0.9) -> Comparison:
    """Compare two models of a study item by item.

    `beyond` is the difference that is left once the difference in general ability is taken off: what a model that is
    better by as much overall would show on these items is subtracted.

    Raises:
        InputError: No such model, the same one twice, or no item that both answered.
    """
    responses = Responses.of(study)
    first, second = (_position(responses, name, study.name) for name in names)
    if first == second:
        raise InputError(f"'{names[0]}' cannot be compared with itself; name two models")
    scores = [_scores(responses, model) for model in (first, second)]
    both = np.flatnonzero(np.isfinite(scores[0]) & np.isfinite(scores[1]))
    if not len(both):
        raise InputError(f"{study.name}: '{names[0]}' and '{names[1]}' answered no item in common")
    a, b = scores[0][both], scores[1][both]
    expected, notes = _expected(responses, (first, second), both, seed)
    places = places_of(study, tuple(responses.items[i] for i in both))
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for scope, name, mask in _scopes(study, places.items, places.benchmark):
        if mask.sum() >= FEWEST_ITEMS or scope == "all":
            general = float("nan") if expected is None else float(expected[mask].mean())
            found = _row((a[mask], b[mask]), places.task[mask], general, rng, level)
            rows.append({"scope": scope, "name": name, **found})
    table = pd.DataFrame(rows)
    # a leader is named where the whole interval is on one side
    table["leader"] = np.where(table["lower"] > 0, names[0], np.where(table["upper"] < 0, names[1], ""))
    return Comparison(names, table, level, notes)


def _position(responses: Responses, name: str, where: str) -> int:
    if name not in responses.models:
        raise InputError(f"{where}: no responses by model '{name}'{nearest(name, responses.models)}")
    return responses.models.index(name)


def _scores(responses: Responses, model: int) -> FloatArray:
    """Mean score on each item; NaN where the model has none."""
    rows = responses.model_index == model
    item, trials = responses.item_index[rows], responses.n_trials[rows]
    size = len(responses.items)
    total, weight = np.bincount(item, trials * responses.score[rows], size), np.bincount(item, trials, size)
    return np.divide(total, weight, out=np.full(size, np.nan), where=weight > 0)


def _expected(
    responses: Responses, pair: tuple[int, int], items: np.ndarray, seed: int
) -> tuple[FloatArray | None, tuple[str, ...]]:
    """Difference that the two general abilities alone make on each item."""
    if len(responses.models) < FEWEST_MODELS:
        return None, (f"{len(responses.models)} models answered; a general factor needs {FEWEST_MODELS}",)
    posterior = fit_irt(responses, IRTSettings(model="2pl", form="signed", seed=seed)).posterior
    chance = [posterior.probability(np.full(len(items), model), items) for model in pair]
    return chance[0] - chance[1], ()


def _scopes(study: Study, items: tuple[str, ...], benchmark: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    scopes: list[tuple[str, str, np.ndarray]] = [("all", "all items", np.ones(len(items), bool))]
    scopes += [("benchmark", str(name), benchmark == name) for name in np.unique(benchmark)]
    if study.demands is not None:
        demands = Demands.of(study)
        levels = demands.at(items)
        scopes += [("dim", dim, levels[:, d] >= HIGH_LEVEL) for d, dim in enumerate(demands.dims)]
    return scopes


def _row(
    scores: tuple[RowFloats, RowFloats], task: np.ndarray, general: float, rng: np.random.Generator, level: float
) -> dict[str, object]:
    difference = scores[0] - scores[1]
    found = asdict(paired_difference(difference, task, rng, level))
    row: dict[str, object] = {"items": found["items"], "tasks": found["tasks"]}
    row |= {"a": float(scores[0].mean()), "b": float(scores[1].mean()), "difference": found["observed"]}
    row |= {key: found[key] for key in ("mean", "lower", "upper", "ahead", "improvement")}
    beyond = {"beyond": "observed", "beyond_lower": "lower", "beyond_upper": "upper"}
    return row | {name: found[key] - general for name, key in beyond.items()}
