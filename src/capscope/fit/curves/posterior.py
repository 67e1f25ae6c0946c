"""The posterior of a curve fit: draws of curves and abilities, and chances on items with given demands."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit

from capscope.axes import LEVELS, FloatArray, ItemDim, ModelDim, RowFloats
from capscope.data import Responses, Study, known_levels
from capscope.display import short_repr
from capscope.errors import FitError, InputError, first_few, nearest
from capscope.fit.curves.classical import ClassicalCurves, dominant
from capscope.fit.links import curve_log_odds
from capscope.fit.posterior import (
    ParameterDraws,
    Tensors,
    ability_frame,
    contribution_rows,
    joined_contributions,
    positions,
    share_of_variance,
    study_items,
)
from capscope.intervals import quantile_bounds

ModelDimDraw = Float[np.ndarray, "model dim draw"]
FEW_ANSWERS = 30
"""A level with fewer answers per model than this supports no prediction."""


@dataclass(frozen=True)
class CurvePosterior:
    """Posterior draws of all subject characteristic curves, with the level counts they were fitted to."""

    kind: ClassVar[str] = "curves"

    models: tuple[str, ...]
    """Names on the model axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    ability: ModelDimDraw
    """Area under each curve over levels 0 to 10, in demand levels."""
    midpoint: ModelDimDraw
    """Demand level at which the chance of success is one half."""
    slope: ModelDimDraw
    """Log-odds lost with each level, positive."""
    general: Float[np.ndarray, "model draw"]
    """General ability, standardised over the models."""
    level_effect_sd: Float[np.ndarray, " draw"]
    """Standard deviation, in log-odds, of level effects: deviations of a dimension's levels from the straight line."""
    concentration: Float[np.ndarray, " draw"]
    """Beta-binomial concentration: over-dispersion of a cell is 1 / (1 + concentration)."""
    residual_sd: Float[np.ndarray, " dim"]
    """Standard deviation, in log-odds, of the effect of a dimension beyond the general ability."""
    n: Float[np.ndarray, "model dim level"]
    """Number of answers behind each cell."""
    correct: Float[np.ndarray, "model dim level"]
    """Sum of scores behind each cell."""
    classical: ClassicalCurves
    """ADeLe's published point estimates on the same counts."""

    __repr__ = short_repr

    @property
    def model_name(self) -> str:
        """``curves``."""
        return self.kind

    @property
    def dim_names(self) -> tuple[str, ...]:
        """Codes of the rubrics."""
        return self.dims

    @property
    def rubrics(self) -> tuple[str, ...]:
        """Codes of the rubrics."""
        return self.dims

    def abilities(self, level: float = 0.9) -> pd.DataFrame:
        """Abilities in demand levels, with the published recipe's and the answers behind them.

        Args:
            level: Nominal coverage of the bounds.

        Returns:
            Columns ``model, dim, ability, sd, lower, upper, classical, answers``.
        """
        lower, upper = self.ability_interval(level)
        columns = {"ability": self.ability_mean, "sd": self.ability_sd, "lower": lower, "upper": upper}
        columns |= {"classical": self.classical.ability, "answers": self.n[:, :, 1:].sum(axis=-1)}
        return ability_frame(self.models, self.dims, columns)

    def item_table(self, level: float = 0.9) -> pd.DataFrame:  # noqa: ARG002 - one interface for all kinds
        """An empty table: curves have no item parameters."""
        return pd.DataFrame({"item": pd.Series(dtype=str)})

    def chances(
        self,
        study: Study,
        rng: np.random.Generator,
        *,
        annotator: str | None = None,
        draws: int = 200,  # noqa: ARG002 - the fit holds draws
    ) -> Iterator[FloatArray]:
        """Joint draws of chances on the items of a study with demands; see `item_log_odds`."""
        level, level_sd = known_levels(study, study_items(study), annotator, self.dims)
        yield from expit(self.item_log_odds(level, rng, level_sd))

    def contributions(
        self, study: Study, items: tuple[str, ...] | None = None, annotator: str | None = None
    ) -> pd.DataFrame:
        """Split the log-odds of chances into parts; see `Posterior.contributions`.

        An item's chance comes from the curves of its dominant dimensions (those with its highest level), in equal
        shares. The part ``ability CODE`` is the log-odds of that dimension's curve at level 0, ``demand CODE`` is the
        change due to the item's level, and ``residual`` is the item's own effect, of which only the standard deviation
        is known.
        """
        items = study_items(study) if items is None else items
        level, _ = known_levels(study, items, annotator, self.dims)
        weight = dominant(level) / dominant(level).sum(axis=1, keepdims=True)
        item, dim = np.nonzero(weight)
        share, top = weight[item, dim][None, :, None], level.max(axis=1)[item][None, :, None]
        start = share * self.slope[:, dim] * self.midpoint[:, dim]
        cost = -share * self.slope[:, dim] * top
        codes, ids = np.array(self.dims)[dim], np.array(items)
        residual_sd = np.sqrt(np.mean(self.level_effect_sd**2) * (weight**2).sum(axis=1))
        shape = (len(self.models), len(ids))
        residual = np.full(len(ids), "residual"), np.zeros(shape), np.broadcast_to(residual_sd, shape)
        tables = [
            contribution_rows(self.models, ids[item], np.char.add("ability ", codes), start.mean(-1), start.std(-1)),
            contribution_rows(self.models, ids[item], np.char.add("demand ", codes), cost.mean(-1), cost.std(-1)),
            contribution_rows(self.models, ids, *residual),
        ]
        return joined_contributions(tables, items)

    def answer_chances(
        self, responses: Responses, study: Study | None = None, annotator: str | None = None
    ) -> RowFloats:
        """Mean over the draws of the curves' chances at the items' demands; see `Posterior.answer_chances`.

        Raises:
            FitError: No study was given, or a model is not in the fit.
        """
        if study is None:
            raise FitError("curves predict answers from the demands of their items; give the study")
        models = positions(responses.models, self.models, "model")
        level, _ = known_levels(study, responses.items, annotator, self.dims)
        draws = self.item_log_odds(level, np.random.default_rng(0))
        chance = np.array([expit(one).mean(-1) for one in draws])
        return chance[models[responses.model_index], responses.item_index]

    def reliability(self) -> dict[str, float]:
        """Share of the abilities' variance over the models that is not posterior uncertainty, by rubric."""
        share = share_of_variance(self.ability_mean, self.ability_sd**2)
        return dict(zip(self.dims, share.tolist(), strict=True))

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:  # noqa: ARG002 - one interface
        """The draws that the fit holds; see `Posterior.parameter_draws`."""
        both = ("model", "dim")
        curves = {name: (np.moveaxis(getattr(self, name), -1, 0), both) for name in ("ability", "midpoint", "slope")}
        alone = {name: (getattr(self, name), ()) for name in ("level_effect_sd", "concentration")}
        return {**curves, "general": (np.moveaxis(self.general, -1, 0), ("model",)), **alone}

    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """Models and rubrics."""
        return {"model": self.models, "dim": self.dims}

    def manifest(self) -> tuple[dict[str, Any], Tensors]:
        """Return the posterior as plain values and arrays, for storing."""
        tensors = {name: getattr(self, name) for name in _STORED}
        tensors |= {f"classical.{name}": getattr(self.classical, name) for name in _STORED_CLASSICAL}
        return {"kind": self.kind, "model": self.model_name, "models": self.models, "dims": self.dims}, tensors

    @classmethod
    def read(cls, manifest: dict[str, Any], tensors: Tensors) -> "CurvePosterior":
        """Rebuild a stored posterior.

        Args:
            manifest: Plain values that `manifest` of the same class wrote.
            tensors: Arrays by name, as stored.
        """
        models, dims = tuple(manifest["models"]), tuple(manifest["dims"])
        stored = {name: tensors[f"classical.{name}"] for name in _STORED_CLASSICAL}
        classical = ClassicalCurves(models, dims, **stored)
        return cls(models=models, dims=dims, classical=classical, **{name: tensors[name] for name in _STORED})

    @staticmethod
    def axes(manifest: dict[str, Any]) -> dict[str, tuple[str, ...]]:  # noqa: ARG004 - one interface for all kinds
        """Models and dimensions label the arrays."""
        both = ("ability", "midpoint", "slope", "n", "correct", *(f"classical.{name}" for name in _STORED_CLASSICAL))
        labelled: dict[str, tuple[str, ...]] = dict.fromkeys(both, ("models", "dims"))
        return labelled | {"general": ("models",), "residual_sd": ("dims",)}

    @property
    def ability_mean(self) -> ModelDim:
        """Posterior mean ability, in demand levels."""
        return self.ability.mean(axis=-1)

    @property
    def ability_sd(self) -> ModelDim:
        """Posterior standard deviation of the ability."""
        return self.ability.std(axis=-1, ddof=1)

    def ability_interval(self, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds (model, dim) of the central interval."""
        return quantile_bounds(self.ability, level)

    def curve(self, model: str, dim: str, grid: FloatArray) -> Float[np.ndarray, "point draw"]:
        """P(success) of one model along a grid of demand levels of one dimension.

        Args:
            model: Name of the model.
            dim: Name of the dimension.
            grid: Demand levels.
        """
        row, column = self.model_position(model), self.dims.index(dim)
        log_odds = curve_log_odds(self.midpoint[row, column], self.slope[row, column], grid[:, None])
        return expit(log_odds)

    def model_position(self, model: str) -> int:
        """Find a model on its axis.

        Raises:
            InputError: The fit has no such model.
        """
        if model not in self.models:
            raise InputError(
                f"the fit has no model '{model}'{nearest(model, self.models)}; it has {first_few(self.models)}"
            )
        return self.models.index(model)

    def item_log_odds(
        self, level: ItemDim, rng: np.random.Generator, level_sd: ItemDim | None = None
    ) -> Float[np.ndarray, "model item draw"]:
        """Log-odds of success on new items, from their demands.

        An item belongs to the slice of each dimension that no other exceeds, so its log-odds are the mean over those
        dimensions' curves at its highest level. Every draw adds a new level effect for each dimension and level,
        because level effects are estimated for the fitted items only.

        Args:
            level: Demand levels, columns in the order of `dims`, no NaN.
            rng: Source of the level effects.
            level_sd: Standard deviation of the levels as annotators state it; every draw takes a level of its own.
        """
        weight = dominant(level) / dominant(level).sum(axis=1, keepdims=True)
        top = level.max(axis=1)
        effect = self.level_effect_sd * rng.standard_normal((len(self.dims), len(LEVELS), len(self.level_effect_sd)))
        nearest_level = np.clip(np.floor(top + 0.5).astype(int), 0, LEVELS[-1])
        log_odds = np.zeros((len(self.models), len(level), self.ability.shape[-1]))
        for dim in range(len(self.dims)):
            chosen = weight[:, dim] > 0
            asked = top[chosen, None]
            if level_sd is not None:
                asked = asked + level_sd[chosen, dim, None] * rng.standard_normal((chosen.sum(), log_odds.shape[-1]))
            line = curve_log_odds(self.midpoint[:, None, dim], self.slope[:, None, dim], asked[None])
            log_odds[:, chosen] += weight[None, chosen, dim, None] * (line + effect[None, dim, nearest_level[chosen]])
        return log_odds

    def support(self, level: ItemDim) -> np.ndarray:
        """Answers per model behind each item's prediction: the smallest count among its dominant cells, as (item,)."""
        top = np.clip(np.floor(level.max(axis=1) + 0.5).astype(int), 0, LEVELS[-1])
        per_model = self.n.mean(axis=0)
        counts = np.where(dominant(level), per_model[:, top].T, np.inf)
        return counts.min(axis=1)


_STORED_CLASSICAL = ("intercept", "slope", "ability")
_STORED = tuple(field.name for field in fields(CurvePosterior) if field.name not in ("models", "dims", "classical"))
