"""The posterior of an item response model: abilities, items and what they predict."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import ndtri

from capscope.axes import FloatArray, ModelDim, RowFloats, RowIndex
from capscope.data import Responses, Study
from capscope.display import short_repr
from capscope.errors import FitError
from capscope.fit.irt.item_extras import NEW_ITEM, ItemExtras, asymptotes_at
from capscope.fit.irt.moments import (
    additive_parts,
    bounded_columns,
    chance_draws,
    difficulty_moments,
    discrimination_moments,
    gaussian_draws,
    irt_parameters,
    moment_table,
    product_moments,
)
from capscope.fit.irt.population import (
    INFLATION,
    LABELLED,
    STORED,
    ItemParam,
    ItemParamParam,
    ItemPopulation,
    read_extras,
    read_population,
    stored_parts,
)
from capscope.fit.links import success_probability
from capscope.fit.posterior import (
    ParameterDraws,
    Tensors,
    ability_frame,
    contribution_table,
    positions,
    share_of_variance,
    study_items,
)

ROWS_AT_ONCE = 1 << 17
"""Predictions are made this many rows at a time, so that memory stays small."""

Moments = tuple[RowFloats, RowFloats]


@dataclass(frozen=True)
class IRTPosterior:
    """Gaussian posteriors of all models and items; log-odds are ``a_i . theta_m + d_i``.

    Abilities have mean 0 and variance 1 over the models of the fit.
    """

    kind: ClassVar[str] = "irt"
    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    ability_mean: ModelDim
    """Posterior means of the abilities."""
    ability_cov: Float[np.ndarray, "model dim dim"]
    """Posterior covariances of the abilities of each model."""
    item_mean: ItemParam
    """Posterior means of ``(a_1..a_D, d)``."""
    item_cov: ItemParamParam
    """Posterior covariances of ``(a_1..a_D, d)`` of each item, including the uncertainty of its extras."""
    native_mean: ItemParam
    """Posterior means in the population's form: ``(log a, b)`` where it is positive, else as `item_mean`."""
    native_cov: ItemParamParam
    """Posterior covariances in the population's form."""
    population: ItemPopulation
    """Population that new items are drawn from."""
    floor: Float[np.ndarray, " item"]
    """Chance of a right guess, known or expected; 0 for none."""
    model_name: str = "2pl"
    """The model fitted: ``rasch``, ``2pl``, ``3pl``, ``4pl`` or ``mirt``."""
    extras: ItemExtras | None = None
    """Posteriors of each item's extra parameters, such as floor and ceiling; None where there are none."""
    ability_inflation: ItemParamParam | None = None
    """Part of `item_cov` that uncertain abilities add on a short test; chances are predicted without it."""
    trial_weight: float = 1.0
    """Right or wrong answers that one row was worth: more than 1 where rows are fractions without their trials."""
    trial_correlation: float = 0.0
    """Correlation of the trials of one model on one item; see `effective_trials`."""

    __repr__ = short_repr

    @property
    def dims(self) -> int:
        """Number of abilities."""
        return self.ability_mean.shape[1]

    @property
    def dim_names(self) -> tuple[str, ...]:
        """``ability``, or ``ability 1`` and so on: dimensions of these models have no names of their own."""
        return ("ability",) if self.dims == 1 else tuple(f"ability {dim + 1}" for dim in range(self.dims))

    @property
    def rubrics(self) -> tuple[str, ...]:
        """None: demand levels are not used."""
        return ()

    @property
    def loads_on(self) -> np.ndarray | None:
        """The confirmatory mask (item, dim) of the fit; None where all slopes are free."""
        slopes, variance = self.item_mean[:, :-1], np.diagonal(self.item_cov, axis1=1, axis2=2)[:, :-1]
        held = (slopes == 0) & (variance == 0)
        return ~held if held.any() else None

    @property
    def ability_sd(self) -> ModelDim:
        """Posterior standard deviations of the abilities."""
        return np.sqrt(np.diagonal(self.ability_cov, axis1=1, axis2=2))

    def ability_interval(self, level: float = 0.9) -> tuple[ModelDim, ModelDim]:
        """Lower and upper bounds of the abilities.

        Args:
            level: Nominal coverage.
        """
        width = ndtri((1 + level) / 2) * self.ability_sd
        return self.ability_mean - width, self.ability_mean + width

    def abilities(self, level: float = 0.9) -> pd.DataFrame:
        """Abilities in standard deviations over the models of the fit; see `Posterior.abilities`."""
        lower, upper = self.ability_interval(level)
        columns = {"ability": self.ability_mean, "sd": self.ability_sd, "lower": lower, "upper": upper}
        return ability_frame(self.models, self.dim_names, columns)

    def item_table(self, level: float = 0.9) -> pd.DataFrame:
        """Difficulty and discrimination of each item with bounds, and its floor.

        Args:
            level: Nominal coverage of the bounds.
        """
        parts = {"difficulty": self.difficulty(), "discrimination": self.discrimination()}
        return pd.DataFrame({"item": self.items} | bounded_columns(parts, level)).assign(floor=self.floor)

    def chances(
        self,
        study: Study,
        rng: np.random.Generator,
        *,
        annotator: str | None = None,  # noqa: ARG002 - one interface for all kinds
        draws: int = 200,
    ) -> Iterator[FloatArray]:
        """Joint draws of chances; items outside the fit are drawn from the population; see `Posterior.chances`."""
        index = pd.Index(self.items).get_indexer(pd.Index(study_items(study)))
        return self.draw_chances(index, rng, draws)

    def contributions(
        self,
        study: Study,
        items: tuple[str, ...] | None = None,
        annotator: str | None = None,  # noqa: ARG002 - one interface for all kinds
    ) -> pd.DataFrame:
        """Split log-odds into ``ability`` (times slopes) and ``item`` (intercept); see `Posterior.contributions`."""
        ids = study_items(study) if items is None else items
        index = pd.Index(self.items).get_indexer(pd.Index(ids))
        parts = additive_parts((self.ability_mean, self.ability_cov), self.items_at(index, self.item_cov))
        return contribution_table(self.models, ids, parts)

    def draw_chances(self, item_index: RowIndex, rng: np.random.Generator, draws: int = 200) -> Iterator[FloatArray]:
        """Yield for each model in turn joint draws of its chances on items, as (item, draw).

        Args:
            item_index: Positions of the items in the fit, or `NEW_ITEM`; a fit with item features takes no new ones.
            rng: Source of randomness.
            draws: Number of draws.
        """
        ability, items = (self.ability_mean, self.ability_cov), self.items_at(item_index, self.answer_cov)
        return chance_draws(ability, items, asymptotes_at(self.extras, self.floor, item_index), rng, draws)

    def items_at(self, item_index: RowIndex, known_cov: ItemParamParam) -> tuple[FloatArray, FloatArray]:
        """Means and covariances of ``(a_1..a_D, d)`` of items; those of the population for `NEW_ITEM`.

        Args:
            item_index: Positions of the items in the fit, or `NEW_ITEM`.
            known_cov: Covariances of the fit's items: `item_cov` or `answer_cov`.
        """
        known = (item_index != NEW_ITEM)[:, None]
        if known.all():
            return self.item_mean[item_index], known_cov[item_index]
        new_mean, new_cov = self.population.moments(None)
        mean = np.where(known, self.item_mean[item_index], new_mean)
        return mean, np.where(known[..., None], known_cov[item_index], new_cov)

    def answer_chances(
        self,
        responses: Responses,
        study: Study | None = None,  # noqa: ARG002 - one interface for all kinds
        annotator: str | None = None,  # noqa: ARG002
    ) -> RowFloats:
        """Posterior predictive chances of answers to items of the fit; see `Posterior.answer_chances`."""
        models, items = self.model_index(responses.models), self.item_index(responses.items)
        return self.probability(models[responses.model_index], items[responses.item_index])

    def reliability(self) -> dict[str, float]:
        """Marginal reliability by dimension (Green et al., 1984)."""
        share = share_of_variance(self.ability_mean, np.diagonal(self.ability_cov, axis1=1, axis2=2))
        return dict(zip(self.dim_names, share.tolist(), strict=True))

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:
        """Abilities, and slopes and intercepts on ``(a, d)``; see `Posterior.parameter_draws`."""
        ability = gaussian_draws(self.ability_mean, self.ability_cov, rng, draws)
        item = self.population.on_slopes(gaussian_draws(self.native_mean, self.native_cov, rng, draws))
        return irt_parameters(np.moveaxis(ability, 2, 0), np.moveaxis(item, 2, 0))

    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """Models, items, and dimensions by number."""
        dims = tuple(str(dim + 1) for dim in range(self.dims))
        return {"model": self.models, "item": self.items, "dim": dims}

    def manifest(self) -> tuple[dict[str, Any], Tensors]:
        """Return the posterior as plain values and arrays, for storing."""
        tensors = {name: getattr(self, name) for name in STORED}
        if self.ability_inflation is not None:
            tensors[INFLATION] = self.ability_inflation
        axes = {"models": self.models, "items": self.items}
        stored = stored_parts(self.population, self.extras, tensors)
        trials = {name: getattr(self, name) for name in ("trial_weight", "trial_correlation")}
        return stored | {"kind": self.kind, "model": self.model_name} | trials | axes, tensors

    @classmethod
    def read(cls, manifest: dict[str, Any], tensors: Tensors) -> "IRTPosterior":
        """Rebuild a stored posterior; see `Posterior.read`."""
        return cls(
            models=tuple(manifest["models"]),
            items=tuple(manifest["items"]),
            population=read_population(manifest, tensors),
            model_name=manifest["model"],
            trial_weight=manifest.get("trial_weight", 1.0),
            trial_correlation=manifest.get("trial_correlation", 0.0),
            extras=read_extras(manifest, tensors),
            ability_inflation=tensors.get(INFLATION),
            **{name: tensors[name] for name in STORED},
        )

    @staticmethod
    def axes(manifest: dict[str, Any]) -> dict[str, tuple[str, ...]]:  # noqa: ARG004 - one interface for all kinds
        """Models label abilities, items label the other arrays."""
        return {name: ("models",) if name in ("ability_mean", "ability_cov") else ("items",) for name in LABELLED}

    def difficulty(self) -> pd.DataFrame:
        """Difficulty of each item: the ability at even log-odds, ``b = -d / a`` (``-d / |a|`` with several abilities).

        Returns:
            Columns ``item, mean, sd``; by the delta method where the fit is on ``(a, d)``, so the standard deviation
            of a nearly flat item is large.
        """
        if self.population.form == "positive":
            return moment_table(self.items, self.native_mean[:, 1], self.native_cov[:, 1, 1])
        return moment_table(self.items, *difficulty_moments(self.item_mean, self.item_cov))

    def discrimination(self) -> pd.DataFrame:
        """Discrimination of each item: its slope, or the length of its slopes with several abilities (Reckase, 1985).

        Returns:
            Columns ``item, mean, sd``.
        """
        return moment_table(self.items, *discrimination_moments(self.item_mean, self.item_cov))

    def logit_moments(self, model_index: RowIndex, item_index: RowIndex) -> Moments:
        """Mean and variance of the log-odds of models on items of the fit.

        Args:
            model_index: Position of each row's model.
            item_index: Position of each row's item.
        """
        mean, variance = np.empty(len(model_index)), np.empty(len(model_index))
        for start in range(0, len(model_index), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            model, item = model_index[rows], item_index[rows]
            mean[rows], variance[rows] = product_moments(
                self.ability_mean[model], self.ability_cov[model], self.item_mean[item], self.item_cov[item]
            )
        return mean, variance

    def probability(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Posterior predictive chance of success (mean score), row by row; see `logit_moments` for the arguments."""
        mean, variance = self._answer_moments(model_index, item_index)
        if self.extras is None:
            return success_probability(mean, variance, self.floor[item_index])
        return self.extras.expected(mean, variance, item_index)

    def score_variance(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Posterior predictive variance of one trial's score, row by row; see `logit_moments` for the arguments."""
        if self.extras is None:
            chance = self.probability(model_index, item_index)
            return chance * (1 - chance) / self.trial_weight
        mean, variance = self._answer_moments(model_index, item_index)
        return self.extras.score_variance(mean, variance, item_index) / self.trial_weight

    @property
    def conditional_cov(self) -> ItemParamParam:
        """Covariances of ``(a_1..a_D, d)`` given the abilities' posteriors, as the engine estimated them."""
        return self.item_cov if self.ability_inflation is None else self.item_cov - self.ability_inflation

    def given_abilities(self) -> "IRTPosterior":
        """The same fit with covariances of the items given the abilities, for scoring new models on its items."""
        if self.ability_inflation is None:
            return self
        native = self.conditional_cov if self.population.form == "signed" else self.native_cov
        return replace(self, item_cov=self.conditional_cov, native_cov=native, ability_inflation=None)

    @property
    def answer_cov(self) -> ItemParamParam:
        """Covariances of ``(a_1..a_D, d)`` given abilities and the extras' means, which predict answers."""
        cov = self.conditional_cov
        return cov if self.extras is None else cov - self.extras.covariance_inflation

    def _answer_moments(self, model_index: RowIndex, item_index: RowIndex) -> Moments:
        return replace(self, item_cov=self.answer_cov).logit_moments(model_index, item_index)

    def asymptotes(self, level: float = 0.9) -> pd.DataFrame:
        """Floor and ceiling of each item with intervals.

        Args:
            level: Nominal coverage.

        Returns:
            Columns ``item, floor, floor_sd, floor_lower, floor_upper`` and the same for ``ceiling``.

        Raises:
            FitError: The fit estimated none.
        """
        if self.extras is None or not self.extras.has_asymptotes:
            raise FitError("this fit has no estimated floor; fit model '3pl' or '4pl'")
        return self.extras.asymptotes(self.items, level)

    def new_item_moments(self, model_index: RowIndex, features: np.ndarray | None = None) -> Moments:
        """Mean and variance of the log-odds on items never seen, row by row.

        Args:
            model_index: Position of each row's model.
            features: Array (row, feature) of each row's item; None where the fit has no features.

        Raises:
            FitError: The features do not fit those of the fit.
        """
        item_mean, item_cov = self.population.moments(features, len(model_index))
        return product_moments(self.ability_mean[model_index], self.ability_cov[model_index], item_mean, item_cov)

    def new_item_probability(
        self, model_index: RowIndex, features: np.ndarray | None = None, floor: RowFloats | float | None = None
    ) -> RowFloats:
        """Chance of success on items never seen, over item residuals and abilities; see `new_item_moments`.

        Args:
            model_index: Position of each row's model.
            features: Array (row, feature) of each row's item; None where the fit has no features.
            floor: Chance of a right guess; by default 0, or that of a typical item where floors were estimated.
        """
        mean, variance = self.new_item_moments(model_index, features)
        if self.extras is None:
            return success_probability(mean, variance, 0.0 if floor is None else floor)
        typical = self.extras.typical_items(len(mean))
        if floor is not None:
            typical = typical.with_floor(floor)
        return typical.expected(mean, variance, np.arange(len(mean)))

    def take_items(self, index: Int[np.ndarray, " chosen"]) -> "IRTPosterior":
        """The same fit with some of its items, in this order; abilities stay."""
        return replace(
            self,
            items=tuple(self.items[i] for i in index),
            item_mean=self.item_mean[index],
            item_cov=self.item_cov[index],
            native_mean=self.native_mean[index],
            native_cov=self.native_cov[index],
            floor=self.floor[index],
            ability_inflation=None if self.ability_inflation is None else self.ability_inflation[index],
            extras=None if self.extras is None else self.extras.take(index),
        )

    def model_index(self, names: tuple[str, ...]) -> Int[np.ndarray, " name"]:
        """Positions of models by name.

        Raises:
            FitError: A name is not in the fit.
        """
        return positions(names, self.models, "model")

    def item_index(self, names: tuple[str, ...]) -> Int[np.ndarray, " name"]:
        """Positions of items by id.

        Raises:
            FitError: An id is not in the fit.
        """
        return positions(names, self.items, "item")
