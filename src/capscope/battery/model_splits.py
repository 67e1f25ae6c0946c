"""Splits of models into past and new ones: at random, the strongest as new, or whole families as new.

A family is a group of models whose residuals correlate: they err together beyond what their abilities explain.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.bank import Bank, Index
from capscope.errors import InputError, counted, nearest

SPLITS = ("interpolation", "frontier", "family")
"""Names of the splits."""
HELD_OUT = 0.25
"""Share of the models held out by `interpolation` and `family`."""
WEAKEST, STRONGEST = 0.5, 0.3
"""`frontier` learns from the weakest half and is tested on the strongest 30% (Zhang, Dorner & Hardt, 2025)."""
FEWEST_MODELS = 5
"""Fewer models cannot be split."""
FEWEST_PAST = 3
"""A split leaves at least so many models to learn from."""
RELATED = 0.25
"""Models whose residuals correlate by more than this are of one family."""


@dataclass(frozen=True)
class ModelSplit:
    """Past models and new ones."""

    past: Index
    """Positions of the models learned from."""
    new: Index
    """Positions of the models held out."""


def model_split(split: str, ability: RowFloats, family: Index, most: int, rng: np.random.Generator) -> ModelSplit:
    """Split models into past and new ones.

    Args:
        split: One of `SPLITS`.
        ability: General ability of each model, by which `frontier` ranks them.
        family: Family of each model.
        most: Most models held out.
        rng: Source of randomness.

    Raises:
        InputError: The split is unknown, there are fewer than 5 models, or fewer than 3 are left to learn from.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split '{split}'{nearest(split, SPLITS)}; use one of {', '.join(SPLITS)}")
    n_models = len(ability)
    if n_models < FEWEST_MODELS:
        raise InputError(
            f"{counted(n_models, 'model', 'are')} too few to hold some out; use a study with at least {FEWEST_MODELS}"
        )
    if split == "frontier":
        order = np.argsort(ability, kind="stable")
        past, new = order[: max(int(n_models * WEAKEST), FEWEST_PAST)], order[-max(int(n_models * STRONGEST), 1) :]
    else:
        chosen = _whole_families(family, rng) if split == "family" else rng.permutation(n_models)
        held = max(int(n_models * HELD_OUT), 1)
        # a family is new as a whole, so that no sibling of a held-out model is among the past ones
        related = set(family[chosen[:held]]) if split == "family" else set[int]()
        new = chosen[:held]
        past = np.array([model for model in chosen[held:] if family[model] not in related], dtype=np.int64)
    if len(new) > most:
        new = rng.choice(new, most, replace=False)
    if len(past) < FEWEST_PAST:
        raise InputError(
            f"split '{split}' leaves {counted(len(past), 'model')} to learn from; most models are of one family"
        )
    return ModelSplit(np.sort(past), np.sort(new))


def _whole_families(family: Index, rng: np.random.Generator) -> Index:
    """Return models in random order, family by family."""
    rank = rng.permutation(family.max() + 1)[family]
    shuffled = rng.permutation(len(family))
    return shuffled[np.argsort(rank[shuffled], kind="stable")]


def residual_correlation(bank: Bank) -> FloatArray:
    """Return the correlation of residuals between past models over items that both answered, as (model, model)."""
    history = bank.known_scores()
    n_models, n_items = history.shape
    model, item = np.divmod(np.arange(n_models * n_items), n_items)
    chance = bank.posterior.probability(model, item).reshape(n_models, n_items)
    seen = ~np.isnan(history)
    spread = np.sqrt(np.maximum(chance * (1 - chance), 1e-4))
    residual = np.where(seen, (history - chance) / spread, 0.0)
    mask = seen.astype(float)
    product, square = residual @ residual.T, residual**2 @ mask.T
    return product / np.sqrt(np.maximum(square * square.T, 1e-12))


def model_families(bank: Bank) -> np.ndarray:
    """Return the number of each past model's family, by average linkage on the correlation of residuals.

    Merges and fine-tunes of one base model share its mistakes whatever their names, so names are not used.
    """
    if len(bank.models) < 2:
        return np.zeros(len(bank.models), dtype=np.int64)
    distance = 1 - np.clip(residual_correlation(bank), -1, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), "average")
    return fcluster(tree, 1 - RELATED, "distance").astype(np.int64) - 1
