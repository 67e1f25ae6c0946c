"""Ability scores of models given the items: expected a posteriori and maximum a posteriori, with their errors."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from capscope.axes import FloatArray, ModelDim
from capscope.data import ResponseMatrix
from capscope.errors import FitError
from capscope.fit.irt import score_models
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.links import success_probability

NODES = (41, 15, 9, 7)
"""Nodes along each of one, two, three or four abilities."""


@dataclass(frozen=True)
class AbilityScores:
    """Two summaries of each model's posterior given the items of a fit, under the prior N(0, I)."""

    models: tuple[str, ...]
    """Names on the model axis."""
    eap: ModelDim
    """Expected a posteriori abilities (Bock & Mislevy, 1982), by quadrature."""
    eap_sd: ModelDim
    """Posterior standard deviations."""
    map: ModelDim
    """Maximum a posteriori abilities."""
    map_se: ModelDim
    """Standard errors from the information at the maximum and the prior."""

    def table(self) -> pd.DataFrame:
        """One row for each model and dimension: ``model, dim, eap, eap_sd, map, map_se``."""
        n_models, dims = self.eap.shape
        columns = {name: getattr(self, name).ravel() for name in ("eap", "eap_sd", "map", "map_se")}
        index = {"model": np.repeat(self.models, dims), "dim": np.tile(np.arange(1, dims + 1), n_models)}
        return pd.DataFrame(index | columns)


def ability_scores(posterior: IRTPosterior, responses: ResponseMatrix) -> AbilityScores:
    """Score models, new or old, on the items of a fit.

    Args:
        posterior: A fit; its items' uncertainty is counted in.
        responses: Answers to items of the fit.

    Raises:
        FitError: An item is not in the fit, or the fit has more abilities than quadrature can take.
    """
    if posterior.dims > len(NODES):
        raise FitError(f"ability_scores: quadrature takes at most {len(NODES)} abilities; use score_models")
    mode = score_models(posterior, responses)
    items = posterior.take_items(posterior.item_index(responses.items))
    order = np.argsort(responses.model_index, kind="stable")
    bounds = np.searchsorted(responses.model_index[order], np.arange(len(responses.models) + 1))
    mean, sd = np.empty_like(mode.ability_mean), np.empty_like(mode.ability_mean)
    for model in range(len(responses.models)):
        rows = responses.rows(order[bounds[model] : bounds[model + 1]])
        mean[model], sd[model] = _expected(items, rows, mode.ability_mean[model], mode.ability_cov[model])
    return AbilityScores(responses.models, mean, sd, mode.ability_mean, mode.ability_sd)


def _expected(
    items: IRTPosterior, rows: ResponseMatrix, mode: FloatArray, cov: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of one model's posterior, on nodes around its mode."""
    line = np.linspace(-5, 5, NODES[len(mode) - 1])
    node = mode + np.array(list(product(line, repeat=len(mode)))) @ np.linalg.cholesky(cov).T
    point = np.column_stack([node, np.ones(len(node))])
    item, item_cov = items.item_mean[rows.item_index], items.item_cov[rows.item_index]
    variance = np.einsum("qi,nij,qj->qn", point, item_cov, point)
    chance = success_probability(point @ item.T, variance, items.floor[rows.item_index])
    chance = np.clip(chance, 1e-12, 1 - 1e-12)
    cells = rows.n_trials * (rows.score * np.log(chance) + (1 - rows.score) * np.log1p(-chance))
    log_density = cells.sum(1) - 0.5 * (node**2).sum(1)
    share = np.exp(log_density - logsumexp(log_density))[:, None]
    mean = (share * node).sum(0)
    return mean, np.sqrt((share * (node - mean) ** 2).sum(0))
