"""Likelihood estimates of abilities: posteriors of a fit with their prior removed.

A fit shrinks abilities towards one population, whereas effects of agents' parts have separate priors. The information
of the answers is the posterior precision minus the prior precision; the estimate follows from both.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from capscope.axes import FloatArray
from capscope.errors import FitError
from capscope.fit.curves.posterior import CurvePosterior
from capscope.fit.demand.posterior import DemandPosterior
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.posterior import Posterior
from capscope.fit.tensor_links import curve_area

LEAST_INFORMATION = 1e-4
"""Smallest information of the answers, as a share of the prior's."""

AREAS, MIDPOINTS, HALVINGS = (0.02, 9.98), 40.0, 40
"""Abilities that a curve can have, the largest midpoint, and the steps that find one."""


@dataclass(frozen=True)
class AbilityEvidence:
    """Estimates of the subjects' abilities with their errors."""

    value: FloatArray
    """Estimates (subject, dim)."""
    cov: FloatArray
    """Covariances of their errors (subject, dim, dim)."""
    direction: FloatArray
    """Weights (dim,) of the general ability."""
    log_odds: float
    """Log-odds per unit of the general ability on a typical item."""
    unit: str
    """Unit of the general ability."""

    @property
    def general(self) -> tuple[FloatArray, FloatArray]:
        """Estimates of the general ability and their variances."""
        return self.value @ self.direction, np.einsum("d,sde,e->s", self.direction, self.cov, self.direction)


def _without_prior(mean: FloatArray, cov: FloatArray, center: FloatArray, variance: FloatArray) -> tuple[Any, Any]:
    """Estimates and covariances of the answers alone."""
    precision = np.linalg.inv(cov)
    scale = np.sqrt(variance)
    # in units of the prior; directions without information get the smallest allowed information
    values, vectors = np.linalg.eigh(scale[:, None] * precision * scale - np.eye(len(scale)))
    kept = np.maximum(values, LEAST_INFORMATION)
    own = np.einsum("skl,sl,sml->skm", vectors, 1 / kept, vectors) * scale[:, None] * scale
    pull = np.einsum("skl,sl->sk", precision, mean) - center / variance
    return np.einsum("skl,sl->sk", own, pull), own


def irt_evidence(posterior: IRTPosterior) -> AbilityEvidence:
    """Abilities of an item response fit; the population is standard."""
    ones = np.ones(posterior.dims)
    value, cov = _without_prior(posterior.ability_mean, posterior.ability_cov, 0 * ones, ones)
    mean = posterior.item_mean[:, :-1].mean(axis=0)
    length = float(np.linalg.norm(mean))
    direction = mean / length if length > 1e-12 else np.eye(len(mean))[0]
    return AbilityEvidence(value, cov, direction, length, "one unit is a standard deviation over the agents")


def demand_evidence(posterior: DemandPosterior) -> AbilityEvidence:
    """General ability and slopes of the demand-ability model."""
    center = np.r_[posterior.ability_mean[:, 0].mean(), np.zeros(len(posterior.dims))]
    value, cov = _without_prior(posterior.ability_mean, posterior.ability_cov, center, posterior.ability_sd**2)
    return AbilityEvidence(value, cov, np.eye(len(center))[0], 1.0, "one unit is one log-odds at mean demands")


def curve_evidence(posterior: CurvePosterior) -> AbilityEvidence:
    """Abilities of curves in demand levels, unchanged: their prior does not shrink the general ability."""
    value = posterior.ability.mean(axis=-1)
    centered = posterior.ability - value[..., None]
    cov = np.einsum("mdr,mer->mde", centered, centered) / (centered.shape[-1] - 1)
    equal = np.full(len(posterior.dims), 1 / len(posterior.dims))
    return AbilityEvidence(value, cov, equal, float(posterior.slope.mean()), "one unit is a demand level")


def _with_gaussian(posterior: Any, name: str, draws: FloatArray) -> Any:  # noqa: ANN401 - one of two classes
    """Add a subject whose abilities are Gaussian to an item response fit or a demand fit."""
    cov = np.atleast_2d(np.cov(draws))
    return replace(
        posterior,
        models=(*posterior.models, name),
        ability_mean=np.vstack([posterior.ability_mean, draws.mean(axis=1)]),
        ability_cov=np.concatenate([posterior.ability_cov, cov[None]]),
    )


def _with_curve(posterior: CurvePosterior, name: str, draws: FloatArray) -> CurvePosterior:
    """Add a subject with mean slopes, and midpoints that give its abilities."""
    count = posterior.ability.shape[-1]
    ability = np.clip(draws[:, np.arange(count) % draws.shape[1]], *AREAS)
    slope = posterior.slope.mean(axis=0)
    midpoint = _midpoint(ability, slope)
    means = ability.mean(axis=0)
    known = posterior.ability.mean(axis=1)
    general = (means - known.mean(axis=0)) / np.maximum(known.std(axis=0), 1e-9)
    classical = replace(
        posterior.classical,
        models=(*posterior.models, name),
        **{part: _appended(getattr(posterior.classical, part), np.nan) for part in ("intercept", "slope", "ability")},
    )
    return replace(
        posterior,
        models=(*posterior.models, name),
        ability=np.concatenate([posterior.ability, ability[None]]),
        midpoint=np.concatenate([posterior.midpoint, midpoint[None]]),
        slope=np.concatenate([posterior.slope, slope[None]]),
        general=np.vstack([posterior.general, general]),
        n=_appended(posterior.n, 0.0),
        correct=_appended(posterior.correct, 0.0),
        classical=classical,
    )


def _midpoint(ability: FloatArray, slope: FloatArray) -> FloatArray:
    """Midpoints of curves of given areas, by halving."""
    low, high = np.full(ability.shape, -MIDPOINTS), np.full(ability.shape, MIDPOINTS)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = curve_area(torch.from_numpy(middle), torch.from_numpy(slope)).numpy() < ability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _appended(array: FloatArray, value: float) -> FloatArray:
    return np.concatenate([array, np.full((1, *array.shape[1:]), value)])


EVIDENCE: dict[str, tuple[Callable[[Any], AbilityEvidence], Callable[[Any, str, FloatArray], Any]]] = {
    IRTPosterior.kind: (irt_evidence, _with_gaussian),
    DemandPosterior.kind: (demand_evidence, _with_gaussian),
    CurvePosterior.kind: (curve_evidence, _with_curve),
}
"""For each kind of fit: the evidence of its answers, and how a subject with given abilities is added."""


def evidence_of(posterior: Posterior) -> AbilityEvidence:
    """Return likelihood estimates of the subjects' abilities.

    Args:
        posterior: Posterior of a fit of any kind in `EVIDENCE`.

    Raises:
        FitError: Fits of this kind have none.
    """
    if posterior.kind not in EVIDENCE:
        raise FitError(f"abilities of a fit of kind '{posterior.kind}' cannot be split; use {', '.join(EVIDENCE)}")
    return EVIDENCE[posterior.kind][0](posterior)


def with_subject(posterior: Posterior, name: str, draws: FloatArray) -> Posterior:
    """Return the posterior with one more subject.

    Args:
        posterior: Posterior of a fit.
        name: Name of the new subject.
        draws: Draws of its abilities (dim, draw).
    """
    return EVIDENCE[posterior.kind][1](posterior, name, draws)
