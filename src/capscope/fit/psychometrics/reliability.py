"""Precision of a scale: information, reliability, and ability scores with their standard errors."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import logsumexp

from capscope.axes import FloatArray, ModelDim
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.irt.moments import gaussian_draws
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import (
    PROBIT_SCALE,
    effective_trials,
    item_information,
    score_and_information,
    success_probability,
)

NODES = (41, 15, 9, 7)
"""Nodes along each of one, two, three or four abilities."""

NEWTON_STEPS, LONGEST_STEP = 60, 1.0


def information(posterior: IRTPosterior, ability: ModelDim) -> Float[np.ndarray, "model item"]:
    """Fisher information of each item at some abilities, along the item's slopes.

    Args:
        posterior: A fit.
        ability: Abilities at which the information is evaluated.

    Returns:
        Information about ``a . theta / |a|`` in units of its inverse variance.
    """
    slope = posterior.item_mean[:, :-1]
    logit = ability @ slope.T + posterior.item_mean[:, -1]
    return _information(posterior, logit, np.linalg.norm(slope, axis=1))


def _information(posterior: IRTPosterior, logit: FloatArray, slope: FloatArray) -> FloatArray:
    """Information about the ability along the slopes, with the items on the last axis."""
    if posterior.extras is None:
        return item_information(logit, slope, posterior.floor)
    return slope**2 * posterior.extras.information(logit)


@dataclass(frozen=True)
class ScaleInformation:
    """Information of all items together along one ability, with intervals."""

    ability: Float[np.ndarray, " point"]
    """Abilities at which the information is evaluated."""
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

    Returns:
        Information and standard error over a range of abilities, with intervals.
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
        rng: Source of randomness: models are drawn with replacement.
        level: Nominal coverage.
        draws: Number of draws.

    Returns:
        Lower and upper bound for each dimension.
    """
    error = np.diagonal(posterior.ability_cov, axis1=1, axis2=2)
    if len(error) < 2:
        # one model says nothing of the spread of models
        return np.zeros(posterior.dims), np.ones(posterior.dims)
    pick = rng.integers(0, len(error), (draws, len(error)))
    signal = posterior.ability_mean[pick].var(1, ddof=1)
    share = signal / (signal + error[pick].mean(1))
    lower, upper = np.quantile(share, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return lower, upper


def marginal_reliability(posterior: IRTPosterior) -> Float[np.ndarray, " dim"]:
    """Share of the abilities' variance that is not posterior uncertainty (Green et al., 1984), by dimension.

    Args:
        posterior: A fit.

    Returns:
        A share of variance for each dimension.
    """
    error = np.diagonal(posterior.ability_cov, axis1=1, axis2=2).mean(0)
    signal = posterior.ability_mean.var(0)
    return signal / (signal + error)


@dataclass(frozen=True)
class AbilityScores:
    """Two summaries of each model's posterior given the items of a fit, under the prior N(0, I)."""

    models: tuple[str, ...]
    """Names on the model axis."""
    eap: ModelDim
    """Expected a posteriori abilities (Bock & Mislevy, 1982), by quadrature."""
    eap_sd: ModelDim
    """Posterior standard deviations."""
    map: ModelDim
    """Maximum a posteriori abilities."""
    map_se: ModelDim
    """Standard errors from the information at the maximum and the prior."""

    def table(self) -> pd.DataFrame:
        """One row for each model and dimension: ``model, dim, eap, eap_sd, map, map_se``."""
        n_models, dims = self.eap.shape
        columns = {name: getattr(self, name).ravel() for name in ("eap", "eap_sd", "map", "map_se")}
        index = {"model": np.repeat(self.models, dims), "dim": np.tile(np.arange(1, dims + 1), n_models)}
        return pd.DataFrame(index | columns)


def ability_scores(posterior: IRTPosterior, responses: Responses) -> AbilityScores:
    """Score models, new or old, on the items of a fit.

    Args:
        posterior: A fit; the uncertainty of its items is included.
        responses: Answers to items of the fit.

    Returns:
        Expected and most likely abilities with standard errors, in log-odds.

    Raises:
        FitError: An item is not in the fit, or the fit has more abilities than quadrature can take.
    """
    if posterior.dims > len(NODES):
        raise FitError(f"ability_scores: quadrature takes at most {len(NODES)} abilities; use score_models")
    items = posterior.take_items(posterior.item_index(responses.items))
    trials = effective_trials(responses.n_trials, posterior.trial_correlation)
    responses = replace(responses, n_trials=trials)
    order = np.argsort(responses.model_index, kind="stable")
    bounds = np.searchsorted(responses.model_index[order], np.arange(len(responses.models) + 1))
    shape = (len(responses.models), posterior.dims)
    eap, eap_sd, mode, mode_se = (np.empty(shape) for _ in range(4))
    for model in range(shape[0]):
        rows = responses.rows(order[bounds[model] : bounds[model + 1]])
        mode[model], cov = _most_likely(items, rows)
        mode_se[model] = np.sqrt(np.diagonal(cov))
        eap[model], eap_sd[model] = _expected(items, rows, mode[model], cov)
    return AbilityScores(responses.models, eap, eap_sd, mode, mode_se)


def _most_likely(items: IRTPosterior, rows: Responses) -> tuple[FloatArray, FloatArray]:
    """Mode of one model's posterior by Newton steps, and the inverse of the information there."""
    mode, cov = np.zeros(items.dims), np.eye(items.dims)
    item, item_cov = items.item_mean[rows.item_index], items.conditional_cov[rows.item_index]
    for _ in range(NEWTON_STEPS):
        point = np.append(mode, 1.0)
        shrink = 1 / np.sqrt(1 + PROBIT_SCALE * (item_cov @ point @ point))
        residual, weight = score_and_information(shrink * (item @ point), rows.score, items.floor[rows.item_index])
        slope = shrink[:, None] * item[:, :-1]
        cov = np.linalg.inv(slope.T @ ((rows.n_trials * weight)[:, None] * slope) + np.eye(items.dims))
        step = cov @ (slope.T @ (rows.n_trials * residual) - mode)
        mode = mode + step * min(1.0, LONGEST_STEP / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return mode, cov


def _expected(items: IRTPosterior, rows: Responses, mode: FloatArray, cov: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of one model's posterior, on nodes around its mode."""
    line = np.linspace(-5, 5, NODES[len(mode) - 1])
    node = mode + np.array(list(product(line, repeat=len(mode)))) @ np.linalg.cholesky(cov).T
    point = np.column_stack([node, np.ones(len(node))])
    item, item_cov = items.item_mean[rows.item_index], items.conditional_cov[rows.item_index]
    variance = np.einsum("qi,nij,qj->qn", point, item_cov, point)
    chance = success_probability(point @ item.T, variance, items.floor[rows.item_index])
    chance = np.clip(chance, 1e-12, 1 - 1e-12)
    cells = rows.n_trials * (rows.score * np.log(chance) + (1 - rows.score) * np.log1p(-chance))
    log_density = cells.sum(1) - 0.5 * (node**2).sum(1)
    share = np.exp(log_density - logsumexp(log_density))[:, None]
    mean = (share * node).sum(0)
    return mean, np.sqrt((share * (node - mean) ** 2).sum(0))
