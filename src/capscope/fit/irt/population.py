"""The population of items, the prior that new items are drawn from; and how a fit stores it with the items' extras."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray
from capscope.errors import FitError
from capscope.fit.irt.item_extras import ItemExtras
from capscope.fit.posterior import Tensors

ItemParam = Float[np.ndarray, "item param"]
ItemParamParam = Float[np.ndarray, "item param param"]
STORED = ("ability_mean", "ability_cov", "item_mean", "item_cov", "native_mean", "native_cov", "floor")
_POPULATION = ("intercept", "weight", "cov", "leverage", "center", "scale")
_EXTRAS = {
    "mean": "mean",
    "cov": "cov",
    "widening": "covariance_inflation",
    "typical": "typical",
    "typical_variance": "typical_variance",
}
"""Attributes of `ItemExtras` by the names under which fits store them."""
INFLATION = "ability_inflation"
LABELLED = (*STORED, INFLATION, "shape.mean", "shape.cov", "shape.widening")


@dataclass(frozen=True)
class ItemPopulation:
    """Item parameters given features: ``N(intercept + weight @ (x - center) / scale, cov)``."""

    form: Literal["signed", "positive"]
    """``signed``: parameters ``(a_1..a_D, d)``; ``positive``: ``(log a, b)`` with ``d = -a b``."""
    intercept: Float[np.ndarray, " param"]
    """Mean at average features."""
    weight: Float[np.ndarray, "param feature"]
    """Effect of one standard deviation of each feature."""
    cov: Float[np.ndarray, "param param"]
    """Residual covariance given the features."""
    leverage: Float[np.ndarray, "param feature feature"]
    """Covariance of the weights of each parameter, in units of its variance in `cov`."""
    center: Float[np.ndarray, " feature"]
    """Mean of each feature over the fitted items."""
    scale: Float[np.ndarray, " feature"]
    """Standard deviation of each feature over the fitted items."""
    is_prior: bool = True
    """Whether it was the items' prior; after maximum likelihood it only describes the estimates."""

    def moments(self, features: np.ndarray | None, n_items: int = 1) -> tuple[ItemParam, ItemParamParam]:
        """Mean and covariance of ``(a, d)`` of items never seen.

        Args:
            features: Array (item, feature); None for items of which nothing is known.
            n_items: Number of items where there are no features.

        Raises:
            FitError: The number of features differs from the fit's, or a value is not finite.
        """
        mean, cov = self.native(features, n_items)
        if self.form == "signed":
            return mean, cov
        import torch

        from capscope.fit.tensor_links import lognormal_moments

        moments, covariances = lognormal_moments(torch.from_numpy(mean), torch.from_numpy(cov))
        return moments.numpy(), covariances.numpy()

    def native(self, features: np.ndarray | None, n_items: int = 1) -> tuple[ItemParam, ItemParamParam]:
        """Mean and covariance of the parameters in the population's own form; see `moments`."""
        standard = self.standardised(features, n_items)
        mean = self.intercept + standard @ self.weight.T
        # known weights would make items far from the fitted ones look as well known as the average item
        unknown = np.einsum("nf,kfg,ng->nk", standard, self.leverage, standard) * np.diagonal(self.cov)
        return mean, self.cov + unknown[:, :, None] * np.eye(len(self.intercept))

    def on_slopes(self, native: FloatArray) -> FloatArray:
        """Parameters in the population's own form as ``(a, d)``, both as (item, param, draw)."""
        if self.form == "signed":
            return native
        slope = np.exp(native[:, :1])
        return np.concatenate([slope, -slope * native[:, 1:]], 1)

    def standardised(self, features: np.ndarray | None, n_items: int) -> Float[np.ndarray, "item feature"]:
        """Features in units of the fitted items' spread; see `moments`.

        Raises:
            FitError: Features are missing, not finite, or of another number than the fit was made with.
        """
        if features is None:
            if len(self.center):
                raise FitError(f"this fit knows {len(self.center)} item features; give them for new items too")
            return np.zeros((n_items, 0))
        raw = np.asarray(features, float)
        if raw.ndim != 2 or raw.shape[1] != len(self.center):
            raise FitError(f"features have shape {raw.shape}; this fit was made with {len(self.center)} features")
        if not np.isfinite(raw).all():
            raise FitError("features of new items hold NaN or infinity; fill them or drop the items")
        return (raw - self.center) / self.scale


def stored_parts(population: ItemPopulation, extras: ItemExtras | None, tensors: Tensors) -> dict[str, Any]:
    """Add the arrays of population and extras to the tensors.

    Args:
        population: Population that new items are drawn from.
        extras: Posteriors of the items' extra parameters; None for none.
        tensors: Arrays by name, added to.

    Returns:
        Plain values for the manifest.
    """
    tensors |= {f"population.{name}": getattr(population, name) for name in _POPULATION}
    if extras is not None:
        tensors |= {f"shape.{stored}": getattr(extras, name) for stored, name in _EXTRAS.items()}
    return {
        "head": None if extras is None else extras.code,
        "form": population.form,
        "population_is_prior": population.is_prior,
    }


def read_population(manifest: dict[str, Any], tensors: Tensors) -> ItemPopulation:
    """Rebuild a stored population.

    Args:
        manifest: Plain values of the stored fit.
        tensors: Arrays of the stored fit, by name.

    Returns:
        The population of items.
    """
    parts = {name: tensors[f"population.{name}"] for name in _POPULATION}
    return ItemPopulation(manifest["form"], **parts, is_prior=manifest.get("population_is_prior", True))


def read_extras(manifest: dict[str, Any], tensors: Tensors) -> ItemExtras | None:
    """Rebuild stored extras; None where the fit has none.

    Args:
        manifest: Plain values of the stored fit.
        tensors: Arrays of the stored fit, by name.

    Returns:
        The extras of the items, or None.

    Raises:
        KeyError: This version has no such score model.
    """
    code = manifest.get("head")
    if code is None:
        return None
    extras = ItemExtras(code, **{name: tensors[f"shape.{stored}"] for stored, name in _EXTRAS.items()})
    if not extras.has_asymptotes:
        extras.score_model()
    return extras
