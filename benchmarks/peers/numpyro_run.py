"""A 2PL of our own in NumPyro: hierarchical priors, a mean-field guide, Adam at .02 for 2000 steps."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from measured import run, sigmoid
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

STEPS = 2000


def fit(answers: np.ndarray, model: str, dims: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit; compiling is part of the time, as it is of a first fit."""
    if dims > 1:
        raise SystemExit("this model has one dimension")
    observed, right = jnp.asarray(answers >= 0), jnp.asarray(answers == 1)
    free = model != "rasch"

    def program() -> None:
        spread = numpyro.sample("spread", dist.HalfNormal(2.0))
        centre = numpyro.sample("centre", dist.Normal(0.0, 2.0))
        with numpyro.plate("item", answers.shape[1]):
            intercept = numpyro.sample("intercept", dist.Normal(centre, spread))
            slope = numpyro.sample("slope", dist.LogNormal(0.0, 0.5)) if free else 1.0
        with numpyro.plate("model", answers.shape[0]):
            ability = numpyro.sample("ability", dist.Normal(0.0, 1.0))
        logits = ability[:, None] * slope + intercept
        numpyro.factor("answers", jnp.where(observed, dist.Bernoulli(logits=logits).log_prob(right), 0.0).sum())

    guide = AutoNormal(program)
    engine = SVI(program, guide, numpyro.optim.Adam(0.02), Trace_ELBO())
    found = guide.median(engine.run(random.PRNGKey(0), STEPS, progress_bar=False).params)
    ability, intercept = np.asarray(found["ability"]), np.asarray(found["intercept"])
    slope = np.asarray(found["slope"]) if free else np.ones_like(intercept)
    return lambda rows, columns: sigmoid(slope[columns] * ability[rows] + intercept[columns])


if __name__ == "__main__":
    run(fit)
