"""Updates of the items' extra parameters, jointly with slopes and intercepts, by a Newton step.

The step of the items holds the extras fixed. The step with free extras follows from the information that both share (a
Schur complement): a floor that rises lowers the intercept, and its uncertainty adds to that of the intercept. This
covariance inflation is stored separately, because floor and intercept trade off: their joint posterior is wide although
the predicted probabilities are not, and attenuation by the whole variance would let slopes diverge.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from capscope.fit.engines.score_cells import ScoreModelCells
from capscope.fit.engines.variational.item_forms import ItemForm
from capscope.fit.engines.variational.item_prior import inverse
from capscope.fit.engines.variational.kernels import Gaussians, Matrices
from capscope.fit.irt.score_models.score_model import Derivatives, ExtraPrior, ScoreModel

MAX_EXTRA_STEP = 1.0
"""Largest change of a coordinate in one step."""

MAX_ALONG = 0.7
"""Largest change of a slope or intercept that follows an extra in one step."""

MAX_INFLATION = 20.0
"""Largest share that uncertain extras add to the variance of slopes and intercept, summed over them."""

LEAST_LEFT = 0.02
"""Least share of an extra's information that slopes and intercept may leave to it."""

ExtraMeans = Float[Tensor, "item coordinate"]


@dataclass(frozen=True)
class ExtrasState:
    """Posteriors of the items' extras and their priors."""

    items: Gaussians
    """Coordinates of each item's extras; no variance where a coordinate is not estimated."""
    priors: tuple[ExtraPrior, ...]
    """Prior of each coordinate."""
    covariance_inflation: Matrices
    """What uncertain extras add to the covariances of the items' parameters."""

    def inflated(self, items: Gaussians) -> Gaussians:
        """The items' posteriors over uncertain extras, from those given the extras."""
        return Gaussians(items.mean, items.cov + self.covariance_inflation)

    def turned(self, rotation: Float[Tensor, "dim dim"]) -> "ExtrasState":
        """The extras when the abilities' axes are turned and the slopes with them."""
        size = len(rotation) + 1
        matrix = torch.eye(size, dtype=rotation.dtype, device=rotation.device)
        matrix[:-1, :-1] = rotation.T
        return replace(self, covariance_inflation=matrix @ self.covariance_inflation @ matrix.T)


@dataclass(frozen=True)
class _ExtraSums:
    """Gradient and information of each item's cells about its extras."""

    gradient: Float[Tensor, "item coordinate"]
    information: Float[Tensor, "item coordinate coordinate"]
    cross: Float[Tensor, "item param coordinate"]
    """Information shared with slopes and intercept."""


def start_extras(score_model: ScoreModel, items: Gaussians) -> ExtrasState:
    """Extras of all items at the centre of their prior.

    Args:
        score_model: Score model, whose `start` gives the priors of its extras.
        items: Gaussians of the items' slopes and intercepts.

    Returns:
        Extras at the centres of their priors, shape (item, extra), without uncertainty.
    """
    priors = score_model.start()
    mean = torch.stack([prior.start.to(items.mean.device).expand(len(items.mean)) for prior in priors], 1)
    return ExtrasState(Gaussians(mean, torch.diag_embed(torch.zeros_like(mean))), priors, torch.zeros_like(items.cov))


def joint_step(
    by_item: ScoreModelCells,
    before: Gaussians,
    stepped: Gaussians,
    models: Gaussians,
    form: ItemForm,
    extras: ExtrasState,
) -> tuple[Gaussians, ExtrasState]:
    """Correct slopes and intercepts for a joint step of the extras, and update the extras and their priors.

    Args:
        by_item: Scores, items in rows, with the extras as they are.
        before: Items before their own step, in the form's parameters.
        stepped: Items after it.
        models: Posteriors of ``(theta, 1)``.
        form: The items' parameters.
        extras: Extras before the step.
    """
    sums = _extra_sums(by_item, form.moments(before), models)
    free = torch.tensor([prior.free for prior in extras.priors], dtype=torch.float64, device=models.mean.device)
    mean = extras.items.mean
    columns = list(zip(extras.priors, mean.T, strict=True))
    prior_gradient = torch.stack([prior.gradient(value) for prior, value in columns], 1)
    precision = torch.stack([prior.precision(value) for prior, value in columns], 1)
    cross = form.jacobian(before).transpose(1, 2) @ sums.cross * free
    coupling = stepped.cov @ cross
    rest = _left_over(sums.information * torch.outer(free, free), cross.transpose(1, 2) @ coupling)
    cov = inverse(rest + torch.diag_embed(precision * free + (1 - free))) * torch.outer(free, free)
    gradient = (sums.gradient + prior_gradient) * free - torch.einsum("nik,ni->nk", cross, stepped.mean - before.mean)
    change = torch.einsum("nkl,nl->nk", cov, gradient)
    along = torch.einsum("nik,nk->ni", coupling, change)
    longest = torch.maximum(change.abs().amax(1) / MAX_EXTRA_STEP, along.abs().amax(1) / MAX_ALONG).clamp_min(1)
    change, along = change / longest[:, None], along / longest[:, None]
    items = Gaussians(stepped.mean - along, stepped.cov)
    return items, _updated(Gaussians(mean + change, cov), extras.priors, _inflation(coupling, cross, cov))


def _inflation(coupling: Tensor, cross: Tensor, cov: Tensor) -> Matrices:
    """What uncertain extras add to the items' covariance, at most `MAX_INFLATION` times what there was."""
    added = coupling @ cov @ coupling.transpose(1, 2)
    # the trace of added over the base, without inverting it: it is singular where slopes are fixed
    ratio = (cross.transpose(1, 2) @ coupling @ cov).diagonal(dim1=1, dim2=2).sum(1)
    return added * (MAX_INFLATION / ratio.clamp_min(MAX_INFLATION))[:, None, None]


def _updated(items: Gaussians, priors: tuple[ExtraPrior, ...], covariance_inflation: Matrices) -> ExtrasState:
    variance = items.cov.diagonal(dim1=1, dim2=2)
    updated = tuple(
        prior.updated(value, spread) if prior.free else prior
        for prior, value, spread in zip(priors, items.mean.T, variance.T, strict=True)
    )
    return ExtrasState(items, updated, covariance_inflation)


def _left_over(information: Float[Tensor, "item k k"], shared: Float[Tensor, "item k k"]) -> Float[Tensor, "item k k"]:
    """Information about the extras that slopes and intercept do not explain, at least `LEAST_LEFT` of it.

    In theory it is never negative; far from the optimum the items' own step may have less curvature than that.
    """
    size = information.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()
    unit = size[:, :, None] * size[:, None, :]
    rest = (information - shared) / unit
    if rest.shape[-1] == 1:
        return rest.clamp_min(LEAST_LEFT) * unit
    value, vector = torch.linalg.eigh(rest)
    return (vector * value.clamp_min(LEAST_LEFT)[:, None, :]) @ vector.transpose(1, 2) * unit


def _extra_sums(by_item: ScoreModelCells, items: Gaussians, models: Gaussians) -> _ExtraSums:
    n_items, n_shape = by_item.item_extras.shape
    gradient = torch.zeros(n_items, n_shape, dtype=torch.float64, device=models.mean.device)
    information = gradient.new_zeros(n_items, n_shape, n_shape)
    cross = gradient.new_zeros(n_items, models.mean.shape[1], n_shape)
    thin = _Thin.of(items, models)
    for rows in by_item.row_chunks():
        mean, variance = thin.moments(rows)
        derivatives = by_item.score_model.derivatives(
            by_item.score[rows], by_item.trials[rows], mean, variance, by_item.extras_of(rows)
        )
        _add(derivatives, rows, thin.model_mean, (gradient, information, cross))
    return _ExtraSums(gradient, information, cross)


def _add(derivatives: Derivatives, rows: slice, model_mean: Tensor, into: tuple[Tensor, Tensor, Tensor]) -> None:
    gradient, information, cross = into
    for k, (slope, on_logit) in enumerate(zip(derivatives.gradient, derivatives.cross, strict=True)):
        gradient[rows, k] = slope.sum(1).double()
        cross[rows, :, k] = (on_logit @ model_mean).double()
        for offset, shared in enumerate(derivatives.information[k]):
            information[rows, k, k + offset] = information[rows, k + offset, k] = shared.sum(1).double()


@dataclass(frozen=True)
class _Thin:
    """Thin factors of the mean and the variance of all log-odds, items in rows."""

    item_mean: Tensor
    model_mean: Tensor
    item_pairs: Tensor
    model_pairs: Tensor

    @staticmethod
    def of(items: Gaussians, models: Gaussians) -> "_Thin":
        """Var(x . y) = <Cov x, E yy'> + <E x E x', Cov y>."""
        second = models.cov + models.mean[:, :, None] * models.mean[:, None, :]
        outer = items.mean[:, :, None] * items.mean[:, None, :]
        item_pairs = torch.cat([items.cov.flatten(1), outer.flatten(1)], 1)
        model_pairs = torch.cat([second.flatten(1), models.cov.flatten(1)], 1)
        return _Thin(items.mean.float(), models.mean.float(), item_pairs.float(), model_pairs.float())

    def moments(self, rows: slice) -> tuple[Tensor, Tensor]:
        return self.item_mean[rows] @ self.model_mean.T, self.item_pairs[rows] @ self.model_pairs.T
