"""Two models on the same items: overall, by benchmark and by dimension, and beyond their general abilities."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, RowFloats
from capscope.data import Demands, Responses, Study
from capscope.display import html_table
from capscope.errors import FitError, InputError, refuse_absent_model
from capscope.fit import IRTSettings, fit_irt
from capscope.profiles.item_groups import places_of
from capscope.profiles.paired import paired_difference
from capscope.profiles.text_tables import dimension_names, reliability_notes, table_lines

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
    """What limits the comparison, most important first."""

    @property
    def head(self) -> str:
        """One line that says what the table holds."""
        return (
            f"{self.models[0]} (a) against {self.models[1]} (b): differences a - b of mean scores, {self.level:.0%}"
            " intervals over tasks like these; `beyond` is what the difference in general ability leaves"
        )

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        rows, notes = self.table.to_dict("records"), list(self.notes)
        return {"a": self.models[0], "b": self.models[1], "level": self.level, "rows": rows, "notes": notes}

    def as_text(self) -> str:
        """Return notes and the table, with the names of dimensions beside their codes."""
        notes = [f"note: {note}" for note in self.notes]
        names = self.table["name"].astype(str).map(dimension_names()).where(self.table["scope"] == "dim").fillna("")
        table = self.table.assign(dimension=names) if (names != "").any() else self.table
        return "\n".join([*notes, self.head, table_lines(table)])

    def __repr__(self) -> str:
        whole = self.table.iloc[0]
        bounds = f"{whole['difference']:+.3f} [{whole['lower']:+.3f}, {whole['upper']:+.3f}]"
        return f"Comparison({self.models[0]} - {self.models[1]}: {bounds} on {whole['items']} items)"

    def _repr_html_(self) -> str:
        return html_table(f"{self.models[0]} against {self.models[1]}", self.table, " ".join([*self.notes, self.head]))


def compare_models(study: Study, first: str, second: str, *, seed: int = 0, level: float = 0.9) -> Comparison:
    """Compare two models of a study item by item.

    `beyond` is the difference that is left once the difference in general ability is taken off: what a model that is
    better by as much overall would show on these items is subtracted.

    Args:
        study: A study with responses by both models.
        first: Name of model A.
        second: Name of model B.
        seed: Seed of the posterior draws.
        level: Nominal coverage.

    Raises:
        InputError: No such model, the same one twice, or no item that both answered.
    """
    responses = Responses.of(study)
    pair = (_position(responses, first, study.name), _position(responses, second, study.name))
    if pair[0] == pair[1]:
        raise InputError(f"'{first}' cannot be compared with itself; name two models")
    score = responses.dense().score[list(pair)]
    both = np.flatnonzero(np.isfinite(score).all(axis=0))
    if not len(both):
        raise InputError(
            f"{study.name}: '{first}' and '{second}' answered no item in common; name no models to compare all of them"
            " by a model of their answers"
        )
    a, b = score[:, both]
    expected, notes = _expected(responses, pair, both, seed)
    one, other = np.isfinite(score).sum(axis=1)
    if len(both) < max(one, other):
        notes += (f"{len(both)} items were answered by both; '{first}' answered {one}, '{second}' {other}",)
    places = places_of(study, tuple(responses.items[i] for i in both))
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for scope, name, mask in _scopes(study, places.items, places.benchmark):
        if mask.sum() >= FEWEST_ITEMS or scope == "all":
            general = float("nan") if expected is None else float(expected[mask].mean())
            row = _row((a[mask], b[mask]), places.task[mask], general, rng, level)
            rows.append({"scope": scope, "name": name, **row})
    table = pd.DataFrame(rows)
    # a leader is named where the whole interval is on one side
    table["leader"] = np.where(table["lower"] > 0, first, np.where(table["upper"] < 0, second, ""))
    return Comparison((first, second), table, level, notes)


def _position(responses: Responses, name: str, where: str) -> int:
    refuse_absent_model(where, str(name), responses.models)
    return responses.models.index(name)


def _expected(
    responses: Responses, pair: tuple[int, int], items: np.ndarray, seed: int
) -> tuple[FloatArray | None, tuple[str, ...]]:
    """Difference that the two general abilities alone make on each item, and what limits it."""
    if len(responses.models) < FEWEST_MODELS:
        return None, (f"{len(responses.models)} models answered; a general factor needs {FEWEST_MODELS}",)
    try:
        posterior = fit_irt(responses, IRTSettings(model="2pl", form="signed", seed=seed)).posterior
    except FitError as error:
        return None, (f"no general factor: {error}",)
    chance = [posterior.probability(np.full(len(items), model), items) for model in pair]
    signal, error = float(posterior.ability_mean[:, 0].var()), float(posterior.ability_cov[:, 0, 0].mean())
    return chance[0] - chance[1], reliability_notes(signal / (signal + error))


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
    paired = asdict(paired_difference(difference, task, rng, level))
    row: dict[str, object] = {"items": paired["items"], "tasks": paired["tasks"]}
    row |= {"a": float(scores[0].mean()), "b": float(scores[1].mean()), "difference": paired["observed"]}
    row |= {key: paired[key] for key in ("mean", "lower", "upper", "ahead", "improvement")}
    beyond = {"beyond": "observed", "beyond_lower": "lower", "beyond_upper": "upper"}
    return row | {name: paired[key] - general for name, key in beyond.items()}
