"""Proper scoring rules: log-loss and Brier score."""

from capscope.axes import RowFloats
from capscope.predict.evaluation.metrics.metric import Metric
from capscope.predict.outcomes import Outcomes, cross_entropy, weighted_mean


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
