"""Full posteriors in Pyro: NUTS or stochastic variational inference, of item response models and of curves.

The item response program is the model of the default engine. It takes the item prior that the default engine estimated
and starts at its posterior, so that the two differ in the shape of the posterior alone and can be compared. For curves,
NUTS samples in coordinates in which the Laplace approximation is unit noise, with the variances on the log scale, so
that a diagonal mass matrix is enough (Hoffman & Gelman, 2014).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoLowRankMultivariateNormal, AutoNormal, init_to_value
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from pyro.optim import ClippedAdam
from torch import Tensor

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.data import Responses
from capscope.errors import FitError, counted
from capscope.fit.engines.laplace import HierarchicalProgram, LaplacePosterior, Latent
from capscope.fit.engines.variational.fitting import fit_variational
from capscope.fit.irt.moments import irt_parameters
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.links import effective_trials
from capscope.fit.outcome import Outcome, Status
from capscope.fit.posterior import ParameterDraws
from capscope.fit.tensor_links import log_likelihood_of

HELD_FLOORS = "floors and ceilings are the default engine's estimates: only abilities, slopes and intercepts are drawn"

MOST_LOW_RANK = 5000
"""Most unknowns for which the guide of SVI has low-rank correlations; with more, each has a Gaussian of its own."""


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How to draw from the full posterior."""

    engine: Literal["nuts", "svi"] = "nuts"
    """No-U-turn sampling (Hoffman & Gelman, 2014), or stochastic variational inference."""
    draws: int = 300
    """Draws kept."""
    warmup: int = 300
    """Draws to adapt on (NUTS)."""
    steps: int = 1500
    """Optimiser steps (SVI)."""
    learning_rate: float = 0.02
    """Step size of Adam (SVI)."""
    seed: int = 0
    """Seed of everything random."""


@dataclass(frozen=True)
class SampledPosterior:
    """Draws of all abilities and items."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    ability: Float[np.ndarray, "draw model dim"]
    """Abilities."""
    item: Float[np.ndarray, "draw item param"]
    """Slopes and intercepts ``(a_1..a_D, d)``."""
    floor: Float[np.ndarray, " item"]
    """Known chance of a right guess."""

    def logits(self, model_index: RowIndex, item_index: RowIndex) -> Float[np.ndarray, "draw row"]:
        """Log-odds of models on items, draw by draw.

        Args:
            model_index: Place of each row's model on the model axis.
            item_index: Place of each row's item on the item axis.
        """
        ability, item = self.ability[:, model_index], self.item[:, item_index]
        return (ability * item[:, :, :-1]).sum(-1) + item[:, :, -1]

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:  # noqa: ARG002 - one interface
        """The draws that there are; see `Posterior.parameter_draws`."""
        return irt_parameters(self.ability, self.item)

    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """Models, items, and dimensions by number."""
        dims = tuple(str(dim + 1) for dim in range(self.ability.shape[2]))
        return {"model": self.models, "item": self.items, "dim": dims}

    def as_irt(self, start: IRTPosterior) -> IRTPosterior:
        """Convert to the posterior that all engines return, by means and covariances of the draws.

        Args:
            start: The posterior that the sampler started from; its population of items stays.
        """
        ability_mean, ability_cov = _moments(self.ability)
        item_mean, item_cov = _moments(self.item)
        native_mean, native_cov = _moments(self._native(start))
        return replace(
            start,
            ability_mean=ability_mean,
            ability_cov=ability_cov,
            item_mean=item_mean,
            item_cov=item_cov,
            native_mean=native_mean,
            native_cov=native_cov,
        )

    def _native(self, start: IRTPosterior) -> FloatArray:
        """Draws of the items in the form of their population."""
        if start.population.form == "signed":
            return self.item
        slope = self.item[:, :, 0]
        return np.stack([np.log(slope), -self.item[:, :, 1] / slope], -1)

    def probability(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Posterior predictive chance of success, row by row.

        Args:
            model_index: Place of each row's model on the model axis.
            item_index: Place of each row's item on the item axis.
        """
        floor = self.floor[item_index]
        known = 1 / (1 + np.exp(-self.logits(model_index, item_index)))
        return (floor + (1 - floor) * known).mean(0)


def _moments(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance over the first axis of (draw, row, param)."""
    mean = draws.mean(0)
    centred = draws - mean
    return mean, np.einsum("srp,srq->rpq", centred, centred) / (len(draws) - 1)


def sample_irt(
    responses: Responses, start: IRTPosterior, settings: SamplerSettings | None = None
) -> Outcome[SampledPosterior]:
    """Draw from the full posterior of the model of a fit.

    Args:
        responses: The responses of the fit.
        start: The default engine's posterior, whose population of items is the prior.
        settings: How to draw.

    Returns:
        Draws, status and history.

    Raises:
        FitError: The fit used item features, or grades or continuous scores, which this model does not carry.
    """
    settings = settings or SamplerSettings()
    if start.extras is not None and not start.extras.has_asymptotes:
        raise FitError("full posteriors take right and wrong answers; use the default engine, or mml, for other scores")
    if len(start.population.center):
        raise FitError("full posteriors take no item features yet; fit without them, or use the default engine")
    model = _program(responses, start)
    initial = _standardised(start)
    with _own_randomness(settings.seed):
        draws, history, status = (_nuts if settings.engine == "nuts" else _svi)(model, initial, settings)
    return Outcome(_posterior(start, draws), status, history)


def fit_by_nuts(responses: Responses, settings: IRTSettings, floor: RowFloats | None = None) -> Outcome[IRTPosterior]:
    """Fit by the default engine and draw from the full posterior by NUTS; see `sample_irt`.

    Args:
        responses: Answers to fit.
        settings: Settings of the model.
        floor: Known chance of a right guess of each item, from 0 to 1; None for none.

    Returns:
        The fit with draws, and its status (r-hat, effective draws, divergences).
    """
    return _fit_and_sample(responses, settings, floor, SamplerSettings(engine="nuts", seed=settings.seed))


def fit_by_svi(responses: Responses, settings: IRTSettings, floor: RowFloats | None = None) -> Outcome[IRTPosterior]:
    """Fit by the default engine and draw from a variational posterior with correlations; see `sample_irt`.

    Args:
        responses: Answers to fit.
        settings: Settings of the model.
        floor: Known chance of a right guess of each item, from 0 to 1; None for none.

    Returns:
        The fit with draws, and its status (whether the evidence bound still moves).
    """
    return _fit_and_sample(responses, settings, floor, SamplerSettings(engine="svi", seed=settings.seed))


def _fit_and_sample(
    responses: Responses, settings: IRTSettings, floor: RowFloats | None, sampler: SamplerSettings
) -> Outcome[IRTPosterior]:
    start = fit_variational(responses, settings, floor=floor)
    sampled = sample_irt(responses, start.posterior, sampler)
    code = start.status.code if start.status.code == "nothing-to-measure" else sampled.status.code
    held = () if start.posterior.extras is None else (HELD_FLOORS,)
    status = Status(sampled.status.converged, code, start.status.advice + sampled.status.advice + held)
    return Outcome(sampled.posterior.as_irt(start.posterior), status, sampled.history)


def _program(responses: Responses, start: IRTPosterior) -> Callable[[], None]:
    """The model: standard normal abilities, items around the population's mean, non-centred."""
    rows = tuple(torch.from_numpy(index.astype(np.int64)) for index in (responses.model_index, responses.item_index))
    score = torch.from_numpy(np.require(responses.score, float, "W"))
    counted = effective_trials(responses.n_trials, start.trial_correlation)
    trials = torch.from_numpy(counted * start.trial_weight)
    ceilings = np.ones_like(start.floor) if start.extras is None else start.extras.ceiling
    floor, ceiling = torch.from_numpy(start.floor)[rows[1]], torch.from_numpy(ceilings)[rows[1]]
    shape = (len(start.models), start.dims), start.item_mean.shape

    def program() -> None:
        ability = pyro.sample("ability", dist.Normal(0, torch.ones(shape[0], dtype=torch.float64)).to_event(2))
        residual = pyro.sample("residual", dist.Normal(0, torch.ones(shape[1], dtype=torch.float64)).to_event(2))
        item = _items(start, residual)
        logit = (ability[rows[0]] * item[rows[1], :-1]).sum(-1) + item[rows[1], -1]
        pyro.factor("answers", log_likelihood_of(logit, score, trials, floor, ceiling).sum())

    return program


def _items(start: IRTPosterior, residual: Tensor) -> Tensor:
    """Slopes and intercepts from standard normal residuals."""
    population = start.population
    factor = torch.from_numpy(_factor(population.cov))
    native = torch.from_numpy(population.intercept) + residual @ factor.T
    if population.form == "signed":
        held = (start.item_mean == 0) & (np.diagonal(start.item_cov, axis1=1, axis2=2) == 0)
        return native * torch.from_numpy(~held)
    slope = native[..., :1].exp()
    return torch.cat([slope, -slope * native[..., 1:]], -1)


def _factor(cov: FloatArray) -> FloatArray:
    # fixed slopes (Rasch) have no variance; a square root exists all the same
    value, vector = np.linalg.eigh(cov)
    return vector * np.sqrt(np.maximum(value, 0))


def _standardised(start: IRTPosterior) -> dict[str, Tensor]:
    centred = start.native_mean - start.population.intercept
    residual = centred @ np.linalg.pinv(_factor(start.population.cov)).T
    return {"ability": torch.from_numpy(start.ability_mean), "residual": torch.from_numpy(residual)}


def _nuts(
    model: Callable[[], None], initial: dict[str, Tensor], settings: SamplerSettings
) -> tuple[dict[str, Tensor], tuple[float, ...], Status]:
    kernel = NUTS(model, init_strategy=init_to_value(values=initial))
    chain = MCMC(kernel, num_samples=settings.draws, warmup_steps=settings.warmup, disable_progbar=True)
    chain.run()
    draws = chain.get_samples()
    divergences = sum(len(steps) for steps in chain.diagnostics()["divergences"].values())
    return draws, (), chain_status(draws, divergences)


def _svi(
    model: Callable[[], None], initial: dict[str, Tensor], settings: SamplerSettings
) -> tuple[dict[str, Tensor], tuple[float, ...], Status]:
    unknowns = sum(value.numel() for value in initial.values())
    strategy = init_to_value(values=initial)
    guide = (
        AutoLowRankMultivariateNormal(model, init_loc_fn=strategy, init_scale=0.1)
        if unknowns <= MOST_LOW_RANK
        else AutoNormal(model, init_loc_fn=strategy, init_scale=0.1)
    )
    optimiser = ClippedAdam({"lr": settings.learning_rate, "lrd": 0.1 ** (1 / settings.steps)})
    inference = SVI(model, guide, optimiser, Trace_ELBO())
    history = tuple(float(torch.as_tensor(inference.step())) for _ in range(settings.steps))
    drawn = Predictive(guide, num_samples=settings.draws)()
    return {name: drawn[name].detach() for name in initial}, history, search_status(np.array(history))


def _posterior(start: IRTPosterior, draws: dict[str, Tensor]) -> SampledPosterior:
    ability = draws["ability"].reshape(-1, *start.ability_mean.shape)
    residual = draws["residual"].reshape(-1, *start.item_mean.shape)
    item = _items(start, residual)
    return SampledPosterior(start.models, start.items, ability.numpy(), item.numpy(), start.floor)


@contextmanager
def _own_randomness(seed: int) -> Generator[None]:
    """Pyro draws from the process's generator and keeps parameters in its store: leave both as they were."""
    with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
        torch.manual_seed(seed)
        yield


MOST_R_HAT = 1.05
"""Split potential scale reduction above which a chain has not mixed (Gelman & Rubin, 1992; split in halves)."""

LEAST_EFFECTIVE = 50.0
"""Fewer independent draws than this leave the tails of an interval to chance."""

UNMIXED_SHARE = 0.02
"""Among many unknowns a few exceed those bounds by chance; more than this share is a finding."""

WINDOW = 0.1
"""Share of the steps at the end of a search that are compared with as many before them."""

LEAST_GAIN, LEAST_Z = 1e-3, 3.0
"""A search still moves where the objective gained this share, and this many standard errors."""


def chain_status(draws: dict[str, Tensor], divergences: int) -> Status:
    """Status of one chain of NUTS.

    Args:
        draws: Draws of each site, the draw axis first.
        divergences: Number of draws that ended in a divergent trajectory (Betancourt, 2017).
    """
    flat = torch.cat([value.reshape(len(value), -1) for value in draws.values()], 1)
    varying = flat[None, :, flat.std(0) > 0].double()
    r_hat = split_gelman_rubin(varying).numpy()
    effective = effective_sample_size(varying).numpy()
    unmixed, few = (r_hat > MOST_R_HAT).mean(), (effective < LEAST_EFFECTIVE).mean()
    advice = [
        f"NUTS, {counted(len(flat), 'draw')}: largest r-hat {r_hat.max():.3f}, least effective sample"
        f" size {effective.min():.0f}, "
        f"{divergences} divergent"
    ]
    if unmixed > UNMIXED_SHARE:
        advice.append(f"the chain has not mixed: r-hat above {MOST_R_HAT} for {unmixed:.0%} of the unknowns; draw more")
    if few > UNMIXED_SHARE:
        advice.append(f"under {LEAST_EFFECTIVE:.0f} effective draws for {few:.0%} of the unknowns; draw more")
    if divergences:
        advice.append(f"{divergences} divergent trajectories: the posterior may be missed in part; warm up longer")
    settled = bool(unmixed <= UNMIXED_SHARE and few <= UNMIXED_SHARE and not divergences)
    return Status(settled, "converged" if settled else "still-moving", tuple(advice))


def search_status(losses: FloatArray) -> Status:
    """Status of stochastic variational inference from its losses, one a step (negative evidence bounds, noisy)."""
    size = max(2, int(WINDOW * len(losses)))
    before, last = losses[-2 * size : -size], losses[-size:]
    gain = float(before.mean() - last.mean())
    error = float(np.sqrt((before.var() + last.var()) / size))
    moving = len(losses) < 2 * size or (gain > LEAST_Z * error and gain > LEAST_GAIN * abs(float(last.mean())))
    line = f"SVI, {len(losses)} steps: evidence bound {-last.mean():.1f} at the end, gain {gain:.1f} in the last {size}"
    if not moving:
        return Status(True, "converged", (line,))
    return Status(False, "still-moving", (line, "the evidence bound still moves; raise steps"))


def nuts_draws(
    program: HierarchicalProgram, start: LaplacePosterior, draws: int, seed: int, warmup: int = 300
) -> Latent:
    """Draw from the full posterior, variances included.

    Args:
        program: The Pyro program that `start` approximates.
        start: Its Laplace approximation.
        draws: Number of draws to keep.
        seed: Seed of the chain.
        warmup: Number of steps that tune the sampler and are thrown away.

    Returns:
        Values of every site, the draw axis first.
    """
    names = list(start.variances)
    sizes = [start.variances[name].numel() for name in names]
    ((dispersion, dispersion_start),) = start.dispersion.items()
    centre = torch.cat([start.variances[name].log() for name in names])
    n_latent, n_variances = len(start.mode), len(centre)

    def values(point: Tensor) -> tuple[Latent, Tensor]:
        white, shift, tilt = point.split([n_latent, n_variances, 1])
        log_variance = centre + shift
        latent = start.layout.unflatten(start.colour(white[:, None])[:, 0])
        latent |= dict(zip(names, log_variance.exp().split(sizes), strict=True))
        return latent | {dispersion: dispersion_start + tilt}, log_variance

    def potential(params: Latent) -> Tensor:
        latent, log_variance = values(params["point"])
        trace = poutine.trace(poutine.condition(program, data=latent)).get_trace()
        return -trace.log_prob_sum() - log_variance.sum()

    with torch.random.fork_rng(), pyro.validation_enabled(False):
        pyro.set_rng_seed(seed)
        kernel = NUTS(potential_fn=potential, target_accept_prob=0.8)
        origin = {"point": torch.zeros(n_latent + n_variances + 1, dtype=start.mode.dtype)}
        chain = MCMC(kernel, num_samples=draws, warmup_steps=warmup, initial_params=origin, disable_progbar=True)
        chain.run()
        points = chain.get_samples()["point"]
    kept = [values(point)[0] for point in points]
    return {name: torch.stack([latent[name] for latent in kept]) for name in kept[0]}
