"""The demand-ability model as an assessor: item features become its design, its log-odds become chances."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.data import Responses
from capscope.fit import (
    DemandItems,
    DemandPosterior,
    DemandSettings,
    LogOdds,
    draw_demand_log_odds,
    fit_demand,
    split_general,
)
from capscope.predict.assessor import Chances, LogOddsParts, Training
from capscope.predict.features import ItemFeatures
from capscope.predict.model_facts import FEWEST_MODELS, regress_on_facts

TEXT_DIMS = 64
"""Number of principal directions that text vectors are reduced to."""
THIN = 0.5
"""Models with a smaller share of the usual number of answers are predicted by their parts."""
FEWEST_AGENTS = 3
"""With fewer agents in training, abilities are not split."""
TINY = 1e-9
"""Smallest standard deviation to divide by."""


@dataclass(frozen=True)
class FittedDemandModel:
    """A fit of the demand-ability model and all items that it may predict."""

    posterior: DemandPosterior
    """The fit."""
    items: DemandItems
    """All items of the study."""
    known: np.ndarray
    """Position of each item among the fitted items, or -1."""

    def log_odds(self, model_index: RowIndex, item_index: RowIndex, *, warm: bool = True) -> LogOdds:
        """Predict log-odds.

        Args:
            model_index: Position of each row's model.
            item_index: Position of each row's item.
            warm: Use the items' own answers; if False, every item is predicted as a new one.
        """
        known = self.known if warm else np.full_like(self.known, -1)
        return self.posterior.log_odds(model_index, self.items, known, item_index)

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Predict chances; an item with answers is predicted with its own residual; see `FittedAssessor.predict`."""
        return as_chances(self.log_odds(model_index, item_index))

    def parts(self, model_index: RowIndex, item_index: RowIndex) -> LogOddsParts:
        """Split log-odds into ability, demands, text, task, benchmark and residual; see `ExplainingAssessor.parts`."""
        rows = model_index, self.items, self.known, item_index
        parts = LogOddsParts(self.posterior.part_names, self.posterior.parts(*rows), self.posterior.part_sd(*rows))
        # above a guessing floor, the log-odds of success are not those of knowing the answer
        return parts.adjusted(self.predict(model_index, item_index).log_odds_mean) if self.items.floor.any() else parts

    def deviations(self, item_index: RowIndex, rng: np.random.Generator, draws: int) -> Iterator[FloatArray]:
        """Yield joint draws of each model's log-odds on items, as deviations from the mean in standard deviations.

        Args:
            item_index: Places of the items.
            rng: Source of randomness.
            draws: Number of draws.
        """
        items, known = self.items.at(item_index), self.known[item_index]
        for log_odds in draw_demand_log_odds(self.posterior, items, known, rng, draws):
            away = log_odds - log_odds.mean(axis=1, keepdims=True)
            yield away / np.maximum(away.std(axis=1, keepdims=True), TINY)

    def own_sd(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Return the standard deviation of log-odds that comes from the model's abilities and from noisy levels.

        The uncertainty of an item that all models share is not included.

        Args:
            model_index: Place of each row's model on the model axis.
            item_index: Place of each row's item on the item axis.
        """
        design = self.posterior.design(self.items)[item_index]
        of_model = np.einsum("rk,rkl,rl->r", design, self.posterior.ability_cov[model_index], design, optimize=True)
        return np.sqrt(of_model + self.posterior.noise(self.items)[model_index, item_index])


def as_chances(log_odds: LogOdds) -> Chances:
    """Convert log-odds of knowing the answer to chances of success; a guessing floor reduces their spread."""
    probability, floor = log_odds.probability, log_odds.floor
    known = (probability - floor) / (1 - floor)
    slope = np.where(floor > 0, (1 - floor) * known * (1 - known) / (probability * (1 - probability)), 1.0)
    return Chances.of(probability, slope * np.sqrt(log_odds.variance), slope * np.sqrt(log_odds.shared))


def fit_demand_model(
    training: Training, settings: DemandSettings, *, demands: bool = True, text: bool = False, parts: bool = True
) -> FittedDemandModel:
    """Fit the demand-ability model on the training answers.

    Args:
        training: The training part.
        settings: Settings of the fit.
        demands: Use demands as predictors of difficulty, where the items have any.
        text: Use texts as predictors of difficulty, where the items have any.
        parts: Give agents with few answers the sum of their model's, scaffold's and effort's effects, where such vary,
            and models with few answers a prior from facts about them, where there are any.
    """
    items = demand_items(training.features, demands=demands, text=text)
    dims = training.features.dims if demands else ()
    posterior = fit_demand(training.responses, items, dims, settings).posterior
    fitted = FittedDemandModel(posterior, items, _known(training.responses))
    return _with_informed_priors(fitted, training) if parts else fitted


def fit_rasch(training: Training, *, parts: bool = False) -> FittedDemandModel:
    """Fit the special case without item features (Rasch): one ability for each model, one difficulty for each item.

    Args:
        training: The training part.
        parts: Give agents and models with few answers priors from their parts and from facts about them.
    """
    same = ("all",) * training.features.n_items
    items = DemandItems(None, None, None, same, same, training.features.floor)
    fitted = FittedDemandModel(fit_demand(training.responses, items).posterior, items, _known(training.responses))
    return _with_informed_priors(fitted, training) if parts else fitted


def _with_informed_priors(fitted: FittedDemandModel, training: Training) -> FittedDemandModel:
    """Give models with few answers priors from their agents' parts, or from facts about them."""
    thin = thin_agents(training)
    return with_facts(with_sums(fitted, training, thin), training, thin)


def thin_agents(training: Training) -> np.ndarray:
    """Mark the models (model,) with fewer than half as many answers as models usually have, by the median."""
    count = np.bincount(training.responses.model_index, minlength=len(training.responses.models))
    return count < THIN * np.median(count[count > 0])


def with_sums(fitted: FittedDemandModel, training: Training, chosen: np.ndarray) -> FittedDemandModel:
    """Set general abilities of agents to the sum of their model's, scaffold's and effort's effects.

    Args:
        fitted: A fit on the training answers.
        training: The training part; where no facet varies, or too few agents are known, nothing changes.
        chosen: Models (model,) whose abilities are set.
    """
    if training.agents is None or not chosen.any():
        return fitted
    seen = np.bincount(training.responses.model_index, minlength=len(training.responses.models)) > 0
    known = training.agents.at(seen)
    if len(known.subjects) < FEWEST_AGENTS or not known.factors:
        return fitted
    parts, rng = split_general(fitted.posterior, known, training.seed), np.random.default_rng(training.seed)
    mean, cov = fitted.posterior.ability_mean.copy(), fitted.posterior.ability_cov.copy()
    for row in np.flatnonzero(chosen):
        own = {name: values[row] for name, values in training.agents.parts.items()}
        draws = parts.ability({name: part for name, part in own.items() if part in known.names(name)}, rng)
        ratio = draws.std() / np.sqrt(cov[row, 0, 0])
        mean[row, 0] = draws.mean()
        cov[row, 0, 1:] *= ratio
        cov[row, :, 0] = np.r_[draws.var(), cov[row, 0, 1:]]
        cov[row, 0, 0] = draws.var()
    return replace(fitted, posterior=replace(fitted.posterior, ability_mean=mean, ability_cov=cov))


def with_facts(fitted: FittedDemandModel, training: Training, chosen: np.ndarray) -> FittedDemandModel:
    """Replace the prior of general abilities by one from facts about the models; see `model_facts`.

    Args:
        fitted: A fit on the training answers.
        training: The training part; without facts, or with too few models that are not chosen, nothing changes.
        chosen: Models (model,) whose prior is replaced.
    """
    if training.facts is None or not chosen.any() or (~chosen).sum() < FEWEST_MODELS:
        return fitted
    posterior = fitted.posterior
    mean, cov = posterior.ability_mean.copy(), posterior.ability_cov.copy()
    center, prior = mean[:, 0].mean(), 1 / posterior.ability_sd[0] ** 2
    # the answers' own information on the other models' abilities: posterior without its prior
    information = np.maximum(1 / cov[~chosen, 0, 0] - prior, prior * 1e-3)
    value = (mean[~chosen, 0] / cov[~chosen, 0, 0] - center * prior) / information
    columns, block = training.facts.columns, training.facts.block
    expected, variance = regress_on_facts(value, 1 / information, columns[~chosen], block).predict(columns[chosen])
    precision = np.linalg.inv(cov[chosen])
    pull = np.einsum("mkl,ml->mk", precision, mean[chosen])
    precision[:, 0, 0] += 1 / variance - prior
    pull[:, 0] += expected / variance - center * prior
    cov[chosen] = np.linalg.inv(precision)
    mean[chosen] = np.einsum("mkl,ml->mk", cov[chosen], pull)
    return replace(fitted, posterior=replace(posterior, ability_mean=mean, ability_cov=cov))


def demand_items(features: ItemFeatures, *, demands: bool, text: bool) -> DemandItems:
    """Convert features to the items of the demand-ability model.

    Args:
        features: Features of all items.
        demands: Whether demand levels are used.
        text: Whether text vectors are used.
    """
    return DemandItems(
        demands=features.demands if demands else None,
        demand_sd=features.demand_sd if demands else None,
        text=reduced_text(features) if text and features.texts is not None else None,
        task=tuple(str(task) for task in features.task),
        benchmark=tuple(str(benchmark) for benchmark in features.benchmark),
        floor=features.floor,
    )


def reduced_text(features: ItemFeatures, dims: int = TEXT_DIMS) -> np.ndarray:
    """Return the principal directions of the text vectors; no answers are used.

    Args:
        features: Features of the items, with text vectors.
        dims: Most dimensions of the result.
    """
    vectors = features.need_text("this assessor")
    if vectors.shape[1] <= dims:
        return vectors
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return vectors @ directions[:, ::-1][:, :dims]


def filled_scores(training: Training) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean scores of all models on all answered items, gaps filled with Rasch predictions.

    Args:
        training: The training part.

    Returns:
        Scores as (model, item), and for each item the mean number of trials of the models that answered it.
    """
    responses = training.responses
    pooled = responses.dense()
    trials = pooled.n_trials
    score = np.divide(pooled.right, trials, out=np.zeros(trials.shape), where=trials > 0)
    gaps = np.nonzero((trials == 0) & training.answered)
    if len(gaps[0]):
        score[gaps] = (
            fit_rasch(training, parts=True).predict(gaps[0].astype(np.int64), gaps[1].astype(np.int64)).probability
        )
    answered = training.answered
    per_cell = trials[:, answered].sum(axis=0) / np.count_nonzero(trials[:, answered], axis=0)
    return score[:, answered], per_cell


def _known(responses: Responses) -> np.ndarray:
    seen = np.unique(responses.item_index)
    known = np.full(len(responses.items), -1)
    known[seen] = np.arange(len(seen))
    return known
