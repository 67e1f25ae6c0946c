"""Folds over answers: by item, task or benchmark, by model, by family, at the frontier, and by model and benchmark."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool

from capscope.axes import RowIndex
from capscope.data.responses import Responses
from capscope.data.splits import fold_numbers, item_folds
from capscope.errors import InputError, first_few, nearest

RowMask = Bool[np.ndarray, " row"]
ITEM_SPLITS = ("id", "task", "benchmark")
MODEL_SPLITS = ("new-model", "family", "frontier")
SPLITS = (*ITEM_SPLITS, *MODEL_SPLITS, "both")
"""What can be held out: items, tasks, benchmarks; models, families of models, the strongest models; or new models on
new benchmarks."""
WEAKER, STRONGEST = 0.5, 0.3
"""At the frontier, assessors learn from the weaker half of the models and are tested on the strongest 30 %."""


@dataclass(frozen=True)
class SplitPlan:
    """What is held out together, and what is known of a new model."""

    split: str = "task"
    """One of `SPLITS`."""
    folds: int = 5
    """Number of folds; with fewer groups than that, each group is a fold of its own."""
    known: int = 20
    """Answers known of a new model, at most half of what it has; without meaning where items are held out."""
    families: dict[str, str] | None = None
    """Family of each model, for `family`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be cut.

        Raises:
            InputError: Unknown split, fewer than two folds, or a negative number of known answers.
        """
        if self.split not in SPLITS:
            hint = nearest(self.split, SPLITS)
            raise InputError(f"unknown split '{self.split}'{hint}; use one of {', '.join(SPLITS)}")
        if self.folds < 2 and self.split != "frontier":
            raise InputError(f"{self.folds} folds leave nothing to learn from; use at least 2")
        if self.known < 0:
            raise InputError(f"--known {self.known} is not a number of answers; use 0 or more")


@dataclass(frozen=True)
class ResponseFold:
    """One held-out part of the answers; a row may be in neither part, never in both."""

    train: RowMask
    """Answers to learn from."""
    test: RowMask
    """Answers to predict."""


def response_folds(
    responses: Responses, items: pd.DataFrame, plan: SplitPlan, rng: np.random.Generator
) -> list[ResponseFold]:
    """Cut the answers into folds.

    By item, task or benchmark, all answers to the held-out items are tested. By model, all answers of the held-out
    models but `known` of them are; the other models' answers to the same items stay in training. `both` holds out
    models and benchmarks at once: training has neither an answer of the new models to the new benchmarks, nor any
    other answer to them, only `known` answers of the new models to other benchmarks.

    Args:
        responses: The answers.
        items: A study's items, one row for each of `responses.items`, in that order.
        plan: What to hold out.
        rng: Source of the folds and of the known answers.

    Raises:
        InputError: Fewer than two groups to hold out, or a model without a family.
    """
    if plan.split in ITEM_SPLITS:
        return [ResponseFold(~test, test) for test in _item_masks(responses, items, plan.split, plan.folds, rng)]
    if plan.split == "frontier":
        return [_frontier_fold(responses, plan.known, rng)]
    new = _model_masks(responses, plan, rng)
    if plan.split == "both":
        target = _item_masks(responses, items, "benchmark", len(set(items["benchmark"].astype(str))), rng)
        return [_both_fold(responses, new_model, held, plan.known, rng) for new_model in new for held in target]
    return [_model_fold(responses, new_model, plan.known, rng) for new_model in new]


def _item_masks(
    responses: Responses, items: pd.DataFrame, split: str, folds: int, rng: np.random.Generator
) -> list[RowMask]:
    index = pd.Index(responses.items)
    return [index.isin(fold.test)[responses.item_index] for fold in item_folds(items, split, max(folds, 2), rng)]


def _model_masks(responses: Responses, plan: SplitPlan, rng: np.random.Generator) -> list[RowMask]:
    """Mark for each fold the answers of the held-out models."""
    labels = np.array(responses.models)
    if plan.split == "family":
        labels = _families(responses.models, plan.families or {})
    groups, group_of_model = np.unique(labels, return_inverse=True)
    what = "family" if plan.split == "family" else "model"
    if len(groups) < 2:
        raise InputError(f"the answers are of one {what} only; nothing can be held out by it")
    fold = fold_numbers(len(groups), plan.folds, rng)[group_of_model][responses.model_index]
    return [fold == number for number in range(fold.max() + 1)]


def _families(models: tuple[str, ...], families: dict[str, str]) -> np.ndarray:
    unknown = [model for model in models if model not in families]
    if unknown:
        raise InputError(
            f"{len(unknown)} models have no family: {first_few(unknown)}; give --families FILE with columns model and"
            " family, put models.csv into the study, or state --families names to guess them from the names"
        )
    return np.array([families[model] for model in models])


def _model_fold(responses: Responses, new_model: RowMask, known: int, rng: np.random.Generator) -> ResponseFold:
    test = new_model & ~_known_answers(responses.model_index, new_model, known, rng)
    return ResponseFold(~test, test)


def _both_fold(
    responses: Responses, new_model: RowMask, new_item: RowMask, known: int, rng: np.random.Generator
) -> ResponseFold:
    told = _known_answers(responses.model_index, new_model & ~new_item, known, rng)
    return ResponseFold(~new_item & (~new_model | told), new_item & new_model)


def _frontier_fold(responses: Responses, known: int, rng: np.random.Generator) -> ResponseFold:
    if len(responses.models) < 3:
        raise InputError("the frontier needs at least 3 models: a weaker half and the strongest 30 %")
    place = np.argsort(np.argsort(_strength(responses), kind="stable"), kind="stable")
    n_models = len(responses.models)
    weaker = (place < max(1, int(WEAKER * n_models)))[responses.model_index]
    strongest = (place >= n_models - max(1, round(STRONGEST * n_models)))[responses.model_index]
    told = _known_answers(responses.model_index, strongest, known, rng)
    return ResponseFold(weaker | told, strongest & ~told)


def _strength(responses: Responses) -> np.ndarray:
    """How far each model's scores lie above the mean of the items it was asked."""
    n_items = len(responses.items)
    count = np.maximum(np.bincount(responses.item_index, minlength=n_items), 1)
    item_mean = np.bincount(responses.item_index, weights=responses.score, minlength=n_items) / count
    above = responses.score - item_mean[responses.item_index]
    n_models = len(responses.models)
    asked = np.maximum(np.bincount(responses.model_index, minlength=n_models), 1)
    return np.round(np.bincount(responses.model_index, weights=above, minlength=n_models) / asked, 12)


def _known_answers(model_index: RowIndex, among: RowMask, known: int, rng: np.random.Generator) -> RowMask:
    """Draw the known answers of each model: `known` of the rows marked, at most half of a model's."""
    rows = np.flatnonzero(among)
    order = rows[np.lexsort((rng.random(len(rows)), model_index[rows]))]
    _, start, count = np.unique(model_index[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(start, count)
    told = np.zeros(len(among), dtype=bool)
    told[order[place < np.minimum(known, np.repeat(count // 2, count))]] = True
    return told
