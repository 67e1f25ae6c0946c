"""Simulated studies with known truth, and answers drawn from a model."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import ModelDim, ModelItem
from capscope.data import Responses, Study
from capscope.errors import InputError
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.links import effective_trials, success_probability


@dataclass(frozen=True)
class IRTTruth:
    """True parameters of simulated answers; log-odds are ``a_i . theta_m + d_i``."""

    ability: ModelDim
    """Abilities."""
    slope: Float[np.ndarray, "item dim"]
    """Slopes."""
    intercept: Float[np.ndarray, " item"]
    """Intercepts."""
    floor: Float[np.ndarray, " item"] | float = 0.0
    """Chance of a right guess."""
    ceiling: Float[np.ndarray, " item"] | float = 1.0
    """Chance of a right answer from a model that knows it."""

    @property
    def logit(self) -> ModelItem:
        """Log-odds of success of every model on every item."""
        return self.ability @ self.slope.T + self.intercept

    @property
    def probability(self) -> ModelItem:
        """Chance of success of every model on every item."""
        return success_probability(self.logit, 0.0, self.floor, self.ceiling)


def simulate_irt(
    truth: IRTTruth, rng: np.random.Generator, share: float = 1.0, floor: float | None = None
) -> Responses:
    """Right and wrong answers drawn from a known truth.

    Args:
        truth: The parameters.
        rng: Source of randomness.
        share: Share of cells that are observed, at random.
        floor: Chance of a right guess in place of the truth's own.

    Returns:
        Responses over models ``m00000...`` and items ``i000000...``, in the truth's order.
    """
    probability = (truth if floor is None else replace(truth, floor=floor)).probability
    right = rng.random(probability.shape) < probability
    seen = np.ones(right.shape, bool) if share >= 1 else rng.random(right.shape) < share
    model, item = np.nonzero(seen)
    n_models, n_items = right.shape
    return Responses(
        tuple(f"m{i:05d}" for i in range(n_models)),
        tuple(f"i{i:06d}" for i in range(n_items)),
        model,
        item,
        right[model, item].astype(float),
        np.ones(len(model)),
    )


def simulate(  # noqa: PLR0913 - every setting has a default and is given by keyword
    n_models: int = 20,
    n_items: int = 200,
    model: str = "2pl",
    *,
    demands: tuple[str, ...] = (),
    benchmarks: int = 1,
    share: float = 1.0,
    chance: float = 0.0,
    seed: int = 0,
) -> Study:
    """Simulate a study: models with standard normal abilities answer items of the two-parameter logistic model.

    Difficulties have mean 0; with demands they grow by .5 for each level above 2.5 of each demand, plus normal effects
    of benchmarks and items with standard deviations of .5.

    Args:
        n_models: Number of models, named ``model-00`` and so on.
        n_items: Number of items.
        model: ``rasch`` gives every item the slope 1, ``2pl`` log-normal slopes around it.
        demands: Codes of rubrics on which the items are rated, with levels 0 to 5; none by default.
        benchmarks: Number of benchmarks, of about equally many items.
        share: Share of the answers that are observed, at random.
        chance: Chance of a right guess on every item.
        seed: Seed of all draws.

    Returns:
        The study.

    Raises:
        InputError: A number or the model is out of range.

    Example:
        >>> simulate(5, 10, "rasch").responses.shape
        (50, 3)
    """
    if n_models < 1 or n_items < 1 or benchmarks < 1 or not 0 < share <= 1 or not 0 <= chance < 1:
        raise InputError("simulate: give at least one model, item and benchmark, a share in (0, 1], a chance in [0, 1)")
    if model not in ("rasch", "2pl"):
        raise InputError(f"simulate: no model '{model}'; use rasch or 2pl")
    rng = np.random.default_rng(seed)
    benchmark_of = np.arange(n_items) * benchmarks // n_items
    level = rng.integers(0, 6, (n_items, len(demands)))
    difficulty = rng.normal(0, 1, n_items)
    if demands:
        difficulty = (
            0.5 * (level - 2.5).sum(1) + rng.normal(0, 0.5, benchmarks)[benchmark_of] + rng.normal(0, 0.5, n_items)
        )
    slope = np.ones(n_items) if model == "rasch" else rng.lognormal(0, 0.3, n_items)
    truth = IRTTruth(rng.standard_normal((n_models, 1)), slope[:, None], -slope * difficulty, chance)
    answers = simulate_irt(truth, rng, share)
    names = np.array([f"model-{number:02d}" for number in range(n_models)])
    ids = np.array([f"item-{number:03d}" for number in range(n_items)])
    columns = {"model": names[answers.model_index], "item_id": ids[answers.item_index], "score": answers.score}
    items = {"item_id": ids, "benchmark": [f"benchmark-{number}" for number in benchmark_of]}
    if chance:
        items["chance"] = np.full(n_items, chance)
    rated = {"item_id": np.repeat(ids, len(demands)), "rubric": np.tile(demands, n_items), "level": level.ravel() * 1.0}
    levels = pd.DataFrame(rated).assign(annotator="simulated") if demands else None
    return Study.of(pd.DataFrame(items), pd.DataFrame(columns), levels, name="a simulated study")


def draw_truth(posterior: IRTPosterior, rng: np.random.Generator) -> IRTTruth:
    """One draw of all abilities and items from a posterior, for checks by replicated data.

    Args:
        posterior: A fit.
        rng: Source of the draw.

    Returns:
        One draw of abilities and item parameters.
    """
    ability = _draw(posterior.ability_mean, posterior.ability_cov, rng)
    items = _draw(posterior.item_mean, posterior.answer_cov, rng)
    ceiling = 1.0 if posterior.extras is None else posterior.extras.ceiling
    return IRTTruth(ability, items[:, :-1], items[:, -1], posterior.floor, ceiling)


def replicated(posterior: IRTPosterior, responses: Responses, rng: np.random.Generator) -> Responses:
    """Replicated data: new scores of the same cells, drawn from the model of a fit at one draw of its parameters.

    Args:
        posterior: A fit to these responses.
        responses: The cells, with their trials.
        rng: Source of randomness.

    Returns:
        Responses on the same cells.
    """
    truth, rows = draw_truth(posterior, rng), (responses.model_index, responses.item_index)
    if posterior.extras is not None and not posterior.extras.has_asymptotes:
        return replace(responses, score=posterior.extras.draw(truth.logit[rows], responses.item_index, rng))
    counted = effective_trials(responses.n_trials, posterior.trial_correlation)
    trials = np.maximum(1, np.round(counted * posterior.trial_weight)).astype(int)
    return replace(responses, score=rng.binomial(trials, truth.probability[rows]) / trials)


def _draw(mean: np.ndarray, cov: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    value, vector = np.linalg.eigh(cov)
    noise = rng.standard_normal(mean.shape) * np.sqrt(np.maximum(value, 0))
    return mean + np.einsum("nij,nj->ni", vector, noise)
