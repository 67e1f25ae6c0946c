"""What a bank knows about the items that a score is about: past answers, curves, and what past models scored."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.ability import Curves
from capscope.battery.banks.bank import Bank, Index

MOST_MODELS = 2000
"""Regressions learn from at most so many past models, drawn at random."""


@dataclass(frozen=True)
class Pool:
    """Items whose mean score is wanted, with what past models did on them."""

    curves: Curves
    """Success curves of the items."""
    past: FloatArray
    """Scores of past models (model, item); what they were not asked is drawn from their fitted chances."""
    expected: FloatArray
    """The same with the fitted chance itself in place of the draw."""

    @classmethod
    def of(cls, bank: Bank, seed: int = 0, most: int = MOST_MODELS) -> "Pool":
        """The pool of all items of a bank.

        Answers that are missing are drawn, not filled with chances: a regression on chances would believe that single
        answers carry no noise.
        """
        rng = np.random.default_rng(seed)
        curves = Curves.of(bank)
        few = np.arange(len(bank.models))
        if len(few) > most:
            few = np.sort(rng.choice(few, most, replace=False))
        chance = curves.chances(bank.posterior.ability_mean[few])
        drawn = (rng.random(chance.shape) < chance).astype(float)
        if bank.history is None:
            return cls(curves, drawn, chance)
        known = bank.history[few]
        missing = np.isnan(known)
        return cls(curves, np.where(missing, drawn, known), np.where(missing, chance, known))

    @property
    def size(self) -> int:
        """Number of items."""
        return self.past.shape[1]

    @cached_property
    def scores(self) -> RowFloats:
        """Mean score of each past model on the pool."""
        return self.expected.mean(axis=1)

    def take(self, index: Index) -> "Pool":
        """The pool of some of the items, such as those of one benchmark."""
        return Pool(self.curves.take(index), self.past[:, index], self.expected[:, index])
