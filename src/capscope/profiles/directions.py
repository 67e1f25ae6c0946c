"""General ability of a fit, and directions of a multidimensional one that are named by what they load on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import Float, FloatArray, ModelDim
from capscope.data import Demands, Study
from capscope.errors import InputError
from capscope.fit import LEAST_RELIABILITY, CurvePosterior, DemandPosterior, IRTPosterior, Posterior
from capscope.intervals import Interval, normal_quantile, quantile_bounds
from capscope.profiles.item_groups import opened, places_of

CLEAR_Z, CLEAR_EFFECT = 4.0, 0.3
"""A task or demand names a dimension where its mean loading, or its correlation with the loadings, is at least so many
standard errors from 0 and at least so large (in standard deviations of the loadings, or as a correlation)."""
FEWEST_ITEMS = 5
VARIMAX_STEPS = 100


def general_direction(slopes: FloatArray) -> FloatArray:
    """Unit vector along the mean slopes of the items; the first axis where these are 0.

    Args:
        slopes: Slopes of the items, (item, dim).
    """
    mean = slopes.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 1e-12 else np.eye(len(mean))[0]


def general_ability(posterior: Posterior, level: float = 0.9) -> pd.DataFrame:
    """General ability of each model with its interval.

    For an item response fit with several abilities it is their projection on the items' mean slopes (a simple form of
    the reference composite; Wang, 1986). For a curve fit it is the mean over dimensions, in demand levels; for a demand
    fit it is the ability in log-odds at mean demands.

    Args:
        posterior: Posterior of a fit of any kind.
        level: Nominal coverage of the bounds.

    Returns:
        Columns model, ability, sd, lower, upper, in the order of the fit's models.
    """
    if isinstance(posterior, CurvePosterior):
        draws = posterior.ability.mean(axis=1)
        mean, sd = draws.mean(axis=-1), draws.std(axis=-1, ddof=1)
        lower, upper = quantile_bounds(draws, level)
    else:
        mean, sd = _gaussian_general(posterior)
        width = normal_quantile(level) * sd
        lower, upper = mean - width, mean + width
    columns = {"model": posterior.models, "ability": mean, "sd": sd, "lower": lower, "upper": upper}
    return pd.DataFrame(columns)


def _gaussian_general(posterior: Posterior) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the general ability under a Gaussian posterior of the abilities."""
    if isinstance(posterior, IRTPosterior):
        direction = general_direction(posterior.item_mean[:, :-1])
        variance = np.einsum("k,mkl,l->m", direction, posterior.ability_cov, direction)
        return posterior.ability_mean @ direction, np.sqrt(variance)
    if isinstance(posterior, DemandPosterior):
        return posterior.ability_mean[:, 0], np.sqrt(posterior.ability_cov[:, 0, 0])
    raise InputError(f"a fit of kind '{posterior.kind}' has no general ability; use its abilities()")


def general_factor_share(ability: ModelDim) -> float:
    """Share of variance on the first principal component of the standardised abilities; NaN with a single dimension.

    It is 0.94 for the profiles of 15 models of Zhou et al. (2026).

    Args:
        ability: Abilities (model, dim).

    Returns:
        A share, 0 to 1.
    """
    if len(ability) < 2 or not np.isfinite(ability).all():
        return float("nan")
    spread = ability.std(axis=0)
    standard = (ability - ability.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    if not standard.size:
        return float("nan")
    squares = np.linalg.svd(standard, compute_uv=False) ** 2
    return float(squares[0] / squares.sum())


def general_share(ability: FloatArray, level: float) -> Interval:
    """Posterior of `general_factor_share` over the draws, the last axis of (model, dim, draw).

    Args:
        ability: Draws of abilities (model, dim, draw).
        level: Nominal coverage.
    """
    shares = np.array([general_factor_share(ability[..., draw]) for draw in range(ability.shape[-1])])
    lower, upper = quantile_bounds(shares, level)
    return Interval(float(shares.mean()), float(lower), float(upper), level)


@dataclass(frozen=True)
class NamedDimension:
    """One direction of the abilities of a multidimensional fit."""

    name: str
    """`general`, what its loadings go with (`task t3`, `demand QLl`), or `unnamed 2`."""
    evidence: str
    """Why it has this name; blank without one."""
    direction: Float[np.ndarray, " dim"]
    """Unit vector in the fit's abilities."""


def named_dimensions(posterior: IRTPosterior, study: Study | str | Path) -> tuple[NamedDimension, ...]:
    """Turn a fit's abilities into a general one and others, named by the tasks and demands that they load on.

    The first direction is the items' mean slope; the others are orthogonal to it, rotated so that each loads on few
    items (varimax, Kaiser, 1958). Tasks and demand levels name a direction where its loadings differ clearly by them.

    Args:
        posterior: An item response fit.
        study: The study it was made from, for tasks and demands; or its folder.

    Returns:
        The dimensions, the general one first.
    """
    study = opened(study)
    slopes = posterior.item_mean[:, :-1]
    general = general_direction(slopes)
    named, taken = [NamedDimension("general", "", general)], set[str]()
    if posterior.dims == 1:
        return tuple(named)
    basis = np.linalg.svd(np.eye(posterior.dims) - np.outer(general, general))[0][:, : posterior.dims - 1]
    turned = basis @ varimax(slopes @ basis)
    for number, direction in enumerate(turned.T):
        sign, name, evidence = _named_by(slopes @ direction, posterior.items, study)
        if _reliability(posterior, direction) < LEAST_RELIABILITY:
            name, evidence = "", ""  # the models do not differ along it, whatever its loadings coincide with
        if name in taken:
            name = f"{name} ({number + 1})"  # a second direction of the same task or demand
        taken |= {name} - {""}
        named.append(NamedDimension(name or f"unnamed {number + 1}", evidence, sign * direction))
    return tuple(named)


def _reliability(posterior: IRTPosterior, direction: FloatArray) -> float:
    """Share of the variance of the abilities along a direction that is not posterior uncertainty."""
    signal = float((posterior.ability_mean @ direction).var())
    error = float(np.einsum("k,mkl,l->m", direction, posterior.ability_cov, direction).mean())
    return signal / (signal + error) if signal + error > 0 else 0.0


def dimension_abilities(
    posterior: IRTPosterior, dimensions: tuple[NamedDimension, ...], level: float = 0.9
) -> pd.DataFrame:
    """Abilities of the models along named directions, with intervals.

    Args:
        posterior: An item response fit.
        dimensions: Directions from `named_dimensions`.
        level: Nominal coverage of the bounds.

    Returns:
        Columns model, dim (name of the direction), ability, sd, lower, upper; general ability first.
    """
    parts: list[pd.DataFrame] = []
    for one in dimensions:
        mean = posterior.ability_mean @ one.direction
        sd = np.sqrt(np.einsum("k,mkl,l->m", one.direction, posterior.ability_cov, one.direction))
        width = normal_quantile(level) * sd
        columns = {"ability": mean, "sd": sd, "lower": mean - width, "upper": mean + width}
        parts.append(pd.DataFrame({"model": posterior.models, "dim": one.name, **columns}))
    return pd.concat(parts, ignore_index=True)


def varimax(loadings: FloatArray) -> FloatArray:
    """Orthogonal rotation after which each column loads on few rows (Kaiser, 1958).

    Args:
        loadings: Array (item, dim).

    Returns:
        Rotation (dim, dim), to be multiplied from the right.
    """
    items, dims = loadings.shape
    rotation = np.eye(dims)
    if dims < 2:
        return rotation
    reached = 0.0
    for _ in range(VARIMAX_STEPS):
        turned = loadings @ rotation
        target = turned**3 - turned * (turned**2).sum(axis=0) / items
        left, values, right = np.linalg.svd(loadings.T @ target)
        rotation = left @ right
        if values.sum() <= reached * (1 + 1e-6):
            break
        reached = float(values.sum())
    return rotation


def _named_by(loading: FloatArray, items: tuple[str, ...], study: Study) -> tuple[float, str, str]:
    """Sign, name and evidence of a direction: what its loadings go with most clearly, if anything."""
    candidates: list[tuple[float, float, str, str]] = []
    places = places_of(study, items)
    candidates += [*_groups("benchmark", places.benchmark, loading), *_groups("task", places.task, loading)]
    if study.demands is not None:
        demands = Demands.of(study)
        levels = demands.at(items)
        for dim, level in zip(demands.dims, levels.T, strict=True):
            known = np.isfinite(level)
            if known.sum() > FEWEST_ITEMS and level[known].std() > 0 and loading[known].std() > 0:
                r = float(np.corrcoef(level[known], loading[known])[0, 1])
                candidates.append(
                    (r * np.sqrt(known.sum()), r, f"demand {dim}", f"loadings correlate {abs(r):.2f} with it")
                )
    clear = [one for one in candidates if abs(one[0]) >= CLEAR_Z and abs(one[1]) >= CLEAR_EFFECT]
    if not clear:
        return 1.0 if loading.mean() >= 0 else -1.0, "", ""
    z, _, name, evidence = max(clear, key=lambda one: abs(one[0]))
    return float(np.sign(z)), name, f"{evidence}, {abs(z):.0f} standard errors from none"


def _groups(what: str, labels: np.ndarray, loading: FloatArray) -> list[tuple[float, float, str, str]]:
    """How much more a direction loads on each group of items than on the others: z, effect, name, evidence."""
    spread = max(float(loading.std()), 1e-12)
    terms: list[tuple[float, float, str, str]] = []
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        others = len(labels) - size
        if label != "?" and size >= FEWEST_ITEMS and others >= FEWEST_ITEMS:
            inside = labels == label
            effect = float(loading[inside].mean() - loading[~inside].mean()) / spread
            z = effect / np.sqrt(1 / size + 1 / others)
            evidence = f"loads {abs(effect):.1f} s.d. more on this {what} than on others"
            terms.append((float(z), effect, f"{what} {label}", evidence))
    return terms
