"""Draws of a posterior as ArviZ's ``InferenceData``, for its diagnostics, comparisons and plots."""

import warnings
from typing import Any

import numpy as np
import torch

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.errors import MissingExtraError
from capscope.fit.engines.pyro.sampling import SampledPosterior
from capscope.fit.irt.posterior import IRTPosterior, gaussian_draws, positions
from capscope.fit.links import log_likelihood_of

AnyPosterior = IRTPosterior | SampledPosterior


def to_arviz(posterior: AnyPosterior, responses: Responses | None = None, draws: int = 400, seed: int = 0) -> Any:  # noqa: ANN401 - arviz is optional, so its types cannot be named here
    """Export a posterior to ArviZ.

    Args:
        posterior: A fit; a Gaussian posterior is drawn from, a sampled one gives the draws it has as one chain.
        responses: The responses of the fit; they add the groups ``observed_data`` and ``log_likelihood`` over the axis
            ``row``, which take 8 bytes for each draw of each row.
        draws: Number of draws from a Gaussian posterior.
        seed: Seed of those draws.

    Returns:
        An ``arviz.InferenceData`` whose group ``posterior`` holds ``ability`` (chain, draw, model, dim), ``slope``
        (chain, draw, item, dim) and ``intercept`` (chain, draw, item), in log-odds, with names as coordinates;
        ``constant_data`` holds ``floor`` (item).

    Raises:
        MissingExtraError: arviz is not installed.
        FitError: A model or item of the responses is not in the fit.
    """
    arviz = _arviz()
    ability, item = _drawn(posterior, draws, np.random.default_rng(seed))
    groups: dict[str, Any] = {
        "posterior": {"ability": ability[None], "slope": item[None, :, :, :-1], "intercept": item[None, :, :, -1]},
        "constant_data": {"floor": posterior.floor},
    }
    coords = {
        "model": list(posterior.models),
        "item": list(posterior.items),
        "dim": [str(dim + 1) for dim in range(ability.shape[2])],
    }
    dims = {"ability": ["model", "dim"], "slope": ["item", "dim"], "intercept": ["item"], "floor": ["item"]}
    if responses is not None:
        groups |= {"observed_data": {"score": responses.score}}
        groups |= {"log_likelihood": {"score": _log_likelihood(posterior, responses, ability, item)[None]}}
        dims |= {"score": ["row"]}
        coords |= {"row": list(range(len(responses.score)))}
    return arviz.from_dict(**groups, coords=coords, dims=dims, attrs={"inference_library": "capscope"})


def _arviz() -> Any:  # noqa: ANN401 - see to_arviz
    try:
        with warnings.catch_warnings():
            # announces a coming version once a day; where warnings are errors that would look like a missing package
            warnings.simplefilter("ignore", FutureWarning)
            import arviz  # pyright: ignore[reportMissingImports] - an optional extra
    except ImportError:
        raise MissingExtraError("to_arviz needs arviz; pip install 'capscope[arviz]'") from None
    return arviz


def _drawn(posterior: AnyPosterior, draws: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Abilities (draw, model, dim) and items on ``(a, d)`` (draw, item, param)."""
    if isinstance(posterior, SampledPosterior):
        return posterior.ability, posterior.item
    ability = gaussian_draws(posterior.ability_mean, posterior.ability_cov, rng, draws)
    item = gaussian_draws(posterior.native_mean, posterior.native_cov, rng, draws)
    if posterior.population.form == "positive":
        slope = np.exp(item[:, :1])
        item = np.concatenate([slope, -slope * item[:, 1:]], 1)
    return np.moveaxis(ability, 2, 0), np.moveaxis(item, 2, 0)


def _log_likelihood(posterior: AnyPosterior, responses: Responses, ability: FloatArray, item: FloatArray) -> FloatArray:
    """Log-likelihood of each row at each draw (draw, row)."""
    model = positions(responses.models, posterior.models, "model")[responses.model_index]
    at = positions(responses.items, posterior.items, "item")[responses.item_index]
    logit = (ability[:, model] * item[:, at, :-1]).sum(-1) + item[:, at, -1]
    row = (torch.from_numpy(values) for values in (responses.score, responses.n_trials, posterior.floor[at]))
    return log_likelihood_of(torch.from_numpy(logit), *row).numpy()
