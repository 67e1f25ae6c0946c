"""Whether a sampler or a stochastic optimiser got where it was going, in the words of a status."""

import numpy as np
import torch
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from capscope.axes import FloatArray
from capscope.fit.outcome import Status

MOST_R_HAT = 1.05
"""Split potential scale reduction above which a chain has not mixed (Gelman & Rubin, 1992; split in halves)."""

LEAST_EFFECTIVE = 50.0
"""Fewer independent draws than this leave the tails of an interval to chance."""

UNMIXED_SHARE = 0.02
"""Among many unknowns a few exceed those bounds by chance; more than this share is a finding."""

WINDOW = 0.1
"""Share of the steps at the end of a search that are compared with as many before them."""

LEAST_GAIN, LEAST_Z = 1e-3, 3.0
"""A search still moves where the objective gained this share, and this many standard errors."""


def chain_status(draws: dict[str, Tensor], divergences: int) -> Status:
    """Status of one chain of NUTS.

    Args:
        draws: Draws of each site, the draw axis first.
        divergences: Number of draws that ended in a divergent trajectory (Betancourt, 2017).
    """
    flat = torch.cat([value.reshape(len(value), -1) for value in draws.values()], 1)
    varying = flat[None, :, flat.std(0) > 0].double()
    r_hat = split_gelman_rubin(varying).numpy()
    effective = effective_sample_size(varying).numpy()
    unmixed, few = (r_hat > MOST_R_HAT).mean(), (effective < LEAST_EFFECTIVE).mean()
    advice = [
        f"NUTS, {len(flat)} draws: largest r-hat {r_hat.max():.3f}, least effective sample size {effective.min():.0f}, "
        f"{divergences} divergent"
    ]
    if unmixed > UNMIXED_SHARE:
        advice.append(f"the chain has not mixed: r-hat above {MOST_R_HAT} for {unmixed:.0%} of the unknowns; draw more")
    if few > UNMIXED_SHARE:
        advice.append(f"under {LEAST_EFFECTIVE:.0f} effective draws for {few:.0%} of the unknowns; draw more")
    if divergences:
        advice.append(f"{divergences} divergent trajectories: the posterior may be missed in part; warm up longer")
    settled = bool(unmixed <= UNMIXED_SHARE and few <= UNMIXED_SHARE and not divergences)
    return Status(settled, "converged" if settled else "still-moving", tuple(advice))


def search_status(losses: FloatArray) -> Status:
    """Status of stochastic variational inference from its losses, one a step (negative evidence bounds, noisy)."""
    size = max(2, int(WINDOW * len(losses)))
    before, last = losses[-2 * size : -size], losses[-size:]
    gain = float(before.mean() - last.mean())
    error = float(np.sqrt((before.var() + last.var()) / size))
    moving = len(losses) < 2 * size or (gain > LEAST_Z * error and gain > LEAST_GAIN * abs(float(last.mean())))
    line = f"SVI, {len(losses)} steps: evidence bound {-last.mean():.1f} at the end, gain {gain:.1f} in the last {size}"
    if not moving:
        return Status(True, "converged", (line,))
    return Status(False, "still-moving", (line, "the evidence bound still moves; raise steps"))
