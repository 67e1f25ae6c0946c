"""One number, or one order, for each model over a whole suite: means, item rankings, and votes of tasks."""

from dataclasses import dataclass

import choix
import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata, trim_mean

from capscope.axes import FloatArray, ModelItem
from capscope.data import Responses, Study
from capscope.errors import InputError, first_few
from capscope.intervals import quantile_bounds
from capscope.profiles.item_groups import places_of

DRAWS = 200
RIDGE = 1e-3
"""Strength of the prior that keeps strengths finite for a model that always or never wins."""
TOLERANCE = 1e-5
MOST_EXACT = 12
"""Models for which the best order of Kemeny is found for certain."""

ModelTask = Float[np.ndarray, "model task"]
Wins = Float[np.ndarray, "model other"]


@dataclass(frozen=True)
class SuiteAggregates:
    """Models over a suite of tasks."""

    table: pd.DataFrame
    """Columns model, mean, mean_lower, mean_upper, iqm, iqm_lower, iqm_upper, strength, strength_lower,
    strength_upper, borda, kemeny; best mean first."""
    kemeny_exact: bool
    """Whether no order disagrees less with the tasks; else the best that exchanges could find."""
    items: int
    """Items that every model answered, which all of this is about."""
    tasks: int
    """Their tasks."""
    level: float
    """Coverage of the intervals, over items within tasks."""


def suite_aggregates(study: Study, seed: int = 0, level: float = 0.9) -> SuiteAggregates:
    """Aggregate a study's scores over its tasks.

    `mean` and `iqm` are over task means (Agarwal et al., 2021: interquartile mean, bootstrap stratified by task).
    `strength` is Plackett and Luce's over items, each ranking those who did better above those who did worse, pairs
    taken one by one; `borda` is the mean rank over tasks, and `kemeny` the place in the order that disagrees with the
    fewest pairwise votes of tasks.

    Raises:
        InputError: Fewer than two models, or no item that all answered.
    """
    responses = Responses.of(study)
    score, items = _common(responses, study.name)
    task = places_of(study, tuple(responses.items[i] for i in items)).task
    labels, place = np.unique(task, return_inverse=True)
    rng = np.random.default_rng(seed)
    by_task = _task_means(score, place, len(labels), np.ones(len(items)))
    means, iqms, strengths = by_task.mean(axis=1), _iqm(by_task), plackett_luce(score)
    draws = _bootstrap(score, place, len(labels), rng)
    order, exact = kemeny_order(_votes(by_task))
    kemeny = np.empty(len(order))
    kemeny[order] = np.arange(1, len(order) + 1)
    columns: dict[str, object] = {"model": list(responses.models)}
    for name, point, drawn in zip(("mean", "iqm", "strength"), (means, iqms, strengths), draws, strict=True):
        lower, upper = quantile_bounds(drawn, level)
        columns |= {name: point, f"{name}_lower": lower, f"{name}_upper": upper}
    columns |= {"borda": borda(by_task), "kemeny": kemeny}
    table = pd.DataFrame(columns).sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)
    return SuiteAggregates(table, exact, len(items), len(labels), level)


def _common(responses: Responses, where: str) -> tuple[ModelItem, np.ndarray]:
    """Mean scores on the items that every model answered."""
    shape = (len(responses.models), len(responses.items))
    at = responses.model_index * shape[1] + responses.item_index
    total = np.bincount(at, responses.score * responses.n_trials, shape[0] * shape[1]).reshape(shape)
    trials = np.bincount(at, responses.n_trials, shape[0] * shape[1]).reshape(shape)
    items = np.flatnonzero((trials > 0).all(axis=0))
    if shape[0] < 2:
        raise InputError(f"{where}: one model answered; an aggregate compares two or more")
    if not len(items):
        few = [responses.models[m] for m in np.argsort((trials > 0).sum(axis=1))]
        raise InputError(f"{where}: no item was answered by all models; leave out those with few: {first_few(few, 3)}")
    return (total[:, items] / trials[:, items]).astype(float), items


def _task_means(score: ModelItem, place: np.ndarray, n_tasks: int, weight: FloatArray) -> ModelTask:
    member = np.zeros((len(place), n_tasks))
    member[np.arange(len(place)), place] = weight
    return score @ member / member.sum(axis=0)


def _iqm(by_task: ModelTask) -> FloatArray:
    """Mean of the middle half of the task means."""
    return np.asarray(trim_mean(by_task, 0.25, axis=1), float)


def _bootstrap(
    score: ModelItem, place: np.ndarray, n_tasks: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means, interquartile means and strengths (model, draw) with items drawn again within their tasks."""
    rows = [np.flatnonzero(place == t) for t in range(n_tasks)]
    start = plackett_luce(score)
    found: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for _ in range(DRAWS):
        weight = np.zeros(len(place))
        for members in rows:
            weight[members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)))
        by_task = _task_means(score, place, n_tasks, weight)
        found.append((by_task.mean(axis=1), _iqm(by_task), plackett_luce(score, weight, start)))
    means, iqms, strengths = (np.stack(values, axis=1) for values in zip(*found, strict=True))
    return means, iqms, strengths


def plackett_luce(score: ModelItem, weight: FloatArray | None = None, start: FloatArray | None = None) -> FloatArray:
    """Log-strengths of models from the rankings that items give them, centred at 0; ties say nothing.

    For right and wrong marks this is the pairwise conditional likelihood of the Rasch model, free of difficulty.

    Args:
        score: Scores of all models on all items.
        weight: Weight of each item; 1 without.
        start: Strengths to start from.
    """
    weight = np.ones(score.shape[1]) if weight is None else weight
    return strengths(_wins(score, weight), start)


def _wins(score: ModelItem, weight: FloatArray) -> Wins:
    if np.isin(score, (0, 1)).all():
        return (score * weight) @ (1 - score).T
    return np.stack([((score[m] > score) * weight).sum(axis=1) for m in range(len(score))])


def strengths(wins: Wins, start: FloatArray | None = None) -> FloatArray:
    """Log-strengths of Bradley and Terry from a table of wins of each over each, centred at 0.

    Args:
        wins: How often each model won against each other.
        start: Strengths to start from, which saves time.
    """
    ridge = RIDGE * max(float(wins.sum()), 1.0) / wins.size
    first = None if start is None else start.astype(np.float64)
    return np.asarray(choix.ilsr_pairwise_dense(wins, alpha=ridge, initial_params=first, tol=TOLERANCE), float)


def borda(by_task: ModelTask) -> FloatArray:
    """Mean rank over tasks, 1 for the best; ties share."""
    return np.asarray(rankdata(-by_task, axis=0).mean(axis=1), float)


def _votes(by_task: ModelTask) -> Wins:
    """Number of tasks on which one model beats another, ties half."""
    better = by_task[:, None, :] > by_task[None, :, :]
    level = by_task[:, None, :] == by_task[None, :, :]
    return better.sum(axis=-1) + 0.5 * level.sum(axis=-1)


def kemeny_order(votes: Wins) -> tuple[np.ndarray, bool]:
    """Order of models, best first, that disagrees with the fewest votes (Kemeny, 1959).

    Args:
        votes: Votes for each model over each other.

    Returns:
        The order, and whether it is certain to be the best: found among all for up to `MOST_EXACT` models, else by
        moving models one at a time from the order of mean votes until no move helps.
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


def _moved_to_best(order: list[int], model: int, votes: Wins) -> bool:
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


def _best_order(votes: Wins) -> np.ndarray:
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
