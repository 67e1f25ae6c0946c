"""A mixed model of estimates with known errors: additive random effects whose scales are integrated out.

``y = mean + sum_t Z_t u_t + e``, ``u_t ~ N(0, tau_t^2)``, ``e ~ N(0, V)`` with V known, and half-normal priors on the
scales tau. The scales are drawn by importance sampling around the mode of their posterior, effects given scales are
Gaussian (Lindley & Smith, 1972), so that intervals hold with few levels too. Steps of an ordered factor can be held at
0 or above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr, ndtri

from capscope.axes import FloatArray
from capscope.fit.outcome import single_threaded_blas

FLAT = 30.0
"""Standard deviation of the mean, in units of the terms' scales."""
SCALES, DRAWS_EACH = 384, 8
"""Draws of the scales, and of the effects given each."""
LARGE = 150
"""Subjects above which a quarter of the draws of scales is taken."""
TAIL, WIDER = 5.0, 1.3
"""Degrees of freedom and inflation of the proposal of log scales."""
SWEEPS = 40
"""Sweeps of the sampler of ordered steps."""


@dataclass(frozen=True)
class Term:
    """Random effects of one factor or interaction."""

    name: str
    """Name, such as ``scaffold`` or ``model:scaffold``."""
    design: FloatArray
    """Design (subject, level)."""
    scale: float = 1.0
    """Scale of the half-normal prior of the effects' standard deviation."""


@dataclass(frozen=True)
class MixedDraws:
    """Posterior draws of a mixed model."""

    mean: FloatArray
    """Mean over levels of effect 0, as (draw,)."""
    effects: dict[str, FloatArray]
    """Effects by term, as (level, draw)."""
    scales: dict[str, FloatArray]
    """Standard deviation of each term's effects, as (draw,)."""


@dataclass(frozen=True)
class _Problem:
    value: FloatArray
    noise: FloatArray
    terms: tuple[Term, ...]
    kernels: FloatArray
    center: float

    def covariance(self, scale: FloatArray) -> FloatArray:
        return self.noise + FLAT**2 + np.tensordot(scale**2, self.kernels, 1)

    def log_density(self, log_scale: FloatArray) -> float:
        """Log posterior of the log scales, up to a constant."""
        scale = np.exp(log_scale)
        factor = cho_factor(self.covariance(scale), lower=True)
        fit = self.value @ cho_solve(factor, self.value) / 2 + np.log(np.diag(factor[0])).sum()
        prior = sum((own / term.scale) ** 2 / 2 for own, term in zip(scale, self.terms, strict=True))
        return float(-fit - prior + log_scale.sum())


def fit_mixed(
    value: FloatArray,
    noise: FloatArray,
    terms: Sequence[Term],
    rng: np.random.Generator,
    ordered: str | None = None,
) -> MixedDraws:
    """Draw the effects of a mixed model from their posterior.

    Args:
        value: Estimates (subject,).
        noise: Their variances (subject,) or covariance (subject, subject).
        terms: The random effects.
        rng: Source of randomness.
        ordered: Name of a term whose effects are held at 0 or above; None for none.
    """
    center = float(value.mean())
    kernels = np.stack([term.design @ term.design.T for term in terms])
    problem = _Problem(value - center, np.diag(noise) if noise.ndim == 1 else noise, tuple(terms), kernels, center)
    with single_threaded_blas():
        return _drawn(problem, rng, ordered)


def _drawn(problem: _Problem, rng: np.random.Generator, ordered: str | None) -> MixedDraws:
    value, terms = problem.value, problem.terms
    log_scales = _draw_scales(problem, rng, SCALES if len(value) <= LARGE else SCALES // 4)
    design = np.hstack([np.ones((len(value), 1)), *(term.design for term in terms)])
    blocks = _blocks(terms)
    sign = np.zeros(design.shape[1], bool)
    if ordered is not None:
        sign[blocks[ordered]] = True
    given = [_given(problem, design, np.exp(row), rng) for row in log_scales]
    draws = [one.draws for one in given] if not sign.any() else _held_positive(given, sign, rng)
    effects = np.concatenate(draws, axis=1)
    scales = np.repeat(np.exp(log_scales), DRAWS_EACH, axis=0).T
    named = {term.name: effects[blocks[term.name]] for term in terms}
    return MixedDraws(problem.center + effects[0], named, {term.name: scales[at] for at, term in enumerate(terms)})


def _blocks(terms: tuple[Term, ...]) -> dict[str, slice]:
    start, blocks = 1, dict[str, slice]()
    for term in terms:
        blocks[term.name] = slice(start, start + term.design.shape[1])
        start += term.design.shape[1]
    return blocks


def _draw_scales(problem: _Problem, rng: np.random.Generator, count: int) -> FloatArray:
    """Log scales from their posterior: a Student-t around the mode, reweighted and resampled."""
    from scipy.optimize import minimize

    start = np.log([term.scale / 3 for term in problem.terms])
    bounds = [(np.log(term.scale * 1e-3), np.log(term.scale * 10)) for term in problem.terms]
    mode = minimize(lambda at: -problem.log_density(at), start, method="L-BFGS-B", bounds=bounds).x
    factor = np.linalg.cholesky(_curvature(problem, mode)) * WIDER
    size = len(mode)
    normal, chi = rng.standard_normal((3 * count, size)), rng.chisquare(TAIL, 3 * count)
    standard = normal / np.sqrt(chi / TAIL)[:, None]
    points = np.clip(mode + standard @ factor.T, -12, 6)
    proposal = -(TAIL + size) / 2 * np.log1p((standard**2).sum(1) / TAIL)
    weight = np.array([problem.log_density(point) for point in points]) - proposal
    weight = np.exp(weight - weight.max())
    # systematic resampling adds less noise than independent draws
    places = (np.arange(count) + rng.random()) / count
    return points[np.searchsorted(np.cumsum(weight) / weight.sum(), places).clip(0, len(points) - 1)]


def _curvature(problem: _Problem, mode: FloatArray) -> FloatArray:
    """Covariance of the proposal: the inverse Hessian at the mode, by differences, within sensible limits."""
    size, step = len(mode), 0.1
    hessian, unit = np.empty((size, size)), np.eye(size) * step
    for i in range(size):
        for j in range(i, size):
            corners = (problem.log_density(mode + a * unit[i] + b * unit[j]) * a * b for a in (1, -1) for b in (1, -1))
            hessian[i, j] = hessian[j, i] = -sum(corners) / (4 * step**2)
    value, vector = np.linalg.eigh(hessian)
    return (vector / np.clip(value, 0.25, None)) @ vector.T


@dataclass(frozen=True)
class _Given:
    """Mean and effects given the scales."""

    mean: FloatArray
    """Posterior mean (column,)."""
    cov: FloatArray
    """Posterior covariance (column, column)."""
    draws: FloatArray
    """Draws (column, draw)."""


def _given(problem: _Problem, design: FloatArray, scale: FloatArray, rng: np.random.Generator) -> _Given:
    """Mean and effects given the scales, drawn by conditioning draws from the prior."""
    variance = np.concatenate(
        [[FLAT**2], *(np.full(term.design.shape[1], own**2) for own, term in zip(scale, problem.terms, strict=True))]
    )
    gain = variance[:, None] * design.T
    factor = cho_factor(problem.covariance(scale), lower=True)
    prior = np.sqrt(variance)[:, None] * rng.standard_normal((len(variance), DRAWS_EACH))
    error = np.linalg.cholesky(problem.noise + 1e-12 * np.eye(len(design)))
    simulated = design @ prior + error @ rng.standard_normal((len(design), DRAWS_EACH))
    solved = cho_solve(factor, np.column_stack([problem.value[:, None] - simulated, problem.value, gain.T]))
    draws, mean = prior + gain @ solved[:, :DRAWS_EACH], gain @ solved[:, DRAWS_EACH]
    return _Given(mean, np.diag(variance) - gain @ solved[:, DRAWS_EACH + 1 :], draws)


def _held_positive(given: list[_Given], sign: np.ndarray, rng: np.random.Generator) -> list[FloatArray]:
    """Draws given that the marked effects are positive: those by Gibbs sampling (Geweke, 1991), the rest given them."""
    mean = np.stack([one.mean[sign] for one in given])
    cov = np.stack([one.cov[np.ix_(sign, sign)] for one in given]) + 1e-10 * np.eye(int(sign.sum()))
    precision = np.linalg.inv(cov)
    sd = 1 / np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    steps = np.repeat(np.maximum(mean, sd)[..., None], DRAWS_EACH, axis=2)
    for _ in range(SWEEPS):
        for at in range(mean.shape[1]):
            pull = np.einsum("tk,tkr->tr", precision[:, at], steps - mean[..., None])
            own = pull - precision[:, at, at, None] * (steps[:, at] - mean[:, at, None])
            center, width = mean[:, at, None] - own * sd[:, at, None] ** 2, sd[:, at, None]
            quantile = np.clip(ndtr(center / width) * rng.random(center.shape), 1e-300, 1 - 1e-16)
            steps[:, at] = np.maximum(center - width * ndtri(quantile), 0)
    moved = np.linalg.solve(cov, steps - np.stack([one.draws[sign] for one in given]))
    return [one.draws + one.cov[:, sign] @ move for one, move in zip(given, moved, strict=True)]
