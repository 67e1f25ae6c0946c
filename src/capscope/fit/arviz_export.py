"""Draws of a posterior as ArviZ's ``InferenceData``, for its diagnostics, comparisons and plots."""

import warnings
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.errors import FitError, MissingExtraError
from capscope.fit.links import log_likelihood_of
from capscope.fit.posterior import ParameterDraws, positions


@runtime_checkable
class Drawable(Protocol):
    """What can be exported: every `Posterior`, and the draws of a sampler."""

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:
        """Draws of the parameters by name, the draw axis first, each with the names of its other axes."""
        ...

    def coordinates(self) -> Mapping[str, tuple[str, ...]]:
        """Names along each axis."""
        ...


@runtime_checkable
class HasFloors(Protocol):
    """Posteriors of item response models."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        ...

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        ...

    @property
    def floor(self) -> FloatArray:
        """Chance of a right guess on each item."""
        ...


def to_arviz(posterior: Drawable, responses: Responses | None = None, draws: int = 400, seed: int = 0) -> Any:  # noqa: ANN401 - arviz is optional, so its types cannot be named here
    """Export a posterior to ArviZ.

    Args:
        posterior: A fit; a Gaussian posterior is drawn from, a sampled one gives the draws it has as one chain.
        responses: The responses of an item response fit; they add the groups ``observed_data`` and
            ``log_likelihood`` over the axis ``row``, which take 8 bytes for each draw of each row.
        draws: Number of draws from a Gaussian posterior.
        seed: Seed of those draws.

    Returns:
        An ``arviz.InferenceData`` whose group ``posterior`` holds the parameters, with names as coordinates: of an item
        response fit ``ability`` (chain, draw, model, dim), ``slope`` (chain, draw, item, dim) and ``intercept`` (chain,
        draw, item), in log-odds; ``constant_data`` then holds ``floor`` (item).

    Raises:
        MissingExtraError: arviz is not installed.
        FitError: A model or item of the responses is not in the fit, or the fit has no likelihood of single answers.
    """
    arviz = _arviz()
    parameters = posterior.parameter_draws(np.random.default_rng(seed), draws)
    groups: dict[str, Any] = {"posterior": {name: values[None] for name, (values, _) in parameters.items()}}
    dims = {name: list(axes) for name, (_, axes) in parameters.items()}
    coords: dict[str, list[Any]] = {axis: list(names) for axis, names in posterior.coordinates().items()}
    if isinstance(posterior, HasFloors):
        groups |= {"constant_data": {"floor": posterior.floor}}
        dims |= {"floor": ["item"]}
    if responses is not None:
        if not isinstance(posterior, HasFloors):
            raise FitError("only item response fits have a log-likelihood of each answer; leave the responses out")
        groups |= {"observed_data": {"score": responses.score}}
        groups |= {"log_likelihood": {"score": _log_likelihood(posterior, responses, parameters)[None]}}
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


def _log_likelihood(posterior: HasFloors, responses: Responses, parameters: ParameterDraws) -> FloatArray:
    """Log-likelihood of each row at each draw (draw, row)."""
    ability, slope, intercept = (parameters[name][0] for name in ("ability", "slope", "intercept"))
    model = positions(responses.models, posterior.models, "model")[responses.model_index]
    at = positions(responses.items, posterior.items, "item")[responses.item_index]
    logit = (ability[:, model] * slope[:, at]).sum(-1) + intercept[:, at]
    row = (torch.from_numpy(values) for values in (responses.score, responses.n_trials, posterior.floor[at]))
    return log_likelihood_of(torch.from_numpy(logit), *row).numpy()
