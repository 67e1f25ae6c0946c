"""Reliability of a design decision (DIoR): would another draw of items, tasks, prompts or judges rank models alike?

Perlitz et al. (2024) redraw what a benchmark's authors chose and take the agreement of the two rankings; the lower end
of its bootstrap interval is what one may rely on.
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from capscope.data import Study
from capscope.decide.planning.score_variance import TrialRows

DRAWS = 100
"""Pairs of draws behind each agreement."""

AXES = ("item", "task", "prompt", "judge")
"""What is drawn anew, one at a time."""

ModelLevel = Float[np.ndarray, "model level"]


@dataclass(frozen=True)
class RankAgreement:
    """How far two draws of one facet agree on the order of the models."""

    facet: str
    """What was drawn anew: `item`, `task`, `prompt` or `judge`."""
    levels: int
    """Number of its levels in each draw."""
    agreement: float
    """Mean rank correlation (Kendall's tau b) of two independent draws."""
    lower: float
    """Lower end of its 95 % bootstrap interval: the reliability of the decision."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


def rank_agreements(study: Study, rng: np.random.Generator, items: int | None = None) -> tuple[RankAgreement, ...]:
    """Draw each facet's levels with replacement and compare the rankings of the models.

    Args:
        study: Responses; items with tasks, facets `prompt` and `judge` where there are any.
        rng: Source of the draws.
        items: Items in each draw; by default as many as there are.

    Raises:
        InputError: Fewer than two models or items.
    """
    rows = TrialRows.of(study)
    n_models = int(rows.levels["model"].max()) + 1
    found: list[RankAgreement] = []
    for axis in AXES:
        if axis not in rows.levels:
            continue
        levels = int(rows.levels[axis].max()) + 1
        cell = rows.levels["model"] * levels + rows.levels[axis]
        total, count = (
            np.bincount(cell, weight, n_models * levels).reshape(n_models, levels)
            for weight in (rows.trials * rows.score, rows.trials)
        )
        size = items if axis == "item" and items is not None else levels
        tau = _agreements(total, count, size, rng)
        if len(tau):
            found.append(RankAgreement(axis, size, float(tau.mean()), float(np.quantile(tau, 0.025))))
    return tuple(found)


def _agreements(
    total: ModelLevel, count: ModelLevel, size: int, rng: np.random.Generator
) -> Float[np.ndarray, " draw"]:
    """Rank correlations of pairs of draws; draws in which a model has no answer are left out."""
    levels = total.shape[1]
    drawn = rng.multinomial(size, np.full(levels, 1 / levels), size=2 * DRAWS)
    answered = drawn @ count.T
    mean = np.divide(drawn @ total.T, answered, out=np.full(answered.shape, np.nan), where=answered > 0)
    tau = np.array([kendall(mean[2 * pair], mean[2 * pair + 1]) for pair in range(DRAWS)])
    return tau[np.isfinite(tau)]


def kendall(first: Float[np.ndarray, " model"], second: Float[np.ndarray, " model"]) -> float:
    """Kendall's tau b of two rankings; NaN where one ties all models or lacks one.

    Args:
        first: Scores by one draw.
        second: Scores by another.
    """
    one, other = (np.sign(scores[:, None] - scores[None, :]) for scores in (first, second))
    norm = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / norm) if norm > 0 else float("nan")
