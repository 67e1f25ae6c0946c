"""A Bayesian factor model of a table of scores with missing cells, drawn by Gibbs sampling.

On the link scale, score of model m on benchmark b = intercept_b + loadings_b . ability_m + residual, where

* abilities are regressed on facts about the models (scale, family, words of the name), with a normal residual,
* intercepts and loadings are regressed on words of the benchmarks' names, with a normal residual,
* the residual has a heavy-tailed part on the link scale (Student's t) and a normal part on the score's own scale, which
  matters where the link is steep; both have a variance for each benchmark, drawn around a common one.

The rank is bounded by the number of factors; the prior variance of each factor's loadings is drawn, so that unused ones
shrink (automatic relevance). Every conditional is standard (Geweke & Zhou, 1996; Geweke, 1993, for the t part).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.linalg import LinAlgError, cholesky, solve
from scipy.linalg import cho_factor, solve_triangular

from capscope.axes import FloatArray
from capscope.forecast.features import Block

TAIL = 5.0
"""Degrees of freedom of the heavy-tailed part."""
NOISE_SHAPE, SCORE_NOISE_SHAPE = 3.0, 2.0
"""Shapes of the inverse gamma distributions over benchmarks of the two noise variances."""
SCORE_NOISE = 4e-4
"""Where the rate of the score-scale noise variance starts: (2 points)^2."""
RELINEARISE = 10
"""During the burn-in, the link is linearised again at the fitted values every so many iterations."""
STEEP_ENDS = 6.0
EFFECTS_EVERY = 2
WIDE = 10.0
"""Prior variance of the mean intercept and loading."""
LEAST_PRECISION = 1e-9
"""Part of the largest entry that is added to the diagonal of a precision matrix that rounding has made indefinite."""


@dataclass(frozen=True, kw_only=True)
class FactorSettings:
    """Settings of the sampler."""

    factors: int = 5
    """Number of factors; the benchmarks less one where those are fewer."""
    burn: int = 100
    """Burn-in iterations."""
    keep: int = 150
    """Iterations kept."""


@dataclass(frozen=True)
class CellData:
    """Data of the sampler."""

    link_scores: FloatArray
    """Scores on the link scale, NaN where missing, shape (model, benchmark)."""
    squared_slope: Callable[[FloatArray], FloatArray]
    """Squared slope of the link at values of the link scale."""
    known_noise: FloatArray
    """Known variance of each cell in units of the score's range, 0 where unknown, shape (model, benchmark)."""
    model_blocks: tuple[Block, ...]
    benchmark_blocks: tuple[Block, ...]


@dataclass(frozen=True)
class FactorDraws:
    """Draws from the posterior; the first axis is the draw."""

    ability: FloatArray
    """Shape (draw, model, factor)."""
    expected: FloatArray
    """Expected abilities by the facts about the models, shape (draw, model, factor)."""
    intercept: FloatArray
    """Shape (draw, benchmark)."""
    loading: FloatArray
    """Shape (draw, benchmark, factor)."""
    link_noise: FloatArray
    """Variance of the heavy-tailed part, shape (draw, benchmark)."""
    score_noise: FloatArray
    """Variance on the score's scale, shape (draw, benchmark)."""
    weight: FloatArray
    """Mean over draws of the precision weights of the observed cells, 1 on average, small for odd cells."""
    effects: FloatArray
    """Effects of the columns of the model blocks on the abilities, shape (draw, column, factor)."""

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self.intercept)

    def centre(self, models: np.ndarray | slice, benchmark: int) -> FloatArray:
        """Return the part of cells that is not noise, on the link scale, shape (draw, model).

        Args:
            models: Places of the models.
            benchmark: Place of the benchmark.
        """
        return self.intercept[:, [benchmark]] + np.einsum(
            "smk,sk->sm", self.ability[:, models], self.loading[:, benchmark]
        )


def draw_factors(data: CellData, settings: FactorSettings, rng: np.random.Generator) -> FactorDraws:
    """Draw from the posterior of a factor model.

    Args:
        data: Scores on the link scale, and the designs.
        settings: Number of factors and of iterations.
        rng: Source of randomness.
    """
    chain = _Chain(data, settings.factors, rng)
    kept: list[tuple[FloatArray, ...]] = []
    weight = np.zeros(data.link_scores.shape)
    for iteration in range(settings.burn + settings.keep):
        relinearise = RELINEARISE * 2 <= iteration < settings.burn and iteration % RELINEARISE == 0
        chain.step(iteration, relinearise)
        if iteration >= settings.burn:
            kept.append(chain.snapshot())
            weight += chain.weight / settings.keep
    stacked = [np.array(values, dtype=np.float32) for values in zip(*kept, strict=True)]
    ability, expected, intercept, loading, link_noise, score_noise, effects = stacked
    return FactorDraws(ability, expected, intercept, loading, link_noise, score_noise, weight, effects)


def pooled(several: list[FactorDraws]) -> FactorDraws:
    """Put draws of models of several ranks together; missing factors have loadings and abilities of 0.

    Args:
        several: Draws for one table.
    """
    most = max(draws.ability.shape[2] for draws in several)

    def joined(name: str, *, padded: bool) -> FloatArray:
        parts = [getattr(draws, name) for draws in several]
        if padded:
            parts = [np.pad(part, [(0, 0), (0, 0), (0, most - part.shape[2])]) for part in parts]
        return np.concatenate(parts)

    return FactorDraws(
        ability=joined("ability", padded=True),
        expected=joined("expected", padded=True),
        intercept=joined("intercept", padded=False),
        loading=joined("loading", padded=True),
        link_noise=joined("link_noise", padded=False),
        score_noise=joined("score_noise", padded=False),
        weight=np.mean([draws.weight for draws in several], axis=0),
        effects=joined("effects", padded=True),
    )


class _Chain:
    """State of the Gibbs sampler, with a method for each full conditional."""

    def __init__(self, data: CellData, factors: int, rng: np.random.Generator) -> None:
        self.rng, self.data = rng, data
        self.known = np.isfinite(data.link_scores)
        self.score = np.where(self.known, data.link_scores, 0.0)
        n, d = self.score.shape
        self.factors = k = max(1, min(factors, d - 1))
        self.x, self.x_group = _design(data.model_blocks, n, constant=False)
        self.z, self.z_group = _design(data.benchmark_blocks, d, constant=True)
        self.slope = self._slope(self.score)
        count = np.maximum(self.known.sum(0), 1)
        self.intercept = self.score.sum(0) / count
        residual = (self.score - self.intercept) * self.known
        general = residual.sum(1) / np.maximum(self.known.sum(1), 1)
        self.ability = 0.3 * rng.standard_normal((n, k))
        self.ability[:, 0] = general / max(general.std(), 1e-6)
        self.loading = 0.1 * rng.standard_normal((d, k))
        self.loading[:, 0] = 0.6
        self.link_noise, self.score_noise = np.full(d, 0.1), np.full(d, SCORE_NOISE)
        self.link_rate, self.score_rate = 0.1, 2.5 * SCORE_NOISE
        self.weight = np.ones((n, d))
        self.effect = np.zeros((self.x.shape[1], k))
        self.effect_variance = np.full((len(data.model_blocks), k), 0.3)
        self.covariate_effect = np.zeros((self.z.shape[1], k + 1))
        self.covariate_effect[0, :2] = (self.intercept.mean(), 0.6)
        self.covariate_variance = np.full((len(data.benchmark_blocks) + 1, k + 1), 0.3)
        self.covariate_variance[0] = WIDE
        self.spread = np.full(k + 1, 0.3)
        self.scales = np.r_[0.1, 0.05 * 0.6 ** np.arange(k)]
        self.gram_x, self.gram_z = self.x.T @ self.x, self.z.T @ self.z

    def step(self, iteration: int, relinearise: bool) -> None:
        """Draw every part once; effects of the facts about models every second time."""
        if relinearise:
            self.slope = self._slope(self.intercept + self.ability @ self.loading.T)
        noise = self.link_noise / self.weight + self.score_noise * self.slope + self.data.known_noise * self.slope
        precision = self.known / noise
        self._draw_abilities(precision)
        benchmark = self._draw_benchmarks(precision)
        self._draw_noise()
        if iteration % EFFECTS_EVERY == 0:
            self._draw_effects()
        self._draw_kin(benchmark)

    def snapshot(self) -> tuple[FloatArray, ...]:
        """Return copies of what is kept of an iteration."""
        expected = self.x @ self.effect
        state = (self.ability, expected, self.intercept, self.loading, self.link_noise, self.score_noise, self.effect)
        return tuple(values.astype(np.float32) for values in state)

    def _slope(self, value: FloatArray) -> FloatArray:
        return self.data.squared_slope(np.clip(value, -STEEP_ENDS, STEEP_ENDS))

    def _draw_abilities(self, precision: FloatArray) -> None:
        k = self.factors
        squares = (self.loading[:, :, None] * self.loading[:, None, :]).reshape(len(self.loading), -1)
        information = (precision @ squares).reshape(-1, k, k) + np.eye(k)
        gradient = (precision * (self.score - self.intercept)) @ self.loading + self.x @ self.effect
        self.ability = _normal_draws(information, gradient, self.rng)

    def _draw_benchmarks(self, precision: FloatArray) -> FloatArray:
        design = np.column_stack([np.ones(len(self.ability)), self.ability])
        squares = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
        width = self.factors + 1
        information = (precision.T @ squares).reshape(-1, width, width) + np.diag(1 / self.spread)
        gradient = (precision * self.score).T @ design + (self.z @ self.covariate_effect) / self.spread
        benchmark = _normal_draws(information, gradient, self.rng)
        self.intercept, self.loading = benchmark[:, 0], benchmark[:, 1:]
        return benchmark

    def _draw_noise(self) -> None:
        """Split the residuals into their parts, then draw variances and weights."""
        rng, known, count = self.rng, self.known, self.known.sum(0)
        residual = (self.score - self.intercept - self.ability @ self.loading.T) * known
        link, score = self.link_noise / self.weight, self.score_noise * self.slope
        fixed = self.data.known_noise * self.slope
        both = link + score + fixed
        on_link = residual * link / both + np.sqrt(link * (1 - link / both)) * rng.standard_normal(residual.shape)
        rest, other = residual - on_link, score + fixed
        on_score = rest * score / other + np.sqrt(score * fixed / other) * rng.standard_normal(residual.shape)
        squared = on_link * on_link * known
        scores = (on_score * on_score / self.slope * known).sum(0)
        self.score_noise = (self.score_rate + scores / 2) / rng.gamma(SCORE_NOISE_SHAPE + count / 2)
        shape = 1 + SCORE_NOISE_SHAPE * len(count)
        self.score_rate = rng.gamma(shape) / (1 / SCORE_NOISE + (1 / self.score_noise).sum())
        rate = self.link_rate + (self.weight * squared).sum(0) / 2
        self.link_noise = rate / rng.gamma(NOISE_SHAPE + count / 2)
        self.link_rate = rng.gamma(1 + NOISE_SHAPE * len(count)) / (1 + (1 / self.link_noise).sum())
        drawn = rng.standard_gamma((TAIL + 1) / 2, size=residual.shape) / ((TAIL + squared / self.link_noise) / 2)
        self.weight = np.where(known, np.maximum(drawn, 1e-6), 1.0)

    def _draw_effects(self) -> None:
        """Regress abilities on facts about the models; a residual variance of 1 fixes their scale."""
        if not self.x.shape[1]:
            return
        gram, cross = self.gram_x, self.x.T @ self.ability
        prior = self.effect_variance[self.x_group]
        for factor in range(self.factors):
            information = gram + np.diag(1 / prior[:, factor])
            self.effect[:, factor] = _normal_draw(information, cross[:, factor], self.rng)
        for group in range(len(self.effect_variance)):
            effects = self.effect[self.x_group == group]
            rate = 0.1 + (effects * effects).sum(0) / 2
            self.effect_variance[group] = rate / self.rng.gamma(1 + len(effects) / 2, size=self.factors)

    def _draw_kin(self, benchmark: FloatArray) -> None:
        """Regress intercepts and loadings on the words of the benchmarks' names."""
        gram, cross = self.gram_z, self.z.T @ benchmark
        for column, variance in enumerate(self.spread):
            information = gram / variance + np.diag(1 / self.covariate_variance[self.z_group, column])
            self.covariate_effect[:, column] = _normal_draw(information, cross[:, column] / variance, self.rng)
        residual = benchmark - self.z @ self.covariate_effect
        rate = self.scales + (residual * residual).sum(0) / 2
        self.spread = rate / self.rng.gamma(1 + len(benchmark) / 2, size=len(rate))
        for group in range(1, len(self.covariate_variance)):
            covariate_effect = self.covariate_effect[self.z_group == group]
            rate = self.scales + (covariate_effect * covariate_effect).sum(0) / 2
            self.covariate_variance[group] = rate / self.rng.gamma(1 + len(covariate_effect) / 2, size=len(rate))


def _design(blocks: tuple[Block, ...], rows: int, *, constant: bool) -> tuple[FloatArray, np.ndarray]:
    """Put blocks side by side; return the design and the block of each column, 0 being the constant if there is one."""
    parts = [np.ones((rows, 1))] if constant else [np.zeros((rows, 0))]
    parts += [block.columns for block in blocks]
    sizes = [part.shape[1] for part in parts]
    return np.hstack(parts), np.repeat(np.arange(len(parts)), sizes) - (0 if constant else 1)


def _normal_draw(information: FloatArray, gradient: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw from one normal with given precision matrix and precision x mean."""
    root, _ = cho_factor(information, lower=True, overwrite_a=True, check_finite=False)
    half = solve_triangular(root, gradient, lower=True, check_finite=False) + rng.standard_normal(len(gradient))
    return solve_triangular(root, half, lower=True, trans="T", check_finite=False)


def _normal_draws(information: FloatArray, gradient: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw from normals with given precision matrices, shape (row, k, k), and precision x mean, shape (row, k)."""
    try:
        root = cholesky(information)
    except LinAlgError:
        # scores that hardly differ leave directions whose precision rounds to nothing
        size = np.abs(information).max(axis=(-2, -1), keepdims=True)
        root = cholesky(information + LEAST_PRECISION * size * np.eye(information.shape[-1]))
    half = solve(root, gradient[..., None]) + rng.standard_normal(gradient.shape)[..., None]
    return solve(np.swapaxes(root, -1, -2), half)[..., 0]
