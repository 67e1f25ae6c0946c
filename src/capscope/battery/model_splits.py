"""Which models are new and which are past: at random, the strongest, or whole families."""

from dataclasses import dataclass

import numpy as np

from capscope.axes import RowFloats
from capscope.battery.banks.bank import Index
from capscope.errors import InputError, nearest

SPLITS = ("interpolation", "frontier", "family")
"""Ways to hold out models."""
HELD_OUT = 0.25
"""Share of the models held out by `interpolation` and `family`."""
WEAKEST, STRONGEST = 0.5, 0.3
"""`frontier` learns from the weakest half and is tested on the strongest three tenths (Zhang, Dorner & Hardt, 2025)."""


@dataclass(frozen=True)
class ModelSplit:
    """Past models and new ones."""

    past: Index
    """Positions of the models learned from."""
    new: Index
    """Positions of the models held out."""


def model_split(split: str, ability: RowFloats, family: Index, most: int, rng: np.random.Generator) -> ModelSplit:
    """Hold out models.

    Args:
        split: One of `SPLITS`.
        ability: General ability of each model, by which `frontier` ranks them.
        family: Family of each model.
        most: Most models held out.
        rng: Source of chance.

    Raises:
        InputError: Unknown split, or fewer than 8 models.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split '{split}'{nearest(split, SPLITS)}; use one of {', '.join(SPLITS)}")
    n_models = len(ability)
    if n_models < 8:
        raise InputError(f"{n_models} models are too few to hold some out; use a study with at least 8")
    if split == "frontier":
        order = np.argsort(ability, kind="stable")
        past, new = order[: int(n_models * WEAKEST)], order[-max(int(n_models * STRONGEST), 1) :]
    else:
        chosen = _whole_families(family, rng) if split == "family" else rng.permutation(n_models)
        held = max(int(n_models * HELD_OUT), 1)
        # a family is new as a whole, so that no sibling of a held-out model is among the past ones
        kin = set(family[chosen[:held]]) if split == "family" else set[int]()
        new = chosen[:held]
        past = np.array([model for model in chosen[held:] if family[model] not in kin], dtype=np.int64)
    if len(new) > most:
        new = rng.choice(new, most, replace=False)
    if len(past) < 4:
        raise InputError(f"split '{split}' leaves {len(past)} models to learn from; most models are of one family")
    return ModelSplit(np.sort(past), np.sort(new))


def _whole_families(family: Index, rng: np.random.Generator) -> Index:
    """Models in random order, family by family."""
    rank = rng.permutation(family.max() + 1)[family]
    shuffled = rng.permutation(len(family))
    return shuffled[np.argsort(rank[shuffled], kind="stable")]
