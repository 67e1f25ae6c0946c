"""Fit of single items by sum scores: S-X2, with answers missing in any pattern.

Orlando & Thissen (2000) compare the share of right answers among models of one total score with what the model
expects given that score. Where answers are missing, totals of different models are over different items; each model's
expectation is therefore taken given its own total over its own items (Lord & Wingersky, 1984), and models are grouped
by that expectation. With complete data the groups are those of Orlando & Thissen.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from capscope.axes import FloatArray, ModelDim, RowFloats
from capscope.data import Responses
from capscope.display import ArrowTables
from capscope.errors import FitError, counted
from capscope.fit.irt.moments import gaussian_draws
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import success_probability

MOST_SUMMED = 300
"""Largest number of items in a total score; of more items, evenly spaced ones and the tested item are summed."""

NODES, NODES_SEVERAL, NODES_MARGINAL = 41, 300, 61
"""Nodes of ability: on a grid, drawn from the models' posteriors with several dimensions, or over N(0, 1)."""

LEAST_EXPECTED = 3.0
"""Smallest expected variance of the number of right answers in a group; smaller groups are merged."""

MOST_GROUPS = 10
LEAST_GROUPS = 4
"""Fewest groups of equal variance; where there are fewer, totals are merged only until `LEAST_CELL` is reached."""

LEAST_CELL = 1.0
"""Smallest expected numbers of right and of wrong answers in a group of totals, as in the R package mirt."""

SMALLEST_VARIANCE, DECIMALS = 1e-9, 10
"""Smallest variance of an answer given the total, below which it is left out; decimals of equal expectations."""


@dataclass(frozen=True)
class ItemFit(ArrowTables):
    """S-X2 of each item."""

    table: pd.DataFrame
    """Columns ``item, s_x2, df, p, q``: statistic, its degrees of freedom, p-value and false discovery rate; NaN for
    items with too few answers to test."""


def item_fit(posterior: IRTPosterior, responses: Responses) -> ItemFit:
    """Test whether each item's answers follow its curve (Orlando & Thissen, 2000).

    Args:
        posterior: A fit to these responses.
        responses: Right and wrong answers, one trial each; cells may be missing, as long as they are missing at random
            given ability.

    Returns:
        S-X2, degrees of freedom and p-value of each item.

    Raises:
        FitError: A score is neither 0 nor 1, has several trials, or a model answered an item more than once.
    """
    if not (np.isin(responses.score, (0, 1)).all() and (responses.n_trials == 1).all()):
        raise FitError("item_fit: S-X2 is for right or wrong answers of one trial; these have shares or several trials")
    cell = responses.model_index * np.int64(len(responses.items)) + responses.item_index
    if len(np.unique(cell)) < len(cell):
        repeats = len(cell) - len(np.unique(cell))
        raise FitError(
            f"item_fit: {counted(repeats, 'answer', 'repeat')} a model on an item; S-X2 is for one answer"
            f" each, so keep one condition"
        )
    shape = (len(posterior.models), len(posterior.items))
    score = np.full(shape, np.nan)
    models, items = posterior.model_index(responses.models), posterior.item_index(responses.items)
    score[models[responses.model_index], items[responses.item_index]] = responses.score
    expected = _expectations(posterior, score)
    complete = not np.isnan(score).any()
    statistics = [_statistic(score[:, i], expected[:, i], complete) for i in range(shape[1])]
    groups, s_x2 = np.array([n for n, _ in statistics]), np.array([x for _, x in statistics])
    spent = groups - _effective_parameters(posterior)
    df = np.where((groups > 1) & (spent > 0), spent, np.nan)
    p = np.asarray(chdtrc(df, s_x2), float)
    tested = np.isfinite(p)
    q = np.full(shape[1], np.nan)
    q[tested] = _false_discovery_rates(p[tested])
    return ItemFit(pd.DataFrame({"item": posterior.items, "s_x2": s_x2, "df": df, "p": p, "q": q}))


def _false_discovery_rates(p: FloatArray) -> FloatArray:
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p), float) if len(p) else p


def _effective_parameters(posterior: IRTPosterior) -> FloatArray:
    """Effective number of parameters of each item: of each one the share that the answers, not the prior, determine."""
    if not posterior.population.is_prior:
        estimated = np.diagonal(posterior.item_cov, axis1=1, axis2=2) > 0
        extras = 0 if posterior.extras is None else (np.diagonal(posterior.extras.cov, axis1=1, axis2=2) > 0).sum(1)
        return estimated.sum(1) - (posterior.model_name == "rasch") + extras + 0.0
    prior = np.diagonal(posterior.population.cov)
    free = prior > 0
    own = np.diagonal(posterior.native_cov, axis1=1, axis2=2)[:, free] / prior[free]
    return np.clip(1 - own, 0, 1).sum(1)


def _expectations(posterior: IRTPosterior, score: FloatArray) -> FloatArray:
    """Chance of success of each model on each item given its total score (model, item); NaN where not administered."""
    node, weight = _nodes(posterior)
    chance = _chances(posterior, node)  # (node, item)
    step = max(1, -(-score.shape[1] // MOST_SUMMED))
    summed = np.zeros(score.shape[1], bool)
    summed[::step] = True
    expected = np.full(score.shape, np.nan)
    seen = ~np.isnan(score)
    patterns, which = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)
    for number in range(len(patterns)):
        models = np.flatnonzero(which.ravel() == number)
        answered = np.flatnonzero(seen[models[0]])
        if len(answered):
            expected[np.ix_(models, answered)] = _of_pattern(
                score[np.ix_(models, answered)], chance[:, answered], summed[answered], weight
            )
    return expected


def _of_pattern(score: FloatArray, chance: FloatArray, summed: np.ndarray, weight: FloatArray) -> FloatArray:
    """Chances given the total, for models that answered the same items (model, item)."""
    density = _score_density(chance[:, summed])  # (node, total)
    total = score[:, summed].sum(1).astype(int)
    expected = np.empty(score.shape)
    without = _without_each(density, chance[:, summed])  # (node, item, total)
    inside = np.cumsum(summed) - 1
    for i in range(score.shape[1]):
        p = chance[:, i]
        rest = without[:, inside[i]] if summed[i] else density
        rest = np.pad(rest, ((0, 0), (1, 1)))  # totals -1 .. n + 1
        k = total if summed[i] else total + score[:, i].astype(int)
        right, wrong = weight @ (p[:, None] * rest[:, k]), weight @ ((1 - p)[:, None] * rest[:, k + 1])
        expected[:, i] = right / np.maximum(right + wrong, 1e-300)
    return expected


def _score_density(chance: FloatArray) -> FloatArray:
    """Distribution of the number of right answers at each node (Lord & Wingersky, 1984)."""
    density = np.zeros((len(chance), chance.shape[1] + 1))
    density[:, 0] = 1
    for p in chance.T:
        density[:, 1:] = density[:, 1:] * (1 - p)[:, None] + density[:, :-1] * p[:, None]
        density[:, 0] *= 1 - p
    return density


def _without_each(density: FloatArray, chance: FloatArray) -> FloatArray:
    """Distributions of the number of right answers on all items but one (node, item, total).

    The recursion is inverted from total 0 upwards where the chance is at most one half, else from the highest total
    downwards: rounding errors then shrink with each step.
    """
    n = chance.shape[1]
    p, q = chance, 1 - chance
    low = p <= 0.5
    up, down = np.zeros((len(chance), n, n)), np.zeros((len(chance), n, n))
    before = np.zeros_like(chance)
    for k in range(n):
        before = up[:, :, k] = (density[:, k, None] - p * before) / np.where(low, q, 1.0)
    before = np.zeros_like(chance)
    for k in range(n - 1, -1, -1):
        before = down[:, :, k] = (density[:, k + 1, None] - q * before) / np.where(low, 1.0, p)
    return np.maximum(np.where(low[:, :, None], up, down), 0)


def _nodes(posterior: IRTPosterior) -> tuple[ModelDim, RowFloats]:
    """Distribution of ability as nodes and weights: the mixture of the models' posteriors, or N(0, 1).

    Maximum likelihood estimates its items for a population N(0, 1), and S-X2 is defined at its estimates.
    """
    if not posterior.population.is_prior:
        node = np.linspace(-6, 6, NODES_MARGINAL)
        weight = np.exp(-0.5 * node**2)
        return node[:, None], weight / weight.sum()
    if posterior.dims == 1:
        mean, sd = posterior.ability_mean[:, 0], posterior.ability_sd[:, 0]
        node = np.linspace((mean - 4 * sd).min(), (mean + 4 * sd).max(), NODES)
        weight = np.exp(-0.5 * ((node[:, None] - mean) / sd) ** 2) / sd
        return node[:, None], weight.sum(1) / weight.sum()
    draws = -(-NODES_SEVERAL // len(posterior.models))
    drawn = gaussian_draws(posterior.ability_mean, posterior.ability_cov, np.random.default_rng(0), draws)
    node = np.moveaxis(drawn, 2, 1).reshape(-1, posterior.dims)
    return node, np.full(len(node), 1 / len(node))


def _chances(posterior: IRTPosterior, node: ModelDim) -> FloatArray:
    """Chance of success at each node on each item, over the items' posteriors, or at maximum likelihood's estimates."""
    point = np.column_stack([node, np.ones(len(node))])
    mean = point @ posterior.item_mean.T
    if not posterior.population.is_prior:
        return np.clip(success_probability(mean, 0.0, posterior.floor), 1e-6, 1 - 1e-6)
    variance = np.einsum("qi,nij,qj->qn", point, posterior.conditional_cov, point)
    return np.clip(success_probability(mean, variance, posterior.floor), 1e-6, 1 - 1e-6)


def _statistic(score: FloatArray, expected: FloatArray, complete: bool) -> tuple[int, float]:
    """Number of groups and X2 over groups of models with similar expectations.

    Models with the lowest or highest possible total have certain answers, which hold no information. Where all models
    answered all items, groups are totals, merged as in the R package mirt; otherwise groups have equal variance.
    """
    rows = np.flatnonzero(~np.isnan(score))
    rows = rows[np.argsort(expected[rows], kind="stable")]
    rows = rows[expected[rows] * (1 - expected[rows]) > SMALLEST_VARIANCE]
    e, y = expected[rows], score[rows]
    if not len(e):
        return 0, np.nan
    level, tie = np.unique(np.round(e, DECIMALS), return_inverse=True)
    n_groups = int(min(MOST_GROUPS, (e * (1 - e)).sum() / LEAST_EXPECTED))
    if complete or n_groups < LEAST_GROUPS:
        group = _merged(tie.ravel(), e, len(level))
    else:
        share = np.cumsum(e * (1 - e)) / (e * (1 - e)).sum()
        # groups of equal variance; models with one expectation (one total) stay together
        group = np.minimum((share * n_groups).astype(int), n_groups - 1)[np.unique(tie, return_index=True)[1]][tie]
        _, group = np.unique(group, return_inverse=True)
    count, mean = np.bincount(group), np.bincount(group, e) / np.bincount(group)
    gap = np.bincount(group, y) / count - mean
    return (len(count), float((count * gap**2 / (mean * (1 - mean))).sum())) if len(count) > 1 else (1, np.nan)


def _merged(tie: np.ndarray, expected: FloatArray, n_ties: int) -> np.ndarray:
    """Group of each row: totals merged with a neighbour until a right and a wrong answer are expected in each."""
    count, right = np.bincount(tie, minlength=n_ties).astype(float), np.bincount(tie, expected, n_ties)
    members = [[number] for number in range(n_ties)]
    counts, rights = count.tolist(), right.tolist()
    while len(members) > 1:
        sparse = [k for k in range(len(members)) if min(rights[k], counts[k] - rights[k]) < LEAST_CELL]
        if not sparse:
            break
        k = sparse[0]
        last = len(members) - 1
        into = 1 if k == 0 else last - 1 if k == last else k - 1 if counts[k - 1] <= counts[k + 1] else k + 1
        members[into] += members[k]
        counts[into] += counts[k]
        rights[into] += rights[k]
        del members[k], counts[k], rights[k]
    group = np.empty(n_ties, int)
    for number, ties in enumerate(members):
        group[ties] = number
    return group[tie]
