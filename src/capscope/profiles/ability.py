"""Ability profiles of models, of every kind of fit, and the named dimensions of a multidimensional fit.

A profile holds each model's abilities with intervals, a general ability, and the share of the profiles' variance that
the general ability carries. A multidimensional item response fit has a general dimension and others, which are named
by the demands or benchmarks that their items have in common.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import FloatArray, ModelDim
from capscope.data import Demands, Study
from capscope.display import html_table
from capscope.errors import InputError, first_few, nearest
from capscope.fit import CurvePosterior, DemandPosterior, Fit, IRTPosterior, Posterior, load_fit
from capscope.intervals import Interval, normal_quantile, quantile_bounds
from capscope.profiles.item_groups import opened, places_of
from capscope.profiles.text_tables import named_dims, reliability_notes, table_lines

UNITS = {
    "irt": "one unit is a standard deviation of ability over the fitted models",
    "curves": "abilities are in demand levels: the area under the success curve over levels 0 to 10",
    "demand": "`general` is in log-odds at mean demands; other rows are log-odds for one more level of a demand, less"
    " negative is better",
}
"""What a unit of ability is, by kind of fit."""
CLEAR_Z, CLEAR_EFFECT = 4.0, 0.3
"""A task or demand names a dimension where its mean loading, or its correlation with the loadings, is at least so many
standard errors from 0 and at least so large (in standard deviations of the loadings, or as a correlation)."""
FEWEST_ITEMS = 5
VARIMAX_STEPS = 100


@dataclass(frozen=True)
class AbilityProfiles:
    """Ability profiles of the models of a fit."""

    table: pd.DataFrame
    """Columns model, dim, ability, sd, lower, upper; of a curve fit also classical and answers."""
    level: float
    """Nominal coverage of the bounds."""
    general_share: Interval
    """Share of the profiles' variance that one general factor carries; NaN where dimensions share no scale."""
    classical_general_share: float
    """The same share for the classical point estimates of a curve fit; NaN where there are none."""
    unit: str = ""
    """What a unit of ability is."""
    general: pd.DataFrame | None = None
    """General ability of each model: columns model, ability, sd, lower, upper, most able first."""
    reliability: float = float("nan")
    """Share of the variance of the general ability over the models that is not posterior uncertainty."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits the profiles, most important first."""
        return reliability_notes(self.reliability)

    def of(self, model: str) -> pd.DataFrame:
        """Return one model's rows, strongest dimension first.

        Raises:
            InputError: The fit has no such model.
        """
        rows = self.only(model).table
        return rows.sort_values("ability", ascending=False, kind="stable")

    def only(self, model: str) -> "AbilityProfiles":
        """Return the profile of one model.

        Raises:
            InputError: The fit has no such model.
        """
        known = tuple(dict.fromkeys(self.table["model"]))
        if model not in known:
            hint = nearest(model, known)
            raise InputError(f"the fit has no model '{model}'{hint}; it has {first_few(known)}")
        general = None if self.general is None else self.general[self.general["model"] == model]
        return replace(self, table=self.table[self.table["model"] == model], general=general)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        result: dict[str, Any] = {"level": self.level, "unit": self.unit, "notes": list(self.notes)}
        if "classical" in self.table:
            share = self.general_share
            result["general_factor_share"] = {"point": share.point, "lower": share.lower, "upper": share.upper}
            result["classical_general_factor_share"] = self.classical_general_share
        result["reliability"] = self.reliability
        result["general"] = [] if self.general is None else self.general.to_dict("records")
        return result | {"abilities": self.table.to_dict("records")}

    def as_text(self) -> str:
        """Return tables to read: notes, the general ability where there are several, then all dimensions."""
        parts = [f"note: {note}" for note in self.notes]
        several = self.table["dim"].nunique() > 1
        if several and self.general is not None and "general" not in set(self.table["dim"]):
            parts += [f"General ability ({self.level:.0%} intervals):", table_lines(self.general), ""]
        parts += [f"{self.level:.0%} intervals; {self.unit}", table_lines(named_dims(self.table))]
        if several and self.table["dim"].astype(str).str.fullmatch(r"ability \d+").all():
            parts.append("The numbered abilities are directions without a name; read the general ability first.")
        return "\n".join(parts)

    def __repr__(self) -> str:
        models, dims = self.table["model"].nunique(), self.table["dim"].nunique()
        return f"AbilityProfiles({models} models on {dims} dimensions, reliability {self.reliability:.2f})"

    def _repr_html_(self) -> str:
        note = " ".join([*self.notes, f"Bounds of {self.level:.0%} intervals; {self.unit}."])
        return html_table("Ability profiles", self.table, note)


def profile(fit: Fit[Any] | Posterior | str | Path, model: str | None = None, *, level: float = 0.9) -> AbilityProfiles:
    """Profile the models of a fit.

    Args:
        fit: A fit of any kind, its posterior, or the folder it is stored in.
        model: One model only; by default all.
        level: Nominal coverage of the bounds.

    Returns:
        Abilities by model and dimension with intervals, and a general ability for each model.

    Raises:
        InputError: The folder holds no fit, or the fit has no such model.

    Examples:
        >>> profile("fits/mirt", "gpt-4o").table  # doctest: +SKIP
    """
    if isinstance(fit, str | Path):
        fit = load_fit(Path(fit))
    if not isinstance(fit, Fit | Posterior):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the fit is {type(fit).__name__}; give a fit, its posterior or its folder")
    profiles = ability_profiles(fit, level)
    return profiles if model is None else profiles.only(model)


def ability_profiles(fit: Posterior | Fit[Any], level: float = 0.9) -> AbilityProfiles:
    """Summarise the posterior of a fit of any kind as profiles.

    Args:
        fit: A fit, or its posterior.
        level: Nominal coverage of the bounds.
    """
    posterior: Posterior = fit.posterior if isinstance(fit, Fit) else fit
    general = general_ability(posterior, level)
    signal, error = float(general["ability"].var(ddof=0)), float((general["sd"] ** 2).mean())
    share, classical = Interval(float("nan"), float("nan"), float("nan"), level), float("nan")
    if isinstance(posterior, CurvePosterior):
        share = general_share(posterior.ability, level)
        classical = general_factor_share(posterior.classical.ability)
    reliability = signal / (signal + error) if signal + error > 0 else float("nan")
    table, unit = posterior.abilities(level), UNITS[posterior.kind]
    general = general.sort_values("ability", ascending=False, kind="stable").reset_index(drop=True)
    return AbilityProfiles(table, level, share, classical, unit, general, reliability)


def general_ability(posterior: Posterior, level: float = 0.9) -> pd.DataFrame:
    """General ability of each model with its interval.

    Of an item response fit with several abilities it is their projection on the items' mean slopes: what raises the
    log-odds of the average item (the reference composite of Wang, 1986, in its simplest form). Of a curve fit it is the
    mean over the dimensions in demand levels, of a demand fit the ability in log-odds at mean demands.

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


def general_direction(slopes: FloatArray) -> FloatArray:
    """Unit vector along the mean slopes of the items; the first axis where these are 0.

    Args:
        slopes: Slopes of the items, (item, dim).
    """
    mean = slopes.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 1e-12 else np.eye(len(mean))[0]


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
    """
    study = opened(study)
    slopes = posterior.item_mean[:, :-1]
    general = general_direction(slopes)
    named = [NamedDimension("general", "", general)]
    if posterior.dims == 1:
        return tuple(named)
    basis = np.linalg.svd(np.eye(posterior.dims) - np.outer(general, general))[0][:, : posterior.dims - 1]
    turned = basis @ varimax(slopes @ basis)
    for number, direction in enumerate(turned.T):
        sign, name, evidence = _named_by(slopes @ direction, posterior.items, study)
        named.append(NamedDimension(name or f"unnamed {number + 1}", evidence, sign * direction))
    return tuple(named)


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
    spread = max(float(loading.std()), 1e-12)
    task = places_of(study, items).task
    labels, place, size = np.unique(task, return_inverse=True, return_counts=True)
    for number, label in enumerate(labels):
        if label != "?" and size[number] >= FEWEST_ITEMS and len(items) - size[number] >= FEWEST_ITEMS:
            inside = place == number
            effect = float(loading[inside].mean() - loading[~inside].mean()) / spread
            z = effect / np.sqrt(1 / size[number] + 1 / (len(items) - size[number]))
            candidates.append(
                (z, effect, f"task {label}", f"loads {abs(effect):.1f} s.d. more on this task than on others")
            )
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
    return float(np.sign(z)), name, evidence
