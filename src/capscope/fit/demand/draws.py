"""Joint draws of chances and log-odds from a fit of the demand-ability model, on known and new items."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from capscope.axes import FloatArray, RowIndex
from capscope.fit.demand.basis import DemandItems
from capscope.fit.demand.posterior import TAIL, DemandPosterior
from capscope.fit.irt.moments import gaussian_draws

ItemDraws = Float[np.ndarray, "item draw"]


def draw_demand_chances(
    posterior: DemandPosterior, items: DemandItems, known: RowIndex, rng: np.random.Generator, draws: int = 200
) -> Iterator[FloatArray]:
    """Yield for each model in turn its chances on the items, as (item, draw): see `draw_demand_log_odds`.

    Args:
        posterior: A fit of the demand-ability model.
        items: The items, laid out for it.
        known: Position of each item in the fit, -1 for a new item.
        rng: Source of the draws.
        draws: Number of draws.
    """
    floor = items.floor[:, None]
    for log_odds in draw_demand_log_odds(posterior, items, known, rng, draws):
        yield floor + (1 - floor) * expit(log_odds)


def draw_demand_log_odds(
    posterior: DemandPosterior, items: DemandItems, known: RowIndex, rng: np.random.Generator, draws: int = 200
) -> Iterator[FloatArray]:
    """Yield for each model in turn its log-odds of knowing the answers to the items, as (item, draw).

    A model's abilities are the same for all items of a draw; the residual of an item and the effects of its
    task and benchmark are the same for all models.

    Args:
        posterior: A fit of the demand-ability model.
        items: Items asked about.
        known: Position of each among the fitted items, or -1 for a new one.
        rng: Source of randomness.
        draws: Number of draws.

    Raises:
        FitError: The items' features are not those of the fit.
    """
    effect, design = _effects(posterior, items, known, rng, draws), posterior.design(items)
    noise_sd, slopes = np.sqrt(posterior.noise(items)), posterior.slopes()
    for model in range(len(posterior.models)):
        ability = gaussian_draws(slopes[model : model + 1], posterior.ability_cov[model : model + 1], rng, draws)[0]
        unsure = noise_sd[model][:, None] * rng.standard_normal(effect.shape)
        yield design @ ability + effect + unsure


def _effects(
    posterior: DemandPosterior, items: DemandItems, known: RowIndex, rng: np.random.Generator, draws: int
) -> ItemDraws:
    """Draws of the effects of demands, text, task, benchmark and item on the log-odds of all models."""
    columns, fresh = posterior.basis.columns(items), known < 0
    weight = gaussian_draws(posterior.weight[None], posterior.weight_cov[None], rng, draws)[0]
    own_sd = np.where(fresh, posterior.residual_sd, np.sqrt(posterior.residual_variance[known]))
    own = np.where(fresh, 0, posterior.residual_mean[known])[:, None]
    own = own + own_sd[:, None] * rng.standard_normal((len(known), draws))
    # an item's own answers identify the sum of its effects and its residual, not each alone
    explained = np.where(fresh[:, None], columns @ weight, (columns @ posterior.weight)[:, None])
    benchmark, task = (np.where(fresh, variance, 0) for variance in posterior.new_effects(items))
    return explained + own + _grouped(items.benchmark, benchmark, rng, draws) + _grouped(items.task, task, rng, draws)


def _grouped(names: tuple[str, ...], variance: np.ndarray, rng: np.random.Generator, draws: int) -> ItemDraws:
    """One Student-t effect for each name, of the variance that its items have."""
    _, group = np.unique(np.array(names, dtype=str), return_inverse=True)
    effect = rng.standard_t(TAIL, (group.max() + 1, draws)) / np.sqrt(TAIL / (TAIL - 2))
    return np.sqrt(variance)[:, None] * effect[group]
