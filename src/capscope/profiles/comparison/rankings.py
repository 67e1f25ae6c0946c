"""Orders of models: Bradley-Terry strengths from pairwise wins, and mean ranks and Kemeny's order from task means.

The strengths maximise the Bradley-Terry likelihood under Jeffreys' prior (the square root of the determinant of the
Fisher information), which makes every estimate finite and is proper for a connected table of pairs. Between two models
it is half a win and half a loss added to their pair; wins among other models add nothing to it (Firth, 1993; `br =
TRUE` in R's BradleyTerry2). An interval holds the values whose penalised likelihood is not much below the largest, so
that it is wide and skewed where a model won or lost everything.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, stdtrit
from scipy.stats import chi2, rankdata

from capscope.axes import Float, FloatArray
from capscope.errors import FitError

Wins = Float[np.ndarray, "model other"]
ModelVector = Float[np.ndarray, " model"]
ClusterScores = Float[np.ndarray, "cluster model"]

NEWTON_STEPS = 200
TOLERANCE = 1e-9
FARTHEST = 60.0
"""Log-odds from the estimate at which the search for a bound ends."""
BISECTIONS = 40
MOST_EXACT = 12
"""Models up to which Kemeny's order is found exactly."""

ModelTask = Float[np.ndarray, "model task"]
Votes = Float[np.ndarray, "model other"]


@dataclass(frozen=True)
class Strengths:
    """Bradley-Terry strengths of models, with bounds."""

    value: ModelVector
    """Log-odds of being preferred to an average model; their mean is 0."""
    lower: ModelVector
    """Lower bounds."""
    upper: ModelVector
    """Upper bounds."""
    variance: ModelVector
    """Error variances, those of the clusters where they are larger."""


def fit_strengths(wins: Wins) -> ModelVector:
    """Maximise the Bradley-Terry likelihood under Jeffreys' prior.

    Args:
        wins: How often each model won against each other; half a win each for a tie.

    Returns:
        Strengths in log-odds with mean 0.

    Raises:
        FitError: The models fall into groups without a pair between them, or the search does not end.
    """
    games = wins + wins.T
    if connected_components(games > 0, directed=False)[0] > 1:
        raise FitError("some models met none of the others, directly or through third ones; judge such pairs too")
    value = np.zeros(len(wins))
    for _ in range(NEWTON_STEPS):
        chance = expit(value[:, None] - value)
        spread = chance * (1 - chance)
        leverage = _leverage(games * spread, _inverse(games * spread))
        # the prior acts as half a leverage of wins and of losses added to each pair, so its curvature counts too
        score = (wins + 0.5 * leverage - (games + leverage) * chance).sum(axis=1)
        step = _inverse((games + leverage) * spread) @ score
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        value = value + step
        if np.abs(step).max() < TOLERANCE:
            return value - value.mean()
    raise FitError("the strengths did not settle; are there counts of wins that are not finite?")


def strengths(wins: Wins, level: float = 0.9, cluster_scores: ClusterScores | None = None) -> Strengths:
    """Fit strengths and bound each of them.

    A bound is where the penalised likelihood of one model's strength, the others held, has fallen by half the quantile
    of chi-squared; its distance is then scaled by how much more uncertain the strength is when the others move too, and
    by how much more it varies over clusters than independent judgements would.

    Args:
        wins: How often each model won against each other.
        level: Nominal coverage.
        cluster_scores: For judgements that go together (one prompt, one item), each cluster's wins less expected wins
            by model, as `score_of` computes them at the fitted strengths; None where judgements are independent.
    """
    value = fit_strengths(wins)
    games = wins + wins.T
    chance = expit(value[:, None] - value)
    weight = games * chance * (1 - chance)
    inverse = _inverse(weight)
    variance = np.diagonal(inverse).copy()
    inflation, cut = np.ones(len(value)), float(chi2.ppf(level, 1))
    if cluster_scores is not None and len(cluster_scores) > 1:
        clusters = len(cluster_scores)
        moved = cluster_scores @ inverse
        robust = (moved**2).sum(axis=0) * clusters / (clusters - 1)
        inflation = np.maximum(robust / variance, 1.0)
        cut = float(stdtrit(clusters - 1, 0.5 + level / 2)) ** 2
    scale = np.sqrt(variance * weight.sum(axis=1) * inflation)
    below, above = (scale * _reach(value, wins, side, cut / 2) for side in (-1.0, 1.0))
    return Strengths(value, value - below, value + above, variance * inflation)


def _reach(value: ModelVector, wins: Wins, side: float, drop: float) -> ModelVector:
    """Distance from each strength, the others held, at which its penalised log-likelihood has fallen by `drop`."""
    gap = value[:, None] - value
    losses, games = wins.T, wins + wins.T

    def log_likelihood(distance: FloatArray) -> FloatArray:
        at = gap + side * distance[:, None]
        up, down = -np.logaddexp(0, -at), -np.logaddexp(0, at)
        information = (games * np.exp(up + down)).sum(axis=1)
        return (wins * up + losses * down).sum(axis=1) + 0.5 * np.log(np.maximum(information, 1e-300))

    near, far = np.zeros(len(value)), np.full(len(value), FARTHEST)
    # the estimate maximises the joint likelihood; of one model alone the top may lie a little beside it
    top = log_likelihood(near)
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        high = log_likelihood(middle) > top - drop
        near, far = np.where(high, middle, near), np.where(high, far, middle)
    return far


def _inverse(weight: Wins) -> Wins:
    """Pseudo-inverse of the Fisher information, a graph Laplacian, on strengths whose mean is 0."""
    size = len(weight)
    laplacian = np.diag(weight.sum(axis=1)) - weight
    mean = np.full((size, size), 1 / size)
    scale = max(float(np.trace(laplacian)) / size, 1e-12)
    return np.linalg.inv(laplacian + scale * mean) - mean / scale


def _leverage(weight: Wins, inverse: Wins) -> Wins:
    """Share of each pair's information that its own fitted value takes up; these shares add up to the models less 1."""
    own = np.diagonal(inverse)
    return weight * (own[:, None] + own - 2 * inverse)


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
