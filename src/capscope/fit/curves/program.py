"""The hierarchical curve model as a Pyro program, and the simulation of level counts from it.

For model m, dimension d and demand level l, with K of N items right on the slice that d dominates:

    K           ~ BetaBinomial(N, P, concentration)
    logit P     = log_odds[m, d] - slope[m, d] * (l - 3) + level_effect[d, l]
    log_odds    ~ Normal(dim_mean[d] + loading[d] * general[m], residual variance of d)
    log slope   = dim_log_slope[d] + model_log_slope[m]

One general ability per model explains most of a profile; the effect of a dimension is shrunken by an estimated
variance. Level effects are shared by all models; they have no mean and no trend (weighted by the counts), so that each
curve is the straight line that fits the levels best. Every variance has the prior of one observation at 0.1 (scaled
inverse chi-squared); all other priors are in `CurveProgram.__call__`.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from capscope.axes import ModelDim
from capscope.data import LevelCounts
from capscope.errors import FitError
from capscope.fit.engines.precision import Blocks
from capscope.fit.links import curve_log_odds
from capscope.fit.tensor_links import curve_area

CENTRE_LEVEL = 3.0
"""Level at which `log_odds` is defined: the middle of the observed levels."""
VARIANCE_PRIOR = (1.0, 0.1)
"""Every variance's prior, as a number of observations and their variance."""
LARGEST_LOG_ODDS = 30.0
"""Log-odds are cut here while searching, where the probability is 0 or 1 to machine precision."""


MEAN_SD, LOADING_SD = 2.0, 0.7
"""Prior standard deviations of the dimensions' means and of their log loadings."""

VARIANCES = ("residual_variance", "dim_slope_variance", "model_slope_variance", "level_variance")
"""Sites that are variances of effects; the first has one for each dimension."""


@dataclass(frozen=True)
class CurveData:
    """Level counts as tensors, one row for each model, dimension and level that has items."""

    shape: tuple[int, int]
    """Number of models and of dimensions."""
    model: Tensor
    """Model of each row."""
    dim: Tensor
    """Dimension of each row."""
    cell: Tensor
    """Dimension-and-level cell of each row."""
    level: Tensor
    """Demand level of each row."""
    n: Tensor
    """Number of answers."""
    correct: Tensor
    """Sum of scores."""
    detrend: Tensor
    """Projection (cell x cell) that removes each dimension's mean and trend from the level effects."""


def curve_data(counts: LevelCounts) -> CurveData:
    """Lay level counts out in rows, without level 0, at which a dimension is not demanded.

    Raises:
        FitError: No model has an answer at level 1 or above.
    """
    n = torch.as_tensor(counts.n, dtype=torch.float64).clone()
    n[:, :, 0] = 0
    if not n.sum() > 0:
        raise FitError("no answers at demand level 1 or above; annotate the items or check the rubrics")
    model, dim, level = torch.nonzero(n > 0, as_tuple=True)
    cells = torch.nonzero(n.sum(0) > 0)
    lookup = torch.full(n.shape[1:], -1)
    lookup[cells[:, 0], cells[:, 1]] = torch.arange(len(cells))
    return CurveData(
        shape=(len(counts.models), len(counts.dims)),
        model=model,
        dim=dim,
        cell=lookup[dim, level],
        level=level.double(),
        n=n[model, dim, level],
        correct=torch.as_tensor(counts.correct, dtype=torch.float64)[model, dim, level],
        detrend=detrending(cells, n.sum(0)),
    )


def detrending(cells: Tensor, total: Tensor) -> Tensor:
    """Projection that removes mean and linear trend within each dimension, weighted by the number of answers.

    Args:
        cells: Dimension and demand level of each cell, shape (cell, 2).
        total: Number of answers, shape (dim, level).

    Returns:
        The projection, shape (cell, cell).
    """
    projection = torch.zeros(len(cells), len(cells), dtype=torch.float64)
    for dim in cells[:, 0].unique():
        index = torch.nonzero(cells[:, 0] == dim)[:, 0]
        level = cells[index, 1].double()
        weight = total[dim, cells[index, 1]]
        design = torch.stack([torch.ones_like(level), level], dim=1)
        fitted = design @ torch.linalg.pinv(weight.sqrt()[:, None] * design) * weight.sqrt()
        projection[index[:, None], index] = torch.eye(len(index), dtype=torch.float64) - fitted
    return projection


@dataclass(frozen=True)
class CurveProgram:
    """The Pyro program over one data set; its variances are the sites named in `VARIANCES`."""

    data: CurveData
    variance_prior: tuple[float, float] = VARIANCE_PRIOR

    @property
    def starting_variances(self) -> dict[str, Tensor]:
        """Where the search for the variances begins: at their prior."""
        start = torch.tensor([self.variance_prior[1]], dtype=torch.float64)
        n_dims = self.data.shape[1]
        return {name: start.expand(n_dims if name == "residual_variance" else 1).clone() for name in VARIANCES}

    @property
    def starting_dispersion(self) -> dict[str, Tensor]:
        """Where the search for the log concentration begins: at the mean of its prior."""
        return {"log_concentration": torch.full((1,), 4.0, dtype=torch.float64)}

    @property
    def group_sites(self) -> tuple[str, ...]:
        """Sites whose first axis is the model."""
        return ("general", "log_odds", "model_log_slope")

    @property
    def group_effects(self) -> frozenset[str]:
        """Effects whose first axis is the model."""
        return frozenset({"residual_variance", "model_slope_variance"})

    def effects(self, latent: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the zero-mean effects that each variance is the variance of, from one set of latent values."""
        expected = latent["dim_mean"] + latent["log_loading"].exp() * latent["general"][:, None]
        return {
            "residual_variance": latent["log_odds"] - expected,
            "dim_slope_variance": (latent["dim_log_slope"] - latent["mean_log_slope"])[:, None],
            "model_slope_variance": latent["model_log_slope"][:, None],
            "level_variance": latent["level_effect"][:, None],
        }

    def precision(self, latent: dict[str, Tensor], outer: dict[str, Tensor]) -> Blocks:
        """Second derivatives of minus the log density in closed form; see `HierarchicalProgram.precision`."""
        return _with_priors(latent, outer, _likelihood_blocks(self.data, latent, outer["log_concentration"].exp()))

    def __call__(self) -> None:
        """Sample every site; Pyro computes the joint density from the trace."""
        n_models, n_dims = self.data.shape
        n_cells = len(self.data.detrend)
        variance = {
            name: pyro.sample(name, _variance_prior(self.variance_prior, n_dims if name == "residual_variance" else 1))
            for name in VARIANCES
        }
        general = pyro.sample("general", _normal(torch.zeros(n_models, dtype=torch.float64), 1.0))
        dim_mean = pyro.sample("dim_mean", _normal(torch.zeros(n_dims, dtype=torch.float64), MEAN_SD))
        log_loading = pyro.sample("log_loading", _normal(torch.zeros(n_dims, dtype=torch.float64), LOADING_SD))
        expected = dim_mean + log_loading.exp() * general[:, None]
        log_odds = pyro.sample("log_odds", _normal(expected, variance["residual_variance"].sqrt()))
        mean_log_slope = pyro.sample("mean_log_slope", _normal(torch.zeros(1, dtype=torch.float64), 1.0))
        dim_log_slope = pyro.sample(
            "dim_log_slope", _normal(mean_log_slope.expand(n_dims), variance["dim_slope_variance"].sqrt())
        )
        zeros = torch.zeros(n_models, dtype=torch.float64)
        model_log_slope = pyro.sample("model_log_slope", _normal(zeros, variance["model_slope_variance"].sqrt()))
        zeros = torch.zeros(n_cells, dtype=torch.float64)
        level_effect = pyro.sample("level_effect", _normal(zeros, variance["level_variance"].sqrt()))
        log_concentration = pyro.sample("log_concentration", _normal(torch.full((1,), 4.0, dtype=torch.float64), 2.0))
        slope = (dim_log_slope + model_log_slope[:, None]).exp()
        self._observe(log_odds, slope, level_effect, log_concentration.exp())

    def _observe(self, log_odds: Tensor, slope: Tensor, level_effect: Tensor, concentration: Tensor) -> None:
        data = self.data
        row_slope = slope[data.model, data.dim]
        midpoint = CENTRE_LEVEL + log_odds[data.model, data.dim] / row_slope
        logit = curve_log_odds(midpoint, row_slope, data.level) + (data.detrend @ level_effect)[data.cell]
        logit = logit.clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        right, wrong = torch.sigmoid(logit) * concentration, torch.sigmoid(-logit) * concentration
        likelihood = dist.BetaBinomial(right, wrong, cast(int, data.n), validate_args=False).to_event(1)
        pyro.sample("correct", likelihood, obs=data.correct)


def _row_derivatives(
    data: CurveData, latent: dict[str, Tensor], concentration: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the first two derivatives of each row's log-likelihood in its logit, and the logit's in the log slope."""
    slope = (latent["dim_log_slope"][data.dim] + latent["model_log_slope"][data.model]).exp()
    by_slope = slope * (CENTRE_LEVEL - data.level)
    shift = (data.detrend @ latent["level_effect"])[data.cell]
    logit = latent["log_odds"][data.model, data.dim] + by_slope + shift
    inside = (logit.abs() <= LARGEST_LOG_ODDS).double()
    logit = logit.clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
    chance = torch.sigmoid(logit)
    right, wrong = chance * concentration, torch.sigmoid(-logit) * concentration
    spread = right * torch.sigmoid(-logit)  # derivative of `right` in the logit
    first = _digamma_gain(right, data.correct) - _digamma_gain(wrong, data.n - data.correct)
    second = _trigamma_gain(right, data.correct) + _trigamma_gain(wrong, data.n - data.correct)
    gradient = spread * first
    return -gradient * inside, -(gradient * (1 - 2 * chance) + spread.square() * second) * inside, by_slope


def _digamma_gain(shape: Tensor, more: Tensor) -> Tensor:
    return torch.digamma(shape + more) - torch.digamma(shape)


def _trigamma_gain(shape: Tensor, more: Tensor) -> Tensor:
    return torch.polygamma(1, shape + more) - torch.polygamma(1, shape)


def _likelihood_blocks(data: CurveData, latent: dict[str, Tensor], concentration: Tensor) -> Blocks:
    """The likelihood's part of `Blocks`: sums over rows of ``w x x' + g x''``, x being a row's logit."""
    slope, bend, by_slope = _row_derivatives(data, latent, concentration)
    (n_models, n_dims), n_cells = data.shape, len(data.detrend)
    cell = data.model * n_cells + data.cell

    def by_model_cell(value: Tensor) -> Tensor:
        return value.new_zeros(n_models * n_cells).index_add_(0, cell, value).view(n_models, n_cells)

    of_dim = torch.zeros(n_cells, n_dims, dtype=torch.float64)
    of_dim[data.cell, data.dim] = 1.0
    level, mixed = by_model_cell(bend), by_model_cell(bend * by_slope)
    curved = by_model_cell(bend * by_slope.square() + slope * by_slope)
    blocks = torch.zeros(n_models, n_dims + 2, n_dims + 2, dtype=torch.float64)
    border = torch.zeros(n_models, n_dims + 2, 3 * n_dims + 1 + n_cells, dtype=torch.float64)
    core = torch.zeros(border.shape[2], border.shape[2], dtype=torch.float64)
    odds, last = slice(1, n_dims + 1), n_dims + 1
    dim_slope, effect = slice(2 * n_dims + 1, 3 * n_dims + 1), slice(3 * n_dims + 1, None)
    blocks[:, odds, odds] = torch.diag_embed(level @ of_dim)
    blocks[:, odds, last] = blocks[:, last, odds] = mixed @ of_dim
    blocks[:, last, last] = curved.sum(1)
    border[:, odds, dim_slope] = torch.diag_embed(mixed @ of_dim)
    border[:, odds, effect] = torch.einsum("mc,cd,ce->mde", level, of_dim, data.detrend)
    border[:, last, dim_slope] = curved @ of_dim
    border[:, last, effect] = mixed @ data.detrend
    core[dim_slope, dim_slope] = torch.diag(curved.sum(0) @ of_dim)
    core[dim_slope, effect] = (of_dim.T * mixed.sum(0)) @ data.detrend
    core[effect, dim_slope] = core[dim_slope, effect].T
    core[effect, effect] = data.detrend.T @ (level.sum(0)[:, None] * data.detrend)
    return blocks, border, core


def _with_priors(latent: dict[str, Tensor], outer: dict[str, Tensor], likelihood: Blocks) -> Blocks:
    """Add what the priors of all sites add, in the order of the sites in `CurveProgram.__call__`."""
    blocks, border, core = likelihood
    general, loading = latent["general"][:, None], latent["log_loading"].exp()
    n_models, n_dims = latent["log_odds"].shape
    weight = 1 / outer["residual_variance"]
    residual = latent["log_odds"] - latent["dim_mean"] - loading * general
    mean, log_loading = slice(0, n_dims), slice(n_dims, 2 * n_dims)
    mean_slope, dim_slope = 2 * n_dims, slice(2 * n_dims + 1, 3 * n_dims + 1)
    odds, last, effect = slice(1, n_dims + 1), n_dims + 1, slice(3 * n_dims + 1, None)
    steep, pulled = weight * loading.square() * general, weight * loading * residual
    blocks[:, 0, 0] += 1 + (weight * loading.square()).sum()
    blocks[:, 0, odds] -= weight * loading
    blocks[:, odds, 0] -= weight * loading
    blocks[:, odds, odds] += torch.diag(weight)
    blocks[:, last, last] += 1 / outer["model_slope_variance"]
    border[:, 0, mean] += weight * loading
    border[:, 0, log_loading] += steep - pulled
    border[:, odds, mean] -= torch.diag(weight)
    border[:, odds, log_loading] -= torch.diag_embed(weight * loading * general)
    across = torch.diag((weight * loading * general).sum(0))
    core[mean, mean] += torch.diag(n_models * weight) + torch.eye(n_dims, dtype=torch.float64) / MEAN_SD**2
    core[mean, log_loading] += across
    core[log_loading, mean] += across
    own = (steep * general - pulled * general).sum(0) + 1 / LOADING_SD**2
    core[log_loading, log_loading] += torch.diag(own)
    pull = 1 / outer["dim_slope_variance"]
    core[mean_slope, mean_slope] += (1 + n_dims * pull)[0]
    core[mean_slope, dim_slope] -= pull
    core[dim_slope, mean_slope] -= pull
    core[dim_slope, dim_slope] += torch.diag(pull.expand(n_dims))
    core[effect, effect] += torch.diag((1 / outer["level_variance"]).expand(len(core) - 3 * n_dims - 1))
    return blocks, border, core


def _normal(mean: Tensor, scale: Tensor | float) -> Any:  # noqa: ANN401 - beartype takes a Pyro distribution for a deprecated Callable
    normal = dist.Normal(mean, scale, validate_args=False)
    return normal.to_event(mean.dim())


def _variance_prior(prior: tuple[float, float], size: int) -> Any:  # noqa: ANN401 - beartype takes a Pyro distribution for a deprecated Callable
    observations, variance = prior
    half = torch.full((size,), observations / 2, dtype=torch.float64)
    return dist.InverseGamma(half, half * variance, validate_args=False).to_event(1)


@dataclass(frozen=True)
class CurveWorld:
    """Sizes of the effects in a simulated world, standard deviations in log-odds (of slopes: of their logarithm)."""

    residual_sd: float = 0.3
    """Standard deviation of the effect of a dimension beyond the general ability."""
    dim_slope_sd: float = 0.4
    """Standard deviation of log slopes between dimensions."""
    model_slope_sd: float = 0.2
    """Standard deviation of log slopes between models."""
    level_effect_sd: float = 0.4
    """Standard deviation of level effects, which all models share."""
    concentration: float = 80.0
    """Beta-binomial concentration of each cell."""


def simulate_counts(
    n: Float[np.ndarray, "model dim level"], world: CurveWorld, rng: np.random.Generator
) -> tuple[LevelCounts, ModelDim]:
    """Draw level counts for given numbers of answers.

    Args:
        n: Number of answers by model, dimension and level 0 to 5.
        world: Sizes of the effects.
        rng: Source of randomness.

    Returns:
        The counts and the true abilities, as areas under the curves.
    """
    n_models, n_dims, n_levels = n.shape
    general = rng.standard_normal(n_models)
    loading = np.exp(rng.normal(0.3, 0.2, n_dims))
    log_odds = rng.normal(0.5, 0.8, n_dims) + loading * general[:, None]
    log_odds = log_odds + world.residual_sd * rng.standard_normal(log_odds.shape)
    log_slope = rng.normal(0, world.dim_slope_sd, n_dims) + rng.normal(0, world.model_slope_sd, n_models)[:, None]
    slope, midpoint = np.exp(log_slope), CENTRE_LEVEL + log_odds / np.exp(log_slope)
    effect = _level_effects(n, world.level_effect_sd, rng)
    line = curve_log_odds(midpoint[..., None], slope[..., None], np.arange(n_levels, dtype=float))
    mean = 1 / (1 + np.exp(-(line + effect)))
    share = rng.beta(mean * world.concentration, (1 - mean) * world.concentration)
    counts = LevelCounts(
        tuple(f"model-{number:02d}" for number in range(n_models)),
        tuple(f"D{number:02d}" for number in range(n_dims)),
        n.astype(float),
        rng.binomial(n.astype(int), share).astype(float),
    )
    return counts, curve_area(torch.as_tensor(midpoint), torch.as_tensor(slope)).numpy()


def _level_effects(n: np.ndarray, sd: float, rng: np.random.Generator) -> Float[np.ndarray, "dim level"]:
    total = torch.as_tensor(n.sum(axis=0), dtype=torch.float64)
    cells = torch.nonzero(total > 0)
    effect = np.zeros(total.shape)
    drawn = torch.as_tensor(sd * rng.standard_normal(len(cells)))
    effect[cells[:, 0], cells[:, 1]] = (detrending(cells, total) @ drawn).numpy()
    return effect
