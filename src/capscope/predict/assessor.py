"""The interface of assessors: an assessor learns from answers and predicts each model's chance of success on each item.

`Training.responses` holds every answer that an assessor may use. An item without a row there is new: only its features
are known. An item with rows (from other models) is called warm, and an assessor may use these rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from scipy.special import expit, logit, ndtri

from capscope.axes import FloatArray, ItemMask, ModelItem, RowFloats, RowIndex
from capscope.data import AgentDesign, Responses
from capscope.errors import InputError
from capscope.fit import CLIP, PROBIT_SCALE, success_probability
from capscope.predict.features import ItemFeatures
from capscope.predict.model_facts import ModelFacts

ADJUSTMENT = "adjustment"
"""Name of the part that is not an effect of the model or the item: guessing floor, stacking and calibration."""
Needs = Literal["answers", "demands", "texts", "demands or texts", "agents", "confidence"]


@dataclass(frozen=True)
class Training:
    """Everything an assessor may learn from."""

    responses: Responses
    """The answers, over the axes of all models and items; at least one."""
    features: ItemFeatures
    """Features of all items, in the order of `responses.items`."""
    seed: int
    """Seed of everything random."""
    target: ItemMask | None = None
    """Items to predict; None for the items without answers, or for all items where each has answers."""
    agents: AgentDesign | None = None
    """Model, scaffold and effort of each model of `responses`, in that order; None where no facet varies."""
    confidence: ModelItem | None = None
    """The models' own confidence, 0 to 1, in answers that are known or to be predicted; NaN where none is stated."""
    facts: ModelFacts | None = None
    """What is known of the models besides their answers, in the order of `responses.models`; None for nothing."""

    def __post_init__(self) -> None:
        """Validate the training part.

        Raises:
            InputError: There are no answers, or the features are of another number of items.
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
        """Whether each item will be predicted."""
        if self.target is not None:
            return self.target
        new = ~self.answered
        return new if new.any() else np.ones_like(new)

    def without(self, held_out: np.ndarray) -> "Training":
        """Remove rows of answers; the items of the removed rows become the items to predict."""
        item = self.responses.item_index[held_out]
        target = np.bincount(item, minlength=len(self.responses.items)) > 0
        return replace(self, responses=self.responses.rows(~held_out), target=target)


@dataclass(frozen=True)
class Chances:
    """Predicted chances of success, one for each row, with their uncertainty.

    The log-odds of a model's chance on an item are Gaussian. `probability` is the expected chance: the logistic,
    integrated over that Gaussian. It is not the logistic of the mean.
    """

    probability: RowFloats
    """Expected chance of success."""
    log_odds_mean: RowFloats
    """Mean of the log-odds of success."""
    log_odds_sd: RowFloats
    """Standard deviation of the log-odds: abilities, weights, and the item's residual given its features."""
    shared_sd: RowFloats
    """The part of it that all items of one benchmark share for a model (at most `log_odds_sd`)."""

    @classmethod
    def of(cls, probability: np.ndarray, sd: np.ndarray | float = 0.0, shared: np.ndarray | float = 0.0) -> "Chances":
        """Make chances whose log-odds mean is the one that gives the expected chance (probit attenuation).

        Args:
            probability: Expected chances, 0 to 1.
            sd: Standard deviation of the log-odds.
            shared: The part of `sd` that items of one benchmark share.
        """
        chance = np.clip(np.asarray(probability, float), CLIP, 1 - CLIP)
        spread = np.broadcast_to(np.asarray(sd, float), chance.shape)
        common = np.minimum(np.broadcast_to(np.asarray(shared, float), chance.shape), spread)
        return cls(chance, logit(chance) * np.sqrt(1 + PROBIT_SCALE * spread**2), spread, common)

    @classmethod
    def from_moments(cls, mean: RowFloats, sd: RowFloats) -> "Chances":
        """Make chances from the mean and the standard deviation of their log-odds.

        Args:
            mean: Means of log-odds, one for each row.
            sd: Standard deviations of log-odds.
        """
        return cls(np.asarray(success_probability(mean, sd**2)), mean, sd, np.zeros_like(sd))

    @classmethod
    def from_draws(cls, probability: FloatArray) -> "Chances":
        """Summarise draws of chances (..., draw) by mean and standard deviation of the log-odds, as rows."""
        line = logit(np.clip(probability, CLIP, 1 - CLIP))
        mean, sd = line.mean(axis=-1).ravel(), line.std(axis=-1).ravel()
        return cls(probability.mean(axis=-1).ravel(), mean, sd, np.zeros_like(sd))

    @classmethod
    def joined(cls, several: Sequence["Chances"]) -> "Chances":
        """Concatenate rows."""
        fields = ("probability", "log_odds_mean", "log_odds_sd", "shared_sd")
        return cls(*(np.concatenate([getattr(each, name) for each in several]) for name in fields))

    def rows(self, keep: np.ndarray) -> "Chances":
        """Select rows by index or mask."""
        return Chances(
            *(each[keep] for each in (self.probability, self.log_odds_mean, self.log_odds_sd, self.shared_sd))
        )

    def without_shared(self) -> "Chances":
        """Remove the uncertainty that the items of a benchmark share; the expected chance follows."""
        own = np.sqrt(np.maximum(self.log_odds_sd**2 - self.shared_sd**2, 0))
        return Chances.from_moments(self.log_odds_mean, own)

    def bounds(self, level: float = 0.9) -> tuple[RowFloats, RowFloats]:
        """Return the central interval of each chance."""
        reach = ndtri((1 + level) / 2) * self.log_odds_sd
        return expit(self.log_odds_mean - reach), expit(self.log_odds_mean + reach)


@dataclass(frozen=True)
class LogOddsParts:
    """Additive parts of the log-odds of predictions; they add up to `Chances.log_odds_mean`."""

    names: tuple[str, ...]
    """`ability`, one name for each demand, `interactions`, `text`, `task`, `benchmark`, `residual`, `adjustment`."""
    value: np.ndarray
    """Contribution in log-odds, as (row, name)."""
    sd: np.ndarray
    """Standard deviation of each, as (row, name); NaN where it is not estimated."""

    def adjusted(self, log_odds: RowFloats) -> "LogOddsParts":
        """Set `adjustment` to the difference between these log-odds and the sum of the other parts."""
        kept = [place for place, name in enumerate(self.names) if name != ADJUSTMENT]
        value, sd = self.value[:, kept], self.sd[:, kept]
        missing = log_odds - value.sum(axis=1)
        unknown = np.full(len(missing), np.nan)
        names = tuple(self.names[place] for place in kept)
        return LogOddsParts((*names, ADJUSTMENT), np.column_stack([value, missing]), np.column_stack([sd, unknown]))


@runtime_checkable
class FittedAssessor(Protocol):
    """An assessor after it has learnt from a training part."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success of models on items, row by row, both by position on the axes of the training.

        Args:
            model_index: Place of each row's model on the model axis.
            item_index: Place of each row's item on the item axis.
        """
        ...


@runtime_checkable
class ExplainingAssessor(FittedAssessor, Protocol):
    """A fitted assessor that can split the log-odds of its predictions into additive parts."""

    def parts(self, model_index: RowIndex, item_index: RowIndex) -> LogOddsParts:
        """Split the log-odds of each row into parts.

        Args:
            model_index: Place of each row's model on the model axis.
            item_index: Place of each row's item on the item axis.
        """
        ...


@runtime_checkable
class JointAssessor(FittedAssessor, Protocol):
    """A fitted assessor that can draw the log-odds of several items jointly."""

    def deviations(self, item_index: RowIndex, rng: np.random.Generator, draws: int) -> Iterator[FloatArray]:
        """Yield for each model in turn joint draws of its standardised log-odds, as (item, draw).

        A draw is the deviation from the mean in standard deviations. The draws of different items are correlated
        through what the items share: the model's abilities, and the effects of demands, tasks and benchmarks.

        Args:
            item_index: Places of the items.
            rng: Source of randomness.
            draws: Number of draws.
        """
        ...


@runtime_checkable
class Assessor(Protocol):
    """A method of predicting success."""

    def fit(self, training: Training) -> FittedAssessor:
        """Learn from the training answers."""
        ...


@dataclass(frozen=True)
class ChanceTable:
    """A fitted assessor that holds one chance and one standard deviation for each model and item."""

    probability: np.ndarray
    """Expected chance, as (model, item)."""
    sd: np.ndarray
    """Standard deviation of its log-odds, as (model, item)."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Return the chances of the rows; see `FittedAssessor.predict`."""
        return Chances.of(self.probability[model_index, item_index], self.sd[model_index, item_index])


@dataclass(frozen=True, kw_only=True)
class AssessorEntry:
    """A member of the family of assessors."""

    name: str
    """Name in `capscope evaluate --assessor` and in JSON."""
    help: str
    """One line for help texts and tables."""
    needs: Needs = "answers"
    """What the assessor requires of the items besides answers."""
    assessor: Assessor
    """The method, ready to fit."""
    on_request: bool = False
    """Runs only where it is named, because it takes long or needs weights."""
    same_for_new_items: bool = False
    """Whether all new items get the same chance, so that their order says nothing."""

    def works_with(
        self, features: ItemFeatures, agents: AgentDesign | None = None, confidence: ModelItem | None = None
    ) -> bool:
        """Return whether the features, the agents' parts and the confidences hold what the assessor needs.

        Args:
            features: Features of the items.
            agents: Parts of the agents, such as scaffold; None where subjects are plain models.
            confidence: Own confidence by model and item; None where none is stated.
        """
        demands, texts = features.demands is not None, features.texts is not None
        held = {"answers": True, "demands": demands, "texts": texts, "demands or texts": demands or texts}
        held |= {"agents": agents is not None, "confidence": confidence is not None}
        return held[self.needs]
