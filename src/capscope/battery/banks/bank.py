"""An item bank: what past models' answers taught about items, so that a new model is profiled without a fit."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from capscope.axes import FloatArray, ItemDim, RowFloats
from capscope.errors import InputError, first_few, nearest
from capscope.fit import IRTPosterior

Index = NDArray[np.integer]
"""Positions on an axis."""
Scores = Float[np.ndarray, "model item"]


@dataclass(frozen=True)
class Bank:
    """Items with their parameters, where abilities lie, and how past models answered; no texts."""

    posterior: IRTPosterior
    """Items and past models, as fitted; the ability scale of everything made from the bank."""
    benchmark: tuple[str, ...]
    """Benchmark of each item."""
    task: tuple[str, ...]
    """Task of each item, as the evaluation harness names it where that is known."""
    document: Int[np.ndarray, " item"]
    """Document index of each item within its task; -1 where unknown."""
    history: Scores | None = None
    """Scores of past models, NaN where not administered; None in a compact bank."""
    dims: tuple[str, ...] = ()
    """Rubric codes of the demand levels."""
    demands: ItemDim | None = None
    """Demand levels, NaN where not rated; None where there are none."""
    cost: RowFloats | None = None
    """What an answer costs, such as tokens; None where all cost the same."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Where the bank came from: study, sources, sizes, version, settings of the fit."""

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        return self.posterior.items

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the past models."""
        return self.posterior.models

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks, sorted."""
        return tuple(sorted(set(self.benchmark)))

    def ability_prior(self) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
        """Mean and covariance of the abilities of past models: where a new model is expected before its first answer.

        Posterior spread counts, so that models known from few answers do not narrow the prior.
        """
        mean = self.posterior.ability_mean.mean(0)
        centred = self.posterior.ability_mean - mean
        spread = centred.T @ centred / max(len(centred), 1)
        return mean, spread + self.posterior.ability_cov.mean(0)

    def positions(self, items: tuple[str, ...]) -> Index:
        """Positions of items by id.

        Raises:
            InputError: An id is not in the bank.
        """
        place = {item: number for number, item in enumerate(self.items)}
        missing = [item for item in items if item not in place]
        if missing:
            hint = nearest(missing[0], self.items)
            raise InputError(f"the bank has no item {first_few(missing)}{hint}; add them with 'capscope bank add'")
        return np.array([place[item] for item in items], dtype=np.int64)

    def of_benchmarks(self, benchmarks: tuple[str, ...]) -> Index:
        """Positions of the items of these benchmarks; of all items if none is named.

        Raises:
            InputError: No such benchmark.
        """
        unknown = [name for name in benchmarks if name not in self.benchmarks]
        if unknown:
            hint = nearest(unknown[0], self.benchmarks)
            raise InputError(f"the bank has no benchmark '{unknown[0]}'{hint}; it has {first_few(self.benchmarks)}")
        wanted = set(benchmarks or self.benchmarks)
        return np.array([place for place, name in enumerate(self.benchmark) if name in wanted], dtype=np.int64)

    def take_items(self, index: Index) -> "Bank":
        """The bank with some of its items, in this order."""
        return replace(
            self,
            posterior=self.posterior.take_items(index),
            benchmark=tuple(self.benchmark[i] for i in index),
            task=tuple(self.task[i] for i in index),
            document=self.document[index],
            history=None if self.history is None else self.history[:, index],
            demands=None if self.demands is None else self.demands[index],
            cost=None if self.cost is None else self.cost[index],
        )

    def known_scores(self) -> FloatArray:
        """The scores of past models.

        Raises:
            InputError: The bank is compact; it keeps none.
        """
        if self.history is None:
            raise InputError("a compact bank keeps no past answers; use the study it was built from")
        return self.history

    def compact(self) -> "Bank":
        """The bank without past answers: regressions learn from answers drawn from the fitted abilities instead."""
        return replace(self, history=None)
