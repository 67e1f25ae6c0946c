"""The model's own stated confidence beside the item's predicted chance.

Log-odds of success are those of the demand-ability model, plus a line in the log-odds of the confidence (Platt, 1999)
for each model, shrunken towards the line of all models. Spread and use are chosen on held-out items: where confidence
does not help there, the predictions are those of the demand-ability model. Answers without a confidence are predicted
by that model as well.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from capscope.axes import FloatArray, ItemMask, RowFloats, RowIndex
from capscope.errors import InputError
from capscope.fit import log_likelihood
from capscope.predict.answer_statistics import regime_of_items, residual_sd
from capscope.predict.assessor import AssessorEntry, Chances, Training
from capscope.predict.assessors.neighbours import CoreFolds
from capscope.predict.demand_model import FittedDemandModel

INSIDE = (0.01, 0.99)
"""Limits to which confidences are clipped before their log-odds are taken."""
OWN_SD = (0.05, 0.3, 1.0)
"""Standard deviations of the models' intercepts and slopes around the common ones that are compared."""
SHARED_SD, CORE_SD = 1.0, 0.3
"""Prior standard deviation of the common intercept and slope around 0, and of the core's slope around 1."""
FEWEST = 20
"""With fewer answers with a confidence nothing is learnt from them."""


@dataclass(frozen=True)
class ConfidenceLines:
    """A line in the log-odds of confidence for each model."""

    core: float
    """Factor of the demand-ability model's log-odds."""
    intercept: FloatArray
    """Of each model, in log-odds."""
    slope: FloatArray
    """Of each model, in log-odds for one of confidence."""

    def log_odds(self, core: RowFloats, own: RowFloats, model_index: RowIndex) -> RowFloats:
        """Return log-odds of success.

        Args:
            core: Log-odds by the demand-ability model.
            own: Log-odds of the confidence.
            model_index: Model of each row.
        """
        return self.core * core + self.intercept[model_index] + self.slope[model_index] * own


@dataclass(frozen=True)
class FittedConfidence:
    """The demand-ability model and the lines in confidence."""

    core: FittedDemandModel
    lines: ConfidenceLines | None
    """None where confidence does not help."""
    confidence: FloatArray
    """As (model, item), NaN where there is none."""
    sd: float
    """Standard deviation in log-odds of the items around the predictions with confidence."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Return chances of success."""
        known = self.core.predict(model_index, item_index)
        own = self.confidence[model_index, item_index]
        stated = np.isfinite(own)
        if self.lines is None or not stated.any():
            return known
        line = self.lines.log_odds(logit(known.probability[stated]), log_odds_of(own[stated]), model_index[stated])
        probability, sd = known.probability.copy(), known.log_odds_sd.copy()
        probability[stated], sd[stated] = expit(line), np.hypot(self.sd, known.shared_sd[stated])
        return Chances.of(probability, sd, known.shared_sd)


@dataclass(frozen=True)
class ConfidenceAssessor:
    """The demand-ability model and each model's stated confidence."""

    def fit(self, training: Training) -> FittedConfidence:
        """Fit the core out of fold, then the lines; their spread is chosen on held-out items.

        Raises:
            InputError: The responses have no confidence.
        """
        if training.confidence is None:
            raise InputError(
                "assessor 'confidence' needs a column 'confidence' or 'agreement' in the responses, from 0 to 1, and"
                " the study has none; leave it out"
            )
        kinds = sorted(set(regime_of_items(training)[training.asked].tolist()))
        folds, responses = CoreFolds.of(training, kinds[0]), training.responses
        own = training.confidence[responses.model_index, responses.item_index]
        stated = np.isfinite(own)
        if np.count_nonzero(stated) < FEWEST or len(np.unique(folds.fold[stated])) < 2:
            return FittedConfidence(folds.core, None, training.confidence, 0.0)
        rows = _Rows.of(training, folds, stated)
        tried = {sd: rows.held_out(sd) for sd in OWN_SD}
        losses = {sd: rows.loss(line) for sd, line in tried.items()}
        best = min(losses, key=lambda sd: losses[sd])
        helps = losses[best] < rows.loss(rows.core)
        lines = rows.fit(best, np.ones(len(rows.own), bool)) if helps else None
        sd = residual_sd(responses.rows(np.flatnonzero(stated)), expit(tried[best]))
        return FittedConfidence(folds.core, lines, training.confidence, sd)


def log_odds_of(confidence: FloatArray) -> FloatArray:
    """Return log-odds of confidences, 0 to 1, clipped to `INSIDE`."""
    return logit(np.clip(confidence, *INSIDE))


@dataclass(frozen=True)
class _Rows:
    """Training answers with a confidence."""

    core: RowFloats
    own: RowFloats
    model: RowIndex
    score: RowFloats
    trials: RowFloats
    fold: RowIndex
    n_models: int

    @classmethod
    def of(cls, training: Training, folds: CoreFolds, stated: ItemMask) -> "_Rows":
        responses, confidence = training.responses.rows(np.flatnonzero(stated)), training.confidence
        assert confidence is not None, "the assessor has refused it"
        own = log_odds_of(confidence[responses.model_index, responses.item_index])
        return cls(
            folds.log_odds[stated],
            own,
            responses.model_index,
            responses.score,
            responses.n_trials,
            folds.fold[stated],
            len(responses.models),
        )

    def loss(self, line: RowFloats) -> float:
        return -float(log_likelihood(line, self.score, self.trials).sum() / self.trials.sum())

    def held_out(self, own_sd: float) -> RowFloats:
        """Log-odds of each row by lines that were fitted without its fold."""
        line = np.zeros(len(self.core))
        for number in np.unique(self.fold):
            held = self.fold == number
            lines = self.fit(own_sd, ~held)
            line[held] = lines.log_odds(self.core[held], self.own[held], self.model[held])
        return line

    def fit(self, own_sd: float, known: ItemMask) -> ConfidenceLines:
        """Penalised maximum likelihood on some rows."""
        core, own, model, trials = (each[known] for each in (self.core, self.own, self.model, self.trials))
        right, n = trials * self.score[known], self.n_models
        start = np.r_[1.0, np.zeros(2 * n + 2)]
        precision = 1 / np.r_[CORE_SD, SHARED_SD, SHARED_SD, np.full(2 * n, own_sd)] ** 2

        def lines(value: FloatArray) -> ConfidenceLines:
            return ConfidenceLines(float(value[0]), value[1] + value[3 : 3 + n], value[2] + value[3 + n :])

        def objective(value: FloatArray) -> tuple[float, FloatArray]:
            line = lines(value).log_odds(core, own, model)
            pull = trials * expit(line) - right
            of_model = np.bincount(model, pull, n), np.bincount(model, pull * own, n)
            slope = np.r_[pull @ core, of_model[0].sum(), of_model[1].sum(), *of_model]
            away = value - start
            loss = float((trials * np.logaddexp(0, line) - right * line).sum())
            return loss + 0.5 * float((precision * away**2).sum()), slope + precision * away

        return lines(np.asarray(minimize(objective, start, jac=True, method="L-BFGS-B").x))


CONFIDENCE = AssessorEntry(
    name="confidence",
    help="the explanatory model with each model's stated confidence (or agreement with its other runs)",
    needs="confidence",
    assessor=ConfidenceAssessor(),
)
