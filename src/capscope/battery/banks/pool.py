"""The pool: items whose mean score is wanted, with their success curves and the answers of past models."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.ability import Curves
from capscope.battery.banks.bank import Bank, Index

MOST_MODELS = 2000
"""Regressions learn from at most so many past models, drawn at random."""


@dataclass(frozen=True, repr=False)
class ItemPool:
    """Items whose mean score is wanted."""

    curves: Curves
    """Success curves of the items."""
    past: FloatArray
    """Scores of past models (model, item); a missing score is drawn from the model's fitted chance."""
    expected: FloatArray
    """Scores of past models (model, item); a missing score is the model's fitted chance."""

    @classmethod
    def of(cls, bank: Bank, *, seed: int = 0, most: int = MOST_MODELS) -> "ItemPool":
        """Return the pool of all items of a bank.

        Missing answers are drawn, not replaced by chances: a regression on chances would take single answers to be
        free of noise.

        Args:
            bank: The bank.
            seed: Seed of the draws.
            most: Largest number of past models; with more, as many are drawn at random.
        """
        rng = np.random.default_rng(seed)
        curves = Curves.of(bank)
        models = np.arange(len(bank.models))
        if len(models) > most:
            models = np.sort(rng.choice(models, most, replace=False))
        chance = curves.chances(bank.posterior.ability_mean[models])
        drawn = (rng.random(chance.shape) < chance).astype(float)
        if bank.history is None:
            return cls(curves, drawn, chance)
        known = bank.history[models]
        missing = np.isnan(known)
        return cls(curves, np.where(missing, drawn, known), np.where(missing, chance, known))

    @classmethod
    def without_models(cls, size: int) -> "ItemPool":
        """Return a pool of so many items of which nothing else is known."""
        curves = Curves(np.zeros((size, 1)), np.zeros(size), np.zeros(size), np.zeros(1), np.eye(1))
        return cls(curves, np.zeros((0, size)), np.zeros((0, size)))

    @property
    def size(self) -> int:
        """Number of items."""
        return self.past.shape[1]

    @cached_property
    def scores(self) -> RowFloats:
        """Mean score of each past model on the pool."""
        return self.expected.mean(axis=1)

    def take(self, index: Index) -> "ItemPool":
        """Return the pool of some of the items, such as those of one benchmark."""
        return ItemPool(self.curves.take(index), self.past[:, index], self.expected[:, index])

    def __repr__(self) -> str:
        return f"ItemPool({self.size} items, {len(self.past)} past models)"
