"""Models out of step as findings: the whole model, one benchmark or one task, with the lag where there is one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import ItemMask
from capscope.data import Responses, Study, task_labels
from capscope.profiles.audit.findings import COLUMNS, Suspects
from capscope.profiles.audit.lags import best_lag, natural_order
from capscope.profiles.audit.order import alignment, out_of_step

CLEAR = 0.5


@dataclass(frozen=True)
class Places:
    """Where each item of a study belongs."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    benchmark: np.ndarray
    """Benchmark of each."""
    task: np.ndarray
    """Task of each, with its benchmark's name."""

    def take(self, index: np.ndarray) -> "Places":
        """Return some of the items."""
        return Places(tuple(self.items[i] for i in index), self.benchmark[index], self.task[index])

    def table(self) -> pd.DataFrame:
        """Columns benchmark, task."""
        return pd.DataFrame({"benchmark": self.benchmark, "task": self.task})


def places_of(study: Study, items: tuple[str, ...]) -> Places:
    """Look up benchmark and task of items; items that the study does not describe belong to one of their own."""
    if study.items is None:
        return Places(items, np.full(len(items), "all"), np.full(len(items), "all"))
    ids = study.items["item_id"].astype(str)
    benchmark = pd.Series(study.items["benchmark"].astype(str).to_numpy(), index=ids)
    task = pd.Series(task_labels(study.items), index=ids)
    wanted = list(items)
    found = [column.reindex(wanted).fillna("?").astype(str).to_numpy(dtype=str) for column in (benchmark, task)]
    return Places(items, found[0], found[1])


@dataclass(frozen=True)
class StepFindings:
    """Models out of step, and which rows that concerns."""

    suspects: Suspects
    """One for each model and the widest part of the study it is out of step on."""
    cells: pd.DataFrame
    """Model and task of each part that is more likely out of step than not."""


def step_suspects(responses: Responses, places: Places, rate: float) -> StepFindings:
    """Find models out of step, and by how far where the order of items tells.

    Args:
        responses: The responses.
        places: Where the items belong.
        rate: Rate of false discoveries, for the cells that are left out of what follows.
    """
    found = alignment(responses, places.task)
    benchmark = np.array([places.benchmark[np.flatnonzero(places.task == task)[0]] for task in found.tasks])
    table = out_of_step(found, benchmark)
    rows = [_row(scope, part, responses, places) for scope, part in _parts(table)]
    suspected = pd.DataFrame(rows, columns=COLUMNS[1:])
    clear = table[table["probability"] >= max(CLEAR, 1 - rate)]
    return StepFindings(Suspects("out of step", suspected), clear[["model", "task"]])


def rows_out_of_step(found: StepFindings, responses: Responses, places: Places) -> ItemMask:
    """Mask of the rows that stand against other items than they answered."""
    if not len(found.cells):
        return np.zeros(len(responses.score), bool)
    tasks, task = np.unique(places.task, return_inverse=True)
    bad = np.zeros((len(responses.models), len(tasks)), bool)
    model = pd.Index(responses.models).get_indexer(pd.Index(found.cells["model"]))
    bad[model, np.searchsorted(tasks, found.cells["task"].to_numpy(dtype=str))] = True
    return bad[responses.model_index, task[responses.item_index]]


def _parts(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Cut the cells of each model into the widest parts that are out of step as a whole."""
    parts: list[tuple[str, pd.DataFrame]] = []
    for _, cells in table.groupby("model", sort=False):
        if cells["whole_model"].iloc[0] >= CLEAR:
            parts.append(("study", cells))
            continue
        for _, inner in cells.groupby("benchmark", sort=False):
            if inner["whole_benchmark"].iloc[0] >= CLEAR:
                parts.append(("benchmark", inner))
            else:
                parts += [("task", inner.iloc[[number]]) for number in range(len(inner))]
    return parts


def _row(scope: str, cells: pd.DataFrame, responses: Responses, places: Places) -> list[object]:
    first = cells.iloc[0]
    names = {"study": ("", ""), "benchmark": (first["benchmark"], ""), "task": (first["benchmark"], first["task"])}
    chances = {"study": "whole_model", "benchmark": "whole_benchmark", "task": "probability"}
    probability = float(first[chances[scope]])
    weight = 1 / cells["sd"].to_numpy() ** 2
    slope, expected = (float(np.average(cells[name], weights=weight)) for name in ("slope", "expected"))
    words = f"agreement with the others {slope:.2f} where models as good have {expected:.2f} ({len(cells)} tasks)"
    if probability >= CLEAR:
        words += _lag_words(str(first["model"]), cells, responses, places)
    return [first["model"], "", *names[scope], probability, words]


def _lag_words(name: str, cells: pd.DataFrame, responses: Responses, places: Places) -> str:
    """The lag within tasks, benchmarks or the study under which most of a model's tasks come into step, if any."""
    model = responses.models.index(name)
    inside = np.isin(places.task, cells["task"].to_numpy(dtype=str))
    for what, label in (("task", places.task), ("benchmark", places.benchmark), ("study", None)):
        lags = []
        for part in np.unique(places.task[inside]) if what == "task" else [None]:
            items = np.flatnonzero(places.task == part) if part is not None else _of(label, inside)
            found = _part_lag(model, items, responses)
            lags += [found] if found else []
        if lags:
            places_back = pd.Series(lags).mode().iloc[0]
            return f"; shifted by {places_back:+d} places within the {what} it agrees"
    return "; no shift brings it back"


def _of(label: np.ndarray | None, inside: np.ndarray) -> np.ndarray:
    return np.arange(len(inside)) if label is None else np.flatnonzero(np.isin(label, label[inside]))


def _part_lag(model: int, items: np.ndarray, responses: Responses) -> int | None:
    wanted = np.zeros(len(responses.items), bool)
    wanted[items] = True
    rows = np.flatnonzero((responses.model_index == model) & wanted[responses.item_index])
    rows = rows[natural_order([responses.items[i] for i in responses.item_index[rows]])]
    others = responses.model_index != model
    size = len(responses.items)
    right = np.bincount(responses.item_index[others], responses.score[others], size)
    answers = np.bincount(responses.item_index[others], minlength=size)
    easy = (right / np.maximum(answers, 1))[responses.item_index[rows]]
    found = best_lag(responses.score[rows], easy)
    return None if found is None else found.places
