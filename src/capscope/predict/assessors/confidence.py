"""The model's own confidence in an answer, combined with the difficulty of the item by a regression.

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
from capscope.fit import confidence_log_odds, logistic_regression, success_probability
from capscope.predict.answer_statistics import fold_regime, group_count, group_folds, regime_of_items, residual_sd
from capscope.predict.assessor import AssessorEntry, Chances, Training
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.demand_model import FittedDemandModel

FOLDS = 4
START = np.array([0.0, 1.0, 0.0])
"""Offset, weights of the explanatory model's log-odds and of the confidence's, for a confidence without information."""
POPULATION_SD = np.array([0.5, 0.25, 0.25])
"""Prior standard deviation of the models' coefficients, with the weight of `POPULATION_WORTH` models."""
POPULATION_WORTH = 3.0
MEAN_SD = np.array([1.0, 0.5, 0.5])
"""Prior standard deviation of the population's mean around `START`."""
ROUNDS = 30


@dataclass(frozen=True)
class FittedConfidence:
    """The explanatory model, and each model's regression on it and on its own confidence."""

    core: FittedDemandModel
    """The explanatory model on all training answers."""
    confidence: ModelItem
    """Own confidence by model and item; NaN where none is stated."""
    weights: "ModelWeights"
    """Offset and weights of each model."""
    sd: float
    """Standard deviation in log-odds of the items around the chances."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success, without a confidence that of the explanatory model; see `FittedAssessor.predict`."""
        known = self.core.predict(model_index, item_index)
        own = self.confidence[model_index, item_index]
        stated = ~np.isnan(own)
        design = _design(known.probability[stated], own[stated])
        line, error, common = self.weights.of_rows(model_index[stated], design)
        probability, spread, shared = known.probability.copy(), known.log_odds_sd.copy(), known.shared_sd.copy()
        probability[stated] = success_probability(line, error**2)
        spread[stated] = np.sqrt(self.sd**2 + shared[stated] ** 2 + error**2)
        shared[stated] = np.hypot(shared[stated], common)
        weighed = Chances.of(probability, spread, shared)
        mean = np.where(stated, weighed.log_odds_mean, known.log_odds_mean)
        return Chances(np.where(stated, weighed.probability, known.probability), mean, spread, weighed.shared_sd)


@dataclass(frozen=True)
class ConfidenceAssessor:
    """Combines each model's own confidence with the explanatory model's chance."""

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
        weights = model_weights(design, rows.score, rows.n_trials, rows.model_index, len(responses.models))
        fitted_chance = expit(weights.of_rows(rows.model_index, design)[0])
        return FittedConfidence(core, training.confidence, weights, residual_sd(rows, fitted_chance))


def _kind(training: Training) -> str:
    """The most frequent regime of the items to predict, as far as the training part allows it."""
    kinds, count = np.unique(regime_of_items(training)[training.asked], return_counts=True)
    return fold_regime(training, str(kinds[np.argmax(count)]))


def _design(chance: RowFloats, own: RowFloats) -> FloatArray:
    return np.column_stack([np.ones(len(own)), logit(chance), confidence_log_odds(own)])


@dataclass(frozen=True)
class ModelWeights:
    """Each model's logistic regression, with the error of its coefficients."""

    mean: FloatArray
    """Coefficients (model, 3); those of the population for a model without answers."""
    covariance: FloatArray
    """Their covariance (model, 3, 3): that of the model's own answers, and that of the population's mean."""
    centre: FloatArray
    """Mean predictors of each model's answers (model, 3), over all answers for a model without any."""

    def of_rows(self, model: RowIndex, design: FloatArray) -> tuple[RowFloats, RowFloats, RowFloats]:
        """Return the log-odds of rows, their standard deviation, and the part of it that a model's rows share.

        The shared part is the regression of the row's error on the error at the model's centre.

        Args:
            model: Number of each row's model (row,).
            design: Its predictors (row, 3).
        """
        cov, centre = self.covariance[model], self.centre[model]
        variance = np.einsum("rk,rkl,rl->r", design, cov, design)
        covariance = np.einsum("rk,rkl,rl->r", design, cov, centre)
        at_centre = np.einsum("rk,rkl,rl->r", centre, cov, centre)
        shared = np.maximum(covariance, 0) / np.sqrt(at_centre)
        return (design * self.mean[model]).sum(axis=1), np.sqrt(variance), shared


def model_weights(
    design: FloatArray, score: RowFloats, trials: RowFloats, model: RowIndex, n_models: int
) -> ModelWeights:
    """Estimate a logistic regression for each model, with coefficients from one Gaussian population (EM).

    Args:
        design: A one, and two predictors in log-odds, of each answer (row, 3).
        score: Scores (row,), 0 to 1.
        trials: Trials behind each score (row,).
        model: Number of each row's model (row,).
        n_models: Number of models.
    """
    mean, cov = START.copy(), np.diag(POPULATION_SD**2)
    parts = [np.flatnonzero(model == number) for number in np.unique(model)]
    known = model[[rows[0] for rows in parts]] if parts else np.zeros(0, dtype=int)
    weight, error = np.tile(mean, (n_models, 1)), np.tile(cov, (n_models, 1, 1))
    prior_precision = np.diag(1 / MEAN_SD**2)
    for _ in range(ROUNDS):
        precision = np.linalg.inv(cov)
        for own, rows in zip(known, parts, strict=True):
            weight[own], error[own] = logistic_regression(
                design[rows], score[rows], trials[rows], mean, precision, start=weight[own]
            )
        deviation = weight[known] - mean
        total = prior_precision + len(parts) * precision
        mean = np.linalg.solve(total, prior_precision @ START + precision @ weight[known].sum(axis=0))
        spread = error[known].sum(axis=0) + deviation.T @ deviation
        cov = (POPULATION_WORTH * np.diag(POPULATION_SD**2) + spread) / (POPULATION_WORTH + len(parts))
    others = np.setdiff1d(np.arange(n_models), model)
    weight[others], error[others] = mean, cov
    centre = np.tile(design.mean(axis=0), (n_models, 1))
    centre[known] = [design[rows].mean(axis=0) for rows in parts]
    return ModelWeights(weight, error + _error_of_mean(error, known, np.linalg.inv(cov)), centre)


def _error_of_mean(error: FloatArray, known: np.ndarray, precision: FloatArray) -> FloatArray:
    """Covariance (model, 3, 3) that the coefficients have from the population's estimated mean (Kass & Steffey, 1989).

    Args:
        error: Covariance of each model's coefficients where the population is known (model, 3, 3).
        known: Numbers of the models with answers.
        precision: Inverse covariance of the population (3, 3).
    """
    # information about the mean in one model's answers: the inverse of population covariance plus sampling error
    information = len(known) * precision - precision @ error[known].sum(axis=0) @ precision
    of_mean = np.linalg.inv(np.diag(1 / MEAN_SD**2) + information)
    gain = error @ precision
    return gain @ of_mean @ np.swapaxes(gain, -1, -2)


CONFIDENCE = AssessorEntry(
    name="confidence",
    help="the model's own confidence in each answer, weighed against the explanatory model's chance",
    needs="confidence",
    assessor=ConfidenceAssessor(),
)
