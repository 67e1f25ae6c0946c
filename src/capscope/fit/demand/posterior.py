"""The posterior of the demand-ability model, and the chances it gives to items, known or new."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from capscope.axes import RowFloats, RowIndex
from capscope.fit.demand.basis import DemandBasis, DemandItems
from capscope.fit.links import attenuated, success_probability

TAIL = 8.0
"""Degrees of freedom of the Student-t of task and benchmark effects."""


@dataclass(frozen=True)
class LogOdds:
    """Log-odds of knowing the answers, row by row, as Gaussians."""

    mean: RowFloats
    """Mean."""
    variance: RowFloats
    """Variance: abilities, weights, effects of new tasks and benchmarks, item residual, noise of the levels."""
    shared: RowFloats
    """The part of the variance that all items of a new benchmark share."""
    floor: RowFloats
    """Chance of a right guess."""

    @property
    def probability(self) -> RowFloats:
        """Expected chance of success, everything unknown integrated out."""
        return success_probability(self.mean, self.variance, self.floor)

    @property
    def attenuated(self) -> RowFloats:
        """Log-odds whose logistic is the expected chance of knowing."""
        return attenuated(self.mean, self.variance)


@dataclass(frozen=True)
class DemandPosterior:
    """``eta = ability_m + slope_m . x_i + columns_i . weight + residual_i``, above the item's floor."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids of the fitted items."""
    dims: tuple[str, ...]
    """Names of the demands."""
    basis: DemandBasis
    """How items become columns."""
    ability_mean: np.ndarray
    """Posterior means of ``(ability, slopes)``, as (model, 1 + dim)."""
    ability_cov: np.ndarray
    """Their covariances, as (model, 1 + dim, 1 + dim)."""
    ability_sd: np.ndarray
    """Standard deviations of abilities and of slopes between models, as (1 + dim,)."""
    weight: np.ndarray
    """Posterior mean of the effect of each column on the log-odds."""
    weight_cov: np.ndarray
    """Its covariance."""
    group_sd: np.ndarray
    """Prior standard deviation of each group's weights, in the order of `DemandBasis.groups`."""
    residual_sd: float
    """Standard deviation of the items' own departures."""
    residual_mean: np.ndarray
    """Departure of each fitted item."""
    residual_variance: np.ndarray
    """Its posterior variance, given the weights."""
    monotone: bool
    """Whether no demand may raise the chance of success."""
    levels: np.ndarray
    """Demand levels of the fitted items, as (item, dim)."""

    def log_odds(self, model_index: RowIndex, items: DemandItems, known: np.ndarray, item_index: RowIndex) -> LogOdds:
        """Predict rows of models and items.

        Args:
            model_index: Position of each row's model.
            items: Items asked about.
            known: Position of each of these items among the fitted ones, or -1: then its departure is unknown.
            item_index: Position of each row's item in `items`.

        Raises:
            FitError: The items' features are not those of the fit.
        """
        columns, design = self.basis.columns(items), self.design(items)
        fresh = known < 0
        own_mean = np.where(fresh, 0, self.residual_mean[known])
        own_variance = np.where(fresh, self.residual_sd**2, self.residual_variance[known])
        shared, task = self.new_effects(items)
        weights = ((columns @ self.weight_cov) * columns).sum(1)
        # an item's own answers pin the sum of its effects and its departure, not each alone
        fixed = np.where(fresh, weights + task, 0) + own_variance
        rows = design[item_index]
        mean = (self.slopes()[model_index] * rows).sum(1) + (columns @ self.weight + own_mean)[item_index]
        unknown = np.einsum("rk,rkl,rl->r", rows, self.ability_cov[model_index], rows, optimize=True)
        common = np.where(fresh, shared, 0)[item_index]
        variance = unknown + fixed[item_index] + common + self.noise(items)[model_index, item_index]
        return LogOdds(mean, variance, common, items.floor[item_index])

    def parts(self, model_index: RowIndex, items: DemandItems, known: np.ndarray, item_index: RowIndex) -> np.ndarray:
        """What made the mean log-odds of each row, as (row, part): see `part_names`."""
        columns, design = self.basis.columns(items)[item_index], self.design(items)[item_index]
        slopes = self.slopes()[model_index] * design
        pieces, start = [slopes[:, :1]], 0
        for name, size in self.basis.groups:
            effect = columns[:, start : start + size] * self.weight[start : start + size]
            each = effect + slopes[:, 1:] if name == "demands" else effect.sum(1, keepdims=True)
            pieces.append(each)
            start += size
        own = np.where(known < 0, 0, self.residual_mean[known])[item_index]
        return np.hstack([*pieces, own[:, None]])

    def part_sd(self, model_index: RowIndex, items: DemandItems, known: np.ndarray, item_index: RowIndex) -> np.ndarray:
        """Standard deviation of each part, as (row, part); for a new item's task and benchmark that of a new one."""
        fresh = known < 0
        columns, design = self.basis.columns(items), self.design(items)
        ability = np.diagonal(self.ability_cov, axis1=1, axis2=2)[model_index]
        pieces, start = [np.sqrt(ability[:, :1])], 0
        unseen: dict[str, np.ndarray] = dict(zip(("benchmark", "task"), self.new_effects(items), strict=True))
        for name, size in self.basis.groups:
            block = columns[:, start : start + size]
            if name == "demands":
                own = np.diagonal(self.weight_cov)[:size] * block**2
                pieces.append(np.sqrt(own[item_index] + ability[:, 1:] * design[item_index, 1:] ** 2))
            else:
                cov = self.weight_cov[start : start + size, start : start + size]
                variance = ((block @ cov) * block).sum(1) + np.where(fresh, unseen.get(name, 0.0), 0)
                pieces.append(np.sqrt(variance)[item_index, None])
            start += size
        own = np.where(fresh, self.residual_sd**2, self.residual_variance[known])
        return np.hstack([*pieces, np.sqrt(own)[item_index, None]])

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts: ability, each demand, interactions, text, task, benchmark, residual."""
        return ("ability", *self.dims, "interactions", "text", "task", "benchmark", "residual")

    def design(self, items: DemandItems) -> np.ndarray:
        """What abilities and slopes are multiplied by, as (item, 1 + dim): 1 and the standardised demands."""
        standard = self.basis.standard(items)
        return np.column_stack([np.ones(len(standard)), standard])

    def slopes(self) -> np.ndarray:
        """Abilities and slopes; where monotone, a model's slope is bent until the demand costs it nothing or more."""
        if not self.monotone:
            return self.ability_mean
        slopes = self.ability_mean.copy()
        slopes[:, 1:] = np.minimum(slopes[:, 1:], -self.weight[: len(self.dims)])
        return slopes

    def new_effects(self, items: DemandItems) -> tuple[np.ndarray, np.ndarray]:
        """Variance of the benchmark's and of the task's effect on each item, 0 where the fit knows it."""
        sd = dict(zip((name for name, _ in self.basis.groups), self.group_sd, strict=True))
        heavy = TAIL / (TAIL - 2)
        new_benchmark = np.array([name not in self.basis.benchmarks for name in items.benchmark])
        new_task = np.array([name not in self.basis.tasks for name in items.task])
        has_tasks = float(bool(self.basis.tasks))
        return heavy * sd["benchmark"] ** 2 * new_benchmark, has_tasks * heavy * sd["task"] ** 2 * new_task

    def noise(self, items: DemandItems) -> np.ndarray:
        """Variance that levels noisier than the fit's bring, as (model, item)."""
        extra = self.basis.extra_noise(items)
        if extra is None:
            return np.zeros((len(self.models), len(items.task)))
        return (self.slopes()[:, 1:] + self.weight[: len(self.dims)]) ** 2 @ extra.T


def knowing(score: np.ndarray, log_odds: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Share of a score that was known rather than guessed: a right answer is known with chance ``p / P``."""
    chance = expit(log_odds)
    return score * chance / (floor + (1 - floor) * chance)
