"""Orders of models from their task means: mean ranks (Borda), and the order most tasks agree with (Kemeny)."""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from capscope.axes import FloatArray

MOST_EXACT = 12
"""Models up to which Kemeny's order is found exactly."""

ModelTask = Float[np.ndarray, "model task"]
Votes = Float[np.ndarray, "model other"]


def borda(by_task: ModelTask) -> FloatArray:
    """Mean rank over tasks, 1 for the best; ties share."""
    return np.asarray(rankdata(-by_task, axis=0).mean(axis=1), float)


def task_votes(by_task: ModelTask) -> Votes:
    """Number of tasks on which one model beats another, ties half."""
    better = by_task[:, None, :] > by_task[None, :, :]
    level = by_task[:, None, :] == by_task[None, :, :]
    return better.sum(axis=-1) + 0.5 * level.sum(axis=-1)


def kemeny_order(votes: Votes) -> tuple[np.ndarray, bool]:
    """Order of models, best first, that disagrees with the fewest votes (Kemeny, 1959).

    Args:
        votes: Votes for each model over each other.

    Returns:
        The order, and whether it is certainly the best: the best of all orders for up to `MOST_EXACT` models, else
        reached by moving models one at a time from the order of mean votes until no move helps.
    """
    if len(votes) <= MOST_EXACT:
        return _best_order(votes), True
    order = [int(model) for model in np.argsort(-votes.sum(axis=1), kind="stable")]
    moved = True
    while moved:
        moved = False
        for model in list(order):
            moved = _moved_to_best(order, model, votes) or moved
    return np.array(order), False


def _moved_to_best(order: list[int], model: int, votes: Votes) -> bool:
    """Put one model where it disagrees least with the others' order; say whether it moved to a better place."""
    before = order.index(model)
    rest = np.array([other for other in order if other != model])
    # agreement of standing at place k: with those before it and those behind it
    above = np.concatenate([[0.0], np.cumsum(votes[rest, model])])
    below = np.concatenate([np.cumsum(votes[model, rest][::-1])[::-1], [0.0]])
    gain = above + below
    place = int(gain.argmax())
    if gain[place] <= gain[before] + 1e-9:
        return False
    order.remove(model)
    order.insert(place, model)
    return True


def _best_order(votes: Votes) -> np.ndarray:
    """Best order by dynamic programming over sets of models already placed."""
    size = len(votes)
    best = np.full(1 << size, -np.inf)
    last = np.zeros(1 << size, dtype=int)
    best[0] = 0.0
    for placed in range(1 << size):
        inside = [m for m in range(size) if placed >> m & 1]
        for model in (m for m in range(size) if not placed >> m & 1):
            gained = best[placed] + votes[inside, model].sum()
            after = placed | 1 << model
            if gained > best[after]:
                best[after], last[after] = gained, model
    order: list[int] = []
    placed = (1 << size) - 1
    while placed:
        order.append(int(last[placed]))
        placed ^= 1 << order[-1]
    return np.array(order[::-1])
