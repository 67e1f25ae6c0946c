"""Designs of an evaluation (items, runs, prompts, judges): what difference each shows, and at what cost (a D-study).

Differences between models rest on the components in which models take part; each is divided by how many of its levels a
design has (Brennan, 2001). A facet that a design holds at one level keeps its whole component as error.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from capscope.data import Study
from capscope.decide.planning.score_variance import RESIDUAL, TrialRows, VarianceComponents
from capscope.errors import counted

MOST_RUNS = 8
"""Most runs of one question that a design has."""

MOST_ITEMS = 100_000
"""Most items that a design is given."""


DRAWS = 100
"""Pairs of draws behind each agreement."""

AXES = ("item", "task", "prompt", "judge")
"""What is drawn anew, one at a time."""

ModelLevel = Float[np.ndarray, "model level"]


@dataclass(frozen=True, kw_only=True)
class EvaluationPrices:
    """Costs in dollars, or in answers where no price is known."""

    item: float = 0.0
    """Of one more item: writing it, or its labels."""
    answer: float = 1.0
    """Of one answer of one model."""
    judgement: float = 0.0
    """Of one judgement of an answer."""


@dataclass(frozen=True)
class StudyDesign:
    """How many levels of each facet an evaluation has, and what follows."""

    items: int
    """Items."""
    runs: int
    """Runs of each question."""
    prompts: int
    """Prompts of each item."""
    judges: int
    """Judges of each answer."""
    detectable: float
    """Difference of two models on new items of the same kind that is shown at the wanted power, as a share."""
    reliability: float
    """Share of the variance of models' scores that is not error (generalizability coefficient)."""
    cost: float
    """Cost for each model."""


def error_variance(
    found: VarianceComponents, items: float | int, runs: int = 1, prompts: int = 1, judges: int = 1
) -> float:
    """Error variance of one model's score as far as it bears on differences between models (relative error).

    Args:
        found: Variance components of single scores.
        items: Items; their tasks stand for all of their kind.
        runs: Runs of each question.
        prompts: Prompts of each item.
        judges: Judges of each answer.
    """
    # where no question was asked twice, the residual may be all of items
    of_runs = items * prompts * judges * (runs if found.runs_known else 1)
    return (
        found.of("model x item") / items
        + found.of("model x prompt") / prompts
        + found.of("model x judge") / judges
        + found.of(RESIDUAL) / of_runs
    )


def detectable_by(variance: float, level: float, power: float) -> float:
    """Difference of two models that is shown with a power, for an error variance of each model's score."""
    return float((ndtri(0.5 + level / 2) + ndtri(power)) * np.sqrt(2 * variance))


def design_of(
    found: VarianceComponents, counts: tuple[int, int, int, int], level: float, power: float, prices: EvaluationPrices
) -> StudyDesign:
    """Return what a design shows and costs.

    Args:
        found: Variance components of single scores.
        counts: Items, runs, prompts, judges.
        level: Coverage of the interval that must exclude no difference.
        power: Chance to show the difference.
        prices: Costs of items, answers and judgements.
    """
    items, runs, prompts, judges = counts
    error = error_variance(found, *counts)
    between = found.of("model") + found.of("model x task") / found.n_tasks
    asked = items * runs * prompts
    cost = items * prices.item + asked * (prices.answer + judges * prices.judgement)
    reliability = between / (between + error) if between > 0 else 0.0
    return StudyDesign(items, runs, prompts, judges, detectable_by(error, level, power), reliability, cost)


def cheapest_designs(
    found: VarianceComponents, difference: float, level: float, power: float, prices: EvaluationPrices
) -> tuple[StudyDesign, ...]:
    """For each number of runs, prompts and judges, the fewest items that show a difference; the cheapest first.

    Args:
        found: Variance components of single scores.
        difference: Wanted difference, as a share.
        level: Coverage of the interval that must exclude no difference.
        power: Chance to show the difference.
        prices: Costs of items, answers and judgements.

    Returns:
        Designs that reach the difference; none where prompts or judges alone make too large an error.
    """
    names = {component.name for component in found.components}
    prompts = range(1, 9) if "model x prompt" in names else (1,)
    judges = range(1, 6) if "model x judge" in names else (1,)
    runs = range(1, MOST_RUNS + 1) if found.runs_known else (1,)
    designs: list[StudyDesign] = []
    for many_runs, many_prompts, many_judges in product(runs, prompts, judges):
        items = _fewest_items(found, (many_runs, many_prompts, many_judges), difference, level, power)
        if items is not None:
            counts = (items, many_runs, many_prompts, many_judges)
            designs.append(design_of(found, counts, level, power, prices))
    return tuple(sorted(designs, key=lambda design: (design.cost, design.items)))


def _fewest_items(
    found: VarianceComponents, rest: tuple[int, int, int], difference: float, level: float, power: float
) -> int | None:
    fixed = error_variance(found, np.inf, *rest)
    by_items = error_variance(found, 1, *rest) - fixed
    wanted = (difference / detectable_by(1.0, level, power)) ** 2 - fixed
    if wanted <= 0 or by_items > wanted * MOST_ITEMS:
        return None
    return max(2, int(np.ceil(by_items / wanted)))


def best_runs(found: VarianceComponents, prices: EvaluationPrices) -> int | None:
    """Runs of each question that show most for a budget; None where runs cannot be told from items.

    The best number is the root of the ratio of run to item variance times that of the price of an item to that of a
    run: without a price of items, more items always beat more runs.

    Args:
        found: Variance components of single scores.
        prices: Costs of items, answers and judgements.
    """
    if not found.runs_known:
        return None
    of_items, of_runs = found.of("model x item"), found.of(RESIDUAL)
    run = prices.answer + prices.judgement
    if of_items <= 0 or run <= 0:
        # runs that cost nothing beat items that cost something, and more items beat more runs where both are free
        return MOST_RUNS if prices.item > 0 else 1
    return int(np.clip(round(float(np.sqrt(of_runs / of_items * prices.item / run))), 1, MOST_RUNS))


def spread_or_repeat(found: VarianceComponents, items: int, times: int, level: float, power: float) -> str:
    """Say what so many items once show, and a part of them several times.

    Args:
        found: Variance components of single scores.
        items: Items asked once.
        times: Runs of each of `items / times` items.
        level: Coverage of the interval that must exclude no difference.
        power: Chance to show the difference.
    """
    once = 100 * detectable_by(error_variance(found, items), level, power)
    few = items // times
    if found.runs_known:
        repeated = 100 * detectable_by(error_variance(found, few, times), level, power)
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
        f" {counted(few, 'item')} {times} times at best"
        f" the same and at worst {100 * detectable_by(error_variance(found, few), level, power):.1f}: without repeated"
        " runs the data do not say which."
    )


def design_rows(designs: tuple[StudyDesign, ...], most: int = 8) -> Iterator[dict[str, float | int]]:
    """Plain values of the first designs; shares in points."""
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
