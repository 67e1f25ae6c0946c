"""A model's ability profile: one number with an interval for each dimension, and how much of it is one factor."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, ModelDim
from capscope.display import html_table
from capscope.fit import CurvePosterior, DemandPosterior, IRTPosterior
from capscope.intervals import Interval, normal_quantile, quantile_bounds


@dataclass(frozen=True)
class AbilityProfiles:
    """Ability profiles of all models of a curve fit."""

    table: pd.DataFrame
    """Columns model, dim, ability, sd, lower, upper, classical, answers; abilities in demand levels."""
    level: float
    """Nominal coverage of the bounds."""
    general_share: Interval
    """Share of the profiles' variance that one general factor carries."""
    classical_general_share: float
    """The same share for the classical point estimates; NaN where some are missing."""

    def of(self, model: str) -> pd.DataFrame:
        """Return one model's rows, strongest dimension first."""
        return self.table[self.table["model"] == model].sort_values("ability", ascending=False, kind="stable")

    def _repr_html_(self) -> str:
        return html_table("Ability profiles", self.table, f"Bounds of {self.level:.0%} intervals, in demand levels.")


def ability_profiles(posterior: CurvePosterior, level: float = 0.9) -> AbilityProfiles:
    """Summarise a curve fit as profiles with central intervals of the given level."""
    lower, upper = posterior.ability_interval(level)
    models, dims = np.meshgrid(posterior.models, posterior.dims, indexing="ij")
    columns = {
        "model": models,
        "dim": dims,
        "ability": posterior.ability_mean,
        "sd": posterior.ability_sd,
        "lower": lower,
        "upper": upper,
        "classical": posterior.classical.ability,
        "answers": posterior.n[:, :, 1:].sum(axis=-1),
    }
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    return AbilityProfiles(
        table, level, general_share(posterior.ability, level), general_factor_share(posterior.classical.ability)
    )


def ability_table(posterior: IRTPosterior, level: float = 0.9) -> pd.DataFrame:
    """Lay the abilities of an item response fit out as a table with columns model, dim, ability, sd, lower, upper.

    Abilities are in standard deviations over the models of the fit; the dimensions have no names.
    """
    lower, upper = posterior.ability_interval(level)
    dims = [f"ability {number + 1}" if posterior.dims > 1 else "ability" for number in range(posterior.dims)]
    model, dim = np.meshgrid(posterior.models, dims, indexing="ij")
    columns = {
        "model": model,
        "dim": dim,
        "ability": posterior.ability_mean,
        "sd": posterior.ability_sd,
        "lower": lower,
        "upper": upper,
    }
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def demand_effects(posterior: DemandPosterior, level: float = 0.9) -> pd.DataFrame:
    """Lay a fit of the demand-ability model out: columns model, dim, ability, sd, lower, upper.

    The dimension `general` is the ability in log-odds, at the mean demands of the fitted items; every other row is what
    one more level of that demand does to the model's log-odds, so that less negative is better.
    """
    scale = posterior.basis.scale
    effect = posterior.slopes()[:, 1:] + posterior.weight[: len(scale)]
    variance = np.diagonal(posterior.ability_cov, axis1=1, axis2=2).copy()
    variance[:, 1:] += np.diagonal(posterior.weight_cov)[: len(scale)]
    mean = np.column_stack([posterior.ability_mean[:, 0], effect / scale])
    sd = np.sqrt(variance) / np.r_[1.0, scale]
    model, dim = np.meshgrid(posterior.models, ("general", *posterior.dims), indexing="ij")
    width = normal_quantile(level) * sd
    columns = {"model": model, "dim": dim, "ability": mean, "sd": sd, "lower": mean - width, "upper": mean + width}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def general_factor_share(ability: ModelDim) -> float:
    """Share of variance on the first principal component of the standardised abilities; NaN where it has no meaning.

    Zhou et al.'s profiles of 15 models have 0.94 on this measure: what a profile adds to one number is the rest.
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
    """Posterior of `general_factor_share` over the draws, the last axis of (model, dim, draw)."""
    shares = np.array([general_factor_share(ability[..., draw]) for draw in range(ability.shape[-1])])
    lower, upper = quantile_bounds(shares, level)
    return Interval(float(shares.mean()), float(lower), float(upper), level)
