"""Seeded folds over items and over responses, by item, task, benchmark, model, model family or ability.

Items (or models) of one group are always on the same side of a fold.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from capscope.axes import Bool, RowIndex
from capscope.data.agents import AgentDesign
from capscope.data.columns import as_identifier
from capscope.data.reading import read_table
from capscope.data.responses import Responses
from capscope.data.study_folder import model_tables
from capscope.errors import InputError, counted, first_few, nearest

ItemSplit = Literal["id", "task", "benchmark"]


@dataclass(frozen=True)
class Fold:
    """One held-out part of the items."""

    train: tuple[str, ...]
    """Ids to learn from."""
    test: tuple[str, ...]
    """Ids held out."""


def item_folds(items: pd.DataFrame, split: str, folds: int, rng: np.random.Generator) -> list[Fold]:
    """Divide the items into folds that partition them.

    Args:
        items: A study's items.
        split: `id` shuffles items, `task` and `benchmark` keep each group whole on one side.
        folds: Number of folds; with fewer groups than that, each group is a fold of its own.
        rng: Source of the shuffle.

    Returns:
        The folds; each item is held out in one.

    Raises:
        InputError: Unknown split, fewer than two groups, or fewer than two folds.
    """
    if split not in get_args(ItemSplit):
        raise InputError(f"unknown split '{split}'; use one of {', '.join(get_args(ItemSplit))}")
    if folds < 2:
        raise InputError(f"{counted(folds, 'fold', 'leave')} nothing to learn from; use at least 2")
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
    """Assign groups to folds of nearly equal size; with fewer groups than folds, each group is its own fold.

    Args:
        n_groups: Number of groups.
        folds: Number of folds.
        rng: Source of randomness.

    Returns:
        Fold of each group (group,).
    """
    return rng.permutation(np.arange(n_groups) % min(folds, n_groups))


def _groups(items: pd.DataFrame, split: str) -> np.ndarray:
    if split == "id":
        return items["item_id"].astype(str).to_numpy()
    if split == "benchmark":
        return items["benchmark"].astype(str).to_numpy()
    return task_labels(items)


def task_labels(items: pd.DataFrame) -> np.ndarray:
    """Name each item's task together with its benchmark, since two benchmarks may share a task's name.

    Args:
        items: A study's items.

    Returns:
        One label for each row.
    """
    return (items["benchmark"].astype(str) + "/" + items["task"].astype(str)).to_numpy()


FROM_NAMES = "names"
"""Value of `--families` and `--models` that takes the families in the models' names."""
BASES = (
    *("llama-?3", "llama-?2", "llama", "mixtral", "mistral", "qwen", "gemma", "phi", "falcon", "solar", "deepseek"),
    *("gpt", "claude", "gemini", "command", "olmo", "internlm", "stablelm", "mpt", "pythia", "bloom", "granite"),
    *("smollm", "jamba", "dbrx", "yi", "baichuan", "glm", "starcoder", "nemotron", "grok", "kimi"),
)
"""Patterns in a model's name that identify its base model, the specific before the general."""


def read_families(path: Path) -> dict[str, str]:
    """Read a table with columns `model` and `family`.

    Args:
        path: A table.

    Returns:
        Family by model.

    Raises:
        InputError: The file cannot be read, lacks a column, or gives a model two families.
    """
    table = read_table(path)
    missing = [column for column in ("model", "family") if column not in table]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; families need the columns model and family")
    model = as_identifier(table["model"], "model", str(path)).astype(str)
    family = as_identifier(table["family"], "family", str(path)).astype(str)
    families: dict[str, str] = {}
    for name, group in zip(model, family, strict=True):
        if families.setdefault(name, group) != group:
            raise InputError(f"{path}: model '{name}' has two families, '{families[name]}' and '{group}'; keep one")
    return families


def families_of(models: Sequence[str], source: str | None, study_folder: Path) -> dict[str, str] | None:
    """Find the families of a study's models.

    Args:
        models: Names of the models.
        source: A file, `names` to guess from the names, or None to look for a models table in the study's folder.
        study_folder: Where such a table may lie: `models.csv` or another readable file of that name.

    Returns:
        Family by model; None where nothing says so.

    Raises:
        InputError: The file cannot be read.
    """
    if source == FROM_NAMES:
        return {model: family_by_name(model) for model in models}
    if source is not None:
        return read_families(Path(source))
    for path in model_tables(study_folder):
        if "family" in read_table(path):
            return read_families(path)
    return None


def family_by_name(model: str) -> str:
    """Guess a model's family: its base model, else the organisation before the first slash, else the name itself.

    Args:
        model: Name of a model, such as ``meta-llama/Llama-3.1-8B``.

    Returns:
        Name of the family.
    """
    for base in BASES:
        if re.search(rf"(?<![a-z]){base}", model.lower()):
            return base.replace("-?", "-")
    return re.split(r"/|__", model, maxsplit=1)[0].lower()


RowMask = Bool[np.ndarray, " row"]
ITEM_SPLITS = ("id", "task", "benchmark")
MODEL_SPLITS = ("new-model", "family", "frontier")
AGENT_SPLITS = ("new-pair", "new-scaffold")
SPLITS = (*ITEM_SPLITS, *MODEL_SPLITS, "both", *AGENT_SPLITS)
"""What can be held out: items, tasks, benchmarks; models, families of models, the strongest models; models and
benchmarks together; agents whose parts are known from other agents, or scaffolds."""
WEAKER, STRONGEST = 0.5, 0.3
"""The frontier split trains on the weaker half of the models and tests on the strongest 30 %."""


@dataclass(frozen=True)
class SplitPlan:
    """How responses are divided into training and test."""

    split: str = "task"
    """One of `SPLITS`."""
    folds: int = 5
    """Number of folds; with fewer groups than that, each group is a fold of its own."""
    known: int = 20
    """Answers of a held-out model that stay in training, at most half of them; unused where items are held out."""
    families: dict[str, str] | None = None
    """Family of each model, for `family`."""
    agents: AgentDesign | None = None
    """Parts of the models, where they are agents: `new-model` then holds out all agents of a model."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: Unknown split, fewer than two folds, or a negative number of known answers.
        """
        if self.split not in SPLITS:
            hint = nearest(self.split, SPLITS)
            raise InputError(f"unknown split '{self.split}'{hint}; use one of {', '.join(SPLITS)}")
        if self.folds < 2 and self.split != "frontier":
            raise InputError(f"{counted(self.folds, 'fold', 'leave')} nothing to learn from; use at least 2")
        if self.known < 0:
            raise InputError(f"--known {self.known} is not a number of answers; use 0 or more")


@dataclass(frozen=True)
class ResponseFold:
    """One division of the answers; a row may be in neither part, never in both."""

    train: RowMask
    """Answers to learn from."""
    test: RowMask
    """Answers to predict."""


def response_folds(
    responses: Responses, items: pd.DataFrame, plan: SplitPlan, rng: np.random.Generator
) -> list[ResponseFold]:
    """Divide the answers into folds.

    By item, task or benchmark, all answers to the held-out items are tested. By model, all answers of the held-out
    models but `known` of them are; the other models' answers to the same items stay in training. `both` holds out
    models and benchmarks at once: training has neither an answer of the new models to the new benchmarks, nor any
    other answer to them, only `known` answers of the new models to other benchmarks.

    Args:
        responses: The answers.
        items: A study's items, one row for each of `responses.items`, in that order.
        plan: What to hold out.
        rng: Source of the folds and of the known answers.

    Returns:
        The folds: rows to learn from and rows to test.

    Raises:
        InputError: Fewer than two groups to hold out, or a model without a family.
    """
    if plan.split in ITEM_SPLITS:
        return [ResponseFold(~test, test) for test in _item_masks(responses, items, plan.split, plan.folds, rng)]
    if plan.split == "frontier":
        return [_frontier_fold(responses, plan.known, rng)]
    if plan.split == "new-pair":
        return _pair_folds(responses, _design(plan), plan.folds, rng)
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
    if plan.split == "new-scaffold" or (plan.agents is not None and plan.split == "new-model"):
        labels = np.array(_design(plan).of(responses.models).parts[plan.split.removeprefix("new-")])
    groups, group_of_model = np.unique(labels, return_inverse=True)
    what = {"family": "family", "new-scaffold": "scaffold"}.get(plan.split, "model")
    if len(groups) < 2:
        raise InputError(f"the answers are of one {what} only; nothing can be held out by it")
    fold = fold_numbers(len(groups), plan.folds, rng)[group_of_model][responses.model_index]
    return [fold == number for number in range(fold.max() + 1)]


def _design(plan: SplitPlan) -> AgentDesign:
    """Return the agents' parts.

    Raises:
        InputError: No scaffold varies.
    """
    if plan.agents is None or "scaffold" not in plan.agents.parts:
        raise InputError(f"the split {plan.split} needs responses whose column scaffold has several values")
    return plan.agents


def _pair_folds(responses: Responses, agents: AgentDesign, folds: int, rng: np.random.Generator) -> list[ResponseFold]:
    """Hold out agents; tested are those whose every part some agent in training has."""
    design = agents.of(responses.models)
    fold = fold_numbers(len(design.subjects), folds, rng)
    plans: list[ResponseFold] = []
    for number in range(fold.max() + 1):
        held = fold == number
        known = np.ones(len(held), dtype=bool)
        for parts in design.parts.values():
            values = np.array(parts)
            known &= np.isin(values, values[~held])
        tested = (held & known)[responses.model_index]
        if tested.any():
            plans.append(ResponseFold(~held[responses.model_index], tested))
    if not plans:
        raise InputError("no agent can be held out whose model and scaffold other agents have; the parts are nested")
    return plans


def _families(models: tuple[str, ...], families: dict[str, str]) -> np.ndarray:
    unknown = [model for model in models if model not in families]
    if unknown:
        raise InputError(
            f"{counted(len(unknown), 'model', 'have')} no family: {first_few(unknown)}; give --families"
            f" FILE with columns model and"
            " family, put models.csv into the study, or state --families names to guess them from the names"
        )
    return np.array([families[model] for model in models])


def _model_fold(responses: Responses, new_model: RowMask, known: int, rng: np.random.Generator) -> ResponseFold:
    test = new_model & ~_known_answers(responses.model_index, new_model, known, rng)
    return ResponseFold(~test, test)


def _both_fold(
    responses: Responses, new_model: RowMask, new_item: RowMask, known: int, rng: np.random.Generator
) -> ResponseFold:
    known_rows = _known_answers(responses.model_index, new_model & ~new_item, known, rng)
    return ResponseFold(~new_item & (~new_model | known_rows), new_item & new_model)


def _frontier_fold(responses: Responses, known: int, rng: np.random.Generator) -> ResponseFold:
    if len(responses.models) < 3:
        raise InputError("the frontier needs at least 3 models: a weaker half and the strongest 30 %")
    place = np.argsort(np.argsort(_strength(responses), kind="stable"), kind="stable")
    n_models = len(responses.models)
    weaker = (place < max(1, int(WEAKER * n_models)))[responses.model_index]
    strongest = (place >= n_models - max(1, round(STRONGEST * n_models)))[responses.model_index]
    known_rows = _known_answers(responses.model_index, strongest, known, rng)
    return ResponseFold(weaker | known_rows, strongest & ~known_rows)


def _strength(responses: Responses) -> np.ndarray:
    """Return each model's mean score minus the mean score of the items that it answered."""
    n_items = len(responses.items)
    count = np.maximum(np.bincount(responses.item_index, minlength=n_items), 1)
    item_mean = np.bincount(responses.item_index, weights=responses.score, minlength=n_items) / count
    above = responses.score - item_mean[responses.item_index]
    n_models = len(responses.models)
    asked = np.maximum(np.bincount(responses.model_index, minlength=n_models), 1)
    return np.round(np.bincount(responses.model_index, weights=above, minlength=n_models) / asked, 12)


def _known_answers(model_index: RowIndex, among: RowMask, known: int, rng: np.random.Generator) -> RowMask:
    """Draw `known` of each model's marked rows at random, at most half of them."""
    rows = np.flatnonzero(among)
    order = rows[np.lexsort((rng.random(len(rows)), model_index[rows]))]
    _, start, count = np.unique(model_index[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(start, count)
    drawn = np.zeros(len(among), dtype=bool)
    drawn[order[place < np.minimum(known, np.repeat(count // 2, count))]] = True
    return drawn
