"""Worlds with known truth, and answers drawn from a model."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from capscope.axes import ModelDim, ModelItem
from capscope.data import Responses
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import success_probability


@dataclass(frozen=True)
class IRTTruth:
    """True parameters of a simulated world; log-odds are ``a_i . theta_m + d_i``."""

    ability: ModelDim
    """Abilities."""
    slope: Float[np.ndarray, "item dim"]
    """Slopes."""
    intercept: Float[np.ndarray, " item"]
    """Intercepts."""
    floor: Float[np.ndarray, " item"] | float = 0.0
    """Chance of a right guess."""
    ceiling: Float[np.ndarray, " item"] | float = 1.0
    """Chance of a right answer from who knows it."""

    @property
    def logit(self) -> ModelItem:
        """Log-odds of success of every model on every item."""
        return self.ability @ self.slope.T + self.intercept

    @property
    def probability(self) -> ModelItem:
        """Chance of success of every model on every item."""
        return success_probability(self.logit, 0.0, self.floor, self.ceiling)


def simulate_irt(
    truth: IRTTruth, rng: np.random.Generator, share: float = 1.0, floor: float | None = None
) -> Responses:
    """Right and wrong answers drawn from a known truth.

    Args:
        truth: The parameters.
        rng: Source of randomness.
        share: Share of cells that are observed, at random.
        floor: Chance of a right guess in place of the truth's own.

    Returns:
        Responses over models ``m00000...`` and items ``i000000...``, in the truth's order.
    """
    probability = (truth if floor is None else replace(truth, floor=floor)).probability
    right = rng.random(probability.shape) < probability
    seen = np.ones(right.shape, bool) if share >= 1 else rng.random(right.shape) < share
    model, item = np.nonzero(seen)
    n_models, n_items = right.shape
    return Responses(
        tuple(f"m{i:05d}" for i in range(n_models)),
        tuple(f"i{i:06d}" for i in range(n_items)),
        model,
        item,
        right[model, item].astype(float),
        np.ones(len(model)),
    )


def draw_truth(posterior: IRTPosterior, rng: np.random.Generator) -> IRTTruth:
    """One draw of all abilities and items from a posterior, for checks by replicated data."""
    ability = _draw(posterior.ability_mean, posterior.ability_cov, rng)
    items = _draw(posterior.item_mean, posterior.answer_cov, rng)
    ceiling = 1.0 if posterior.extras is None else posterior.extras.ceiling
    return IRTTruth(ability, items[:, :-1], items[:, -1], posterior.floor, ceiling)


def replicated(posterior: IRTPosterior, responses: Responses, rng: np.random.Generator) -> Responses:
    """The same cells with scores drawn anew from the model of a fit, at one draw of its abilities and items.

    Args:
        posterior: A fit to these responses.
        responses: The cells, with their trials.
        rng: Source of randomness.
    """
    truth, rows = draw_truth(posterior, rng), (responses.model_index, responses.item_index)
    if posterior.extras is not None and not posterior.extras.has_asymptotes:
        return replace(responses, score=posterior.extras.draw(truth.logit[rows], responses.item_index, rng))
    trials = np.maximum(1, np.round(responses.n_trials * posterior.trial_weight)).astype(int)
    return replace(responses, score=rng.binomial(trials, truth.probability[rows]) / trials)


def _draw(mean: np.ndarray, cov: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    value, vector = np.linalg.eigh(cov)
    noise = rng.standard_normal(mean.shape) * np.sqrt(np.maximum(value, 0))
    return mean + np.einsum("nij,nj->ni", vector, noise)
