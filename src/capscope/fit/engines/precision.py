"""Precision matrices of a Laplace approximation and their Cholesky factors: dense, or of groups that share few values.

Where the latent values fall into groups (models) that do not touch each other given the shared ones (dimensions), the
precision is an arrow: one small block for each group, their border with the shared values, and the shared block. Its
factor takes time and memory linear in the number of groups (Schur complement).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from capscope.errors import FitError

CHUNK = 256
"""Columns of a derivative computed at a time: bounds the memory."""
JITTER = (0.0, 1e-6, 1e-3, 1e-1, 1.0, 10.0, 100.0)
"""What is added to the diagonal of a precision that is not positive definite, until it is."""
NO_PEAK = "the curve model has no peak on these counts; check that the levels hold more than one answer"

Blocks = tuple[Tensor, Tensor, Tensor]
"""A precision in parts: blocks (group x entry x entry), border (group x entry x shared) and core (shared x shared)."""

VectorFunction = Callable[[Tensor], Tensor]


@runtime_checkable
class Factor(Protocol):
    """Cholesky factor L of a precision L L'."""

    def solve(self, flat: Tensor) -> Tensor:
        """Return the covariance times a flat vector."""
        ...

    def colour(self, white: Tensor) -> Tensor:
        """Turn independent unit noise (latent, draw) into noise with the posterior's covariance."""
        ...

    def half_log_determinant(self) -> Tensor:
        """Return half the log determinant of the precision."""
        ...

    def spreads(self, effects: Callable[[Tensor], dict[str, Tensor]], flat: Tensor) -> dict[str, Tensor]:
        """Return the variance of every entry of every effect, whose functions are linearised at a point.

        Args:
            effects: Function of the flat parameters that returns effects by name.
            flat: Parameters at which the effects are linearised, shape (parameter,).
        """
        ...


@dataclass(frozen=True)
class DenseFactor:
    """Factor of a precision without structure."""

    lower: Tensor
    """Lower triangular (latent x latent)."""

    def solve(self, flat: Tensor) -> Tensor:
        """Return the covariance times a flat vector."""
        return torch.cholesky_solve(flat[:, None], self.lower)[:, 0]

    def colour(self, white: Tensor) -> Tensor:
        """Turn independent unit noise (latent, draw) into noise with the posterior's covariance."""
        return torch.linalg.solve_triangular(self.lower.T, white, upper=True)

    def half_log_determinant(self) -> Tensor:
        """Return half the log determinant of the precision."""
        return self.lower.diagonal().log().sum()

    def spreads(self, effects: Callable[[Tensor], dict[str, Tensor]], flat: Tensor) -> dict[str, Tensor]:
        """Return the variance of every entry of every effect; see `Factor.spreads`."""
        spreads: dict[str, Tensor] = {}
        for name in effects(flat):
            rows = jacobian(lambda point, name=name: effects(point)[name], flat)
            whitened = torch.linalg.solve_triangular(self.lower, rows.reshape(-1, len(flat)).T, upper=False)
            spreads[name] = whitened.square().sum(0).reshape(rows.shape[:-1])
        return spreads


def dense_factor(gradient: VectorFunction, flat: Tensor) -> DenseFactor:
    """Compute the Hessian from a gradient by reverse mode, as forward mode compiles deprecated code, and factorise it.

    Args:
        gradient: Gradient of minus the log density.
        flat: The mode, shape (parameter,).

    Returns:
        The Cholesky factor of the precision, with jitter on the diagonal where it is needed.

    Raises:
        FitError: The Hessian is not positive definite: the function has no peak here.
    """
    precision = jacobian(gradient, flat)
    precision = (precision + precision.T) / 2
    eye = torch.eye(len(precision), dtype=precision.dtype)
    for jitter in JITTER:
        lower, info = torch.linalg.cholesky_ex(precision + jitter * eye)
        if int(info) == 0:
            return DenseFactor(lower)
    raise FitError(NO_PEAK)


@dataclass(frozen=True)
class Arrow:
    """Which positions of the flat vector belong to which group, and which are shared."""

    group: Tensor
    """Positions by group (group x entry)."""
    shared: Tensor
    """Positions of the shared values."""
    by_group: frozenset[str]
    """Effects whose first axis is the group and that touch no other group."""

    def seeds(self, size: int) -> Tensor:
        """Return the directions of the products: each entry in all groups at once, then each shared value."""
        n_entries = self.group.shape[1]
        seeds = torch.zeros(n_entries + len(self.shared), size, dtype=torch.float64)
        for entry in range(n_entries):
            seeds[entry, self.group[:, entry]] = 1.0
        seeds[n_entries:].scatter_(1, self.shared[:, None], 1.0)
        return seeds

    def factor(self, precision: Blocks) -> "ArrowFactor":
        """Factorise a precision.

        Raises:
            FitError: It is of a function that has no peak.
        """
        blocks, border, core = precision
        eyes = [torch.eye(part.shape[-1], dtype=part.dtype) for part in (blocks, core)]
        for jitter in JITTER:
            own, failed = torch.linalg.cholesky_ex(blocks + jitter * eyes[0])
            if bool(failed.any()):
                continue
            half = torch.linalg.solve_triangular(own, border, upper=False)
            rest = core + jitter * eyes[1] - half.flatten(0, 1).T @ half.flatten(0, 1)
            joint, failed = torch.linalg.cholesky_ex(rest)
            if int(failed) == 0:
                return ArrowFactor(self, own, half, joint)
        raise FitError(NO_PEAK)


@dataclass(frozen=True)
class ArrowFactor:
    """Factor of an arrow-shaped precision, groups before shared values."""

    arrow: Arrow
    own: Tensor
    """Lower factors of the groups' blocks (group x entry x entry)."""
    half: Tensor
    """Border, whitened by the groups' factors (group x entry x shared)."""
    joint: Tensor
    """Lower factor of the Schur complement (shared x shared)."""

    def solve(self, flat: Tensor) -> Tensor:
        """Return the covariance times a flat vector."""
        own = torch.linalg.solve_triangular(self.own, flat[self.arrow.group][..., None], upper=False)
        shared = flat[self.arrow.shared] - torch.einsum("gks,gkx->s", self.half, own)
        white = torch.linalg.solve_triangular(self.joint, shared[:, None], upper=False)
        return self._unwhitened(own, white)[:, 0]

    def colour(self, white: Tensor) -> Tensor:
        """Turn independent unit noise (latent, draw) into noise with the posterior's covariance."""
        return self._unwhitened(white[self.arrow.group], white[self.arrow.shared])

    def half_log_determinant(self) -> Tensor:
        """Return half the log determinant of the precision."""
        own = self.own.diagonal(dim1=-2, dim2=-1)
        return own.log().sum() + self.joint.diagonal().log().sum()

    def spreads(self, effects: Callable[[Tensor], dict[str, Tensor]], flat: Tensor) -> dict[str, Tensor]:
        """Return the variance of every entry of every effect; see `Factor.spreads`."""
        return {name: self._spread(name, lambda point, name=name: effects(point)[name], flat) for name in effects(flat)}

    def _spread(self, name: str, effect: VectorFunction, flat: Tensor) -> Tensor:
        n_entries = self.arrow.group.shape[1]
        slopes = _directional(effect, flat, self.arrow.seeds(len(flat)))
        if name not in self.arrow.by_group:
            rows = slopes[n_entries:].flatten(1)
            return self._shared(rows).square().sum(0).reshape(slopes.shape[1:])
        own = torch.linalg.solve_triangular(self.own, slopes[:n_entries].movedim(0, 1), upper=False)
        rest = slopes[n_entries:] - torch.einsum("gks,gkr->sgr", self.half, own)
        return own.square().sum(1) + self._shared(rest.flatten(1)).square().sum(0).reshape(slopes.shape[1:])

    def _shared(self, rows: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.joint, rows, upper=False)

    def _unwhitened(self, own: Tensor, shared: Tensor) -> Tensor:
        """Solve by the transposed factor: values of groups (group x entry x draw) and shared ones (shared x draw)."""
        shared = torch.linalg.solve_triangular(self.joint.T, shared, upper=True)
        own = own - torch.einsum("gks,sx->gkx", self.half, shared)
        own = torch.linalg.solve_triangular(self.own.mT, own, upper=True)
        size = self.arrow.group.numel() + len(self.arrow.shared)
        flat = torch.zeros(size, shared.shape[1], dtype=shared.dtype)
        flat = flat.index_put((self.arrow.group.flatten(),), own.flatten(0, 1))
        return flat.index_put((self.arrow.shared,), shared)


def _directional(function: VectorFunction, flat: Tensor, seeds: Tensor) -> Tensor:
    """Derivative of a function along each seed (seed x shape of the function), by going backwards twice."""
    point = flat.detach().requires_grad_(True)
    value = function(point)
    weight = torch.zeros_like(value).requires_grad_(True)
    (backwards,) = torch.autograd.grad(value, point, weight, create_graph=True)
    return _batched_gradients(backwards, weight, seeds)


# torch.func.grad and jacrev compute the same to the last bit, but their first use loads torch's compiler, for a second


def gradient_of(function: VectorFunction) -> VectorFunction:
    """Return the gradient of a scalar function; it can be differentiated again."""

    def gradient(flat: Tensor) -> Tensor:
        point = flat if flat.requires_grad else flat.detach().requires_grad_(True)
        return torch.autograd.grad(function(point), point, create_graph=flat.requires_grad)[0]

    return gradient


def jacobian(function: VectorFunction, flat: Tensor) -> Tensor:
    """Derivative of a function at a point (shape of the function x latent), in reverse mode.

    Args:
        function: Function of the flat parameters.
        flat: The point, shape (parameter,).
    """
    point = flat.detach().requires_grad_(True)
    value = function(point)
    seeds = torch.eye(value.numel(), dtype=value.dtype).reshape(-1, *value.shape)
    return _batched_gradients(value, point, seeds).reshape(*value.shape, len(flat))


def _batched_gradients(value: Tensor, point: Tensor, seeds: Tensor) -> Tensor:
    """Gradient of the value times each seed (seed x shape of the point), some seeds at a time."""

    def of_seed(seed: Tensor) -> Tensor:
        return torch.autograd.grad(value, point, seed, retain_graph=True)[0]

    return torch.func.vmap(of_seed, chunk_size=CHUNK)(seeds)
