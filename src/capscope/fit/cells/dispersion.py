"""How much a fraction is worth that comes without its number of trials.

A right or wrong answer scatters around its chance p with variance p (1 - p). A score that is a mean over attempts
scatters less, by a factor that the scores themselves show (the dispersion of a quasi-binomial model; McCullagh &
Nelder, 1989): of that variance, ``y (1 - y)`` is what averaging took away.
"""

import numpy as np
from scipy.special import expit, logit

from capscope.axes import FloatArray
from capscope.fit.cells.answers import Answers, Rows
from capscope.fit.cells.survey import Survey, Totals

MOST_TRIALS = 20.0
"""A fraction counts as this many right or wrong answers at most."""


def trial_weight(answers: Answers, found: Survey) -> float:
    """Number of right or wrong answers that one row is worth: 1 where all are right or wrong or state their trials.

    Chances are those of an additive model of models and items, which fits no better than what comes after it, so
    that fractions count for too little rather than for too much.

    Args:
        answers: Observed answers.
        found: What a survey of them told.
    """
    if found.binary or not found.one_trial:
        return 1.0
    overall = _inner(found.models.right.sum(keepdims=True) / found.models.trials.sum())
    model, item = _log_odds(found.models, overall), _log_odds(found.items, overall)
    residual = missing = 0.0
    for rows in answers.chunks():
        chance = expit(model[rows.model] + item[rows.item] - logit(overall))
        residual += float(np.square(rows.score - chance).sum())
        missing += _missing_variance(rows)
    return min(MOST_TRIALS, (residual + missing) / max(residual, 1e-9))


def _missing_variance(rows: Rows) -> float:
    return float((rows.score * (1 - rows.score)).sum())


def _log_odds(totals: Totals, overall: FloatArray) -> FloatArray:
    """Log-odds of a right answer, each with one more answer at the overall rate."""
    return logit(_inner((totals.right + overall) / (totals.trials + 1)))


def _inner(chance: FloatArray) -> FloatArray:
    return np.clip(chance, 1e-3, 1 - 1e-3)
