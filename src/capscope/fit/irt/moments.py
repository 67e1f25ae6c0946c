"""Moments and draws of models and items, each a small Gaussian, and of the log-odds and chances that follow."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from capscope.axes import FloatArray


def quadratic(vectors: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Quadratic forms ``v' M v``, row by row.

    Args:
        vectors: Vectors (row, param).
        matrices: Matrices (row, param, param).

    Returns:
        One number per row (row,).
    """
    return np.einsum("ni,nij,nj->n", vectors, matrices, vectors)


def product_moments(
    ability: np.ndarray, ability_cov: np.ndarray, item: np.ndarray, item_cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of ``a . theta + d`` with both sides Gaussian and independent.

    Args:
        ability: Means of the abilities (row, dim).
        ability_cov: Their covariances (row, dim, dim).
        item: Means of ``(a_1..a_D, d)`` (row, param).
        item_cov: Their covariances (row, param, param).

    Returns:
        Mean and variance of the log-odds (row,).
    """
    slope, slope_cov = item[:, :-1], item_cov[:, :-1, :-1]
    mean = (slope * ability).sum(1) + item[:, -1]
    from_item = quadratic(ability, slope_cov) + 2 * (ability * item_cov[:, :-1, -1]).sum(1) + item_cov[:, -1, -1]
    variance = from_item + quadratic(slope, ability_cov) + np.einsum("nij,nij->n", slope_cov, ability_cov)
    return mean, variance


def additive_parts(
    ability: tuple[FloatArray, FloatArray], item: tuple[FloatArray, FloatArray]
) -> list[tuple[str, FloatArray, FloatArray]]:
    """Ability times slopes, and intercept: name, log-odds and standard deviation of each part, as (model, item).

    Args:
        ability: Means (model, dim) and covariances (model, dim, dim) of the abilities.
        item: Means (item, param) and covariances (item, param, param) of ``(a_1..a_D, d)``.
    """
    (theta, theta_cov), (mean, cov) = ability, item
    log_odds = theta @ mean[:, :-1].T
    from_ability = np.einsum("id,mde,ie->mi", mean[:, :-1], theta_cov, mean[:, :-1])
    from_slope = np.einsum("md,ide,me->mi", theta, cov[:, :-1, :-1], theta)
    intercept, intercept_sd = mean[:, -1], np.sqrt(cov[:, -1, -1])
    return [
        ("ability", log_odds, np.sqrt(from_ability + from_slope)),
        ("item", np.broadcast_to(intercept, log_odds.shape), np.broadcast_to(intercept_sd, log_odds.shape)),
    ]


def irt_parameters(ability: FloatArray, item: FloatArray) -> dict[str, tuple[FloatArray, tuple[str, ...]]]:
    """Draws of an item response model's parameters, for export.

    Args:
        ability: Abilities (draw, model, dim).
        item: Items on ``(a, d)`` (draw, item, param).
    """
    return {
        "ability": (ability, ("model", "dim")),
        "slope": (item[:, :, :-1], ("item", "dim")),
        "intercept": (item[:, :, -1], ("item",)),
    }


def gaussian_draws(mean: FloatArray, cov: FloatArray, rng: np.random.Generator, draws: int) -> FloatArray:
    """Draw from many small Gaussians, as (row, param, draw).

    Args:
        mean: Means (row, param).
        cov: Covariances (row, param, param).
        rng: Source of randomness.
        draws: Number of draws.
    """
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    return mean[..., None] + root @ rng.standard_normal((*mean.shape, draws))


def chance_draws(
    ability: tuple[FloatArray, FloatArray],
    item: tuple[FloatArray, FloatArray],
    asymptotes: tuple[FloatArray, FloatArray],
    rng: np.random.Generator,
    draws: int,
) -> Iterator[FloatArray]:
    """Yield for each model in turn joint draws of its chances of success on all items, as (item, draw).

    A model's ability is the same for all items of a draw, an item's parameters the same for all models.

    Args:
        ability: Means (model, dim) and covariances (model, dim, dim) of the abilities.
        item: Means (item, param) and covariances (item, param, param) of ``(a_1..a_D, d)``.
        asymptotes: Floors and ceilings, each as (item, 1).
        rng: Source of randomness.
        draws: Number of draws.
    """
    (mean, cov), (floor, ceiling) = ability, asymptotes
    params = gaussian_draws(*item, rng, draws)  # (item, param, draw)
    for model in range(len(mean)):
        drawn = gaussian_draws(mean[model : model + 1], cov[model : model + 1], rng, draws)
        log_odds = (params[:, :-1] * drawn).sum(axis=1) + params[:, -1]
        yield floor + (ceiling - floor) * expit(log_odds)


def difficulty_moments(item: FloatArray, item_cov: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Difficulty of each item, ``-d / a`` or ``-d / |a|``, and its variance by the delta method.

    Args:
        item: Means of ``(a_1..a_D, d)``, as (item, param).
        item_cov: Their covariances, as (item, param, param).
    """
    slope, intercept = _lengths_of(item[:, :-1]), item[:, -1]
    # the slope changes with a as a / slope does: its sign, or the unit vector along several slopes
    direction = item[:, :-1] / slope[:, None]
    gradient = np.concatenate([direction * (intercept / slope**2)[:, None], -1 / slope[:, None]], 1)
    return -intercept / slope, quadratic(gradient, item_cov)


def _lengths_of(slopes: FloatArray) -> FloatArray:
    """Lengths of slopes (item, dim), kept off 0; with one ability the slope with its sign."""
    if slopes.shape[1] > 1:
        return np.maximum(np.linalg.norm(slopes, axis=1), 1e-6)
    slope = slopes[:, 0]
    return np.where(np.abs(slope) < 1e-6, np.where(slope < 0, -1e-6, 1e-6), slope)


def discrimination_moments(item: FloatArray, item_cov: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope of each item, or the length of its slopes with several abilities (Reckase, 1985), and its variance.

    Args:
        item: Means of ``(a_1..a_D, d)``, as (item, param).
        item_cov: Their covariances, as (item, param, param).
    """
    if item.shape[1] == 2:
        return item[:, 0], item_cov[:, 0, 0]
    size = np.linalg.norm(item[:, :-1], axis=1)
    direction = item[:, :-1] / np.maximum(size, 1e-12)[:, None]
    return size, quadratic(direction, item_cov[:, :-1, :-1])


def moment_table(items: tuple[str, ...], mean: FloatArray, variance: FloatArray) -> pd.DataFrame:
    """Columns ``item, mean, sd``.

    Args:
        items: Items, by id.
        mean: Mean of each item's parameter.
        variance: Its variance.

    Returns:
        A table with columns ``item, mean, sd``.
    """
    return pd.DataFrame({"item": items, "mean": mean, "sd": np.sqrt(variance)})


def bounded_columns(parts: Mapping[str, pd.DataFrame], level: float) -> dict[str, FloatArray]:
    """Columns ``NAME, NAME_sd, NAME_lower, NAME_upper`` of tables of moments.

    Args:
        parts: Tables with columns ``mean, sd`` by name.
        level: Nominal coverage of the bounds.
    """
    width, columns = ndtri((1 + level) / 2), dict[str, FloatArray]()
    for name, part in parts.items():
        mean, sd = part["mean"].to_numpy(), part["sd"].to_numpy()
        columns |= {
            name: mean,
            f"{name}_sd": sd,
            f"{name}_lower": mean - width * sd,
            f"{name}_upper": mean + width * sd,
        }
    return columns
