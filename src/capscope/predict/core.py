"""The demand-ability model seen from the assessors: features to its items, its log-odds to chances."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.data import Responses
from capscope.fit import DemandItems, DemandPosterior, DemandSettings, LogOdds, draw_demand_log_odds, fit_demand
from capscope.predict.assessor import Chances, Parts, Training
from capscope.predict.features import ItemFeatures

TEXT_DIMS = 64
"""Text vectors are reduced to their main directions, so many."""
TINY = 1e-9
"""Keeps a spread of nothing from dividing by 0."""


@dataclass(frozen=True)
class FittedCore:
    """A fit of the demand-ability model with all items it may be asked about."""

    posterior: DemandPosterior
    """The fit."""
    items: DemandItems
    """All items of the study."""
    known: np.ndarray
    """Position of each item among the fitted ones, or -1."""

    def log_odds(self, model_index: RowIndex, item_index: RowIndex, *, warm: bool = True) -> LogOdds:
        """Predict log-odds; where not `warm`, every item is taken as one that nobody has answered."""
        known = self.known if warm else np.full_like(self.known, -1)
        return self.posterior.log_odds(model_index, self.items, known, item_index)

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success; an item that has answers is predicted with its own departure."""
        return as_chances(self.log_odds(model_index, item_index))

    def parts(self, model_index: RowIndex, item_index: RowIndex) -> Parts:
        """What made each prediction."""
        rows = model_index, self.items, self.known, item_index
        found = Parts(self.posterior.part_names, self.posterior.parts(*rows), self.posterior.part_sd(*rows))
        # above a floor, the log-odds of success are not those of knowing
        return found.adjusted(self.predict(model_index, item_index).log_odds_mean) if self.items.floor.any() else found

    def departures(self, item_index: RowIndex, rng: np.random.Generator, draws: int) -> Iterator[FloatArray]:
        """Joint draws of each model's log-odds on items around their means, in standard deviations."""
        items, known = self.items.at(item_index), self.known[item_index]
        for log_odds in draw_demand_log_odds(self.posterior, items, known, rng, draws):
            away = log_odds - log_odds.mean(axis=1, keepdims=True)
            yield away / np.maximum(away.std(axis=1, keepdims=True), TINY)

    def own_sd(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Standard deviation of log-odds from what is unknown of the model, and of levels less certain than the fit's.

        What all models share of an item is not in it.
        """
        design = self.posterior.design(self.items)[item_index]
        of_model = np.einsum("rk,rkl,rl->r", design, self.posterior.ability_cov[model_index], design, optimize=True)
        return np.sqrt(of_model + self.posterior.noise(self.items)[model_index, item_index])


def as_chances(found: LogOdds) -> Chances:
    """Turn log-odds of knowing into chances of success; a floor flattens the spread."""
    probability = found.probability
    known = (probability - found.floor) / (1 - found.floor)
    slope = np.where(found.floor > 0, (1 - found.floor) * known * (1 - known) / (probability * (1 - probability)), 1.0)
    return Chances.of(probability, slope * np.sqrt(found.variance), slope * np.sqrt(found.shared))


def fit_core(training: Training, settings: DemandSettings, *, demands: bool = True, text: bool = False) -> FittedCore:
    """Fit the demand-ability model on the training answers.

    Args:
        training: What may be learnt from.
        settings: What to fit.
        demands: Whether demands explain difficulty, where there are any.
        text: Whether texts do, where there are any.
    """
    items = core_items(training.features, demands=demands, text=text)
    dims = training.features.dims if demands else ()
    found = fit_demand(training.responses, items, dims, settings)
    return FittedCore(found.posterior, items, _known(training.responses))


def fit_rasch(training: Training) -> FittedCore:
    """Fit the special case that looks at no feature of an item: one ability, one difficulty."""
    same = ("all",) * training.features.n_items
    items = DemandItems(None, None, None, same, same, training.features.floor)
    return FittedCore(fit_demand(training.responses, items).posterior, items, _known(training.responses))


def core_items(features: ItemFeatures, *, demands: bool, text: bool) -> DemandItems:
    """Lay features out for the demand-ability model."""
    return DemandItems(
        demands=features.demands if demands else None,
        demand_sd=features.demand_sd if demands else None,
        text=reduced_text(features) if text and features.texts is not None else None,
        task=tuple(str(task) for task in features.task),
        benchmark=tuple(str(benchmark) for benchmark in features.benchmark),
        floor=features.floor,
    )


def reduced_text(features: ItemFeatures, dims: int = TEXT_DIMS) -> np.ndarray:
    """Return the main directions of the text vectors; answers play no part."""
    vectors = features.need_text("this assessor")
    if vectors.shape[1] <= dims:
        return vectors
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return vectors @ directions[:, ::-1][:, :dims]


def filled_scores(training: Training) -> np.ndarray:
    """Scores of all models on all answered items as (model, item); gaps hold what Rasch expects there."""
    responses = training.responses
    n_items = len(responses.items)
    shape = (len(responses.models), n_items)
    cell = responses.model_index * n_items + responses.item_index
    trials = np.bincount(cell, responses.n_trials, shape[0] * shape[1]).reshape(shape)
    right = np.bincount(cell, responses.n_trials * responses.score, shape[0] * shape[1]).reshape(shape)
    score = np.divide(right, trials, out=np.zeros(shape), where=trials > 0)
    gaps = np.nonzero((trials == 0) & training.answered)
    if len(gaps[0]):
        score[gaps] = fit_rasch(training).predict(gaps[0].astype(np.int64), gaps[1].astype(np.int64)).probability
    return score[:, training.answered]


def _known(responses: Responses) -> np.ndarray:
    seen = np.unique(responses.item_index)
    known = np.full(len(responses.items), -1)
    known[seen] = np.arange(len(seen))
    return known
