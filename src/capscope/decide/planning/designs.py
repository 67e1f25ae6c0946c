"""Designs of an evaluation (items, runs, prompts, judges): detectable difference and cost of each (a D-study).

The relative error variance is the sum of the components that interact with the model, each divided by the number of
levels that a design has of its facets (Brennan, 2001).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
from scipy.special import ndtri

from capscope.axes import Float
from capscope.data import Study
from capscope.decide.planning.score_variance import RESIDUAL, TrialRows, VarianceComponents
from capscope.errors import counted

MOST_RUNS = 8
"""Largest number of runs of one question in a design."""

MOST_ITEMS = 100_000
"""Largest number of items in a design."""


DRAWS = 100
"""Number of pairs of draws for each rank agreement."""

AXES = ("item", "task", "prompt", "judge")
"""Facets that are resampled, one at a time."""

ModelLevel = Float[np.ndarray, "model level"]


@dataclass(frozen=True, kw_only=True)
class EvaluationPrices:
    """Unit costs in US dollars; in numbers of answers where prices are unknown."""

    item: float = 0.0
    """Cost of an additional item: of writing it, or of its labels."""
    answer: float = 1.0
    """Cost of one answer of one model."""
    judgement: float = 0.0
    """Cost of one judgement of an answer."""


@dataclass(frozen=True)
class StudyDesign:
    """Number of levels of each facet in an evaluation, with detectable difference, reliability and cost."""

    items: int
    """Number of items."""
    runs: int
    """Number of runs of each question."""
    prompts: int
    """Number of prompts of each item."""
    judges: int
    """Number of judges of each answer."""
    detectable: float
    """Difference of two models on new items of the same kind that is detected with the given power, as a share."""
    reliability: float
    """Generalizability coefficient: share of the variance of models' mean scores that is not error."""
    cost: float
    """Cost for each model."""


def error_variance(
    components: VarianceComponents, items: float | int, runs: int = 1, prompts: int = 1, judges: int = 1
) -> float:
    """Relative error variance of one model's mean score: the error in differences between models (Brennan, 2001).

    Args:
        components: Variance components of single scores.
        items: Number of items; tasks are treated as fixed.
        runs: Number of runs of each question.
        prompts: Number of prompts of each item.
        judges: Number of judges of each answer.
    """
    # without repeated runs the residual may be item variance alone
    of_runs = items * prompts * judges * (runs if components.runs_known else 1)
    return (
        components.of("model x item") / items
        + components.of("model x prompt") / prompts
        + components.of("model x judge") / judges
        + components.of(RESIDUAL) / of_runs
    )


def detectable_by(variance: float, level: float, power: float) -> float:
    """Difference of two models that is detected with a power, for an error variance of each model's score.

    Args:
        variance: Error variance of one model's score.
        level: Confidence level, two-sided.
        power: Probability of detecting the difference.

    Returns:
        The difference, in the unit of the scores.
    """
    return float((ndtri(0.5 + level / 2) + ndtri(power)) * np.sqrt(2 * variance))


def design_of(
    components: VarianceComponents,
    counts: tuple[int, int, int, int],
    level: float,
    power: float,
    prices: EvaluationPrices,
) -> StudyDesign:
    """Return a design with its detectable difference, reliability and cost.

    Args:
        components: Variance components of single scores.
        counts: Numbers of items, runs, prompts, judges.
        level: Coverage of the interval that must exclude no difference.
        power: Probability to detect the difference.
        prices: Costs of items, answers and judgements.
    """
    items, runs, prompts, judges = counts
    error = error_variance(components, *counts)
    between = components.of("model") + components.of("model x task") / components.n_tasks
    asked = items * runs * prompts
    cost = items * prices.item + asked * (prices.answer + judges * prices.judgement)
    reliability = between / (between + error) if between > 0 else 0.0
    return StudyDesign(items, runs, prompts, judges, detectable_by(error, level, power), reliability, cost)


def cheapest_designs(
    components: VarianceComponents, difference: float, level: float, power: float, prices: EvaluationPrices
) -> tuple[StudyDesign, ...]:
    """Smallest designs that detect a difference, for each number of runs, prompts and judges; the cheapest first.

    Args:
        components: Variance components of single scores.
        difference: Wanted difference, as a share.
        level: Coverage of the interval that must exclude no difference.
        power: Probability to detect the difference.
        prices: Costs of items, answers and judgements.

    Returns:
        Designs that detect the difference; empty where the error from prompts or judges alone is too large.
    """
    names = {component.name for component in components.components}
    prompts = range(1, 9) if "model x prompt" in names else (1,)
    judges = range(1, 6) if "model x judge" in names else (1,)
    runs = range(1, MOST_RUNS + 1) if components.runs_known else (1,)
    designs: list[StudyDesign] = []
    for many_runs, many_prompts, many_judges in product(runs, prompts, judges):
        items = _fewest_items(components, (many_runs, many_prompts, many_judges), difference, level, power)
        if items is not None:
            counts = (items, many_runs, many_prompts, many_judges)
            designs.append(design_of(components, counts, level, power, prices))
    return tuple(sorted(designs, key=lambda design: (design.cost, design.items)))


def _fewest_items(
    components: VarianceComponents, rest: tuple[int, int, int], difference: float, level: float, power: float
) -> int | None:
    fixed = error_variance(components, np.inf, *rest)
    by_items = error_variance(components, 1, *rest) - fixed
    wanted = (difference / detectable_by(1.0, level, power)) ** 2 - fixed
    if wanted <= 0 or by_items > wanted * MOST_ITEMS:
        return None
    return max(2, int(np.ceil(by_items / wanted)))


def best_runs(components: VarianceComponents, prices: EvaluationPrices) -> int | None:
    """Optimal number of runs of each question for a budget; None where run and item variance are confounded.

    It is the square root of (run variance / item variance) x (price of an item / price of a run). Without a price of
    items, more items are always better than more runs.

    Args:
        components: Variance components of single scores.
        prices: Costs of items, answers and judgements.
    """
    if not components.runs_known:
        return None
    of_items, of_runs = components.of("model x item"), components.of(RESIDUAL)
    run = prices.answer + prices.judgement
    if of_items <= 0 or run <= 0:
        # runs that cost nothing beat items that cost something, and more items beat more runs where both are free
        return MOST_RUNS if prices.item > 0 else 1
    return int(np.clip(round(float(np.sqrt(of_runs / of_items * prices.item / run))), 1, MOST_RUNS))


def spread_or_repeat(components: VarianceComponents, items: int, times: int, level: float, power: float) -> str:
    """Compare the detectable difference of many items once with that of fewer items several times, in a sentence.

    Args:
        components: Variance components of single scores.
        items: Number of items that are asked once.
        times: Number of runs of each of `items / times` items.
        level: Coverage of the interval that must exclude no difference.
        power: Probability to detect the difference.
    """
    once = 100 * detectable_by(error_variance(components, items), level, power)
    few = items // times
    if components.runs_known:
        repeated = 100 * detectable_by(error_variance(components, few, times), level, power)
        if repeated - once < 0.05:
            return (
                f"{counted(items, 'item')} once and {counted(few, 'item')} {times} times show the same"
                f" difference between models,"
                f" {once:.1f} points: nearly all error is that of runs."
            )
        return (
            f"{counted(items, 'item')} once beat {few} items {times} times: they show a difference between models of"
            f" {once:.1f} points instead of {repeated:.1f}, for as many answers."
        )
    return (
        f"{counted(items, 'item')} once show a difference between models of {once:.1f} points,"
        f" {counted(few, 'item')} {times} times at best the same and at worst"
        f" {100 * detectable_by(error_variance(components, few), level, power):.1f}: without repeated runs the data"
        " do not say which."
    )


def design_rows(designs: tuple[StudyDesign, ...], most: int = 8) -> Iterator[dict[str, float | int]]:
    """Return the first designs as plain values; shares in points (hundredths).

    Args:
        designs: Designs, best first.
        most: Most designs returned.
    """
    for design in designs[:most]:
        yield {
            "items": design.items,
            "runs": design.runs,
            "prompts": design.prompts,
            "judges": design.judges,
            "detectable_pp": 100 * design.detectable,
            "reliability": design.reliability,
            "cost": design.cost,
        }


@dataclass(frozen=True)
class RankAgreement:
    """Agreement of two draws of one facet on the ranking of the models."""

    facet: str
    """Facet that was resampled: `item`, `task`, `prompt` or `judge`."""
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
    agreements: list[RankAgreement] = []
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
            agreements.append(RankAgreement(axis, size, float(tau.mean()), float(np.quantile(tau, 0.025))))
    return tuple(agreements)


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
