"""Selective use of a model: how many items can be kept, highest chances first, and with what accuracy."""

import numpy as np

from capscope.axes import RowFloats
from capscope.predict.outcomes import Metric, Outcomes, weighted_mean


def accuracy_when_kept(score: RowFloats, chance: RowFloats, weight: RowFloats | None = None) -> RowFloats:
    """Return the mean score of the k answers with the highest chances, for k = 1 to all; ties have their mean score.

    Args:
        score: Scores, 0 to 1.
        chance: Predicted chances, 0 to 1.
        weight: Number of trials of each; None for one each.
    """
    order = np.argsort(-chance, kind="stable")
    weight = np.ones(len(score)) if weight is None else weight[order]
    _, tie = np.unique(-chance[order], return_inverse=True)
    mean_of_tie = np.bincount(tie, weights=weight * score[order]) / np.bincount(tie, weights=weight)
    return np.cumsum(weight * mean_of_tie[tie]) / np.cumsum(weight)


def predictably_valid_region(
    score: RowFloats, chance: RowFloats, accuracy: float, weight: RowFloats | None = None
) -> float:
    """Return the largest share of answers that can be kept, highest chances first, with at least this accuracy.

    It is 1 - min{r : accuracy after rejecting the share r is at least `accuracy`} (Pacchiardi et al., PredictaBoard,
    2025). Answers with equal chances are kept or rejected together; 0 if no share is that accurate.

    Args:
        score: Scores, 0 to 1.
        chance: Predicted chances, 0 to 1.
        accuracy: Required mean score of the answers kept, 0 to 1.
        weight: Number of trials of each; None for one each.
    """
    order = np.argsort(-chance, kind="stable")
    trials = np.ones(len(score)) if weight is None else weight[order]
    last_of_tie = np.append(np.diff(chance[order]) != 0, True)
    kept = np.cumsum(trials) / trials.sum()
    valid = last_of_tie & (accuracy_when_kept(score, chance, weight) >= accuracy - 1e-12)
    return float(kept[valid].max(initial=0.0))


def area_under_rejection_curve(score: RowFloats, chance: RowFloats, weight: RowFloats | None = None) -> float:
    """Return the mean accuracy of what is kept, over all shares that can be kept (AUARC).

    Args:
        score: Outcomes (row,), 0 to 1.
        chance: Predicted chances of success (row,).
        weight: Number of trials of each outcome (row,).
    """
    accuracy = accuracy_when_kept(score, chance, weight)
    if weight is None:
        return float(accuracy.mean())
    return weighted_mean(accuracy, weight[np.argsort(-chance, kind="stable")])


def _region(name: str, accuracy: float) -> Metric:
    def region(outcomes: Outcomes) -> float:
        return predictably_valid_region(outcomes.score, outcomes.chance, accuracy, outcomes.weight)

    return Metric(
        name=name, help=f"share of items that can be kept with an accuracy of {accuracy}", better="higher", of=region
    )


PVR_80 = _region("pvr_80", 0.8)
PVR_90 = _region("pvr_90", 0.9)
PVR_95 = _region("pvr_95", 0.95)
AUARC = Metric(
    name="auarc",
    help="accuracy of the items kept, averaged over all shares that can be kept",
    better="higher",
    of=lambda outcomes: area_under_rejection_curve(outcomes.score, outcomes.chance, outcomes.weight),
)
