"""How well a model and its items hold: information, reliability, infit and outfit, and Yen's Q3."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, ModelDim
from capscope.data import Responses
from capscope.fit.cells.answers import PartOfAnswers, as_answers, as_rows
from capscope.fit.irt.posterior import IRTPosterior, gaussian_draws
from capscope.fit.irt.simulation import replicated
from capscope.fit.links import item_information

MOST_PAIRED_ITEMS = 2000
"""Items for which all pairs of Q3 are looked at; of more, as many evenly spaced ones."""


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
    """Largest correlation over all pairs in any data replicated from the fit (parallel analysis; Horn, 1965)."""
    false_alarm: float
    """Chance that any pair at all lies above the cut where the model holds: one in the number of data sets."""


def information(posterior: IRTPosterior, ability: ModelDim) -> Float[np.ndarray, "model item"]:
    """Fisher information of each item at some abilities, along the item's slopes.

    Args:
        posterior: A fit.
        ability: Abilities at which to look.

    Returns:
        Information about ``a . theta / |a|`` in units of its inverse variance.
    """
    slope = posterior.item_mean[:, :-1]
    logit = ability @ slope.T + posterior.item_mean[:, -1]
    return _information(posterior, logit, np.linalg.norm(slope, axis=1))


def _information(posterior: IRTPosterior, logit: FloatArray, slope: FloatArray) -> FloatArray:
    """Information about the ability along the slopes, with the items on the last axis."""
    if posterior.shape is None:
        return item_information(logit, slope, posterior.floor)
    return slope**2 * posterior.shape.information(logit)


@dataclass(frozen=True)
class ScaleInformation:
    """Information of all items together along one ability, with intervals."""

    ability: Float[np.ndarray, " point"]
    """Abilities looked at."""
    information: Float[np.ndarray, " point"]
    """Information at each, the mean over draws of the items."""
    lower: Float[np.ndarray, " point"]
    """Lower bounds."""
    upper: Float[np.ndarray, " point"]
    """Upper bounds."""


def scale_information(
    posterior: IRTPosterior, rng: np.random.Generator, dim: int = 0, level: float = 0.9, draws: int = 100
) -> ScaleInformation:
    """Information of the whole test along one ability, the others at 0; its inverse root is the standard error.

    Args:
        posterior: A fit.
        rng: Source of randomness of the draws of the items.
        dim: Which ability.
        level: Coverage of the intervals, which carry the items' uncertainty.
        draws: Number of draws.
    """
    point = np.linspace(-3, 3, 25)
    items = gaussian_draws(posterior.item_mean, posterior.item_cov, rng, draws)
    logit = point[:, None, None] * items[None, :, dim] + items[None, :, -1]
    total = _information(posterior, logit.swapaxes(1, 2), items[None, :, dim].swapaxes(1, 2)).sum(2)
    lower, upper = np.quantile(total, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return ScaleInformation(point, total.mean(1), lower, upper)


def reliability_interval(
    posterior: IRTPosterior, rng: np.random.Generator, level: float = 0.9, draws: int = 1000
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Bounds of the marginal reliability in the population that these models are a sample of.

    Args:
        posterior: A fit.
        rng: Source of randomness: models are drawn anew with replacement.
        level: Nominal coverage.
        draws: Number of draws.
    """
    error = np.diagonal(posterior.ability_cov, axis1=1, axis2=2)
    pick = rng.integers(0, len(error), (draws, len(error)))
    signal = posterior.ability_mean[pick].var(1, ddof=1)
    found = signal / (signal + error[pick].mean(1))
    lower, upper = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return lower, upper


def marginal_reliability(posterior: IRTPosterior) -> Float[np.ndarray, " dim"]:
    """Share of the abilities' variance that is not posterior uncertainty (Green et al., 1984), by dimension."""
    error = np.diagonal(posterior.ability_cov, axis1=1, axis2=2).mean(0)
    signal = posterior.ability_mean.var(0)
    return signal / (signal + error)


def mean_squares(posterior: IRTPosterior, responses: Responses) -> tuple[MeanSquares, MeanSquares]:
    """Infit and outfit of the models and of the items.

    Args:
        posterior: A fit to these responses.
        responses: The responses.
    """
    chance = posterior.probability(responses.model_index, responses.item_index)
    variance = posterior.score_variance(responses.model_index, responses.item_index) / responses.n_trials
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
    """Pairs of items whose residuals go together more than in data replicated from the fit.

    Args:
        posterior: A fit to these responses.
        responses: The responses; at most `MOST_PAIRED_ITEMS` items are looked at, evenly spaced ones.
        rng: Source of randomness of the replications.
        replications: Number of replicated data sets.
    """
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
    return as_rows(PartOfAnswers(as_answers(responses), np.arange(len(responses.models)), keep))


def _residual_correlations(posterior: IRTPosterior, responses: Responses) -> Float[np.ndarray, "item item"]:
    """Upper triangle of the correlations of standardised residuals over the models that answered both items."""
    model, item = responses.model_index, responses.item_index
    chance = posterior.probability(model, item)
    residual = np.zeros((len(posterior.models), len(posterior.items)), np.float32)
    seen = np.zeros_like(residual)
    residual[model, item] = (responses.score - chance) / np.sqrt(posterior.score_variance(model, item))
    seen[model, item] = 1
    centred = (residual - residual.sum(0) / np.maximum(seen.sum(0), 1)) * seen
    power = (centred**2).T @ seen
    correlation = centred.T @ centred / np.sqrt(np.maximum(power * power.T, 1e-12))
    return np.triu(correlation, 1)
