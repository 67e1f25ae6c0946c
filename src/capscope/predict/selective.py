"""Use of a model only where it is predicted to succeed: how much can be kept, and at what accuracy."""

import numpy as np

from capscope.axes import RowFloats


def accuracy_when_kept(score: RowFloats, chance: RowFloats) -> RowFloats:
    """Mean score of the k items with the highest chances, for k = 1 to all; ties count with their mean score."""
    order = np.argsort(-chance, kind="stable")
    _, tie = np.unique(-chance[order], return_inverse=True)
    mean_of_tie = np.bincount(tie, weights=score[order]) / np.bincount(tie)
    return np.cumsum(mean_of_tie[tie]) / np.arange(1, len(score) + 1)


def predictably_valid_region(score: RowFloats, chance: RowFloats, accuracy: float) -> float:
    """Largest share of items that can be kept, highest chances first, at an accuracy of at least this.

    It is 1 - min{r : accuracy after rejecting the share r is at least `accuracy`} (Pacchiardi et al., PredictaBoard,
    2025). Items of equal chance are kept or rejected together; 0 where no share is that accurate.
    """
    order = np.argsort(-chance, kind="stable")
    last_of_tie = np.append(np.diff(chance[order]) != 0, True)
    kept = np.arange(1, len(score) + 1) / len(score)
    valid = last_of_tie & (accuracy_when_kept(score, chance) >= accuracy - 1e-12)
    return float(kept[valid].max(initial=0.0))


def area_under_rejection_curve(score: RowFloats, chance: RowFloats) -> float:
    """Mean accuracy of what is kept over all shares that can be kept, from one item to all (AUARC)."""
    return float(accuracy_when_kept(score, chance).mean())
