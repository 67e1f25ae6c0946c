"""Laplace approximation of a hierarchical Pyro program, its variances and dispersion found by marginal likelihood.

Given the variances, the latent values have a posterior near a Gaussian: its mode is found by Newton steps, its
precision is the Hessian there (Tierney & Kadane, 1986). The variances are updated from the expected squares of the
effects they govern (Dempster, Laird & Rubin, 1977), so that they do not collapse as they do at the joint mode; the
dispersion climbs the Laplace approximation of the marginal likelihood, which counts the latent values it pays for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

import pyro
import torch
from pyro import poutine
from torch import Tensor

from capscope.fit.engines.precision import Arrow, Blocks, Factor, dense_factor, gradient_of

Latent = dict[str, Tensor]
Factorise = Callable[[Tensor, Latent], Factor]
MOST_DENSE = 600
"""Latent values up to which the precision is factorised as a whole; beyond, group by group."""
LONGEST_STEP, SMALL_STEP = 1.0, 0.02
"""Longest step in the dispersion, and the step below which it is looked at less often."""
LONGEST_MEMORY = 0.9
"""Largest factor by which successive moves are assumed to shrink; it bounds the extrapolation."""


@runtime_checkable
class HierarchicalProgram(Protocol):
    """A Pyro program with zero-mean effects whose variances are sites of their own; all other sites are unbounded."""

    def __call__(self) -> None:
        """Sample every site."""
        ...

    @property
    def starting_variances(self) -> Latent:
        """Where the search for each variance begins."""
        ...

    @property
    def variance_prior(self) -> tuple[float, float]:
        """Number of observations and variance of the scaled inverse chi-squared prior of every variance."""
        ...

    @property
    def starting_dispersion(self) -> Latent:
        """Where the search for the dispersion begins: one site with one unbounded entry."""
        ...

    @property
    def group_sites(self) -> tuple[str, ...]:
        """Sites whose first axis is the group; given all other sites, the groups are independent."""
        ...

    @property
    def group_effects(self) -> frozenset[str]:
        """Effects whose first axis is the group."""
        ...

    def effects(self, latent: Latent) -> Latent:
        """Return the effects of each variance, as (effect, entry of the variance)."""
        ...

    def precision(self, latent: Latent, outer: Latent) -> Blocks:
        """Return second derivatives of minus the log density; groups' and shared values in the order of the sites.

        Args:
            latent: Values of the latent sites, by name.
            outer: Values of the variances and dispersions, by name, which are held fixed.
        """
        ...


@dataclass(frozen=True)
class LatentLayout:
    """Positions of named latent values in one flat vector."""

    shapes: dict[str, torch.Size]
    """Shape of each site, in order."""

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(shape.numel() for shape in self.shapes.values())

    def unflatten(self, flat: Tensor) -> Latent:
        """Cut a flat vector (or draws of it, draws first) into named values."""
        parts = flat.split([shape.numel() for shape in self.shapes.values()], dim=-1)
        lead = flat.shape[:-1]
        return {
            name: part.reshape(*lead, *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def arrow(self, program: HierarchicalProgram) -> Arrow:
        """Return which positions belong to which group of a program."""
        place = self.unflatten(torch.arange(self.size))
        own = [place.pop(name) for name in program.group_sites]
        group = torch.cat([position.reshape(len(position), -1) for position in own], dim=1)
        shared = torch.cat([position.flatten() for position in place.values()])
        return Arrow(group, shared, program.group_effects)


@dataclass(frozen=True)
class LaplacePosterior:
    """A Gaussian over the flat latent vector, given the variances."""

    layout: LatentLayout
    """Names and shapes of the latent values."""
    mode: Tensor
    """Mode of the posterior density."""
    factor: Factor
    """Cholesky factor of the precision at the mode."""
    variances: Latent
    """Variances that the approximation is conditional on."""
    dispersion: Latent
    """Dispersion that the approximation is conditional on."""
    change: tuple[float, ...]
    """Largest change of a log standard deviation or of the log dispersion in each sweep."""
    converged: bool
    """Whether the last change was below the tolerance."""

    def draws(self, count: int, generator: torch.Generator) -> Latent:
        """Draw from the Gaussian; values have the draw axis first.

        Args:
            count: Number of draws.
            generator: Source of randomness.

        Returns:
            Values of each site by name, shape (draw, ...).
        """
        noise = torch.randn(len(self.mode), count, generator=generator, dtype=self.mode.dtype)
        return self.layout.unflatten(self.colour(noise).T)

    def colour(self, white: Tensor) -> Tensor:
        """Turn independent unit noise (latent, draw) into latent values with the posterior's mean and covariance."""
        return self.mode[:, None] + self.factor.colour(white)


def fit_laplace(
    program: HierarchicalProgram,
    *,
    progress: Callable[[float], None] | None = None,
    sweeps: int = 40,
    tolerance: float = 5e-3,
) -> LaplacePosterior:
    """Approximate the posterior of a hierarchical program.

    Args:
        program: The Pyro program, closed over its data.
        progress: Called with the share of the work done.
        sweeps: Largest number of sweeps.
        tolerance: Change of the log standard deviations and log dispersion below which the search stops.

    Raises:
        FitError: The density has no peak.
    """
    search = _Outer(program.starting_variances, program.starting_dispersion)
    with pyro.validation_enabled(False):
        layout = _layout(program)
        density = _LogDensity(program, layout)
        factorise = _factoriser(density)
        flat = _climb(density, torch.zeros(layout.size, dtype=torch.float64), search.values)
        changes: list[float] = []
        for sweep in range(sweeps):
            flat, factor = _newton(density, flat, search.values, factorise)
            updated = _update_variances(program, layout, flat, factor)
            search = search.moved(
                updated, _dispersion_step(density, flat, search, sweep, factorise), extrapolate=sweep % 3 == 2
            )
            changes.append(search.change)
            if progress:
                progress((sweep + 1) / sweeps)
            if search.change < tolerance:
                break
        flat, factor = _newton(density, flat, search.values, factorise)
    settled = changes[-1] < tolerance
    return LaplacePosterior(layout, flat, factor, search.variances, search.dispersion, tuple(changes), settled)


def laplace_draws(program: HierarchicalProgram, start: LaplacePosterior, draws: int, seed: int) -> Latent:  # noqa: ARG001
    """Draws of every site from a Laplace approximation; variances and dispersion are those it was made at.

    Args:
        program: The program.
        start: Its Laplace approximation.
        draws: Number of draws.
        seed: Seed of the draws.
    """
    latent = start.draws(draws, torch.Generator().manual_seed(seed))
    return latent | {name: value.expand(draws, -1) for name, value in (start.variances | start.dispersion).items()}


@dataclass(frozen=True)
class _Outer:
    """State of the search for variances and dispersion."""

    variances: Latent
    dispersion: Latent
    moves: Latent = field(default_factory=dict[str, Tensor])
    dispersion_step: float = 1.0

    @property
    def values(self) -> Latent:
        return self.variances | self.dispersion

    @property
    def change(self) -> float:
        """Largest change of a log standard deviation or of the log dispersion in the last sweep."""
        return max(abs(self.dispersion_step), *(float(move.abs().max()) / 2 for move in self.moves.values()))

    def moved(self, updated: Latent, dispersion_step: float, *, extrapolate: bool) -> "_Outer":
        """Go to the updated variances, or beyond: where moves shrink by a steady factor, to where they would end.

        Expectation-maximisation is slow where the data have little information about a variance; Aitken's extrapolation
        of two moves jumps to the limit.
        """
        moves = {name: (updated[name] / self.variances[name]).log() for name in updated}
        reach = dict.fromkeys(moves, torch.ones(1, dtype=torch.float64))
        if extrapolate:
            ratio = {name: (moves[name] / self.moves[name]).nan_to_num(0).clamp(0, LONGEST_MEMORY) for name in moves}
            reach = {name: 1 / (1 - ratio[name]) for name in moves}
        variances = {name: self.variances[name] * (reach[name] * moves[name]).exp() for name in moves}
        dispersion = {name: value + dispersion_step for name, value in self.dispersion.items()}
        return _Outer(variances, dispersion, moves, dispersion_step)


@dataclass(frozen=True)
class _LogDensity:
    """The joint log-density of a program as a function of the flat latent vector and the variances."""

    program: HierarchicalProgram
    layout: LatentLayout

    def __call__(self, flat: Tensor, outer: Latent) -> Tensor:
        values = self.layout.unflatten(flat) | outer
        trace = poutine.trace(poutine.condition(self.program, data=values)).get_trace()
        return cast(Tensor, trace.log_prob_sum())


def _layout(program: HierarchicalProgram) -> LatentLayout:
    outer = program.starting_variances | program.starting_dispersion
    nodes = cast(dict[str, dict[str, Any]], poutine.trace(program).get_trace().nodes)
    latent = {
        name: site["value"].shape
        for name, site in nodes.items()
        if site["type"] == "sample" and not site["is_observed"] and name not in outer
    }
    return LatentLayout(latent)


def _factoriser(density: _LogDensity) -> Factorise:
    """How the precision at a point is factorised: as a whole by automatic derivatives, or group by group."""
    program, layout = density.program, density.layout
    if layout.size <= MOST_DENSE:
        return lambda flat, outer: dense_factor(gradient_of(lambda point: -density(point, outer)), flat)
    arrow = layout.arrow(program)
    return lambda flat, outer: arrow.factor(program.precision(layout.unflatten(flat), outer))


class _LBFGS(torch.optim.LBFGS):
    """L-BFGS over one parameter; the inherited method would load torch's compiler, which takes a second."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Keep the parameter with the settings."""
        self.param_groups.append({**self.defaults, **param_group})


def _climb(density: _LogDensity, flat: Tensor, outer: Latent, steps: int = 300) -> Tensor:
    """Approach the mode by L-BFGS, so that Newton's method converges from there."""
    flat = flat.clone().requires_grad_(True)
    optimizer = _LBFGS([flat], max_iter=steps, history_size=30, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        flat.grad = None
        value = -density(flat, outer)
        value.backward()
        return value

    optimizer.step(loss)
    return flat.detach()


def _newton(
    density: _LogDensity, flat: Tensor, outer: Latent, factorise: Factorise, steps: int = 2
) -> tuple[Tensor, Factor]:
    """Take damped Newton steps; return the new point and the Cholesky factor of the last precision."""

    def negative(point: Tensor) -> Tensor:
        return -density(point, outer)

    gradient = gradient_of(negative)
    factor = factorise(flat, outer)
    for _ in range(steps):
        step = factor.solve(gradient(flat))
        flat = _damped(negative, flat, step)
        if float(step.abs().max()) < 1e-4:
            break
    return flat, factor


def _damped(negative: Callable[[Tensor], Tensor], flat: Tensor, step: Tensor) -> Tensor:
    """Halve a step until it does not climb the negative log-density."""
    here = negative(flat)
    for halving in range(12):
        there = flat - step / 2**halving
        if negative(there) <= here + 1e-9:
            return there
    return flat


def _dispersion_step(
    density: _LogDensity, flat: Tensor, search: _Outer, sweep: int, factorise: Factorise, width: float = 0.1
) -> float:
    """Find the Newton step in the dispersion on the Laplace approximation of the marginal log-likelihood.

    Its two derivatives are central differences of that width. Each needs a Hessian, so that once the steps are small
    only every fourth sweep takes one.
    """
    if abs(search.dispersion_step) < SMALL_STEP and sweep % 4:
        return 0.0
    (name, value), *_ = search.dispersion.items()

    def marginal(shift: float) -> float:
        outer = search.variances | {name: value + shift}
        factor = factorise(flat, outer)
        return float(density(flat, outer) - factor.half_log_determinant())

    below, here, above = marginal(-width), marginal(0.0), marginal(width)
    slope, bend = (above - below) / (2 * width), (above - 2 * here + below) / width**2
    step = slope / -bend if bend < 0 else LONGEST_STEP * (1 if slope > 0 else -1)
    return min(max(step, -LONGEST_STEP), LONGEST_STEP)


def _update_variances(program: HierarchicalProgram, layout: LatentLayout, flat: Tensor, factor: Factor) -> Latent:
    """Set each variance to the expected mean square of its effects, its prior counted in."""

    def of(point: Tensor) -> Latent:
        return program.effects(layout.unflatten(point))

    observations, variance = program.variance_prior
    spreads = factor.spreads(of, flat)
    updated: Latent = {}
    for name, effect in of(flat).items():
        expected = (effect.square() + spreads[name]).sum(0) + observations * variance
        updated[name] = expected / (len(effect) + observations)
    return updated
