"""A start from a fit of part of the data: what it knows of models and items, the rest one or two steps away."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from capscope.fit.cells.interface import Cells
from capscope.fit.engines.variational.item_forms import ItemForm
from capscope.fit.engines.variational.kernels import Gaussians, cell_sums
from capscope.fit.engines.variational.sweeps import State, model_step

MODEL_STEPS = 3
"""Newton steps that bring models to known items."""


@dataclass(frozen=True)
class WarmStart:
    """A fit of some models on all items, or of all models on some items."""

    state: State
    """The fit."""
    models: Int[np.ndarray, " known_model"]
    """Positions of its models."""
    items: Int[np.ndarray, " known_item"]
    """Positions of its items."""

    def knows_enough(self, cells: Cells) -> bool:
        """Whether one axis is known in full."""
        return len(self.models) == cells.shape[0] or len(self.items) == cells.shape[1]

    def state_on(self, by_model: Cells, form: ItemForm, threads: int) -> State:
        """The start on all models and items.

        Args:
            by_model: All cells, models in rows.
            form: Form of the items.
            threads: Chunks of rows worked on at once.
        """
        n_models, n_items = by_model.shape
        items = _placed(self.state.items, self.items, n_items, self.state.prior.intercept, self.state.prior.cov)
        models = _unknown_models(self.state.models, n_models)
        if len(self.models) == n_models:
            return State(self.state.models, items, self.state.prior)
        moments = form.moments(items)
        for _ in range(MODEL_STEPS):
            models = model_step(models, cell_sums(by_model, models, moments, "model", threads))
        return State(models, items, self.state.prior)


def _unknown_models(like: Gaussians, n_models: int) -> Gaussians:
    size = like.mean.shape[1]
    mean = like.mean.new_zeros(n_models, size)
    mean[:, -1] = 1
    return Gaussians(mean, like.cov.new_zeros(n_models, size, size))


def _placed(known: Gaussians, at: np.ndarray, size: int, mean: Tensor, cov: Tensor) -> Gaussians:
    """All items: known ones at their places, the others where the average item is."""
    if len(at) == size:
        return known
    where = torch.from_numpy(at).to(known.mean.device)
    everywhere = Gaussians(mean.expand(size, -1).clone(), cov.expand(size, -1, -1).clone())
    everywhere.mean[where], everywhere.cov[where] = known.mean, known.cov
    return everywhere
