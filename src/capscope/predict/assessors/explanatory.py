"""The explanatory item response model: demands explain an item's slopes and difficulty, up to a residual.

Log-odds of success are ``a_i . theta_m + d_i`` with ``(a_i, d_i) ~ N(G [1, x_i], S)`` and demands x. A chance on an
item nobody has run integrates over the item's residual S, the weights G and the abilities (De Boeck & Wilson, 2004).
"""

from dataclasses import dataclass

import numpy as np

from capscope.axes import ItemDim, RowIndex
from capscope.fit import IRTPosterior, IRTSettings, fit_irt
from capscope.predict.assessor import Chances, Training


@dataclass(frozen=True)
class FittedExplanatory:
    """A fitted explanatory model with the demands of all items."""

    posterior: IRTPosterior
    """The fit on the training items."""
    demands: ItemDim
    """Demand levels of all items."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success, every item taken as one that nobody has run."""
        return Chances.of(self.posterior.new_item_probability(model_index, self.demands[item_index]))


@dataclass(frozen=True)
class ExplanatoryAssessor:
    """Fits the explanatory model; several abilities let models differ in which demands cost them most."""

    dims: int = 2

    def fit(self, training: Training) -> FittedExplanatory:
        """Fit on the items that have training answers."""
        responses = training.responses
        demands = training.features.need_demands("assessor 'explanatory'")
        seen, position = np.unique(responses.item_index, return_inverse=True)
        items = tuple(responses.items[item] for item in seen)
        reduced = responses.rows(np.arange(len(position)))
        reduced = type(reduced)(
            responses.models, items, responses.model_index, position, responses.score, responses.n_trials
        )
        model = "mirt" if self.dims > 1 else "2pl"
        settings = IRTSettings(model=model, dims=self.dims, form="signed", seed=training.seed)
        fit = fit_irt(reduced, settings, features=demands[seen])
        return FittedExplanatory(fit.posterior, demands)
