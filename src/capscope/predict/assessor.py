"""What an assessor is: it learns from some answers and says how likely each model is to succeed on each item.

One rule of leakage: `Training.responses` holds every answer that an assessor may see. Items without a row there are
new: an assessor knows their features only. An item with rows (from other models) is warm, and an assessor may use them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.special import expit, logit, ndtri

from capscope.axes import FloatArray, ItemMask, RowFloats, RowIndex
from capscope.data import Responses
from capscope.errors import InputError
from capscope.fit import PROBIT_SCALE
from capscope.predict.features import ItemFeatures

CERTAIN = 1e-6
"""A chance is kept this far from 0 and 1."""
ADJUSTMENT = "adjustment"
"""The part of a chance that is no effect of the model or the item: a floor, other members of a pool, calibration."""


@dataclass(frozen=True)
class Training:
    """What an assessor may learn from."""

    responses: Responses
    """The answers, over the axes of all models and items; at least one."""
    features: ItemFeatures
    """Features of all items, in the order of `responses.items`."""
    seed: int
    """Seed of anything random."""
    target: ItemMask | None = None
    """Items that will be asked about; None for those without answers, or all where every item has some."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be learnt from.

        Raises:
            InputError: No answers, or features of other items.
        """
        if len(self.responses.score) == 0:
            raise InputError("there are no answers to learn from; give responses of at least one model")
        if self.features.n_items != len(self.responses.items):
            n_items = len(self.responses.items)
            raise InputError(f"features of {self.features.n_items} items for {n_items} on the item axis; give one each")

    @property
    def answered(self) -> ItemMask:
        """Whether each item has an answer."""
        return np.bincount(self.responses.item_index, minlength=len(self.responses.items)) > 0

    @property
    def asked(self) -> ItemMask:
        """Whether each item will be asked about."""
        if self.target is not None:
            return self.target
        new = ~self.answered
        return new if new.any() else np.ones_like(new)

    def without(self, held_out: np.ndarray) -> "Training":
        """Return the same without some rows of answers; the items that lose theirs are what will be asked about."""
        item = self.responses.item_index[held_out]
        target = np.bincount(item, minlength=len(self.responses.items)) > 0
        return Training(self.responses.rows(~held_out), self.features, self.seed, target)


@dataclass(frozen=True)
class Chances:
    """Predicted chances of success, row by row, and what is unknown about them.

    The log-odds of a model's chance on an item are taken as Gaussian. `probability` is the expected chance, with the
    spread integrated out, so it is the number to bet on; it need not be the logistic of the mean.
    """

    probability: RowFloats
    """Expected chance of success."""
    log_odds_mean: RowFloats
    """Mean of the log-odds of the chance."""
    log_odds_sd: RowFloats
    """Their standard deviation: abilities, weights, and how the item departs from what its features say."""
    shared_sd: RowFloats
    """The part of it that all items of one benchmark share for a model (at most `log_odds_sd`)."""

    @classmethod
    def of(cls, probability: np.ndarray, sd: np.ndarray | float = 0.0, shared: np.ndarray | float = 0.0) -> "Chances":
        """Make chances whose mean log-odds give the expected chance under the spread (probit attenuation)."""
        chance = np.clip(np.asarray(probability, float), CERTAIN, 1 - CERTAIN)
        spread = np.broadcast_to(np.asarray(sd, float), chance.shape)
        common = np.minimum(np.broadcast_to(np.asarray(shared, float), chance.shape), spread)
        return cls(chance, logit(chance) * np.sqrt(1 + PROBIT_SCALE * spread**2), spread, common)

    def bounds(self, level: float = 0.9) -> tuple[RowFloats, RowFloats]:
        """Return the central interval of each chance."""
        reach = ndtri((1 + level) / 2) * self.log_odds_sd
        return expit(self.log_odds_mean - reach), expit(self.log_odds_mean + reach)


@dataclass(frozen=True)
class Parts:
    """What made the log-odds of some predictions; the parts add up to `Chances.log_odds_mean`."""

    names: tuple[str, ...]
    """`ability`, one name for each demand, `interactions`, `text`, `task`, `benchmark`, `residual`, `adjustment`."""
    value: np.ndarray
    """Contribution in log-odds, as (row, name)."""
    sd: np.ndarray
    """Standard deviation of each, as (row, name); NaN where it is not estimated."""

    def adjusted(self, log_odds: RowFloats) -> "Parts":
        """Let `adjustment` be what the other parts miss of these log-odds, so that all add up to them."""
        kept = [place for place, name in enumerate(self.names) if name != ADJUSTMENT]
        value, sd = self.value[:, kept], self.sd[:, kept]
        missing = log_odds - value.sum(axis=1)
        unknown = np.full(len(missing), np.nan)
        names = tuple(self.names[place] for place in kept)
        return Parts((*names, ADJUSTMENT), np.column_stack([value, missing]), np.column_stack([sd, unknown]))


@runtime_checkable
class FittedAssessor(Protocol):
    """An assessor that has learnt."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success of models on items, row by row, both by position on the axes of the training."""
        ...


@runtime_checkable
class ExplainingAssessor(FittedAssessor, Protocol):
    """A fitted assessor that can say why."""

    def parts(self, model_index: RowIndex, item_index: RowIndex) -> Parts:
        """What made each prediction."""
        ...


@runtime_checkable
class JointAssessor(FittedAssessor, Protocol):
    """A fitted assessor that knows what its chances on several items share."""

    def departures(self, item_index: RowIndex, rng: np.random.Generator, draws: int) -> Iterator[FloatArray]:
        """Yield for each model in turn draws of how its log-odds depart from their means, as (item, draw).

        A departure is counted in standard deviations. What items share moves them together: a model's abilities, the
        effects of demands, tasks and benchmarks.
        """
        ...


@runtime_checkable
class Assessor(Protocol):
    """A way to predict success."""

    def fit(self, training: Training) -> FittedAssessor:
        """Learn from the training answers."""
        ...


@dataclass(frozen=True)
class ChanceTable:
    """A fitted assessor that keeps one chance and spread for each model and item."""

    probability: np.ndarray
    """Expected chance, as (model, item)."""
    sd: np.ndarray
    """Spread of its log-odds, as (model, item)."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Look the chances up."""
        return Chances.of(self.probability[model_index, item_index], self.sd[model_index, item_index])


def model_means(responses: Responses, strength: float = 1.0) -> np.ndarray:
    """Each model's mean score, drawn towards the mean over all by `strength` answers; models without any get it."""
    n_models = len(responses.models)
    overall = responses.score.mean()
    n = np.bincount(responses.model_index, minlength=n_models)
    total = np.bincount(responses.model_index, weights=responses.score, minlength=n_models)
    return (total + strength * overall) / (n + strength)
