"""The posterior of the demand-ability model, and the chances of success it predicts on known and new items."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.data import Responses, Study
from capscope.display import short_repr
from capscope.errors import FitError
from capscope.fit.demand.basis import DemandBasis, DemandItems, demand_items, error_correction
from capscope.fit.irt.moments import gaussian_draws
from capscope.fit.links import attenuated, success_probability
from capscope.fit.posterior import (
    ParameterDraws,
    Tensors,
    ability_frame,
    nonzero_contributions,
    positions,
    share_of_variance,
    study_items,
)
from capscope.intervals import normal_quantile

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
        """Expected chance of success, with all unknowns integrated out."""
        return success_probability(self.mean, self.variance, self.floor)

    @property
    def attenuated(self) -> RowFloats:
        """Log-odds whose logistic is the expected chance of knowing."""
        return attenuated(self.mean, self.variance)


@dataclass(frozen=True)
class DemandPosterior:
    """``eta = ability_m + slope_m . x_i + columns_i . weight + residual_i``, above the item's floor."""

    kind: ClassVar[str] = "demand"

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids of the fitted items."""
    dims: tuple[str, ...]
    """Names of the demands."""
    basis: DemandBasis
    """The map from items to columns."""
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
    """Standard deviation of the item residuals."""
    residual_mean: np.ndarray
    """Posterior mean of the residual of each fitted item."""
    residual_variance: np.ndarray
    """Its posterior variance, given the weights."""
    monotone: bool
    """Whether no demand may raise the chance of success."""
    levels: np.ndarray
    """Demand levels of the fitted items, as (item, dim)."""

    __repr__ = short_repr

    @property
    def model_name(self) -> str:
        """``demand``."""
        return self.kind

    @property
    def dim_names(self) -> tuple[str, ...]:
        """``general`` and the codes of the demands."""
        return ("general", *self.dims)

    @property
    def rubrics(self) -> tuple[str, ...]:
        """Codes of the demands."""
        return self.dims

    def abilities(self, level: float = 0.9, *, corrected: bool = False) -> pd.DataFrame:
        """General ability in log-odds at mean demands, and change of the log-odds by one more level of each demand.

        Args:
            level: Nominal coverage of the bounds.
            corrected: Correct the effects of demands for the stated error of their levels, which makes them too small;
                see `error_correction`. The error is taken as known, and as independent of the item's task.

        Raises:
            FitError: The levels are mostly error.
        """
        scale = self.basis.scale
        effect = self.slopes()[:, 1:] + self.weight[: len(scale)]
        mean = np.column_stack([self.ability_mean[:, 0], effect / scale])
        variance = np.diagonal(self.ability_cov, axis1=1, axis2=2).copy()
        variance[:, 1:] += np.diagonal(self.weight_cov)[: len(scale)]
        sd = np.sqrt(variance) / np.r_[1.0, scale]
        if corrected and len(scale):
            matrix = error_correction(self.levels, self.basis.noise)
            mean[:, 1:] = mean[:, 1:] @ matrix.T
            of_effect = self.ability_cov[:, 1:, 1:] + self.weight_cov[: len(scale), : len(scale)]
            of_effect = of_effect / np.outer(scale, scale)
            sd[:, 1:] = np.sqrt(np.einsum("de,mef,df->md", matrix, of_effect, matrix))
        width = normal_quantile(level) * sd
        columns = {"ability": mean, "sd": sd, "lower": mean - width, "upper": mean + width}
        return ability_frame(self.models, self.dim_names, columns)

    def item_table(self, level: float = 0.9) -> pd.DataFrame:
        """Residual of each fitted item, in log-odds: ``item, residual, sd, lower, upper``.

        Args:
            level: Nominal coverage of the bounds.
        """
        mean, sd = self.residual_mean, np.sqrt(self.residual_variance)
        width = normal_quantile(level) * sd
        columns = {"item": self.items, "residual": mean, "sd": sd, "lower": mean - width, "upper": mean + width}
        return pd.DataFrame(columns)

    def asked(self, study: Study, ids: tuple[str, ...], annotator: str | None = None) -> DemandItems:
        """Lay out items of a study; a missing level is the fit's mean level, with the fit's standard deviation.

        Args:
            study: A study with items and demands on all the fit's dimensions.
            ids: Ids of the items.
            annotator: Whose demand levels to use.

        Raises:
            InputError: A dimension of the fit is missing.
        """
        typical = self.levels.mean(axis=0), self.levels.std(axis=0)
        return demand_items(study, ids, self.dims, annotator, typical)

    def known(self, ids: tuple[str, ...]) -> RowIndex:
        """Position of each item among the fitted ones; -1 for a new one."""
        return pd.Index(self.items).get_indexer(pd.Index(ids))

    def chances(
        self, study: Study, rng: np.random.Generator, *, annotator: str | None = None, draws: int = 200
    ) -> Iterator[FloatArray]:
        """Joint draws of chances on the items of a study with demands; see `draw_demand_chances`."""
        from capscope.fit.demand.draws import draw_demand_chances

        ids = study_items(study)
        return draw_demand_chances(self, self.asked(study, ids, annotator), self.known(ids), rng, draws)

    def contributions(
        self, study: Study, items: tuple[str, ...] | None = None, annotator: str | None = None
    ) -> pd.DataFrame:
        """Split log-odds into ability, each demand, text, task, benchmark and residual; see `Posterior.contributions`.

        Parts that are 0 for all items are left out.
        """
        ids = study_items(study) if items is None else items
        asked, known = self.asked(study, ids, annotator), self.known(ids)
        model, item = np.indices((len(self.models), len(ids))).reshape(2, -1)
        value, sd = (part(model, asked, known, item) for part in (self.parts, self.part_sd))
        return nonzero_contributions(self.models, ids, self.part_names, value, sd)

    def answer_chances(
        self, responses: Responses, study: Study | None = None, annotator: str | None = None
    ) -> RowFloats:
        """Expected chances of answers; see `Posterior.answer_chances`.

        Raises:
            FitError: No study was given, or a model is not in the fit.
        """
        if study is None:
            raise FitError("a demand fit predicts answers from the demands of their items; give the study")
        items, models = self.asked(study, responses.items, annotator), positions(responses.models, self.models, "model")
        rows = models[responses.model_index], items, self.known(responses.items), responses.item_index
        return self.log_odds(*rows).probability

    def reliability(self) -> dict[str, float]:
        """Share of the variance of abilities and slopes over the models that is not posterior uncertainty."""
        share = share_of_variance(self.ability_mean, np.diagonal(self.ability_cov, axis1=1, axis2=2))
        return dict(zip(self.dim_names, share.tolist(), strict=True))

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:
        """Abilities and slopes, and effects of the columns; see `Posterior.parameter_draws`."""
        ability = np.moveaxis(gaussian_draws(self.ability_mean, self.ability_cov, rng, draws), 2, 0)
        weight = gaussian_draws(self.weight[None], self.weight_cov[None], rng, draws)[0].T
        return {"ability": (ability, ("model", "dim")), "weight": (weight, ("column",))}

    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """Models, ``general`` and the demands, and columns by group and number."""
        columns = tuple(f"{name} {number + 1}" for name, size in self.basis.groups for number in range(size))
        return {"model": self.models, "dim": self.dim_names, "column": columns}

    def manifest(self) -> tuple[dict[str, Any], Tensors]:
        """Return the posterior as plain values and arrays, for storing."""
        tensors = {name: getattr(self, name) for name in _ARRAYS}
        tensors |= {f"basis.{name}": getattr(self.basis, name) for name in _BASIS_ARRAYS}
        manifest: dict[str, Any] = {"kind": self.kind, "model": self.model_name}
        manifest |= {name: getattr(self, name) for name in (*_NAMES, *_NUMBERS)}
        manifest["basis"] = {name: getattr(self.basis, name) for name in (*_BASIS_NAMES, *_BASIS_NUMBERS)}
        return manifest, tensors

    @classmethod
    def read(cls, manifest: dict[str, Any], tensors: Tensors) -> "DemandPosterior":
        """Rebuild a stored posterior; see `Posterior.read`."""
        stored = manifest["basis"]
        of_basis: dict[str, Any] = {name: tuple(stored[name]) for name in _BASIS_NAMES}
        of_basis |= {name: stored[name] for name in _BASIS_NUMBERS}
        of_basis |= {name: tensors[f"basis.{name}"] for name in _BASIS_ARRAYS}
        parts: dict[str, Any] = {name: tuple(manifest[name]) for name in _NAMES}
        parts |= {name: manifest[name] for name in _NUMBERS}
        parts |= {name: tensors[name] for name in _ARRAYS}
        return cls(basis=DemandBasis(**of_basis), **parts)

    @staticmethod
    def axes(manifest: dict[str, Any]) -> dict[str, tuple[str, ...]]:  # noqa: ARG004 - one interface for all kinds
        """Models label abilities, items and dimensions the rest."""
        by_item = dict.fromkeys(("residual_mean", "residual_variance"), ("items",))
        of_demands = dict.fromkeys(("basis.center", "basis.scale", "basis.noise"), ("dims",))
        return {
            **dict.fromkeys(("ability_mean", "ability_cov"), ("models",)),
            **by_item,
            **of_demands,
            "levels": ("items", "dims"),
        }

    def log_odds(self, model_index: RowIndex, items: DemandItems, known: np.ndarray, item_index: RowIndex) -> LogOdds:
        """Predict rows of models and items.

        Args:
            model_index: Position of each row's model.
            items: Items asked about.
            known: Position of each of these items among the fitted ones, or -1 for an item whose residual is unknown.
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
        # an item's own answers identify the sum of its effects and its residual, not each alone
        fixed = np.where(fresh, weights + task, 0) + own_variance
        rows = design[item_index]
        mean = (self.slopes()[model_index] * rows).sum(1) + (columns @ self.weight + own_mean)[item_index]
        unknown = np.einsum("rk,rkl,rl->r", rows, self.ability_cov[model_index], rows, optimize=True)
        common = np.where(fresh, shared, 0)[item_index]
        variance = unknown + fixed[item_index] + common + self.noise(items)[model_index, item_index]
        return LogOdds(mean, variance, common, items.floor[item_index])

    def parts(self, model_index: RowIndex, items: DemandItems, known: np.ndarray, item_index: RowIndex) -> np.ndarray:
        """Additive parts of the mean log-odds of each row, as (row, part); see `part_names`."""
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
        """Standard deviation of each part, as (row, part); for a new item's task and benchmark that of a new one.

        Args:
            model_index: Place of each row's model on the model axis.
            items: The items, with demands and labels.
            known: Position of each of these items among the fitted ones, or -1 for an item whose residual is unknown.
            item_index: Place of each row's item on the item axis.
        """
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
        """Design of abilities and slopes, as (item, 1 + dim): 1 and the standardised demands."""
        standard = self.basis.standard(items)
        return np.column_stack([np.ones(len(standard)), standard])

    def slopes(self) -> np.ndarray:
        """Abilities and slopes; where monotone, a model's slope is limited so that no demand raises its chance."""
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
        """Variance from levels that are noisier than the fit's, as (model, item)."""
        extra = self.basis.extra_noise(items)
        if extra is None:
            return np.zeros((len(self.models), len(items.task)))
        return (self.slopes()[:, 1:] + self.weight[: len(self.dims)]) ** 2 @ extra.T


_NAMES, _NUMBERS = ("models", "items", "dims"), ("residual_sd", "monotone")
_ARRAYS = tuple(field.name for field in fields(DemandPosterior) if field.name not in (*_NAMES, *_NUMBERS, "basis"))
_BASIS_NAMES, _BASIS_NUMBERS = ("tasks", "benchmarks"), ("text_scale", "text_dims")
_BASIS_ARRAYS = tuple(field.name for field in fields(DemandBasis) if field.name not in (*_BASIS_NAMES, *_BASIS_NUMBERS))
