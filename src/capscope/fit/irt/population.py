"""The population of items: the prior that new items are drawn from, outside of torch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from capscope.errors import FitError
from capscope.fit.irt.moments import lognormal_moments

ItemParam = Float[np.ndarray, "item param"]
ItemParamParam = Float[np.ndarray, "item param param"]


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
    """What features leave open."""
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
        moments, covariances = lognormal_moments(torch.from_numpy(mean), torch.from_numpy(cov))
        return moments.numpy(), covariances.numpy()

    def native(self, features: np.ndarray | None, n_items: int = 1) -> tuple[ItemParam, ItemParamParam]:
        """Mean and covariance of the parameters in the population's own form; see `moments`."""
        standard = self.standardised(features, n_items)
        mean = self.intercept + standard @ self.weight.T
        # known weights would make items far from the fitted ones look as well known as the average item
        unknown = np.einsum("nf,kfg,ng->nk", standard, self.leverage, standard) * np.diagonal(self.cov)
        return mean, self.cov + unknown[:, :, None] * np.eye(len(self.intercept))

    def standardised(self, features: np.ndarray | None, n_items: int) -> Float[np.ndarray, "item feature"]:
        """Features in units of the fitted items' spread; see `moments`."""
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
