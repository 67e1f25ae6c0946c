"""NUTS on a hierarchical Pyro program, started from and scaled by its Laplace approximation.

The latent values are sampled in the coordinates in which the Laplace approximation is unit noise, the variances on the
log scale beside them, so that a diagonal mass matrix is enough (Hoffman & Gelman, 2014).
"""

import pyro
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS
from torch import Tensor

from capscope.fit.engines.laplace import HierarchicalProgram, LaplacePosterior, Latent


def nuts_draws(
    program: HierarchicalProgram, start: LaplacePosterior, draws: int, seed: int, warmup: int = 300
) -> Latent:
    """Draw from the full posterior, variances included.

    Args:
        program: The Pyro program that `start` approximates.
        start: Its Laplace approximation.
        draws: Number of draws to keep.
        seed: Seed of the chain.
        warmup: Number of steps that tune the sampler and are thrown away.

    Returns:
        Values of every site, the draw axis first.
    """
    names = list(start.variances)
    sizes = [start.variances[name].numel() for name in names]
    ((dispersion, dispersion_start),) = start.dispersion.items()
    centre = torch.cat([start.variances[name].log() for name in names])
    n_latent, n_variances = len(start.mode), len(centre)

    def values(point: Tensor) -> tuple[Latent, Tensor]:
        white, shift, tilt = point.split([n_latent, n_variances, 1])
        log_variance = centre + shift
        latent = start.layout.unflatten(start.colour(white[:, None])[:, 0])
        latent |= dict(zip(names, log_variance.exp().split(sizes), strict=True))
        return latent | {dispersion: dispersion_start + tilt}, log_variance

    def potential(params: Latent) -> Tensor:
        latent, log_variance = values(params["point"])
        trace = poutine.trace(poutine.condition(program, data=latent)).get_trace()
        return -trace.log_prob_sum() - log_variance.sum()

    with torch.random.fork_rng(), pyro.validation_enabled(False):
        pyro.set_rng_seed(seed)
        kernel = NUTS(potential_fn=potential, target_accept_prob=0.8)
        origin = {"point": torch.zeros(n_latent + n_variances + 1, dtype=start.mode.dtype)}
        chain = MCMC(kernel, num_samples=draws, warmup_steps=warmup, initial_params=origin, disable_progbar=True)
        chain.run()
        points = chain.get_samples()["point"]
    kept = [values(point)[0] for point in points]
    return {name: torch.stack([latent[name] for latent in kept]) for name in kept[0]}
