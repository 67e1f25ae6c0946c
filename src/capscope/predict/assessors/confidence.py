"""The model's own confidence in an answer, weighed against how hard the item is.

Each model has a logistic regression of success on the log-odds that the explanatory model gives its answer without
having seen it, and on the log-odds of the confidence that came with the answer. The models' coefficients are drawn from
one Gaussian population, whose mean and covariance are estimated by EM (empirical Bayes), so that a model with few
answers has nearly those of the others. An answer without a confidence has the explanatory model's chance.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from capscope.axes import FloatArray, ModelItem, RowFloats, RowIndex
from capscope.errors import InputError
from capscope.predict.answer_statistics import fold_regime, group_count, group_folds, regime_of_items, residual_sd
from capscope.predict.assessor import AssessorEntry, Chances, Training
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.demand_model import FittedDemandModel

FOLDS = 4
INSIDE = (0.01, 0.99)
"""Limits to which confidences are clipped before their log-odds are taken."""
START = np.array([0.0, 1.0, 0.0])
"""Offset, weight of the explanatory model's log-odds, weight of the confidence's, where a confidence tells nothing."""
POPULATION_SD = np.array([0.5, 0.25, 0.25])
"""Spread of the models' coefficients before data, worth `POPULATION_WORTH` models."""
POPULATION_WORTH = 3.0
MEAN_SD = np.array([1.0, 0.5, 0.5])
"""Spread of the population's mean around `START` before data."""
ROUNDS, NEWTON_STEPS = 30, 8


@dataclass(frozen=True)
class FittedConfidence:
    """The explanatory model, and each model's regression on it and on its own confidence."""

    core: FittedDemandModel
    """The explanatory model on all training answers."""
    confidence: ModelItem
    """Own confidence by model and item; NaN where none is stated."""
    weight: FloatArray
    """Offset and weights of each model (model, 3)."""
    sd: float
    """Standard deviation in log-odds of the items around the chances."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success; that of the explanatory model where no confidence is stated."""
        known = self.core.predict(model_index, item_index)
        own = self.confidence[model_index, item_index]
        stated = ~np.isnan(own)
        design = _design(known.probability[stated], own[stated])
        chance = expit((design * self.weight[model_index[stated]]).sum(axis=1))
        probability = known.probability.copy()
        spread, shared = known.log_odds_sd.copy(), known.shared_sd
        probability[stated] = chance
        spread[stated] = np.hypot(self.sd, shared[stated])
        weighed = Chances.of(probability, spread, shared)
        mean = np.where(stated, weighed.log_odds_mean, known.log_odds_mean)
        return Chances(np.where(stated, weighed.probability, known.probability), mean, spread, weighed.shared_sd)


@dataclass(frozen=True)
class ConfidenceAssessor:
    """Weighs each model's own confidence against the explanatory model's chance."""

    folds: int = FOLDS
    """Number of folds in which the explanatory model predicts training answers."""

    def fit(self, training: Training) -> FittedConfidence:
        """Predict the training answers out of fold, then regress them on these chances and on the confidences.

        Raises:
            InputError: The study states no confidences.
        """
        if training.confidence is None:
            raise InputError("assessor 'confidence' needs responses with a column 'confidence' or 'agreement'")
        responses, assessor = training.responses, ExplanatoryAssessor()
        core = assessor.fit(training)
        stated = ~np.isnan(training.confidence[responses.model_index, responses.item_index])
        if not stated.any():
            raise InputError("no known answer has a confidence to learn from; add column 'confidence' to the responses")
        chance = np.full(len(responses.score), np.nan)
        kind = _kind(training)
        for held_out in group_folds(training, kind, self.folds) if group_count(training, kind) > 1 else ():
            rows = responses.rows(held_out)
            fitted = assessor.fit(training.without(held_out))
            chance[held_out] = fitted.predict(rows.model_index, rows.item_index).probability
        rows = responses.rows(use := np.flatnonzero(stated & ~np.isnan(chance)))
        design = _design(chance[use], training.confidence[rows.model_index, rows.item_index])
        weight = model_weights(design, rows.score, rows.n_trials, rows.model_index, len(responses.models))
        fitted_chance = expit((design * weight[rows.model_index]).sum(axis=1))
        return FittedConfidence(core, training.confidence, weight, residual_sd(rows, fitted_chance))


def _kind(training: Training) -> str:
    """The most frequent regime of the items to predict, as far as the training part can imitate it."""
    kinds, count = np.unique(regime_of_items(training)[training.asked], return_counts=True)
    return fold_regime(training, str(kinds[np.argmax(count)]))


def _design(chance: RowFloats, own: RowFloats) -> FloatArray:
    return np.column_stack([np.ones(len(own)), logit(chance), logit(np.clip(own, *INSIDE))])


def model_weights(
    design: FloatArray, score: RowFloats, trials: RowFloats, model: RowIndex, n_models: int
) -> FloatArray:
    """Estimate a logistic regression for each model, with coefficients from one Gaussian population (EM).

    Args:
        design: A one, and two predictors in log-odds, of each answer (row, 3).
        score: Scores (row,), 0 to 1.
        trials: Trials behind each score (row,).
        model: Number of each row's model (row,).
        n_models: Number of models.

    Returns:
        Coefficients (model, 3); a model without answers has the population's mean.
    """
    mean, cov = START.copy(), np.diag(POPULATION_SD**2)
    parts = [np.flatnonzero(model == number) for number in np.unique(model)]
    weight = np.tile(mean, (n_models, 1))
    prior_precision = np.diag(1 / MEAN_SD**2)
    for _ in range(ROUNDS):
        spread = np.zeros_like(cov)
        precision = np.linalg.inv(cov)
        for rows in parts:
            own = model[rows[0]]
            weight[own], error = _regression(design[rows], score[rows], trials[rows], weight[own], mean, precision)
            away = weight[own] - mean
            spread += error + np.outer(away, away)
        known = weight[model[[rows[0] for rows in parts]]] if parts else weight[:0]
        total = prior_precision + len(parts) * precision
        mean = np.linalg.solve(total, prior_precision @ START + precision @ known.sum(axis=0))
        cov = (POPULATION_WORTH * np.diag(POPULATION_SD**2) + spread) / (POPULATION_WORTH + len(parts))
    weight[np.setdiff1d(np.arange(n_models), model)] = mean
    return weight


def _regression(
    design: FloatArray,
    score: RowFloats,
    trials: RowFloats,
    start: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Mode and inverse curvature of a logistic regression with a Gaussian prior, by Newton steps."""
    weight = start
    curvature = precision
    for _ in range(NEWTON_STEPS):
        chance = expit(design @ weight)
        gradient = design.T @ (trials * (score - chance)) - precision @ (weight - mean)
        curvature = (design * (trials * chance * (1 - chance))[:, None]).T @ design + precision
        step = np.linalg.solve(curvature, gradient)
        weight = weight + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            break
    return weight, np.linalg.inv(curvature)


CONFIDENCE = AssessorEntry(
    name="confidence",
    help="the model's own confidence in each answer, weighed against the explanatory model's chance",
    needs="confidence",
    assessor=ConfidenceAssessor(),
)
