"""Seeded folds over items: by item, by whole task, by whole benchmark; a group never stands on both sides."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from capscope.errors import InputError

ItemSplit = Literal["id", "task", "benchmark"]


@dataclass(frozen=True)
class Fold:
    """One held-out part of the items."""

    train: tuple[str, ...]
    """Ids to learn from."""
    test: tuple[str, ...]
    """Ids held out."""


def item_folds(items: pd.DataFrame, split: str, folds: int, rng: np.random.Generator) -> list[Fold]:
    """Cut the items into folds that partition them.

    Args:
        items: A study's items.
        split: `id` shuffles items, `task` and `benchmark` keep each group whole on one side.
        folds: Number of folds; with fewer groups than that, each group is a fold of its own.
        rng: Source of the shuffle.

    Raises:
        InputError: Unknown split, fewer than two groups, or fewer than two folds.
    """
    if split not in get_args(ItemSplit):
        raise InputError(f"unknown split '{split}'; use one of {', '.join(get_args(ItemSplit))}")
    if folds < 2:
        raise InputError(f"{folds} folds leave nothing to learn from; use at least 2")
    ids = items["item_id"].astype(str).to_numpy()
    order = np.argsort(ids)
    ids = ids[order]
    group = _groups(items, split)[order]
    labels, group_index = np.unique(group, return_inverse=True)
    if len(labels) < 2:
        raise InputError(f"the items have one {split if split != 'id' else 'item'} only; nothing can be held out by it")
    fold = fold_numbers(len(labels), folds, rng)[group_index]
    return [
        Fold(tuple(ids[fold != number].tolist()), tuple(ids[fold == number].tolist()))
        for number in range(fold.max() + 1)
    ]


def fold_numbers(n_groups: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deal groups out to folds, as evenly as can be; with fewer groups than folds each is a fold of its own."""
    return rng.permutation(np.arange(n_groups) % min(folds, n_groups))


def _groups(items: pd.DataFrame, split: str) -> np.ndarray:
    if split == "id":
        return items["item_id"].astype(str).to_numpy()
    if split == "benchmark":
        return items["benchmark"].astype(str).to_numpy()
    return task_labels(items)


def task_labels(items: pd.DataFrame) -> np.ndarray:
    """Name each item's task together with its benchmark, since two benchmarks may share a task's name."""
    return (items["benchmark"].astype(str) + "/" + items["task"].astype(str)).to_numpy()
