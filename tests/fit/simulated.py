"""Worlds with known truth for the tests of the engines."""

import numpy as np

from capscope.data import Responses
from capscope.fit import IRTTruth, simulate_irt


def truth_2pl(n_models: int, n_items: int, seed: int = 0, slope_sd: float = 0.4) -> IRTTruth:
    """Log-normal slopes, normal difficulties, abilities standardised over the models."""
    rng = np.random.default_rng([seed, n_models, n_items])
    ability = rng.standard_normal((n_models, 1))
    ability = (ability - ability.mean()) / ability.std()
    slope = rng.lognormal(0, slope_sd, (n_items, 1))
    return IRTTruth(ability, slope, -slope[:, 0] * rng.normal(-0.2, 1.2, n_items))


def truth_signed(n_models: int, n_items: int, seed: int = 0) -> IRTTruth:
    """Normal slopes, one in fifty of them negative, and normal intercepts."""
    rng = np.random.default_rng([seed, n_models, n_items, 1])
    ability = rng.standard_normal((n_models, 1))
    ability = (ability - ability.mean()) / ability.std()
    return IRTTruth(ability, rng.normal(1, 0.5, (n_items, 1)), rng.normal(0.3, 1.2, n_items))


def world_2pl(n_models: int, n_items: int, seed: int = 0, share: float = 1.0) -> tuple[IRTTruth, Responses]:
    truth = truth_2pl(n_models, n_items, seed)
    return truth, simulate_irt(truth, np.random.default_rng(seed + 1), share)


def log_loss(probability: np.ndarray, score: np.ndarray) -> float:
    return float(-(score * np.log(probability) + (1 - score) * np.log1p(-probability)).mean())


def responses(score: np.ndarray, trials: np.ndarray | None = None) -> Responses:
    """Responses from a table (model, item); NaN for not administered."""
    model, item = np.nonzero(~np.isnan(score))
    n = np.ones(len(model)) if trials is None else trials[model, item].astype(float)
    models = tuple(f"m{i:03d}" for i in range(score.shape[0]))
    items = tuple(f"i{i:05d}" for i in range(score.shape[1]))
    return Responses(models, items, model, item, score[model, item], n)
