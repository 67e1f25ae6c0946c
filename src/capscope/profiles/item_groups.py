"""Benchmark and task of each item, the clusters that intervals resample, and the part of a study in one benchmark."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import Study, task_labels
from capscope.errors import InputError, first_few, nearest


def opened(source: Study | str | Path) -> Study:
    """Return a study as it is, or load it from its folder.

    Raises:
        InputError: There is no such folder, or its tables are no study.
    """
    return source if isinstance(source, Study) else Study.load(Path(source))


@dataclass(frozen=True)
class Places:
    """Benchmark and task of each item."""

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
    columns = [column.reindex(wanted).fillna("?").astype(str).to_numpy(dtype=str) for column in (benchmark, task)]
    return Places(items, columns[0], columns[1])


def clusters_of(study: Study, items: tuple[str, ...]) -> np.ndarray:
    """Label each item with its task; where all are of one task, or none is known, each item is its own cluster."""
    if study.items is None:
        return np.array(items)
    labels = dict(zip(study.items["item_id"].astype(str), task_labels(study.items), strict=True))
    tasks = np.array([labels.get(item, f"?/{item}") for item in items])
    return np.array(items) if len(np.unique(tasks)) < 2 else tasks


def of_benchmark(study: Study, benchmark: str) -> Study:
    """Return the part of a study that belongs to one benchmark.

    Raises:
        InputError: There is no such benchmark.
    """
    items = study.require("items")
    known = sorted(items["benchmark"].astype(str).unique())
    if benchmark not in known:
        hint = nearest(benchmark, known)
        raise InputError(f"{study.name}: no benchmark '{benchmark}'{hint}; there are {first_few(known)}")
    return study.keep_items(pd.Index(items.loc[items["benchmark"] == benchmark, "item_id"]))
