"""Which way the dimensions point: varimax towards simple slopes, largest first, positive on average."""

import torch
from jaxtyping import Float
from torch import Tensor

MAX_ROUNDS = 200


def varimax(slopes: Float[Tensor, "item dim"], tolerance: float = 1e-8) -> Float[Tensor, "dim dim"]:
    """Orthogonal matrix R so that ``slopes @ R`` has few large entries a row (Kaiser, 1958; without row weights).

    Args:
        slopes: Slopes of the items.
        tolerance: Relative gain of the criterion under which to stop.
    """
    n_items, dims = slopes.shape
    rotation = torch.eye(dims, dtype=slopes.dtype, device=slopes.device)
    criterion = 0.0
    for _ in range(MAX_ROUNDS):
        rotated = slopes @ rotation
        target = rotated**3 - rotated * rotated.square().mean(0)
        u, s, vh = torch.linalg.svd(slopes.T @ target / n_items)
        rotation = u @ vh
        total = float(s.sum())
        if total <= criterion * (1 + tolerance):
            break
        criterion = total
    return rotation


def simple_structure(slopes: Float[Tensor, "item dim"]) -> Float[Tensor, "dim dim"]:
    """Varimax, dimensions ordered by the sum of squared slopes, each with a positive mean slope."""
    rotation = varimax(slopes)
    rotated = slopes @ rotation
    order = torch.argsort(rotated.square().sum(0), descending=True, stable=True)
    sign = torch.where(rotated.sum(0) < 0, -1.0, 1.0).to(slopes.dtype)
    return (rotation * sign)[:, order]
