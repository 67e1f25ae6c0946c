"""Loss and ranking metrics: log-loss, Brier score, and the area under the ROC curve (AUROC)."""

import numpy as np

from capscope.axes import RowFloats
from capscope.predict.outcomes import UNDEFINED, Metric, Outcomes, cross_entropy, row_groups, weighted_mean


def log_loss(score: RowFloats, chance: RowFloats, weight: RowFloats | None = None) -> float:
    """Return the mean Bernoulli loss of chances against scores, in nats.

    Args:
        score: Scores, 0 to 1.
        chance: Predicted chances, 0 to 1.
        weight: Number of trials of each; None for one each.
    """
    losses = cross_entropy(score, chance)
    return float(losses.mean()) if weight is None else weighted_mean(losses, weight)


def _brier(outcomes: Outcomes) -> float:
    return weighted_mean((outcomes.score - outcomes.chance) ** 2, outcomes.weight)


LOG_LOSS = Metric(
    name="log_loss",
    help="mean Bernoulli loss in nats; fractional scores are allowed",
    better="lower",
    of=lambda outcomes: log_loss(outcomes.score, outcomes.chance, outcomes.weight),
)
BRIER = Metric(name="brier", help="mean squared error of the chance (Brier, 1950)", better="lower", of=_brier)


def concordance(score: RowFloats, chance: RowFloats, weight: RowFloats | None = None) -> tuple[float, float]:
    """Count the pairs of a success and a failure that the chances rank right, and all such pairs.

    An answer with score s and n trials is n s successes and n (1 - s) failures (Mann & Whitney, 1947). Tied chances
    count half.

    Args:
        score: Scores, 0 to 1.
        chance: Predicted chances, 0 to 1.
        weight: Number of trials of each; None for one each.

    Returns:
        Number of pairs ranked right, and number of pairs.
    """
    weight = np.ones(len(score)) if weight is None else weight
    _, tie = np.unique(chance, return_inverse=True)
    success = np.bincount(tie, weights=weight * score)
    failure = np.bincount(tie, weights=weight * (1 - score))
    below = np.cumsum(failure) - failure
    return float((success * (below + failure / 2)).sum()), float(success.sum() * failure.sum())


def auroc(outcomes: Outcomes) -> float:
    """Return the area under the receiver operating characteristic; NaN without successes or without failures."""
    right, pairs = concordance(outcomes.score, outcomes.chance, outcomes.weight)
    return right / pairs if pairs else UNDEFINED


def _within_task(outcomes: Outcomes) -> float:
    values = [auroc(outcomes.rows(rows)) for rows in row_groups(outcomes.task)]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else UNDEFINED


AUROC = Metric(
    name="auroc",
    help="chance that a success has a higher predicted chance than a failure",
    better="higher",
    of=auroc,
)
AUROC_WITHIN_TASK = Metric(
    name="auroc_within_task",
    help="AUROC among the answers of one task, averaged over tasks with both outcomes",
    better="higher",
    of=_within_task,
)
AUROC_ALL_MODELS = Metric(
    name="auroc_all_models",
    help="AUROC of all models' answers together, which also rewards knowing which model is strong",
    better="higher",
    of=auroc,
    over="all models",
)
