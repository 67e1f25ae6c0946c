"""Items and models that depart from a fit: mean squares, residual correlations (Q3), and shifts between groups."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, ndtr

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.display import ArrowTables
from capscope.errors import FitError
from capscope.fit.cells.answers import PartOfAnswers, as_rows
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.simulation import replicated
from capscope.fit.links import effective_trials

MOST_PAIRED_ITEMS = 2000
"""Most items whose pairs are tested by Q3; of more items, evenly spaced ones are taken."""
LEAST_IN_GROUP = 5
"""Fewest models of a group."""

NEWTON_STEPS = 15
PRIOR_VARIANCE = 4.0
"""Variance of the shift's weak prior, which keeps the shift finite where one group answers all right."""


@dataclass(frozen=True)
class MeanSquares:
    """Residual mean squares along one axis; 1 where answers vary as the model says (Wright & Masters, 1982)."""

    names: tuple[str, ...]
    """Names on the axis."""
    infit: Float[np.ndarray, " name"]
    """Weighted by information: sensitive near the ability."""
    outfit: Float[np.ndarray, " name"]
    """Unweighted: sensitive to surprises far from it."""


@dataclass(frozen=True)
class LocalDependence:
    """Residual correlations of pairs of items and what pure chance would give (Yen, 1984)."""

    pairs: tuple[tuple[str, str], ...]
    """Pairs above the cut, strongest first."""
    q3: Float[np.ndarray, " pair"]
    """Their residual correlations."""
    cut: float
    """Largest correlation over all pairs in all data sets replicated from the fit (parallel analysis; Horn, 1965)."""
    false_alarm: float
    """Probability that any pair lies above the cut where the model holds: one over the number of data sets."""


def mean_squares(posterior: IRTPosterior, responses: Responses) -> tuple[MeanSquares, MeanSquares]:
    """Infit and outfit of the models and of the items.

    Args:
        posterior: A fit to these responses.
        responses: The responses.

    Returns:
        Mean squares of the models, and those of the items; 1 is expected.
    """
    chance = posterior.probability(responses.model_index, responses.item_index)
    trials = effective_trials(responses.n_trials, posterior.trial_correlation)
    variance = posterior.score_variance(responses.model_index, responses.item_index) / trials
    squared = (responses.score - chance) ** 2
    by_model = _mean_squares(posterior.models, responses.model_index, squared, variance)
    return by_model, _mean_squares(posterior.items, responses.item_index, squared, variance)


def _mean_squares(names: tuple[str, ...], index: np.ndarray, squared: FloatArray, variance: FloatArray) -> MeanSquares:
    size = len(names)
    count = np.maximum(np.bincount(index, minlength=size), 1)
    infit = np.bincount(index, squared, size) / np.maximum(np.bincount(index, variance, size), 1e-12)
    return MeanSquares(names, infit, np.bincount(index, squared / variance, size) / count)


def local_dependence(
    posterior: IRTPosterior, responses: Responses, rng: np.random.Generator, replications: int = 19
) -> LocalDependence:
    """Pairs of items whose residual correlation exceeds those in data replicated from the fit.

    Repeats of a model on an item count as its trials, so the order of the rows changes nothing.

    Args:
        posterior: A fit to these responses.
        responses: The responses; at most `MOST_PAIRED_ITEMS` items are looked at, evenly spaced ones.
        rng: Source of randomness of the replications.
        replications: Number of replicated data sets.

    Returns:
        Pairs of items with their residual correlation and p-value.
    """
    # replications draw in the order of the rows, so the order has to be that of the answers
    responses = responses.rows(_canonical_order(responses))
    step = -(-len(posterior.items) // MOST_PAIRED_ITEMS)
    if step > 1:
        keep = np.arange(0, len(posterior.items), step)
        responses, posterior = _of_items(responses, keep), posterior.take_items(keep)
    observed = _residual_correlations(posterior, responses)
    highest = [
        np.nanmax(_residual_correlations(posterior, replicated(posterior, responses, rng)), initial=0.0)
        for _ in range(replications)
    ]
    cut = float(max(highest))
    first, second = np.nonzero(observed > cut)
    order = np.argsort(-observed[first, second], kind="stable")
    pairs = tuple((posterior.items[first[i]], posterior.items[second[i]]) for i in order)
    return LocalDependence(pairs, observed[first[order], second[order]], cut, 1 / (1 + replications))


def _of_items(responses: Responses, keep: np.ndarray) -> Responses:
    return as_rows(PartOfAnswers(responses, np.arange(len(responses.models)), keep))


def _canonical_order(responses: Responses) -> np.ndarray:
    return np.lexsort((responses.n_trials, responses.score, responses.item_index, responses.model_index))


def _residual_correlations(posterior: IRTPosterior, responses: Responses) -> Float[np.ndarray, "item item"]:
    """Upper triangle of the correlations of standardised residuals over the models that answered both items."""
    model, item = responses.model_index, responses.item_index
    trials = effective_trials(responses.n_trials, posterior.trial_correlation)
    chance = posterior.probability(model, item)
    shape = (len(posterior.models), len(posterior.items))
    cell, size = model * shape[1] + item, shape[0] * shape[1]
    residual = np.bincount(cell, trials * (responses.score - chance), size)
    variance = np.bincount(cell, trials * posterior.score_variance(model, item), size)
    seen = (variance > 0).astype(np.float32).reshape(shape)
    standard = np.divide(residual, np.sqrt(variance), out=np.zeros(size), where=variance > 0)
    residual = standard.astype(np.float32).reshape(shape)
    centred = (residual - residual.sum(0) / np.maximum(seen.sum(0), 1)) * seen
    power = (centred**2).T @ seen
    correlation = centred.T @ centred / np.sqrt(np.maximum(power * power.T, 1e-12))
    return np.triu(correlation, 1)


@dataclass(frozen=True)
class GroupDifference(ArrowTables):
    """Shift of each item's log-odds for one group against the others, abilities held at their posteriors."""

    table: pd.DataFrame
    """Columns ``item, shift, se, z, p, q``: shift in log-odds, its standard error, Wald test, false discovery rate."""
    group: str
    """The group that the shift belongs to."""


def group_difference(
    posterior: IRTPosterior, responses: Responses, groups: dict[str, str], group: str
) -> GroupDifference:
    """Test every item for a shift in favour of one group of models at equal ability (Lord, 1980; uniform shift).

    Args:
        posterior: A fit to these responses.
        responses: The responses.
        groups: Group of each model, such as its family.
        group: The group to compare with all others.

    Returns:
        Shift of each item in log-odds, with its standard error and p-value.

    Raises:
        FitError: A model has no group, or one side has too few models.
    """
    missing = [model for model in posterior.models if model not in groups]
    if missing:
        raise FitError(f"group_difference: model {missing[0]} has no group; name one for each model")
    inside = np.array([groups[model] == group for model in posterior.models])
    if min(inside.sum(), (~inside).sum()) < LEAST_IN_GROUP:
        raise FitError(f"group_difference: '{group}' or the rest has under {LEAST_IN_GROUP} models; merge groups")
    shift, error = _shifts(posterior, responses, inside)
    # abilities absorb a shift common to all items, so the typical item is the one without
    shift = shift - np.median(shift)
    z = shift / error
    from scipy.stats import false_discovery_control

    p = 2 * ndtr(-np.abs(z))
    columns = {
        "item": posterior.items,
        "shift": shift,
        "se": error,
        "z": z,
        "p": p,
        "q": false_discovery_control(p),
    }
    return GroupDifference(pd.DataFrame(columns), group)


def _shifts(posterior: IRTPosterior, responses: Responses, inside: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Intercepts of both groups by Newton steps on fixed slopes and abilities, and the difference's standard error."""
    n_items = len(posterior.items)
    offset, _ = posterior.logit_moments(responses.model_index, responses.item_index)
    counted = effective_trials(responses.n_trials, posterior.trial_correlation)
    member = inside[responses.model_index]
    values: list[FloatArray] = []
    variances: list[FloatArray] = []
    for rows in (np.flatnonzero(member), np.flatnonzero(~member)):
        item, trials, score = responses.item_index[rows], counted[rows], responses.score[rows]
        shift, information = np.zeros(n_items), np.ones(n_items)
        for _ in range(NEWTON_STEPS):
            p = expit(offset[rows] + shift[item])
            information = np.bincount(item, trials * p * (1 - p), n_items) + 1 / PRIOR_VARIANCE
            shift = shift + (np.bincount(item, trials * (score - p), n_items) - shift / PRIOR_VARIANCE) / information
        values.append(shift)
        variances.append(1 / information)
    return values[0] - values[1], np.sqrt(variances[0] + variances[1])
