"""The protocol of posteriors, which all kinds of fit follow, and their export to ArviZ."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, RowFloats
from capscope.data import Responses, Study
from capscope.errors import FitError, MissingExtraError, first_few, nearest

Tensors = dict[str, np.ndarray]
ParameterDraws = Mapping[str, tuple[FloatArray, tuple[str, ...]]]
"""Draws by parameter, the draw axis first, each with the names of its other axes."""

LEAST_RELIABILITY = 0.5
"""Below this, more than half of the variance of the estimated abilities is error."""


@runtime_checkable
class Posterior(Protocol):
    """The posterior distribution of a fit, outside of torch."""

    kind: ClassVar[str]
    """Name of the kind of fit: ``irt``, ``curves`` or ``demand``."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names on the model axis."""
        ...

    @property
    def dim_names(self) -> tuple[str, ...]:
        """Names of the abilities that each model has."""
        ...

    @property
    def model_name(self) -> str:
        """Name of the model that was fitted, such as ``2pl``."""
        ...

    @property
    def rubrics(self) -> tuple[str, ...]:
        """Codes of the rubrics whose demand levels predictions use; none where demands are not used."""
        ...

    def abilities(self, level: float = 0.9) -> pd.DataFrame:
        """Abilities with intervals.

        Args:
            level: Nominal coverage of the bounds.

        Returns:
            One row for each model and dimension, with columns ``model, dim, ability, sd, lower, upper`` and possibly
            more.
        """
        ...

    def item_table(self, level: float = 0.9) -> pd.DataFrame:
        """Estimates of the items, one row each; no rows where the fit has no items.

        Args:
            level: Nominal coverage of the bounds.
        """
        ...

    def chances(
        self, study: Study, rng: np.random.Generator, *, annotator: str | None = None, draws: int = 200
    ) -> Iterator[FloatArray]:
        """Yield for each model in turn joint draws of its chances of success, as (item, draw).

        Args:
            study: The items, in the sorted order of their ids, with demands where the fit needs them.
            rng: Source of randomness.
            annotator: Whose demand levels to use.
            draws: Number of draws, where the fit does not hold draws already.
        """
        ...

    def contributions(
        self, study: Study, items: tuple[str, ...] | None = None, annotator: str | None = None
    ) -> pd.DataFrame:
        """Split the log-odds of the models' chances on items into additive parts.

        Args:
            study: The items, with demands where the fit needs them.
            items: Ids of the items; by default all of the study.
            annotator: Whose demand levels to use.

        Returns:
            One row for each part of each chance, with columns ``item_id, model, part, log_odds, sd``, item by item.
        """
        ...

    def answer_chances(
        self, responses: Responses, study: Study | None = None, annotator: str | None = None
    ) -> RowFloats:
        """Predicted chance of success (mean score) of each row of responses to items of the fit.

        Args:
            responses: The rows; their scores are not looked at.
            study: The items' demands, where the fit needs them.
            annotator: Whose demand levels to use.

        Raises:
            FitError: A model or item is not in the fit, or the fit needs a study.
        """
        ...

    def reliability(self) -> dict[str, float]:
        """Share of the abilities' variance over the models that is not posterior uncertainty, by dimension."""
        ...

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:
        """Draws of the parameters, for export.

        Args:
            rng: Source of randomness.
            draws: Number of draws, where the fit does not hold draws already.
        """
        ...

    def coordinates(self) -> Mapping[str, tuple[str, ...]]:
        """Names along each axis of `parameter_draws`."""
        ...

    def manifest(self) -> tuple[dict[str, Any], Tensors]:
        """Return the posterior as plain values and arrays by name, for storing."""
        ...

    @classmethod
    def read(cls, manifest: dict[str, Any], tensors: Tensors) -> "Posterior":
        """Rebuild a stored posterior.

        Args:
            manifest: Plain values that `manifest` of the same class wrote.
            tensors: Arrays by name, as stored.

        Raises:
            KeyError: A part is missing.
        """
        ...

    @staticmethod
    def axes(manifest: dict[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """Keys of the manifest that label the axes of each stored array, in order; ``""`` for an axis without names.

        Args:
            manifest: The stored manifest.
        """
        ...


def ability_frame(
    models: tuple[str, ...], dims: tuple[str, ...], columns: Mapping[str, FloatArray | np.ndarray]
) -> pd.DataFrame:
    """Lay arrays (model, dim) out as a table with one row for each model and dimension.

    Args:
        models: Names on the model axis.
        dims: Names on the dimension axis.
        columns: Arrays by column.
    """
    model, dim = np.meshgrid(np.array(models, object), np.array(dims, object), indexing="ij")
    named = {"model": model, "dim": dim, **columns}
    return pd.DataFrame({name: np.asarray(values).ravel() for name, values in named.items()})


def contribution_table(
    models: tuple[str, ...], items: tuple[str, ...], parts: Sequence[tuple[str, np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    """Lay parts of log-odds out as `Posterior.contributions` does.

    Args:
        models: Names on the model axis.
        items: Ids on the item axis.
        parts: Name, log-odds and standard deviation of each part, as (model, item).

    Returns:
        Columns model, item_id, part, log_odds, sd.
    """
    ids = np.array(items)
    rows = [contribution_rows(models, ids, np.full(len(ids), name), mean, sd) for name, mean, sd in parts]
    return joined_contributions(rows, items)


def nonzero_contributions(
    models: tuple[str, ...], items: tuple[str, ...], names: tuple[str, ...], value: np.ndarray, sd: np.ndarray
) -> pd.DataFrame:
    """Lay out the parts of all models on all items, without parts that are 0 for all; see `contribution_table`.

    Args:
        models: Names on the model axis.
        items: Ids on the item axis.
        names: Names of the parts.
        value: Log-odds (row, part); rows run over models first, then items.
        sd: Standard deviations (row, part).

    Returns:
        Columns model, item_id, part, log_odds, sd.
    """
    shape = (len(models), len(items))
    used = [place for place in range(len(names)) if value[:, place].any() or sd[:, place].any()]
    parts = [(names[place], value[:, place].reshape(shape), sd[:, place].reshape(shape)) for place in used]
    return contribution_table(models, items, parts)


def contribution_rows(
    models: tuple[str, ...], item_id: np.ndarray, part: np.ndarray, log_odds: np.ndarray, sd: np.ndarray
) -> pd.DataFrame:
    """Reshape contributions to a table with columns ``item_id, model, part, log_odds, sd``.

    Args:
        models: Models, on the first axis.
        item_id: Item of each row.
        part: Name of the part of each row.
        log_odds: Contributions, shape (model, row).
        sd: Their posterior standard deviations.
    """
    n = len(item_id)
    return pd.DataFrame(
        {
            "item_id": np.tile(item_id, len(models)),
            "model": np.repeat(np.array(models), n),
            "part": np.tile(part, len(models)),
            "log_odds": log_odds.ravel(),
            "sd": sd.ravel(),
        }
    )


def joined_contributions(tables: list[pd.DataFrame], items: tuple[str, ...]) -> pd.DataFrame:
    """Join tables of parts and sort them by item, then by model; the parts of one chance keep their order.

    Args:
        tables: Tables of parts, see `contribution_table`.
        items: Ids on the item axis, in order.

    Returns:
        One table.
    """
    table = pd.concat(tables, ignore_index=True)
    place = pd.Index(items).get_indexer(pd.Index(table["item_id"]))
    order = np.lexsort((np.arange(len(table)), table["model"].to_numpy(), place))
    return table.iloc[order].reset_index(drop=True)


def study_items(study: Study) -> tuple[str, ...]:
    """Sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()))
    return tuple(sorted(table["item_id"].astype(str).unique()))


def share_of_variance(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Marginal reliability by dimension (Green et al., 1984).

    Args:
        mean: Posterior means (model, dim).
        variance: Posterior variances (model, dim).
    """
    signal, error = mean.var(0), variance.mean(0)
    return signal / np.maximum(signal + error, 1e-300)


def positions(names: tuple[str, ...], known: tuple[str, ...], what: str) -> np.ndarray:
    """Positions of names on an axis.

    Args:
        names: Names to look up.
        known: Names on the axis, in order.
        what: What they name, for the message, such as "model".

    Raises:
        FitError: A name is not known.
    """
    index = pd.Index(known).get_indexer(pd.Index(names))
    missing = [name for name, position in zip(names, index, strict=True) if position < 0]
    if missing:
        hint = nearest(missing[0], known)
        raise FitError(f"the fit has no {what} {first_few(missing)}{hint}; fit again with it, or leave it out")
    return index


@runtime_checkable
class Drawable(Protocol):
    """Posteriors that can be exported: every `Posterior`, and the draws of a sampler."""

    def parameter_draws(self, rng: np.random.Generator, draws: int) -> ParameterDraws:
        """Draws of the parameters by name, the draw axis first, each with the names of its other axes.

        Args:
            rng: Source of randomness.
            draws: Number of draws.
        """
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
        responses: Responses of an item response fit, for the groups ``observed_data`` and ``log_likelihood`` (draw,
            row), 8 bytes a value.
        draws: Number of draws from a Gaussian posterior.
        seed: Seed of those draws.

    Returns:
        An ``arviz.InferenceData`` with named coordinates. Its group ``posterior`` holds, for an item response fit,
        ``ability`` (chain, draw, model, dim), ``slope`` (chain, draw, item, dim) and ``intercept`` (chain, draw, item)
        in log-odds; ``constant_data`` holds ``floor`` (item).

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
            warnings.simplefilter("ignore", FutureWarning)  # as an error it would look like a missing package
            import arviz  # pyright: ignore[reportMissingImports] - an optional extra
    except ImportError:
        raise MissingExtraError("to_arviz needs arviz; pip install 'capscope[arviz]'") from None
    return arviz


def _log_likelihood(posterior: HasFloors, responses: Responses, parameters: ParameterDraws) -> FloatArray:
    """Log-likelihood of each row at each draw (draw, row)."""
    import torch

    from capscope.fit.tensor_links import log_likelihood_of

    ability, slope, intercept = (parameters[name][0] for name in ("ability", "slope", "intercept"))
    model = positions(responses.models, posterior.models, "model")[responses.model_index]
    at = positions(responses.items, posterior.items, "item")[responses.item_index]
    logit = (ability[:, model] * slope[:, at]).sum(-1) + intercept[:, at]
    columns = (responses.score, responses.n_trials, posterior.floor[at])
    row = (torch.from_numpy(np.require(values, float, "W")) for values in columns)
    return log_likelihood_of(torch.from_numpy(logit), *row).numpy()


def low_reliability(posterior: Posterior) -> tuple[str, ...]:
    """One line of advice where the reliability of the abilities is low; else none.

    Args:
        posterior: A fit's posterior; of several dimensions the most reliable one counts.
    """
    known = {name: share for name, share in posterior.reliability().items() if np.isfinite(share)}
    if len(posterior.models) < 2 or not known or max(known.values()) >= LEAST_RELIABILITY:
        return ()
    name = max(known, key=lambda dim: known[dim])
    return (
        f"these items hardly distinguish the models: reliability {known[name]:.2f} ({name}), so that more than half of "
        "the differences in ability is error; add items, or models that differ more",
    )
